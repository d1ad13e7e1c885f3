//! What other brokers may ask of this one.
//!
//! Connections, streams of one, and the bytes of a message are bounded; a peer that is frozen is noticed by keep-alive. Each stream is a task of this
//! process, so that a question whose asker is gone is not left half answered.

use crate::{
    Accept, Me, ReplicationOptions, network,
    standby::Session,
    wire::{
        self, AttachReply, AttachRequest, Data, End, Held, PingReply, PingRequest, ReadReply, ReadRequest, Reason, Refused, SealReply,
        SealRequest, WalProgress, parse_id, read_reply,
        replication_server::{Replication, ReplicationServer},
    },
};
use bytes::Bytes;
use floe_env::{Env, Task, Watched};
use floe_types::{DiskId, Generation, Incarnation, Lsn};
use floe_wal::{Replicas, WalError};
use futures::{StreamExt, stream::BoxStream};
use std::{fmt::Debug, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// Answers of one stream that wait to be sent.
const REPLIES: usize = 4;

/// How the WAL that this broker itself writes gets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalVitals {
    pub generation: Generation,
    pub end: Lsn,
    pub durable: Lsn,
    pub committed: Lsn,
    /// How long the disk has not been done with what it was given last.
    pub stalled: Duration,
}

/// What a ping is answered with.
#[async_trait]
pub trait Vitals: Debug + Send + Sync {
    /// None without a WAL of one's own.
    fn wal(&self) -> Option<WalVitals>;

    /// Whether that life of another broker answers this one. Bounded in time.
    async fn reaches(&self, _disk: DiskId, _incarnation: Incarnation) -> bool {
        false
    }
}

/// The running server. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    stop: Arc<Watched<bool>>,
    task: Task<()>,
}

impl Server {
    /// Serves what `accept` takes, until it is stopped.
    ///
    /// # Panics
    /// `me` names another disk than `replicas` lie on: no answer would be true (R2).
    #[must_use]
    pub fn start(
        env: &Env,
        accept: Arc<dyn Accept>,
        me: Arc<Me>,
        replicas: Replicas,
        vitals: Arc<dyn Vitals>,
        options: ReplicationOptions,
    ) -> Self {
        assert_eq!(me.identity().disk, replicas.disk_id(), "a broker answers for the disk that it has");
        let stop = Arc::new(Watched::new(false));
        let bytes = options.message_bytes();
        let window = u32::try_from(options.window_bytes).unwrap_or(u32::MAX / 2).min(i32::MAX.unsigned_abs());
        let incoming = network::incoming(env.clone(), accept, options.connections);
        let transport = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(options.keep_alive))
            .http2_keepalive_timeout(Some(options.keep_alive))
            .max_concurrent_streams(options.streams)
            .initial_stream_window_size(window)
            .initial_connection_window_size(window);
        let service = Service { env: env.clone(), me, replicas, vitals, options, stop: Arc::clone(&stop) };
        let service = ReplicationServer::new(service).max_decoding_message_size(bytes).max_encoding_message_size(bytes);
        let stopped = Arc::clone(&stop);
        let task = env.spawn("replication server", async move {
            let mut transport = transport;
            let until = async move {
                stopped.wait_for(|stop| *stop).await;
            };
            if let Err(error) = transport.add_service(service).serve_with_incoming_shutdown(incoming, until).await {
                tracing::error!(%error, "the server for other brokers has ended");
            }
        });
        Self { stop, task }
    }

    /// Takes no connection any more, ends every stream, and waits until that is done or `limit` is over.
    pub async fn stop(self, env: &Env, limit: Duration) {
        self.stop.set(true);
        // Whoever keeps a connection open is cut off.
        let _ = env.timeout(limit, self.task.join()).await;
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) env: Env,
    pub(crate) me: Arc<Me>,
    pub(crate) replicas: Replicas,
    vitals: Arc<dyn Vitals>,
    pub(crate) options: ReplicationOptions,
    pub(crate) stop: Arc<Watched<bool>>,
}

/// What a task sends, as an answer's stream.
fn replies<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> BoxStream<'static, Result<T, Status>> {
    futures::stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|reply| (Ok(reply), receiver)) }).boxed()
}

#[async_trait]
impl Replication for Service {
    type AttachStream = BoxStream<'static, Result<AttachReply, Status>>;
    type ReadStream = BoxStream<'static, Result<ReadReply, Status>>;

    async fn attach(&self, request: Request<Streaming<AttachRequest>>) -> Result<Response<Self::AttachStream>, Status> {
        let (sender, receiver) = mpsc::channel(REPLIES);
        self.env.spawn("standby", Session::new(self.clone(), sender).run(request.into_inner())).detach_to_group();
        Ok(Response::new(replies(receiver)))
    }

    async fn seal(&self, request: Request<SealRequest>) -> Result<Response<SealReply>, Status> {
        let request = request.into_inner();
        let done = async {
            let answerer = self.me.admit(request.caller)?;
            let (incarnation, by) = (Incarnation(request.incarnation), Incarnation(request.by));
            let held = self.replicas.seal(incarnation, by).await.map_err(|error| Refused::from(&error))?;
            tracing::info!(%incarnation, %by, "this disk has sealed an incarnation");
            Ok((answerer, held))
        };
        Ok(Response::new(match done.await {
            Ok((answerer, held)) => SealReply { answerer: Some(answerer), refused: None, held: held.into_iter().map(Held::from).collect() },
            Err(refused) => SealReply { answerer: None, refused: Some(refused), held: Vec::new() },
        }))
    }

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let (sender, receiver) = mpsc::channel(REPLIES);
        let (service, request) = (self.clone(), request.into_inner());
        let reader = async move {
            if let Err(Some(refused)) = service.send_sealed(request, &sender).await {
                let _ = sender.send(ReadReply { step: Some(read_reply::Step::Refused(refused)) }).await;
            }
        };
        self.env.spawn("replica reader", reader).detach_to_group();
        Ok(Response::new(replies(receiver)))
    }

    async fn ping(&self, request: Request<PingRequest>) -> Result<Response<PingReply>, Status> {
        let PingRequest { caller, about } = request.into_inner();
        let answerer = match self.me.admit(caller) {
            Ok(answerer) => answerer,
            Err(refused) => return Ok(Response::new(PingReply { refused: Some(refused), ..PingReply::default() })),
        };
        let about = about.and_then(|whom| Some((DiskId(parse_id(&whom.disk)?), Incarnation(whom.incarnation))));
        let reached = match about {
            Some((disk, incarnation)) => self.vitals.reaches(disk, incarnation).await,
            None => false,
        };
        Ok(Response::new(PingReply { answerer: Some(answerer), refused: None, wal: self.vitals.wal().map(WalProgress::from), reached }))
    }
}

impl Service {
    /// Sends what is held of a generation. `None`: the asker is gone.
    async fn send_sealed(&self, request: ReadRequest, replies: &mpsc::Sender<ReadReply>) -> Result<(), Option<Refused>> {
        let send = async |step| replies.send(ReadReply { step: Some(step) }).await.map_err(|_| None);
        let refused = |error: WalError| Some(Refused::from(&error));
        let answerer = self.me.admit(request.caller).map_err(Some)?;
        let (incarnation, generation) = (Incarnation(request.incarnation), Generation(request.generation));
        let mut sealed = self.replicas.read_sealed(incarnation, generation).await.map_err(refused)?;
        let trimmed = sealed.trimmed().0;
        send(read_reply::Step::Reading(wire::Reading { answerer: Some(answerer), trimmed })).await?;
        while let Some(entries) = sealed.next().await.map_err(refused)? {
            let Some(start) = entries.first().map(|entry| entry.header.lsn) else { continue };
            let parts: Vec<Bytes> = entries.iter().flat_map(floe_wal::ReplayedEntry::to_parts).collect();
            for piece in wire::cut(start, parts, self.options.piece_bytes) {
                send(read_reply::Step::Data(piece)).await?;
            }
        }
        let found = sealed.replayed();
        send(read_reply::Step::End(End { start: found.start.0, end: found.end.0, entries: found.entries, torn: found.torn })).await
    }

    pub(crate) fn ending() -> Refused {
        Refused::new(Reason::Closed, "this broker is ending")
    }
}

impl From<WalVitals> for WalProgress {
    fn from(wal: WalVitals) -> Self {
        Self {
            generation: wal.generation.0,
            end: wal.end.0,
            durable: wal.durable.0,
            committed: wal.committed.0,
            stalled_ms: u64::try_from(wal.stalled.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl From<WalProgress> for WalVitals {
    fn from(wal: WalProgress) -> Self {
        Self {
            generation: Generation(wal.generation),
            end: Lsn(wal.end),
            durable: Lsn(wal.durable),
            committed: Lsn(wal.committed),
            stalled: Duration::from_millis(wal.stalled_ms),
        }
    }
}

/// Data of a stream that an entry's bytes are put together from.
pub(crate) fn pieces(data: Data) -> impl Iterator<Item = (Lsn, Bytes)> {
    data.parts.into_iter().scan(data.start, |at, part| {
        let start = Lsn(*at);
        *at = at.saturating_add(part.len() as u64);
        Some((start, part))
    })
}
