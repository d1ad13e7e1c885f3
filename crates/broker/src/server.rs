//! The listeners: accept connections, a bounded number at once over all of them, and let them end in good order.

use crate::broker::Broker;
use crate::config::{BrokerConfig, ConfigError};
use crate::connection::{self, Close};
use crate::group_reads::GroupReads;
use crate::metrics::BrokerMetrics;
use crate::peer::{Advertised, Door, PLAINTEXT, Peer};
use floe_env::net::{Listener, listen};
use floe_env::{Env, Shutdown};
use floe_log::Engine;
use futures::future::join_all;
use std::io;
use std::net::SocketAddr;
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

/// Bound listeners that serve nothing yet: the ports are taken before anything else is touched.
#[derive(Debug)]
pub struct Server {
    env: Env,
    listeners: Vec<(Listener, Arc<Door>)>,
    config: BrokerConfig,
    metrics: BrokerMetrics,
    group_reads: GroupReads,
}

impl Server {
    /// Checks the settings and binds `listen_on` (`host:port`; port 0 takes a free one). Connections wait in the backlog
    /// until [`Server::run`]. `advertised` is what clients are told to dial; none for the address that was bound.
    ///
    /// # Errors
    /// A setting out of its range, an address that cannot be bound, or one that clients cannot dial; each is named.
    pub async fn bind(env: Env, listen_on: &str, advertised: Option<Advertised>, config: BrokerConfig) -> Result<Self, BindError> {
        let mut server = Self::new(env, config)?;
        server.add(PLAINTEXT, listen(listen_on).await?, advertised)?;
        Ok(server)
    }

    /// A server without a listener, to which [`Server::add`] gives one or more.
    ///
    /// # Errors
    /// A setting out of its range.
    pub fn new(env: Env, config: BrokerConfig) -> Result<Self, BindError> {
        config.validate()?;
        Ok(Self { env, listeners: Vec::new(), config, metrics: BrokerMetrics::default(), group_reads: GroupReads::default() })
    }

    /// Serves on this socket, too. Who comes in by it is told `advertised`, for the leader of every partition as for
    /// coordinators; none for the address that was bound.
    ///
    /// # Errors
    /// An address that clients cannot dial.
    pub fn add(&mut self, name: &str, listener: Listener, advertised: Option<Advertised>) -> Result<(), BindError> {
        let bound = listener.local_addr()?;
        let advertised = match advertised {
            Some(advertised) => advertised,
            None if bound.ip().is_unspecified() => return Err(BindError::NothingToDial(bound)),
            None => Advertised { host: bound.ip().to_string(), port: bound.port() },
        };
        self.listeners.push((listener, Arc::new(Door { name: name.to_owned(), advertised })));
        Ok(())
    }

    /// Names of the listeners, and the addresses that were bound, in the order in which they were added.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub fn local_addrs(&self) -> io::Result<Vec<(String, SocketAddr)>> {
        self.listeners.iter().map(|(listener, door)| Ok((door.name.clone(), listener.local_addr()?))).collect()
    }

    /// What clients of the first listener are told to dial: what other brokers tell theirs.
    ///
    /// # Panics
    /// There is no listener yet.
    #[must_use]
    pub fn advertised(&self) -> Advertised {
        let (_, door) = self.listeners.first().expect("a server is asked once it listens");
        door.advertised.clone()
    }

    /// What this server counts; to be registered by the composition root.
    #[must_use]
    pub fn metrics(&self) -> &BrokerMetrics {
        &self.metrics
    }

    /// What the coordinators of groups know, once it runs.
    #[must_use]
    pub fn group_reads(&self) -> &GroupReads {
        &self.group_reads
    }

    /// Serves until `shutdown`: then nothing more is accepted or read, what was taken is answered, and connections are
    /// closed, within [`SHUTDOWN_GRACE`]. The engine is to be drained after this.
    ///
    /// Cancelled, it accepts nothing more; connections go on until their environment's tasks end.
    pub async fn run(self, engine: Engine, shutdown: Shutdown) {
        let Self { env, listeners, config, metrics, group_reads } = self;
        let most = config.max_connections;
        let broker = Arc::new(Broker::new(env.clone(), engine, config, metrics, shutdown.clone()));
        group_reads.open(&broker.groups);
        env.spawn("groups", broker.groups.clone().run()).detach_to_group();
        let places = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)));
        let cut = Shutdown::new();
        let accepting = Accepting { broker: broker.clone(), places: places.clone(), cut: cut.clone() };
        join_all(listeners.into_iter().map(|(listener, door)| accepting.run(listener, door))).await;
        if env.timeout(SHUTDOWN_GRACE, places.acquire_many(most)).await.is_err() {
            tracing::warn!(connections = broker.metrics.open_connections(), "connections are cut at the end of their grace period");
            cut.trigger();
        }
    }
}

/// What the listeners share.
struct Accepting {
    broker: Arc<Broker>,
    places: Arc<Semaphore>,
    cut: Shutdown,
}

impl Accepting {
    /// Takes connections of one listener until the broker shuts down, and closes it.
    async fn run(&self, listener: Listener, door: Arc<Door>) {
        let env = &self.broker.env;
        let stopped = self.broker.shutdown.wait();
        futures::pin_mut!(stopped);
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => return,
                accepted = accept(&listener, &self.places) => match accepted {
                    Ok((stream, from, place)) => {
                        let peer = Peer { ip: from.ip(), door: door.clone() };
                        let serving = serve(self.broker.clone(), stream, (from, peer), place, self.cut.clone());
                        env.spawn("kafka-connection", serving).detach_to_group();
                    }
                    Err(error) => {
                        tracing::warn!(listener = door.name, %error, "cannot accept connections at the moment");
                        env.sleep(ACCEPT_REST).await;
                    }
                },
            }
        }
    }
}

/// The next connection, and a place for it. One that has none yet waits, and behind it the backlog: no listener keeps a place that another needs.
async fn accept(listener: &Listener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let (stream, peer) = listener.accept().await?;
    let place = places.clone().acquire_owned().await.expect("the semaphore of connections is never closed");
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

async fn serve(broker: Arc<Broker>, stream: TcpStream, (from, peer): (SocketAddr, Peer), place: OwnedSemaphorePermit, cut: Shutdown) {
    let (reader, writer) = stream.into_split();
    let close = serve_counted(broker, (reader, writer), peer, place, cut).await;
    if close.is_ordinary() {
        tracing::debug!(peer = %from, reason = %close, "connection closed");
    } else {
        tracing::warn!(peer = %from, reason = %close, "connection closed");
    }
}

async fn serve_counted<R, W>(broker: Arc<Broker>, (reader, writer): (R, W), peer: Peer, place: OwnedSemaphorePermit, cut: Shutdown) -> Close
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
        let serving = serve_counted(broker.clone(), (Trap, tokio::io::sink()), Peer::for_tests(), place, Shutdown::new());
        let failed = broker.env.spawn("kafka-connection", serving).join().await.expect_err("it panicked");
        assert!(failed.to_string().contains("a fault in the code"), "{failed}");
        assert_eq!((broker.metrics.open_connections(), broker.metrics.connections_closed("panic")), (0, 1));
        assert_eq!(places.available_permits(), 1);
    }
}
