//! The shaped store as an HTTP server.
//!
//! Beside the buckets: `GET /_health`, `GET /_stats`, and `POST /_control` with one JSON command:
//! `{"fail": {"op": "create", "prefix": "bucket/", "fault": "after", "count": 3}}` (see [`FaultRule`]; keys begin with
//! the bucket), `"clear"`, `{"available": false}`, `{"shaped": false}`, `"reset_stats"`.

use super::{
    Shape, Shaper, Stats,
    listing::Query,
    protocol::{LAST_MODIFIED, Target, Wanted, build, empty, etag, failure},
};
use crate::store_faults::{FaultRule, FaultRules, StoreFault, StoreOp};
use axum::{
    Json, Router,
    body::{Body, BodyDataStream},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use floe_env::{Env, Task, net};
use floe_objstore::{Backend, BackendError, Payload};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[cfg(test)]
mod tests;

/// How a server starts.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// `host:port`; port 0 takes a free one.
    pub listen: String,
    pub shape: Shape,
    pub seed: u64,
    /// The buckets that exist; none given: any.
    pub buckets: Vec<String>,
}

impl Default for ServerOptions {
    /// On a free port of this machine, unshaped.
    fn default() -> Self {
        Self { listen: "127.0.0.1:0".into(), shape: Shape::none(), seed: 1, buckets: Vec::new() }
    }
}

/// A running server; takes no more connections when dropped.
#[derive(Debug)]
pub struct ShapedServer {
    inner: Arc<Inner>,
    address: SocketAddr,
    task: Task<io::Result<()>>,
}

#[derive(Debug)]
struct Inner {
    env: Env,
    backend: Arc<dyn Backend>,
    shaper: Shaper,
    shape: Shape,
    rules: FaultRules,
    stats: Stats,
    available: AtomicBool,
    buckets: Vec<String>,
}

/// What `/_control` takes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Command {
    Fail(FaultRule),
    Clear,
    Available(bool),
    Shaped(bool),
    ResetStats,
}

impl ShapedServer {
    /// Binds and serves; objects of bucket `b` are kept in `backend` below `b/`.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(env: &Env, backend: Arc<dyn Backend>, options: ServerOptions) -> io::Result<Self> {
        let listener = net::listen(&options.listen).await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            env: env.clone(),
            backend,
            shaper: Shaper::new(options.shape, options.seed),
            shape: options.shape,
            rules: FaultRules::default(),
            stats: Stats::default(),
            available: AtomicBool::new(true),
            buckets: options.buckets,
        });
        let router = Router::new()
            .route("/_health", get(async || "ok\n"))
            .route("/_stats", get(async |State(inner): State<Arc<Inner>>| Json(inner.stats.snapshot())))
            .route("/_control", post(control))
            .fallback(handle)
            .with_state(Arc::clone(&inner));
        let accepting = Accepting { env: env.clone(), listener };
        let task = env.spawn("shaped store", async move { axum::serve(accepting, router).await });
        Ok(Self { inner, address, task })
    }

    /// `http://host:port`, an S3 endpoint for path-style requests.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn stats(&self) -> &Stats {
        &self.inner.stats
    }

    /// Rules for keys that begin with the bucket's name.
    pub fn rules(&self) -> &FaultRules {
        &self.inner.rules
    }

    pub fn set_available(&self, available: bool) {
        self.inner.available.store(available, Ordering::SeqCst);
    }

    /// Serves until something ends it.
    ///
    /// # Errors
    /// The server's task failed.
    pub async fn wait(self) -> io::Result<()> {
        self.task.join().await.map_err(io::Error::other)?
    }
}

struct Accepting {
    env: Env,
    listener: net::Listener,
}

impl axum::serve::Listener for Accepting {
    type Io = tokio::net::TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    self.env.sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn control(State(inner): State<Arc<Inner>>, Json(command): Json<Command>) -> StatusCode {
    match command {
        Command::Fail(rule) => inner.rules.add(rule),
        Command::Clear => inner.rules.clear(),
        Command::Available(available) => inner.available.store(available, Ordering::SeqCst),
        Command::Shaped(shaped) => inner.shaper.set_shape(if shaped { inner.shape } else { Shape::none() }),
        Command::ResetStats => inner.stats.reset(),
    }
    StatusCode::NO_CONTENT
}

/// A request, without its body.
struct Asked {
    op: StoreOp,
    head_only: bool,
    target: Target,
    /// `bucket/key`.
    key: String,
    headers: HeaderMap,
}

async fn handle(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Some(target) = Target::parse(&head.uri) else {
        return failure(StatusCode::BAD_REQUEST, "InvalidURI", "expected /bucket/key");
    };
    let op = match (&head.method, target.key.is_empty()) {
        (&Method::PUT, false) => StoreOp::Create,
        (&Method::GET | &Method::HEAD, false) => StoreOp::Read,
        (&Method::DELETE, false) => StoreOp::Delete,
        (&Method::GET, true) if target.query("list-type") == Some("2") => StoreOp::List,
        _ => return failure(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "not part of this server"),
    };
    inner.stats.request(op);
    if !inner.buckets.is_empty() && !inner.buckets.contains(&target.bucket) {
        return failure(StatusCode::NOT_FOUND, "NoSuchBucket", &target.bucket);
    }
    let key = format!("{}/{}", target.bucket, target.key);
    let fault = inner.rules.take(op, &key);
    let latency = inner.shaper.latency(op);
    // The body is taken in whatever comes: an answer before its end would break the connection for the client.
    let body = match op {
        StoreOp::Create => match inner.receive(body).await {
            Ok(body) => body,
            Err(_) => return failure(StatusCode::BAD_REQUEST, "IncompleteBody", "the body ended early"),
        },
        _ => Payload::default(),
    };
    inner.env.sleep(latency).await;
    if fault.is_some() || !inner.available.load(Ordering::SeqCst) {
        inner.stats.fault();
    }
    if !inner.available.load(Ordering::SeqCst) {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "the store is gone");
    }
    let asked = Asked { op, head_only: head.method == Method::HEAD, target, key, headers: head.headers };
    let effect = {
        let inner = Arc::clone(&inner);
        async move { inner.effect(&asked, body).await }
    };
    let internal_error = || failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "on demand");
    match fault {
        None => effect.await,
        Some(StoreFault::Before) => failure(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "on demand"),
        Some(StoreFault::Lost) => internal_error(),
        Some(StoreFault::After) => {
            let _ = effect.await;
            internal_error()
        }
        Some(StoreFault::Hang) => {
            let _ = effect.await;
            std::future::pending().await
        }
        Some(late @ StoreFault::Late { .. }) => {
            let env = inner.env.clone();
            let landing = async move {
                env.sleep(late.late_by()).await;
                let _ = effect.await;
            };
            inner.env.spawn("late request", landing).detach_to_group();
            internal_error()
        }
    }
}

impl Inner {
    /// A request's body, no faster than a connection brings it.
    async fn receive(&self, body: Body) -> Result<Payload, axum::Error> {
        let shape = self.shaper.shape();
        let began = self.env.monotonic();
        let mut stream: BodyDataStream = body.into_data_stream();
        let (mut chunks, mut len) = (Vec::new(), 0);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            len += chunk.len() as u64;
            chunks.push(chunk);
            pace(&self.env, began + shape.transfer(len)).await;
        }
        self.stats.bytes_in(len);
        Ok(Payload::from(chunks))
    }

    async fn effect(&self, asked: &Asked, body: Payload) -> Response {
        let Asked { op, head_only, target, key, headers } = asked;
        let answer = match op {
            StoreOp::Create => self.put(key, headers, body).await,
            StoreOp::Read => self.get(key, headers, *head_only).await,
            StoreOp::List => self.list(target).await,
            StoreOp::Delete => self.backend.delete(key).await.map(|()| empty(StatusCode::NO_CONTENT)),
        };
        answer.unwrap_or_else(|error| match error {
            BackendError::Exists => failure(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", "it exists"),
            BackendError::NotFound => failure(StatusCode::NOT_FOUND, "NoSuchKey", key),
            BackendError::Refused(why) => failure(StatusCode::BAD_REQUEST, "InvalidArgument", &why),
            other => failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &other.to_string()),
        })
    }

    async fn put(&self, key: &str, headers: &HeaderMap, body: Payload) -> Result<Response, BackendError> {
        let tag = etag(&body.start(64), body.len());
        match headers.get(header::IF_NONE_MATCH).map(|value| value.as_bytes()) {
            Some(b"*") => self.backend.create(key, body).await?,
            Some(_) => return Ok(failure(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "If-None-Match with a tag")),
            // What S3 does with a plain PUT. Nothing of Floe sends one.
            None => loop {
                self.backend.delete(key).await?;
                match self.backend.create(key, body.clone()).await {
                    Err(BackendError::Exists) => {}
                    answer => break answer?,
                }
            },
        }
        Ok(build(Response::builder().status(StatusCode::OK).header(header::ETAG, tag), Body::empty()))
    }

    async fn get(&self, key: &str, headers: &HeaderMap, head_only: bool) -> Result<Response, BackendError> {
        let wanted = Wanted::parse(headers);
        let (size, start) = self.backend.get_start(key, 64).await?;
        let Some(range) = wanted.within(size) else {
            return Ok(failure(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", &format!("of {size}")));
        };
        let len = range.end - range.start;
        let mut response = Response::builder()
            .header(header::ETAG, etag(&start, size))
            .header(header::LAST_MODIFIED, LAST_MODIFIED)
            .header(header::ACCEPT_RANGES, "bytes")
            .header(header::CONTENT_LENGTH, len);
        response = match wanted {
            Wanted::Whole => response.status(StatusCode::OK),
            _ => {
                let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, content_range)
            }
        };
        if head_only {
            return Ok(build(response, Body::empty()));
        }
        let bytes = self.backend.get_range(key, range).await?;
        self.stats.bytes_out(len);
        Ok(build(response, self.send(bytes)))
    }

    async fn list(&self, target: &Target) -> Result<Response, BackendError> {
        let query = match Query::parse(target) {
            Ok(query) => query,
            Err(parameter) => return Ok(failure(StatusCode::BAD_REQUEST, "InvalidArgument", parameter)),
        };
        let xml = query.page(&*self.backend, &target.bucket).await?.xml(&target.bucket, &query);
        self.stats.bytes_out(xml.len() as u64);
        let response = Response::builder().status(StatusCode::OK).header(header::CONTENT_TYPE, "application/xml");
        Ok(build(response, Body::from(xml)))
    }

    /// A body, no faster than a connection takes it.
    fn send(&self, bytes: Bytes) -> Body {
        const CHUNK: usize = 256 << 10;
        let shape = self.shaper.shape();
        if shape.bytes_per_second == 0 {
            return Body::from(bytes);
        }
        let (env, began) = (self.env.clone(), self.env.monotonic());
        Body::from_stream(futures::stream::unfold((env, bytes, 0_u64), move |(env, mut rest, sent)| async move {
            if rest.is_empty() {
                return None;
            }
            let chunk = rest.split_to(rest.len().min(CHUNK));
            let sent = sent + chunk.len() as u64;
            pace(&env, began + shape.transfer(sent)).await;
            Some((Ok::<Bytes, io::Error>(chunk), (env, rest, sent)))
        }))
    }
}

/// Sleeps until `due`; the clock's grain is a millisecond, so less is made up for later.
async fn pace(env: &Env, due: Duration) {
    let ahead = due.saturating_sub(env.monotonic());
    if ahead >= Duration::from_millis(1) {
        env.sleep(ahead).await;
    }
}
