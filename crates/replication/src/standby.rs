//! The standby's side of one attached WAL: entries come in, how much is fsynced goes out.
//!
//! * The first message says who sends and of which WAL; the answer says where to go on.
//! * What is told is durable on this disk, never only received (T03), and all below it is, too (T05).
//! * What does not fit - no room, a gap, other bytes - is refused with the reason, and ends the stream: the standby stops counting, the owner goes on.
//! * When nothing comes for a moment, how much is durable is kept on the disk.

use crate::{
    server::{Service, pieces},
    wire::{AttachReply, AttachRequest, Attached, Data, Reason, Refused, attach_reply, attach_request},
};
use floe_env::{Task, Watched};
use floe_types::{Generation, Incarnation, Lsn};
use floe_wal::{Attachment, Incoming, WalError};
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::Streaming;

pub(crate) struct Session {
    service: Service,
    replies: mpsc::Sender<AttachReply>,
}

/// How a stream ends.
enum End {
    /// Nobody listens any more.
    Gone,
    Refused(Refused),
}

impl From<WalError> for End {
    fn from(error: WalError) -> Self {
        Self::Refused(Refused::from(&error))
    }
}

impl Session {
    pub(crate) fn new(service: Service, replies: mpsc::Sender<AttachReply>) -> Self {
        Self { service, replies }
    }

    pub(crate) async fn run(self, mut requests: Streaming<AttachRequest>) {
        let Err(end) = self.serve(&mut requests).await;
        if let End::Refused(refused) = end {
            tracing::info!(reason = ?refused.reason(), message = refused.message, "an owner's WAL is not taken any more");
            let refused = self.reply(attach_reply::Step::Refused(refused));
            let _ = self.service.env.timeout(self.service.options.call_timeout, refused).await;
        }
    }

    async fn serve(&self, requests: &mut Streaming<AttachRequest>) -> Result<std::convert::Infallible, End> {
        let service = &self.service;
        let first = service.env.timeout(service.options.call_timeout, requests.message()).await;
        let Ok(Ok(Some(AttachRequest { step: Some(attach_request::Step::Attach(attach)) }))) = first else {
            return Err(End::Refused(Refused::new(Reason::Invalid, "the first message does not attach")));
        };
        let answerer = service.me.admit(attach.caller).map_err(End::Refused)?;
        let (incarnation, generation) = (Incarnation(attach.incarnation), Generation(attach.generation));
        let limit = service.options.attach_timeout;
        let attached = service.replicas.attach(incarnation, generation, Lsn(attach.trimmed));
        let Ok(attached) = service.env.timeout(limit, attached).await else {
            return Err(End::Refused(Refused::new(Reason::DiskError, format!("the replica could not be opened within {limit:?}"))));
        };
        let attachment = attached?;
        let told = attachment.durable();
        let (end, window) = (attachment.end().0, service.options.window_bytes);
        self.reply(attach_reply::Step::Attached(Attached { answerer: Some(answerer), end, durable: told.0, window })).await?;
        let ended = self.follow(&attachment, requests, told).await;
        attachment.note_durable();
        ended
    }

    async fn follow(
        &self,
        attachment: &Attachment,
        requests: &mut Streaming<AttachRequest>,
        mut told: Lsn,
    ) -> Result<std::convert::Infallible, End> {
        let service = &self.service;
        let mut incoming = Incoming::new(attachment.incarnation(), attachment.generation(), attachment.end());
        let trim = Arc::new(Watched::new(Lsn(0)));
        let _trimmer = self.trimmer(attachment, &trim);
        let mut noted = told;
        loop {
            let request = tokio::select! {
                biased;
                _ = service.stop.wait_for(|stop| *stop) => return Err(End::Refused(Service::ending())),
                progress = self.tell_beyond(attachment, told) => {
                    told = progress?;
                    continue;
                }
                request = requests.message() => request,
                () = service.env.sleep(service.options.quiet), if told > noted => {
                    attachment.note_durable();
                    noted = told;
                    continue;
                }
            };
            match request.map_err(|_| End::Gone)?.ok_or(End::Gone)?.step {
                Some(attach_request::Step::Data(data)) => take(attachment, &mut incoming, data)?,
                Some(attach_request::Step::Trim(to)) => {
                    trim.set_if(|before| std::mem::replace(before, Lsn(to).max(*before)) < Lsn(to));
                }
                Some(attach_request::Step::Flushed(_)) => {
                    service.replicas.forget(attachment.incarnation(), attachment.generation()).await?;
                    return Err(End::Refused(Refused::new(Reason::Missing, "the generation is flushed, and its copy gone")));
                }
                Some(attach_request::Step::Attach(_)) | None => {
                    return Err(End::Refused(Refused::new(Reason::Invalid, "neither data nor a trim")));
                }
            }
        }
    }

    /// Tells the owner once more than `told` is durable. Cancelled, nothing was told.
    async fn tell_beyond(&self, attachment: &Attachment, told: Lsn) -> Result<Lsn, End> {
        attachment.durable_beyond(told).await?;
        let place = self.replies.reserve().await.map_err(|_| End::Gone)?;
        let durable = attachment.durable();
        place.send(AttachReply { step: Some(attach_reply::Step::Durable(durable.0)) });
        Ok(durable)
    }

    /// Gives back what the owner says, beside the stream: files are not to hold up what is durable.
    fn trimmer(&self, attachment: &Attachment, trim: &Arc<Watched<Lsn>>) -> Task<()> {
        let (replicas, trim) = (self.service.replicas.clone(), Arc::clone(trim));
        let (incarnation, generation) = (attachment.incarnation(), attachment.generation());
        self.service.env.spawn("replica trimmer", async move {
            let mut done = Lsn(0);
            loop {
                done = trim.wait_for(|to| *to > done).await;
                if let Err(error) = replicas.trim(incarnation, generation, done).await {
                    tracing::info!(%incarnation, %generation, %error, "a replica is not trimmed");
                }
            }
        })
    }

    async fn reply(&self, step: attach_reply::Step) -> Result<(), End> {
        self.replies.send(AttachReply { step: Some(step) }).await.map_err(|_| End::Gone)
    }
}

fn take(attachment: &Attachment, incoming: &mut Incoming, data: Data) -> Result<(), End> {
    // Damage on the way says nothing about this disk.
    let garbled = |error: WalError| {
        let message = format!("what came cannot be taken: {error}");
        End::Refused(Refused { expected: attachment.end().0, ..Refused::new(Reason::Unexpected, message) })
    };
    for (at, piece) in pieces(data) {
        incoming.push(at, piece).map_err(garbled)?;
        while let Some(entry) = incoming.next_entry().map_err(garbled)? {
            attachment.append(&entry)?;
        }
    }
    Ok(())
}
