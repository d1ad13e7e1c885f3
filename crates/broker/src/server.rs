//! The listener: accepts connections, a bounded number at once, and lets them end in good order.

use crate::broker::{Advertised, Broker};
use crate::config::{BrokerConfig, ConfigError};
use crate::connection::{self, Close};
use crate::metrics::BrokerMetrics;
use floe_env::net::{Listener, listen};
use floe_env::{Env, Shutdown};
use floe_log::Engine;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Rest after an accept that failed for lack of descriptors or memory.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Time that connections get to answer what they have taken, once the broker shuts down.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Why a server could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Listen(#[from] io::Error),
    #[error("{0} is every address of this machine and none that a client can dial: say which one to advertise")]
    NothingToDial(SocketAddr),
}

/// A bound listener that serves nothing yet: the port is taken before anything else is touched.
#[derive(Debug)]
pub struct Server {
    env: Env,
    listener: Listener,
    advertised: Advertised,
    config: BrokerConfig,
    metrics: BrokerMetrics,
}

impl Server {
    /// Checks the settings and binds `listen_on` (`host:port`; port 0 takes a free one). Connections wait in the backlog
    /// until [`Server::run`]. `advertised` is what clients are told to dial; none for the address that was bound.
    ///
    /// # Errors
    /// A setting out of its range, an address that cannot be bound, or one that clients cannot dial; each is named.
    pub async fn bind(env: Env, listen_on: &str, advertised: Option<Advertised>, config: BrokerConfig) -> Result<Self, BindError> {
        config.validate()?;
        Self::on(env, listen(listen_on).await?, advertised, config)
    }

    /// As [`Server::bind`], on a socket that was bound by others.
    ///
    /// # Errors
    /// As of [`Server::bind`].
    pub fn on(env: Env, listener: Listener, advertised: Option<Advertised>, config: BrokerConfig) -> Result<Self, BindError> {
        config.validate()?;
        let bound = listener.local_addr()?;
        let advertised = match advertised {
            Some(advertised) => advertised,
            None if bound.ip().is_unspecified() => return Err(BindError::NothingToDial(bound)),
            None => Advertised { host: bound.ip().to_string(), port: bound.port() },
        };
        Ok(Self { env, listener, advertised, config, metrics: BrokerMetrics::default() })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What this server counts; to be registered by the composition root.
    #[must_use]
    pub fn metrics(&self) -> &BrokerMetrics {
        &self.metrics
    }

    /// Serves until `shutdown`: then nothing more is accepted or read, what was taken is answered, and connections are
    /// closed, within [`SHUTDOWN_GRACE`]. The engine is to be drained after this.
    ///
    /// Cancelled, it accepts nothing more; connections go on until their environment's tasks end.
    pub async fn run(self, engine: Engine, shutdown: Shutdown) {
        let Self { env, listener, advertised, config, metrics } = self;
        let most = config.max_connections;
        let broker = Arc::new(Broker::new(env.clone(), engine, config, advertised, metrics, shutdown.clone()));
        env.spawn("groups", broker.groups.clone().run()).detach_to_group();
        let places = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)));
        let cut = Shutdown::new();
        let stopped = shutdown.wait();
        futures::pin_mut!(stopped);
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                accepted = accept(&listener, &places) => match accepted {
                    Ok((stream, peer, place)) => {
                        let serving = serve(broker.clone(), stream, peer, place, cut.clone());
                        env.spawn("kafka-connection", serving).detach_to_group();
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections at the moment");
                        env.sleep(ACCEPT_REST).await;
                    }
                },
            }
        }
        drop(listener);
        if env.timeout(SHUTDOWN_GRACE, places.acquire_many(most)).await.is_err() {
            tracing::warn!(connections = broker.metrics.open_connections(), "connections are cut at the end of their grace period");
            cut.trigger();
        }
    }
}

/// The next connection, once there is a place for it.
async fn accept(listener: &Listener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.expect("the semaphore of connections is never closed");
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// Counts a connection as open, whatever ends it.
struct Open {
    metrics: BrokerMetrics,
    reason: &'static str,
    _place: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.closed(self.reason);
    }
}

async fn serve(broker: Arc<Broker>, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit, cut: Shutdown) {
    let (reader, writer) = stream.into_split();
    let close = serve_counted(broker, (reader, writer), peer.ip(), place, cut).await;
    if close.is_ordinary() {
        tracing::debug!(%peer, reason = %close, "connection closed");
    } else {
        tracing::warn!(%peer, reason = %close, "connection closed");
    }
}

async fn serve_counted<R, W>(
    broker: Arc<Broker>,
    (reader, writer): (R, W),
    peer: IpAddr,
    place: OwnedSemaphorePermit,
    cut: Shutdown,
) -> Close
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let metrics = broker.metrics.clone();
    metrics.opened();
    // A panic unwinds through this and leaves the reason as it is.
    let mut open = Open { metrics, reason: "panic", _place: place };
    let close = tokio::select! {
        biased;
        close = connection::serve(broker, peer, reader, writer) => close,
        () = cut.wait() => Close::Shutdown,
    };
    open.reason = close.label();
    close
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use std::net::Ipv4Addr;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::io::ReadBuf;

    #[tokio::test]
    async fn an_address_that_nobody_can_dial_is_not_advertised() {
        let bind = |advertised| Server::bind(Env::real(), "0.0.0.0:0", advertised, BrokerConfig::default());
        let error = bind(None).await.expect_err("refused");
        assert!(matches!(error, BindError::NothingToDial(_)), "{error}");
        let advertised = "broker.example:9092".parse().expect("well formed");
        assert!(bind(Some(advertised)).await.is_ok());
    }

    #[tokio::test]
    async fn settings_are_checked_before_the_port_is_taken() {
        let config = BrokerConfig { num_partitions: 0, ..BrokerConfig::default() };
        let error = Server::bind(Env::real(), "127.0.0.1:0", None, config).await.expect_err("refused");
        assert_eq!(error.to_string(), "num.partitions: must be at least 1");
    }

    struct Trap;

    impl AsyncRead for Trap {
        fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, _buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            panic!("a fault in the code that serves this connection")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_its_connection_and_gives_back_its_place() {
        let world = World::new(1);
        let broker = world.broker().await;
        let places = Arc::new(Semaphore::new(1));
        let place = places.clone().acquire_owned().await.expect("open");
        let serving = serve_counted(broker.clone(), (Trap, tokio::io::sink()), Ipv4Addr::LOCALHOST.into(), place, Shutdown::new());
        let failed = broker.env.spawn("kafka-connection", serving).join().await.expect_err("it panicked");
        assert!(failed.to_string().contains("a fault in the code"), "{failed}");
        assert_eq!((broker.metrics.open_connections(), broker.metrics.connections_closed("panic")), (0, 1));
        assert_eq!(places.available_permits(), 1);
    }
}
