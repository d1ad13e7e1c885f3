//! Connections between brokers: TCP without delay, or whatever a test puts in its place.

use async_trait::async_trait;
use floe_env::net;
use floe_types::DiskId;
use futures::{Stream, stream};
use parking_lot::RwLock;
use std::{
    collections::BTreeMap,
    fmt::{self, Debug},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tonic::transport::server::Connected;

/// How long to wait when the system has no descriptors left.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(100);

/// A connection.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// Makes connections.
#[async_trait]
pub trait Dial: Debug + Send + Sync {
    /// Has no time limit of its own.
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Io>>;
}

/// Takes connections.
#[async_trait]
pub trait Accept: Debug + Send + Sync {
    /// The next one. Cancellation safe. An error is one of the moment: it is called again a little later.
    async fn accept(&self) -> io::Result<Box<dyn Io>>;
}

/// Where each disk is to be asked for.
pub trait Directory: Debug + Send + Sync {
    fn address(&self, disk: DiskId) -> Option<String>;
}

/// A directory that is told.
#[derive(Debug, Default)]
pub struct Addresses(RwLock<BTreeMap<DiskId, String>>);

impl Addresses {
    pub fn set(&self, disk: DiskId, address: impl Into<String>) {
        self.0.write().insert(disk, address.into());
    }
}

impl Directory for Addresses {
    fn address(&self, disk: DiskId) -> Option<String> {
        self.0.read().get(&disk).cloned()
    }
}

/// The operating system's TCP, both ends without delay: a small answer must not wait for an acknowledgement.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

#[async_trait]
impl Dial for Tcp {
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Io>> {
        Ok(Box::new(net::connect(address).await?))
    }
}

#[async_trait]
impl Accept for net::Listener {
    async fn accept(&self) -> io::Result<Box<dyn Io>> {
        let (stream, _) = net::Listener::accept(self).await?;
        Ok(Box::new(stream))
    }
}

/// A connection that holds one of the places that there are.
pub(crate) struct Accepted {
    io: Box<dyn Io>,
    _place: OwnedSemaphorePermit,
}

impl Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accepted")
    }
}

/// Connections, no more at a time than there are places: further ones wait in the listener's queue.
pub(crate) fn incoming(env: floe_env::Env, accept: Arc<dyn Accept>, places: usize) -> impl Stream<Item = io::Result<Accepted>> {
    let places = Arc::new(Semaphore::new(places));
    stream::unfold((env, accept, places), |(env, accept, places)| async move {
        let place = Arc::clone(&places).acquire_owned().await.ok()?;
        let io = loop {
            match accept.accept().await {
                Ok(io) => break io,
                Err(error) => {
                    tracing::warn!(%error, "cannot take a broker's connection");
                    env.sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
                }
            }
        };
        Some((Ok(Accepted { io, _place: place }), (env, accept, places)))
    })
}

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
