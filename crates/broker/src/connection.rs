//! One connection: requests in, answers out in the same order.
//!
//! Produce is pipelined: its batches are appended as they arrive, in order, and the next request is read while the
//! commit is awaited. Every other request is handled to its end, and its answer taken by the client, before the next of
//! its kind is begun: Kafka's own semantics, and what bounds the answers a connection can hold.
//!
//! Both halves are one task: nothing hops between threads, and a panic in a handler ends this connection and no other.

mod close;
mod frames;
mod writer;

pub(crate) use close::Close;

use crate::broker::Broker;
use crate::budget::Held;
use crate::handlers::{self, Handled, Reply, produce};
use crate::peer::Peer;
use floe_env::Shutdown;
use floe_protocol::{Api, DecodeError, Frame, Request, RequestHeader, Response, api_versions, decode_request, frame::decode_header};
use frames::{FrameLimits, Frames, ReceivedFrame};
use futures::future::BoxFuture;
use futures::{FutureExt, pin_mut};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use writer::Outbox;

/// Answers that are ready together leave together, up to so many bytes.
const COALESCED: usize = 256 << 10;

/// An answer on its way, in the order of its request.
struct Outgoing {
    api: Api,
    received: Duration,
    answer: Answer,
    held: Vec<Held>,
    turn: Option<OwnedSemaphorePermit>,
}

enum Answer {
    Ready(Frame),
    Later(BoxFuture<'static, Result<Frame, Close>>),
}

/// Serves one connection until it ends.
pub(crate) async fn serve<R, W>(broker: Arc<Broker>, peer: Peer, reader: R, writer: W) -> Close
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (sender, queue) =
        mpsc::channel(usize::try_from(broker.config.max_pending_requests).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS));
    let grace = Duration::from(broker.config.response_send_timeout);
    let env = broker.env.clone();
    let mut requests = Requests::new(broker.clone(), peer, reader, sender);
    let answers = Answers { broker, queue, writer, outbox: Outbox::default() }.run();
    pin_mut!(answers);
    let close = loop {
        tokio::select! {
            biased;
            result = &mut answers => return result.err().unwrap_or(Close::ByClient),
            result = requests.next() => if let Err(close) = result { break close },
        }
    };
    // What was taken is still answered, unless the client is too slow to hear it.
    drop(requests);
    match env.timeout(grace, answers).await {
        Ok(Err(later)) if close.is_ordinary() => later,
        _ => close,
    }
}

/// The reading half.
struct Requests<R> {
    broker: Arc<Broker>,
    peer: Peer,
    frames: Frames<R>,
    queue: mpsc::Sender<Outgoing>,
    /// Held by the one answer that is not Produce's.
    turn: Arc<Semaphore>,
    stopped: BoxFuture<'static, ()>,
}

impl<R: AsyncRead + Unpin> Requests<R> {
    fn new(broker: Arc<Broker>, peer: Peer, reader: R, queue: mpsc::Sender<Outgoing>) -> Self {
        let limits = FrameLimits {
            max_bytes: usize::try_from(broker.config.socket_request_max_bytes.0).unwrap_or(usize::MAX),
            idle: broker.config.connections_max_idle.into(),
            receive: broker.config.request_receive_timeout.into(),
            budget: broker.requests.clone(),
        };
        let frames = Frames::new(reader, broker.env.clone(), limits);
        let stopped = stopped(broker.shutdown.clone()).boxed();
        Self { broker, peer, frames, queue, turn: Arc::new(Semaphore::new(1)), stopped }
    }

    /// Reads one request and handles it.
    async fn next(&mut self) -> Result<(), Close> {
        let frame = tokio::select! {
            biased;
            () = &mut self.stopped => return Err(Close::Shutdown),
            frame = self.frames.next() => frame?,
        };
        let ReceivedFrame { bytes, held } = frame;
        let received = self.broker.env.monotonic();
        self.broker.show_budgets();
        let size = bytes.len();
        let (header, body) = decode_header(bytes)?;
        self.broker.metrics.received(header.api, size);
        match decode_request(&header, body) {
            Ok(Request::Produce(request)) => self.produce(header, request, held, received).await,
            Ok(request) => {
                // What waits for other members may wait for minutes, and has handed its bytes over by then.
                let held = (!matches!(header.api, Api::JoinGroup | Api::SyncGroup)).then_some(held);
                let handled = self.handle(header, request, received).await;
                drop(held);
                self.broker.show_budgets();
                handled
            }
            Err(DecodeError::UnsupportedVersion { api: Api::ApiVersions, .. }) => {
                let response = api_versions::unsupported_version();
                let turn = next_turn(self.turn.clone()).await;
                self.answer(&header, response.into(), received, turn).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Appends now, answers when it is committed.
    async fn produce(
        &mut self,
        header: RequestHeader,
        request: floe_protocol::messages::ProduceRequest,
        held: Held,
        received: Duration,
    ) -> Result<(), Close> {
        // A place in the queue first: what is appended has somebody who waits for it.
        let Ok(place) = self.queue.reserve().await else { return Err(Close::ByClient) };
        let started = produce::start(&self.broker, header.version, request).await;
        drop(held);
        if started.is_unacknowledged() {
            let took = self.broker.env.monotonic().saturating_sub(received);
            self.broker.metrics.answered(header.api, 0, took);
            return started.failure().map_or(Ok(()), |why| Err(Close::UnacknowledgedFailure(why)));
        }
        let (broker, peer) = (self.broker.clone(), self.peer.clone());
        // Without what is a part of the request, and would keep all of it.
        let header = RequestHeader { client_id: None, ..header };
        let answer = async move {
            let response = started.finish(&broker, header.version, &peer).await;
            encode(&broker, &header, response.into())
        };
        let answer = Answer::Later(answer.boxed());
        place.send(Outgoing { api: Api::Produce, received, answer, held: Vec::new(), turn: None });
        Ok(())
    }

    async fn handle(&mut self, header: RequestHeader, request: Request, received: Duration) -> Result<(), Close> {
        let turn = next_turn(self.turn.clone()).await;
        let handled = {
            let handling = handlers::handle(&self.broker, &header, &self.peer, request);
            pin_mut!(handling);
            if header.api == Api::Fetch {
                // A long poll is for a client that is there.
                tokio::select! {
                    biased;
                    handled = &mut handling => handled,
                    close = self.frames.closed() => return Err(close),
                }
            } else {
                handling.await
            }
        };
        self.answer(&header, handled, received, turn).await
    }

    async fn answer(
        &mut self,
        header: &RequestHeader,
        handled: Handled,
        received: Duration,
        turn: OwnedSemaphorePermit,
    ) -> Result<(), Close> {
        let Handled { reply, mut held } = handled;
        let frame = match reply {
            Reply::Response(response) => encode(&self.broker, header, response)?,
            Reply::Encoded(encoded) => encoded.map_err(|source| Close::Response { api: header.api, source })?,
        };
        if held.is_empty() {
            held.push(self.broker.answers.acquire(frame.len()).await);
        }
        let outgoing = Outgoing { api: header.api, received, answer: Answer::Ready(frame), held, turn: Some(turn) };
        self.queue.send(outgoing).await.map_err(|_| Close::ByClient)
    }
}

/// Waits until the answer before has been taken by the client.
async fn next_turn(turn: Arc<Semaphore>) -> OwnedSemaphorePermit {
    turn.acquire_owned().await.expect("a connection's turn is never closed")
}

async fn stopped(shutdown: Shutdown) {
    shutdown.wait().await;
}

fn encode(broker: &Broker, header: &RequestHeader, response: Response) -> Result<Frame, Close> {
    handlers::encode(&broker.metrics, header, response).map_err(|source| Close::Response { api: header.api, source })
}

/// The writing half.
struct Answers<W> {
    broker: Arc<Broker>,
    queue: mpsc::Receiver<Outgoing>,
    writer: W,
    outbox: Outbox,
}

impl<W: AsyncWrite + Unpin> Answers<W> {
    /// Writes answers until the reading half is gone and everything is written.
    async fn run(mut self) -> Result<(), Close> {
        let base = Duration::from(self.broker.config.response_send_timeout);
        let mut head = None;
        let mut leaving = Vec::new();
        loop {
            let mut next: Outgoing = match head.take() {
                Some(next) => next,
                None => match self.queue.recv().await {
                    Some(next) => next,
                    None => return Ok(()),
                },
            };
            let frame = match &mut next.answer {
                Answer::Ready(_) => None,
                Answer::Later(answer) => Some(answer.await?),
            };
            self.push(next, frame, &mut leaving);
            while self.outbox.len() < COALESCED
                && head.is_none()
                && let Ok(mut next) = self.queue.try_recv()
            {
                match &mut next.answer {
                    Answer::Ready(_) => self.push(next, None, &mut leaving),
                    Answer::Later(answer) => match answer.now_or_never() {
                        Some(frame) => self.push(next, Some(frame?), &mut leaving),
                        None => head = Some(next),
                    },
                }
            }
            self.outbox.write(&mut self.writer, &self.broker.env, base).await?;
            self.left(&mut leaving);
        }
    }

    fn push(&mut self, next: Outgoing, later: Option<Frame>, leaving: &mut Vec<Leaving>) {
        let Outgoing { api, received, answer, held, turn } = next;
        let frame = match answer {
            Answer::Ready(frame) => frame,
            Answer::Later(_) => later.expect("an answer that came later was resolved by the caller"),
        };
        leaving.push(Leaving { api, received, bytes: frame.len(), _held: held, _turn: turn });
        self.outbox.push(frame.into_chunks());
    }

    fn left(&self, leaving: &mut Vec<Leaving>) {
        let now = self.broker.env.monotonic();
        for answer in leaving.drain(..) {
            self.broker.metrics.answered(answer.api, answer.bytes, now.saturating_sub(answer.received));
        }
        self.broker.show_budgets();
    }
}

/// An answer in the outbox, with what it gives back once it is written.
struct Leaving {
    api: Api,
    received: Duration,
    bytes: usize,
    _held: Vec<Held>,
    _turn: Option<OwnedSemaphorePermit>,
}

#[cfg(test)]
mod tests;
