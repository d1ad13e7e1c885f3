//! Asking one broker: whether it is alive, for a disk's seal, for what a sealed disk holds.

use crate::{
    Dial, Directory, Identity, Me, ReplicationError, ReplicationOptions, WalVitals,
    wire::{
        AttachReply, AttachRequest, End, PingRequest, ReadReply, ReadRequest, ReplicationClient, SealRequest, Whom, id_bytes, read_reply,
        required,
    },
};
use floe_env::Env;
use floe_types::{DiskId, Generation, Incarnation, Lsn};
use floe_wal::{HeldWal, Incoming, Replayed, ReplayedEntry};
use futures::{Stream, StreamExt};
use hyper_util::rt::TokioIo;
use std::{future::Future, sync::Arc, time::Duration};
use tonic::{
    Response, Status, Streaming,
    transport::{Channel, Endpoint, Uri},
};

/// What it takes to talk with other brokers. Clones are the same.
#[derive(Debug, Clone)]
pub struct Brokers {
    pub env: Env,
    pub me: Arc<Me>,
    pub network: Arc<dyn Dial>,
    pub directory: Arc<dyn Directory>,
    pub options: ReplicationOptions,
}

impl Brokers {
    /// The broker that has a disk; no other disk's answer counts. Dials when it is first asked, and again whenever the connection is lost.
    ///
    /// # Errors
    /// `NoAddress`.
    pub fn peer(&self, disk: DiskId) -> Result<Peer, ReplicationError> {
        let address = self.directory.address(disk).ok_or(ReplicationError::NoAddress { disk })?;
        Ok(self.at(&address, Some(disk)))
    }

    /// Whoever answers at an address.
    #[must_use]
    pub fn at(&self, address: &str, disk: Option<DiskId>) -> Peer {
        let channel = channel(&self.options, &self.network, address);
        let bytes = self.options.message_bytes();
        let client = ReplicationClient::new(channel).max_decoding_message_size(bytes).max_encoding_message_size(bytes);
        Peer { env: self.env.clone(), me: Arc::clone(&self.me), options: self.options.clone(), address: address.into(), disk, client }
    }
}

/// A connection that is made when it is needed, and kept alive: a frozen peer is noticed whether or not anything is asked.
fn channel(options: &ReplicationOptions, network: &Arc<dyn Dial>, address: &str) -> Channel {
    let (network, address) = (Arc::clone(network), address.to_string());
    let window = u32::try_from(options.window_bytes).unwrap_or(u32::MAX / 2).min(i32::MAX.unsigned_abs());
    Endpoint::from_static("http://floe")
        .connect_timeout(options.connect_timeout)
        .http2_keep_alive_interval(options.keep_alive)
        .keep_alive_timeout(options.keep_alive)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(window)
        .initial_connection_window_size(window)
        .connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let (network, address) = (Arc::clone(&network), address.clone());
            async move { network.dial(&address).await.map(TokioIo::new) }
        }))
}

/// One broker.
#[derive(Debug, Clone)]
pub struct Peer {
    env: Env,
    me: Arc<Me>,
    options: ReplicationOptions,
    address: String,
    disk: Option<DiskId>,
    client: ReplicationClient<Channel>,
}

/// A broker's sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    pub from: Identity,
    /// Of the WAL that it writes itself.
    pub wal: Option<WalVitals>,
}

impl Pong {
    /// A disk that hangs is no sign of life (T69).
    #[must_use]
    pub fn is_alive(&self, longest_stall: Duration) -> bool {
        self.wal.is_none_or(|wal| wal.stalled <= longest_stall)
    }
}

impl Peer {
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// # Errors
    /// Any: it has not shown that it is alive.
    pub async fn ping(&self) -> Result<Pong, ReplicationError> {
        Ok(self.ping_about(None).await?.0)
    }

    /// Whether it reaches another broker's incarnation.
    ///
    /// # Errors
    /// Any: not known.
    pub async fn reaches(&self, disk: DiskId, incarnation: Incarnation) -> Result<bool, ReplicationError> {
        Ok(self.ping_about(Some(Whom { disk: id_bytes(disk.0), incarnation: incarnation.0 })).await?.1)
    }

    async fn ping_about(&self, about: Option<Whom>) -> Result<(Pong, bool), ReplicationError> {
        let request = PingRequest { caller: self.me.caller(self.disk), about };
        let mut client = self.client.clone();
        let reply = self.call("answer a ping", self.options.call_timeout, client.ping(request)).await?;
        self.unless_refused(reply.refused)?;
        let from = self.me.accept(&self.address, &required(reply.answerer, &self.address, "who answers")?, self.disk)?;
        Ok((Pong { from, wal: reply.wal.map(WalVitals::from) }, reply.reached))
    }

    /// The disk's word to accept nothing more of `incarnation`, fsynced; and what it has of it.
    ///
    /// # Errors
    /// Any: it may or may not be sealed.
    pub async fn seal(&self, incarnation: Incarnation, by: Incarnation) -> Result<Vec<HeldWal>, ReplicationError> {
        let request = SealRequest { caller: self.me.caller(self.disk), incarnation: incarnation.0, by: by.0 };
        let mut client = self.client.clone();
        let reply = self.call("seal", self.options.call_timeout, client.seal(request)).await?;
        self.unless_refused(reply.refused)?;
        self.me.accept(&self.address, &required(reply.answerer, &self.address, "who answers")?, self.disk)?;
        Ok(reply.held.iter().map(HeldWal::from).collect())
    }

    /// What the sealed disk holds of a generation, from front to back.
    ///
    /// # Errors
    /// `Refused` with `Missing`: it never held it; with `Damaged`: it is no answer. Any other: not known.
    pub async fn read(&self, incarnation: Incarnation, generation: Generation) -> Result<Reading, ReplicationError> {
        let request = ReadRequest { caller: self.me.caller(self.disk), incarnation: incarnation.0, generation: generation.0 };
        let mut client = self.client.clone();
        let replies = self.call("open a replica", self.options.call_timeout, client.read(request)).await?;
        let mut reading = Reading {
            peer: self.clone(),
            wal: (incarnation, generation),
            replies,
            incoming: None,
            trimmed: Lsn(0),
            replayed: Replayed { entries: 0, start: Lsn(0), end: Lsn(0), torn: false },
            done: false,
        };
        match reading.step().await? {
            read_reply::Step::Reading(first) => {
                self.me.accept(&self.address, &required(first.answerer, &self.address, "who answers")?, self.disk)?;
                reading.trimmed = Lsn(first.trimmed);
                Ok(reading)
            }
            _ => Err(self.broken("it does not say who answers")),
        }
    }

    /// The stream of an owner's WAL: what is sent, and what comes back. Who answers is for the caller to check.
    pub(crate) async fn attach(
        &self,
        requests: impl Stream<Item = AttachRequest> + Send + 'static,
    ) -> Result<Streaming<AttachReply>, ReplicationError> {
        let mut client = self.client.clone();
        self.call("attach", self.options.call_timeout, client.attach(requests)).await
    }

    async fn call<T>(
        &self,
        what: &'static str,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, ReplicationError> {
        match self.env.timeout(limit, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(ReplicationError::status(&self.address, &status)),
            Err(_) => Err(self.timed_out(what, limit)),
        }
    }

    pub(crate) fn timed_out(&self, what: &'static str, limit: Duration) -> ReplicationError {
        ReplicationError::TimedOut { peer: self.address.clone(), what, limit }
    }

    pub(crate) fn broken(&self, what: impl Into<String>) -> ReplicationError {
        ReplicationError::Protocol { peer: self.address.clone(), what: what.into() }
    }

    pub(crate) fn unless_refused(&self, refused: Option<crate::wire::Refused>) -> Result<(), ReplicationError> {
        refused.map_or(Ok(()), |refused| Err(ReplicationError::refused(&self.address, refused)))
    }
}

/// A sealed replica that is read over the network.
#[derive(Debug)]
pub struct Reading {
    peer: Peer,
    wal: (Incarnation, Generation),
    replies: Streaming<ReadReply>,
    /// Where the first entry begins is known only then.
    incoming: Option<Incoming>,
    trimmed: Lsn,
    replayed: Replayed,
    done: bool,
}

impl Reading {
    /// The next entries; none behind the last. Until that was said, what was read is no answer.
    ///
    /// # Errors
    /// As [`Peer::read`].
    pub async fn next(&mut self) -> Result<Option<Vec<ReplayedEntry>>, ReplicationError> {
        while !self.done {
            match self.step().await? {
                read_reply::Step::Data(data) => {
                    let entries = self.take(data)?;
                    if !entries.is_empty() {
                        return Ok(Some(entries));
                    }
                }
                read_reply::Step::End(end) => self.finish(&end)?,
                read_reply::Step::Reading(_) | read_reply::Step::Refused(_) => return Err(self.peer.broken("it begins twice")),
            }
        }
        Ok(None)
    }

    /// What was found until now.
    #[must_use]
    pub fn replayed(&self) -> Replayed {
        self.replayed
    }

    #[must_use]
    pub fn trimmed(&self) -> Lsn {
        self.trimmed
    }

    async fn step(&mut self) -> Result<read_reply::Step, ReplicationError> {
        let limit = self.peer.options.attach_timeout;
        let reply = match self.peer.env.timeout(limit, self.replies.next()).await {
            Ok(Some(Ok(reply))) => reply,
            Ok(Some(Err(status))) => return Err(ReplicationError::status(&self.peer.address, &status)),
            Ok(None) => return Err(self.peer.broken("it ends before the end")),
            Err(_) => return Err(self.peer.timed_out("send more of a replica", limit)),
        };
        match required(reply.step, &self.peer.address, "a step")? {
            read_reply::Step::Refused(refused) => Err(ReplicationError::refused(&self.peer.address, refused)),
            step => Ok(step),
        }
    }

    fn take(&mut self, data: crate::wire::Data) -> Result<Vec<ReplayedEntry>, ReplicationError> {
        let mut at = Lsn(data.start);
        let incoming = self.incoming.get_or_insert_with(|| {
            (self.replayed.start, self.replayed.end) = (at, at);
            Incoming::new(self.wal.0, self.wal.1, at)
        });
        let mut entries = Vec::new();
        for part in data.parts {
            let next = Lsn(at.0.saturating_add(part.len() as u64));
            incoming.push(at, part)?;
            at = next;
            while let Some(entry) = incoming.next_entry()? {
                self.replayed.end = entry.header.end();
                self.replayed.entries += 1;
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    fn finish(&mut self, end: &End) -> Result<(), ReplicationError> {
        let nothing = self.replayed.entries == 0;
        let found = (self.replayed.entries, self.replayed.end.0);
        if found != (end.entries, if nothing { self.replayed.end.0 } else { end.end }) {
            return Err(self
                .peer
                .broken(format!("{} entries up to {} were sent, {} up to {} announced", found.0, found.1, end.entries, end.end)));
        }
        if nothing {
            (self.replayed.start, self.replayed.end) = (Lsn(end.start), Lsn(end.end));
        }
        self.replayed.torn = end.torn;
        self.done = true;
        Ok(())
    }
}
