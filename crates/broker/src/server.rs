//! The listener: accepts connections, a bounded number at once, and lets them end in good order.

use crate::broker::{Advertised, Broker};
use crate::config::{BrokerConfig, ConfigError};
use crate::connection::{self, Close};
use crate::metrics::BrokerMetrics;
use floe_env::net::{Listener, listen};
use floe_env::{Env, Shutdown};
use floe_log::Engine;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
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
}

/// A bound listener that serves nothing yet: the port is taken before anything else is touched.
#[derive(Debug)]
pub struct Server {
    env: Env,
    listener: Listener,
    config: BrokerConfig,
    metrics: BrokerMetrics,
}

impl Server {
    /// Checks the settings and binds `listen_on` (`host:port`; port 0 takes a free one). Connections wait in the backlog
    /// until [`Server::run`].
    ///
    /// # Errors
    /// A setting out of its range, or an address that cannot be bound; both are named.
    pub async fn bind(env: Env, listen_on: &str, config: BrokerConfig) -> Result<Self, BindError> {
        config.validate()?;
        let listener = listen(listen_on).await?;
        Ok(Self { env, listener, config, metrics: BrokerMetrics::default() })
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
    /// `advertised` is what clients are told to dial; none for the address that was bound.
    ///
    /// # Errors
    /// The operating system does not tell the bound address.
    pub async fn run(self, engine: Engine, advertised: Option<Advertised>, shutdown: Shutdown) -> io::Result<()> {
        let bound = self.local_addr()?;
        let advertised = advertised.unwrap_or_else(|| Advertised { host: bound.ip().to_string(), port: bound.port() });
        let Self { env, listener, config, metrics } = self;
        let most = config.max_connections;
        let broker = Arc::new(Broker::new(env.clone(), engine, config, advertised, metrics, shutdown.clone()));
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
        Ok(())
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
    let metrics = broker.metrics.clone();
    metrics.opened();
    // A panic unwinds through this and leaves the reason as it is.
    let mut open = Open { metrics, reason: "panic", _place: place };
    let (reader, writer) = stream.into_split();
    let close = tokio::select! {
        biased;
        close = connection::serve(broker, reader, writer) => close,
        () = cut.wait() => Close::Shutdown,
    };
    open.reason = close.label();
    if close.is_ordinary() {
        tracing::debug!(%peer, reason = %close, "connection closed");
    } else {
        tracing::warn!(%peer, reason = %close, "connection closed");
    }
}
