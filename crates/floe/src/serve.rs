//! `floe serve`: the life of a broker, from flags to exit code.
//!
//! Order of a start: settings are checked; ports are bound; the store's handle is made; the engine takes the data directory and
//! the store; only then is anything served. So whatever is refused is refused before anything was touched. Order of an end:
//! [`Serving::shut_down`], and nowhere else.

mod exports;
mod idle;
mod member;
mod place;
mod signals;

use crate::admin::{self, Phase};
use crate::config::{self, Config, Layers, Refused, ServerConfig};
use crate::exit::{Exit, Failure, of_end};
use crate::logging;
use clap::Args;
use floe_broker::{BindError, BrokerMetrics, PLAINTEXT, Server};
use floe_env::{Disk, Env, RealDisk, Shutdown, Task, net};
use floe_log::{Ended, Engine};
use floe_objstore::{Store, StoreOptions, StoreUrl};
use floe_replication::PeerLinks;
use place::Place;
pub(crate) use signals::Signals;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Data directory [default: ./floe-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Object store: file:///path, s3://bucket/prefix or memory:// [default: the folder store in the data directory]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Address of a Kafka listener; may be given several times, with names [default: 127.0.0.1:9092]
    #[arg(long, value_name = "[NAME=]ADDR")]
    listen: Vec<String>,
    /// Address that clients of a listener are told to dial [default: the one that was bound]
    #[arg(long, value_name = "[NAME=]HOST:PORT")]
    advertise: Vec<String>,
    /// Address of the console, /metrics, /healthz, /readyz, /status [default: 127.0.0.1:9644]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// What Kafka clients see as the node id; auto, in a cluster: one that nobody has, kept with the data directory [default: 0]
    #[arg(long, value_name = "N")]
    broker_id: Option<String>,
    /// Endpoints of etcd, http://HOST:PORT, separated by commas: be one broker of a cluster [default: a single broker]
    #[arg(long, value_name = "URL")]
    etcd: Option<String>,
    /// Address on which the other brokers reach this one [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    peer_listen: Option<String>,
    /// Where this broker runs, such as its zone
    #[arg(long, value_name = "NAME")]
    rack: Option<String>,
    /// Take the store over although records acknowledged by another disk, or lying behind damage, may be lost by it
    #[arg(long)]
    take_over: bool,
    /// Drain and exit 0 after this time without client traffic, such as 10min [default: never]
    #[arg(long, value_name = "DURATION")]
    idle_exit: Option<String>,
    /// Allow listeners that others can reach, without encryption and authentication
    #[arg(long)]
    insecure: bool,
    /// Settings file (TOML) [environment: FLOE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set any setting; --dump-config shows them all
    #[arg(short = 'o', value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Level of the log, such as info, or warn,floe_log=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// Format of the log: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Print all settings with their values, as a file that --config reads, and exit
    #[arg(long)]
    dump_config: bool,
}

impl Arguments {
    fn config(&self) -> Result<Config, Failure> {
        let refused = |error: Refused| Failure::new(Exit::Refused, error.to_string());
        let mut layers = Layers::read(self.config.as_deref()).map_err(refused)?;
        layers.command_line = config::options(&self.options).map_err(refused)?;
        let flags = [
            ("data", self.data.as_ref().map(|path| path.display().to_string())),
            ("store", self.store.clone()),
            ("listen", joined(&self.listen)),
            ("advertise", joined(&self.advertise)),
            ("admin", self.admin.clone()),
            ("broker.id", self.broker_id.clone()),
            ("etcd.endpoints", self.etcd.clone()),
            ("peer.listen", self.peer_listen.clone()),
            ("broker.rack", self.rack.clone()),
            ("floe.idle.exit.ms", self.idle_exit.clone()),
            ("insecure", self.insecure.then(|| "true".to_owned())),
            ("log.level", self.log.clone()),
            ("log.format", self.log_format.clone()),
        ];
        layers.command_line.extend(flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        let mut config = config::load(&layers).map_err(refused)?;
        // A decision for one start: not a setting that a file could repeat.
        config.engine.take_over = self.take_over;
        Ok(config)
    }
}

/// A flag that was given several times, as the setting is written. As with every flag, the last one counts: of those with the same name.
fn joined(values: &[String]) -> Option<String> {
    fn name(value: &str) -> Option<&str> {
        value.split_once('=').map(|(name, _)| name)
    }
    let is_last = |at: usize| !values[at + 1..].iter().any(|later| name(later) == name(&values[at]));
    let kept: Vec<&str> = values.iter().enumerate().filter(|(at, _)| is_last(*at)).map(|(_, value)| value.as_str()).collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// Runs a broker until a signal, a newer broker, or a failure ends it.
pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let env = Env::real();
    let began = env.monotonic();
    let config = arguments.config()?;
    if arguments.dump_config {
        print!("{}", config::dump(&config));
        return Ok(Exit::Ok);
    }
    logging::start(&config.server.log_level, config.server.log_format)?;
    let mut signals = Signals::install()?;
    let bound = Bound::bind(&env, &config).await?;
    let place = Place::find(&config)?;
    exports::check(&config, &place)?;
    let serving = tokio::select! {
        biased;
        signal = signals.next() => {
            tracing::info!(signal, "ended before it was ready; nothing was served");
            return Ok(Exit::Ok);
        }
        started = bound.start(env.clone(), &config, &place) => started?,
    };
    serving.announce(&place, env.monotonic().saturating_sub(began))?;
    let exit = serving.until_the_end(signals, &config.server).await;
    place.leave();
    Ok(exit)
}

/// All ports, taken before anything else is.
struct Bound {
    server: Server,
    admin: net::Listener,
    /// Of a broker of a cluster.
    peer: Option<net::Listener>,
}

impl Bound {
    async fn bind(env: &Env, config: &Config) -> Result<Self, Failure> {
        // Sockets that a supervisor has bound stand for the addresses of the settings: Kafka's, then the admin pages'.
        let mut inherited = net::inherited()?.into_iter();
        let mut server = Server::new(env.clone(), config.broker.clone())?;
        for (name, address) in &config.server.listen.0 {
            let listener = match inherited.next() {
                Some(listener) => checked("listen", listener, config)?,
                None => net::listen(&address.0).await.map_err(BindError::from)?,
            };
            let advertised = config.server.advertise.as_ref().and_then(|all| all.get(name));
            server.add(name, listener, advertised.map(|dial| dial.0.clone()))?;
        }
        let admin = match inherited.next() {
            Some(listener) => checked("admin", listener, config)?,
            None => net::listen(&config.server.admin).await.map_err(|error| {
                let failure = Failure::from(error);
                Failure::new(if failure.exit == Exit::InUse { Exit::InUse } else { Exit::Refused }, format!("admin: {failure}"))
            })?,
        };
        let peer = member::bind(&config.server.cluster).await?;
        match inherited.len() {
            0 => Ok(Self { server, admin, peer }),
            more => {
                let kafka = config.server.listen.0.len();
                let served = if kafka == 1 {
                    "the two that are served (Kafka, admin)".to_owned()
                } else {
                    format!("the {kafka} of Kafka and the admin pages'")
                };
                Err(Failure::new(Exit::Refused, format!("LISTEN_FDS: {more} sockets more than {served}")))
            }
        }
    }

    async fn start(self, env: Env, config: &Config, place: &Place) -> Result<Serving, Failure> {
        let backend = crate::store::open(&env, &place.store, config, true).await?;
        let store = Store::new(env.clone(), backend, StoreOptions::default());
        let (kafka, admin_addr) = (self.server.local_addrs()?, self.admin.local_addr()?);
        let metrics = self.server.metrics().clone();
        let sources = admin::Sources {
            broker: metrics.clone(),
            store: store.metrics().clone(),
            groups: self.server.group_reads().clone(),
            url: place.store.to_string(),
            advertised: self.server.advertised(),
            prices: config.server.prices.clone(),
            records_shown: config.server.console_records,
            is_local: admin_addr.ip().is_loopback(),
        };
        let state = admin::State::new(&env, sources);
        let admin = admin::serve(&env, self.admin, state.clone());
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(place.data.clone()));
        let (options, links) =
            (config.engine_options(&place.store), self.peer.map(|peer| member::links(&env, &config.server.cluster, &disk, peer)));
        let (engine, links) = match links.transpose()? {
            None => (Box::pin(Engine::open(env.clone(), store, disk, options)).await?, None),
            Some(links) => {
                let membership = member::membership(&env, &config.server, &self.server.advertised(), &links)?;
                (Box::pin(Engine::join(env.clone(), store, disk, options, membership)).await?, Some(links.links))
            }
        };
        let (exporter, exports) = exports::start(&env, &engine, config)?;
        state.opened(engine.clone(), exporter);
        let kafka_ends = Shutdown::new();
        let server = env.spawn("kafka-listener", self.server.run(engine.clone(), kafka_ends.clone()));
        state.enter(Phase::Ready);
        Ok(Serving { env, kafka, admin_addr, admin, state, engine, exports, links, metrics, server, kafka_ends })
    }
}

/// A broker that serves.
struct Serving {
    env: Env,
    /// Names and addresses.
    kafka: Vec<(String, SocketAddr)>,
    admin_addr: SocketAddr,
    admin: admin::Running,
    state: Arc<admin::State>,
    engine: Engine,
    exports: Task<()>,
    /// Of a broker of a cluster.
    links: Option<Arc<PeerLinks>>,
    metrics: BrokerMetrics,
    server: Task<()>,
    kafka_ends: Shutdown,
}

/// Why a broker stops serving.
enum Cause {
    Signal(&'static str),
    Engine(Ended),
    Listener,
    Idle,
    /// By `floe broker drain`.
    Asked,
}

/// Whoever bound it: what others can reach needs the word `--insecure`.
fn checked(key: &str, listener: net::Listener, config: &Config) -> Result<net::Listener, Failure> {
    let address = listener.local_addr()?;
    if address.ip().is_loopback() || config.server.insecure {
        return Ok(listener);
    }
    Err(Failure::new(
        Exit::Refused,
        format!("{key}: the socket of LISTEN_FDS at {address} can be reached by others: say --insecure where the network is trusted"),
    ))
}

impl Serving {
    /// The one line on stdout, for people and for scripts that wait for it.
    fn announce(&self, place: &Place, took: Duration) -> Result<(), Failure> {
        let incarnation = self.engine.incarnation();
        let named = |(name, address): &(String, SocketAddr)| format!("{} {address}", if name == PLAINTEXT { "kafka" } else { name });
        let kafka = self.kafka.iter().map(named).collect::<Vec<_>>().join(", ");
        let line = format!(
            "floe ready: {kafka}, admin http://{}, store {}, incarnation {incarnation}, {:.3} s\n",
            self.admin_addr,
            place.store,
            took.as_secs_f64()
        );
        let mut out = std::io::stdout().lock();
        match out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
            // Nobody listens: that is no reason not to serve.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn until_the_end(self, mut signals: Signals, config: &ServerConfig) -> Exit {
        let drain_timeout = config.drain_timeout.into();
        let cause = tokio::select! {
            biased;
            signal = signals.next() => Cause::Signal(signal),
            ended = self.engine.ended() => Cause::Engine(ended),
            () = self.listener_ended() => Cause::Listener,
            () = self.engine.asked_to_drain() => Cause::Asked,
            () = idle::wait(&self.env, &self.metrics, &self.engine, config) => Cause::Idle,
        };
        let env = self.env.clone();
        let end = env.spawn("shutdown", self.shut_down(cause, drain_timeout));
        tokio::select! {
            biased;
            signal = signals.next() => {
                tracing::warn!(signal, "a second signal: ending at once");
                std::process::exit(i32::from(Exit::Interrupted as u8))
            }
            exit = end.join() => exit.unwrap_or_else(|error| {
                tracing::error!(%error, "the shutdown failed");
                Exit::Error
            }),
        }
    }

    async fn listener_ended(&self) {
        while !self.server.is_finished() {
            self.env.sleep(LISTENER_CHECK).await;
        }
    }

    /// The order of an end, all of it:
    /// 1. `/readyz` says no, so that nobody new is sent here.
    /// 2. What this broker exports by itself ends where it is: it may at any time.
    /// 3. Kafka: no new connections, no new requests; what was taken is answered (the broker bounds this to some seconds). In a cluster this comes after 4,
    ///    so that clients are told to go to others, and are not cut off before there are any to go to.
    /// 4. The engine drains, for at most `drain_timeout`: everything is flushed, the chain is closed. Not if it has ended already.
    /// 5. Other brokers are answered no more: until now they knew that this one is alive.
    /// 6. The admin listener ends; `/status` and `/metrics` were there until now.
    async fn shut_down(self, cause: Cause, drain_timeout: Duration) -> Exit {
        self.state.enter(Phase::Draining);
        match &cause {
            Cause::Signal(signal) => tracing::info!(signal, "draining"),
            Cause::Engine(ended) => tracing::error!(%ended, "nothing more is acknowledged"),
            Cause::Listener => tracing::error!("the Kafka listener has ended"),
            Cause::Idle => tracing::info!("idle: draining"),
            Cause::Asked => tracing::info!("draining, as etcd says"),
        }
        drop(self.exports);
        let hands_over = self.links.is_some() && !matches!(cause, Cause::Engine(_) | Cause::Listener);
        let mut drain = None;
        if hands_over {
            drain = Some(self.env.timeout(drain_timeout, drained(&self.engine)).await);
            self.env.sleep(HANDED_OVER).await;
        }
        self.kafka_ends.trigger();
        let listener = self.server.join().await;
        if let Err(error) = &listener {
            tracing::error!(%error, "the Kafka listener failed");
        }
        let drain = match drain {
            Some(drain) => drain,
            None => self.env.timeout(drain_timeout, drained(&self.engine)).await,
        };
        let exit = match drain {
            Ok(Ended::Drained) if listener.is_err() => Exit::Error,
            Ok(Ended::Fenced { .. }) if self.links.is_some() => Exit::Deposed,
            Ok(ended) => of_end(&ended),
            Err(_) => {
                tracing::error!(?drain_timeout, "not drained in time; what is not flushed stays in the WAL of this data directory");
                Exit::NotDrained
            }
        };
        if let Some(ended) = self.engine.has_ended().filter(|ended| *ended != Ended::Drained) {
            eprintln!("floe: {ended}");
        }
        if let Some(links) = &self.links {
            links.stop(LINKS_END).await;
        }
        self.admin.stop().await;
        tracing::info!(code = exit as u8, "ended");
        exit
    }
}

/// How long clients are answered once all is handed over: that this broker leads nothing any more.
const HANDED_OVER: Duration = Duration::from_millis(200);
/// Time for what other brokers have asked.
const LINKS_END: Duration = Duration::from_secs(2);
/// How often the listener's task is looked at: it ends by itself only when it fails.
const LISTENER_CHECK: Duration = Duration::from_secs(1);

async fn drained(engine: &Engine) -> Ended {
    match engine.has_ended() {
        Some(ended) => ended,
        None => engine.drain().await,
    }
}

/// What `place` needs of a URL.
fn directory(path: PathBuf) -> StoreUrl {
    StoreUrl::File { path }
}
