//! The owner's side of one standby: dialled, attached, filled up, followed - and again, whatever happens.
//!
//! | state | what is sent | counts |
//! |---|---|---|
//! | away | nothing; dialled after a pause that grows | no |
//! | filling | what the standby lacks, from the ring, or from the WAL's files where that is older | no |
//! | counting | each group when its local write begins | yes |
//! | forgotten | that all is flushed: the last word | no |
//!
//! What may be sent and not be durable there is bounded by the window that the standby names; what waits here, by the ring. A standby that does not
//! get on within `ack_timeout` is let go: it is dialled again, and goes on where its disk is.

use crate::{
    Brokers, Refusal, ReplicationError,
    peer::Peer,
    ring::Next,
    shipping::Shared,
    wire::{Attach, AttachReply, AttachRequest, Attached, attach_reply, attach_request, cut, required},
};
use bytes::Bytes;
use floe_env::{Mutant, mutated};
use floe_log::copies::StandbyState;
use floe_types::{DiskId, ErrorKind, Lsn};
use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tonic::Streaming;

/// Messages that wait for the connection.
const OUTGOING: usize = 4;

/// Runs for as long as the generation does.
pub(crate) async fn run(shared: Arc<Shared>, disk: DiskId) {
    let (shortest, longest) = shared.brokers.options.redial;
    let mut pause = shortest;
    loop {
        let (mut got_on, began) = (false, shared.brokers.env.monotonic());
        let Err(error) = Box::pin(session(&shared, disk, &mut got_on)).await;
        shared.quorum.detached(disk);
        if error.kind() == ErrorKind::Fenced {
            shared.fence(disk);
            return;
        }
        if shared.finished.get() && matches!(error, ReplicationError::Refused { refusal: Refusal::Missing, .. }) {
            shared.set_state(disk, StandbyState::Forgotten);
            return;
        }
        tracing::debug!(%disk, %error, "a standby is away");
        shared.set_state(disk, StandbyState::Away { error: error.to_string(), kind: error.kind() });
        let env = &shared.brokers.env;
        // Who attaches and refuses what comes is not sent a window of it at every moment.
        let lasted = got_on || env.monotonic() - began > longest;
        pause = if lasted { shortest } else { (pause * 2).min(longest) };
        let jitter = Duration::from_millis(env.random_below(u64::try_from(pause.as_millis() / 4).unwrap_or(0) + 1));
        env.sleep(pause + jitter).await;
    }
}

async fn session(shared: &Shared, disk: DiskId, got_on: &mut bool) -> Result<Infallible, ReplicationError> {
    let Brokers { env, me, options, .. } = &shared.brokers;
    let peer = shared.brokers.peer(disk)?;
    let (outgoing, messages) = mpsc::channel(OUTGOING);
    let wal = shared.wal()?;
    let trimmed = wal.trimmed();
    let first = Attach {
        caller: me.caller(Some(disk)),
        incarnation: wal.options().incarnation.0,
        generation: wal.options().generation.0,
        trimmed: trimmed.0,
    };
    let first = AttachRequest { step: Some(attach_request::Step::Attach(first)) };
    let stream = futures::stream::unfold((Some(first), messages), |(first, mut messages)| async move {
        let message = match first {
            Some(first) => Some(first),
            None => messages.recv().await,
        };
        message.map(|message| (message, (None, messages)))
    });
    let mut replies = peer.attach(stream).await?;
    let Ok(reply) = env.timeout(options.attach_timeout, replies.message()).await else {
        return Err(peer.timed_out("open its replica", options.attach_timeout));
    };
    let Attached { answerer, end, durable, window } = match step(&peer, reply)? {
        attach_reply::Step::Attached(attached) => attached,
        _ => return Err(peer.broken("it does not attach")),
    };
    me.accept(peer.address(), &required(answerer, peer.address(), "who answers")?, Some(disk))?;
    if Lsn(end) > shared.ring.end() || durable > end {
        return Err(peer.broken(format!("it holds the WAL up to {end}, and {durable} durably, which is more than there is")));
    }
    if let Some(told) = shared.quorum.told(disk).filter(|told| *told > Lsn(end) && *told > trimmed) {
        return Err(ReplicationError::HoldsLess { peer: peer.address().into(), held: Lsn(end), told });
    }
    let mut session = Session {
        shared,
        disk,
        peer: &peer,
        sent: Lsn(end),
        acked: Lsn(durable),
        window,
        outbox: VecDeque::new(),
        trimmed: Lsn(0),
        finishing: false,
        progress: env.monotonic(),
    };
    session.heard(Lsn(durable));
    let Err(error) = session.follow(&mut replies, &outgoing).await;
    *got_on = session.acked > Lsn(durable);
    Err(error)
}

/// What one reply says.
fn step(peer: &Peer, reply: Result<Option<AttachReply>, tonic::Status>) -> Result<attach_reply::Step, ReplicationError> {
    let reply = reply.map_err(|status| ReplicationError::status(peer.address(), &status))?;
    let reply =
        reply.ok_or_else(|| ReplicationError::Unreachable { peer: peer.address().into(), reason: "it has ended the stream".into() })?;
    match required(reply.step, peer.address(), "a step")? {
        attach_reply::Step::Refused(refused) => Err(ReplicationError::refused(peer.address(), refused)),
        step => Ok(step),
    }
}

/// What has to happen before more can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    /// What is in the outbox has to go.
    Connection,
    /// Something has to be begun.
    Owner,
    /// More of what was begun has to become durable here.
    OwnDisk,
    /// More of what was sent has to become durable there.
    Standby,
}

/// An attached standby.
struct Session<'a> {
    shared: &'a Shared,
    disk: DiskId,
    peer: &'a Peer,
    /// Everything below was sent, or is in the outbox.
    sent: Lsn,
    /// Everything below is durable there.
    acked: Lsn,
    window: u64,
    outbox: VecDeque<attach_request::Step>,
    /// What it was told to give back.
    trimmed: Lsn,
    /// It is told that all is flushed, and nothing more.
    finishing: bool,
    /// When it last got on, or began to have something to do.
    progress: Duration,
}

impl Session<'_> {
    async fn follow(
        &mut self,
        replies: &mut Streaming<AttachReply>,
        outgoing: &mpsc::Sender<AttachRequest>,
    ) -> Result<Infallible, ReplicationError> {
        let (shared, env) = (self.shared, &self.shared.brokers.env);
        let limit = shared.brokers.options.ack_timeout;
        loop {
            let waits_for = match self.outbox.is_empty() {
                true if self.finishing => WaitsFor::Standby,
                true => self.fill_outbox().await?,
                false => WaitsFor::Connection,
            };
            let wal = shared.wal()?;
            let (sent, trimmed, waits) = (self.sent, self.trimmed, self.acked < self.sent);
            let left = (self.progress + limit).saturating_sub(env.monotonic());
            tokio::select! {
                biased;
                reply = replies.message() => match step(self.peer, reply)? {
                    attach_reply::Step::Durable(durable) => self.durable(Lsn(durable))?,
                    _ => return Err(self.peer.broken("it attaches twice")),
                },
                () = env.sleep(left), if waits => return Err(self.peer.timed_out("make what it got durable", limit)),
                _ = shared.finished.wait_for(|finished| *finished), if !self.finishing => {
                    self.finishing = true;
                    self.outbox = [attach_request::Step::Flushed(true)].into();
                }
                to = shared.trimmed.wait_for(|to| *to > trimmed), if !self.finishing => {
                    self.trimmed = to;
                    // One is enough, however long they wait.
                    self.outbox.retain(|step| !matches!(step, attach_request::Step::Trim(_)));
                    self.outbox.push_front(attach_request::Step::Trim(to.0));
                }
                place = outgoing.reserve(), if !self.outbox.is_empty() => {
                    let place = place.map_err(|_| ReplicationError::Unreachable {
                        peer: self.peer.address().into(),
                        reason: "the connection is gone".into(),
                    })?;
                    place.send(AttachRequest { step: self.outbox.pop_front() });
                    if !self.outbox.is_empty() {
                        // An entry of many messages becomes durable when the last one has come; as long as they go it gets on.
                        self.progress = env.monotonic();
                    }
                }
                () = shared.ring.begun_beyond(sent), if waits_for == WaitsFor::Owner => {}
                durable = wal.durable_beyond(sent), if waits_for == WaitsFor::OwnDisk => drop(durable?),
            }
        }
    }

    /// Puts what comes next into the outbox.
    async fn fill_outbox(&mut self) -> Result<WaitsFor, ReplicationError> {
        let (shared, options) = (self.shared, &self.shared.brokers.options);
        let under_way = self.sent.0 - self.acked.0;
        let (window, idle) = (self.window.saturating_sub(under_way), under_way == 0);
        let most = options.piece_bytes as u64;
        let entries = match shared.ring.next(self.sent, most, window, idle) {
            Next::Nothing => return Ok(WaitsFor::Owner),
            Next::NoRoom => return Ok(WaitsFor::Standby),
            Next::Entries(entries) => entries,
            Next::Behind => match self.read_files(most, window, idle).await? {
                Ok(run) => vec![run],
                Err(waits_for) => return Ok(waits_for),
            },
        };
        if idle {
            self.progress = shared.brokers.env.monotonic();
        }
        let bytes: u64 = entries.iter().map(|part| part.len() as u64).sum();
        self.outbox.extend(cut(self.sent, entries, options.piece_bytes).into_iter().map(attach_request::Step::Data));
        self.sent = Lsn(self.sent.0 + bytes);
        if mutated(Mutant::StandbyCountsSent) {
            self.heard(self.sent);
        }
        Ok(WaitsFor::Connection)
    }

    /// What the ring has no more, from the WAL's files; or what has to come first.
    async fn read_files(&self, most: u64, window: u64, idle: bool) -> Result<Result<Bytes, WaitsFor>, ReplicationError> {
        let (env, options) = (&self.shared.brokers.env, &self.shared.brokers.options);
        if window < most && !idle {
            return Ok(Err(WaitsFor::Standby));
        }
        let wal = self.shared.wal()?;
        let run = env.timeout(options.ack_timeout, wal.read_run(self.sent, most)).await;
        let Ok(run) = run else { return Err(self.peer.timed_out("get what this broker's own disk gives", options.ack_timeout)) };
        Ok(match run? {
            Some(run) if run.len() as u64 > window && !idle => Err(WaitsFor::Standby),
            Some(run) => Ok(run),
            // The ring let go of what the disk has not got yet.
            None => Err(WaitsFor::OwnDisk),
        })
    }

    fn durable(&mut self, durable: Lsn) -> Result<(), ReplicationError> {
        if durable > self.sent || durable < self.acked {
            let (acked, sent) = (self.acked, self.sent);
            return Err(self.peer.broken(format!("it says that {durable} is durable: {acked} was, {sent} was sent")));
        }
        if durable > self.acked {
            self.progress = self.shared.brokers.env.monotonic();
        }
        self.acked = durable;
        self.heard(durable);
        Ok(())
    }

    fn heard(&self, durable: Lsn) {
        let counts = self.shared.heard(self.disk, durable);
        self.shared.set_state(self.disk, if counts { StandbyState::Counting { durable } } else { StandbyState::Filling { durable } });
    }
}
