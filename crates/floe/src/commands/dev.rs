//! `floe dev cluster`: etcd and some brokers on this machine, for a try and for tests. All end together.

use crate::exit::{Exit, Failure};
use crate::output;
use clap::{Args, Subcommand};
use floe_env::{Env, net};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long etcd, and each broker, may take to serve.
const START: Duration = Duration::from_secs(60);
/// How long all may take to end.
const END: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// More than one machine's cores are good for.
const MOST: u16 = 9;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run etcd and several brokers on this machine until Ctrl-C; etcd has to be installed
    Cluster(ClusterArguments),
}

#[derive(Debug, Args)]
struct ClusterArguments {
    /// Brokers
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST)))]
    brokers: u16,
    /// Folder for everything: data directories, the store, etcd, logs
    #[arg(long, value_name = "DIR", default_value = "floe-cluster")]
    data: PathBuf,
    /// Port of the first broker; the others have those behind it. 0: free ones
    #[arg(long, value_name = "PORT", default_value_t = 9092)]
    port: u16,
    /// Object store that all share [default: the folder store in the data folder]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Set any setting of the brokers
    #[arg(short = 'o', value_name = "KEY=VALUE")]
    options: Vec<String>,
}

/// A process that ends with this one, whatever happens.
#[derive(Debug)]
struct Process(Child);

impl Process {
    fn has_ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let What::Cluster(arguments) = arguments.what;
    let env = Env::real();
    let data = std::path::absolute(&arguments.data)?;
    std::fs::create_dir_all(&data)?;
    let (mut etcd, url) = etcd(&env, &data).await?;
    let mut brokers = Vec::new();
    let started = start_all(&env, (&arguments, &data, &url), &mut brokers).await;
    let ended = match started {
        Ok(addresses) => {
            let all = |of: fn(&(String, String)) -> &str| addresses.iter().map(of).collect::<Vec<_>>();
            let (kafka, admin) = (all(|pair| &pair.0).join(","), all(|pair| &pair.1).join(" "));
            output::print(&format!("floe ready: bootstrap {kafka}, admin {admin}, etcd {url}, data {}", data.display()))?;
            until_the_end(&env, &mut brokers, &mut etcd).await
        }
        Err(failure) => Err(failure),
    };
    end_all(&env, brokers, etcd).await?;
    ended.map(|()| Exit::Ok)
}

/// Waits for Ctrl-C, SIGTERM, or a process that ends by itself.
async fn until_the_end(env: &Env, brokers: &mut [Process], etcd: &mut Process) -> Result<(), Failure> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            _ = terminate.recv() => return Ok(()),
            () = env.sleep(LOOK) => {}
        }
        if let Some(status) = etcd.has_ended()? {
            return Err(Failure::error(format!("etcd has ended: {status}")));
        }
        for (at, broker) in brokers.iter_mut().enumerate() {
            if let Some(status) = broker.has_ended()? {
                return Err(Failure::error(format!("broker {} has ended: {status}; see its log", at + 1)));
            }
        }
    }
}

/// Starts the brokers, and gives back their addresses, for clients and for their consoles, once all serve.
async fn start_all(
    env: &Env,
    (arguments, data, etcd): (&ClusterArguments, &Path, &str),
    brokers: &mut Vec<Process>,
) -> Result<Vec<(String, String)>, Failure> {
    let store = arguments.store.clone().unwrap_or_else(|| format!("file://{}", data.join("store").display()));
    let mut addresses = Vec::new();
    for at in 0..arguments.brokers {
        let (id, name) = (at + 1, format!("broker-{}", at + 1));
        let port = if arguments.port == 0 { 0 } else { arguments.port.saturating_add(at) };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--etcd", etcd, "--store", &store, "--broker-id", &id.to_string(), "--admin", "127.0.0.1:0"]);
        command.arg("--data").arg(data.join(&name)).args(["--listen", &format!("127.0.0.1:{port}")]);
        for option in &arguments.options {
            command.args(["-o", option]);
        }
        let log = log(&data.join(format!("{name}.log")))?;
        let mut broker = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let out = broker.stdout.take();
        brokers.push(Process(broker));
        let ready = env.compute("wait for a broker", move || {
            let mut line = String::new();
            // Nothing, or an error, is a broker that does not serve.
            if let Some(out) = out {
                drop(BufReader::new(out).read_line(&mut line));
            }
            line
        });
        let line = env.timeout(START, ready).await.ok().and_then(Result::ok).unwrap_or_default();
        let mut said = line.split(", ");
        let kafka = said.next().and_then(|word| word.strip_prefix("floe ready: kafka "));
        match (kafka, said.find_map(|word| word.strip_prefix("admin "))) {
            (Some(kafka), Some(admin)) => addresses.push((kafka.to_owned(), admin.to_owned())),
            _ => return Err(Failure::error(format!("{name} does not serve: see {}", data.join(format!("{name}.log")).display()))),
        }
    }
    Ok(addresses)
}

async fn etcd(env: &Env, data: &Path) -> Result<(Process, String), Failure> {
    let free = async || Ok::<_, std::io::Error>(net::listen("127.0.0.1:0").await?.local_addr()?);
    let (client, peer) = (free().await?, free().await?);
    let (url, peer) = (format!("http://{client}"), format!("http://{peer}"));
    let log = log(&data.join("etcd.log"))?;
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(data.join("etcd"));
    command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("default={peer}")]);
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
    let spawned = spawned.map_err(|error| Failure::new(Exit::Refused, format!("etcd: {error}. On Debian: apt-get install etcd-server")))?;
    let mut child = Process(spawned);
    let give_up = env.monotonic() + START;
    while net::connect(&client.to_string()).await.is_err() {
        if let Some(status) = child.has_ended()? {
            return Err(Failure::error(format!("etcd has ended: {status}; see {}", data.join("etcd.log").display())));
        }
        if env.monotonic() > give_up {
            return Err(Failure::error(format!("etcd takes no connections; see {}", data.join("etcd.log").display())));
        }
        env.sleep(LOOK).await;
    }
    Ok((child, url))
}

/// Where a process writes what it has to say.
#[expect(clippy::disallowed_methods, reason = "it is another process that writes")]
fn log(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::File::options().create(true).append(true).open(path)
}

/// Drains all brokers at once, and ends etcd behind them.
async fn end_all(env: &Env, mut brokers: Vec<Process>, etcd: Process) -> Result<(), Failure> {
    for broker in &brokers {
        // By the system's own program: that one has ended by itself already is no failure.
        drop(Command::new("kill").arg(broker.0.id().to_string()).stderr(Stdio::null()).status());
    }
    let give_up = env.monotonic() + END;
    for broker in &mut brokers {
        while broker.has_ended()?.is_none() && env.monotonic() < give_up {
            env.sleep(LOOK).await;
        }
    }
    drop(etcd);
    Ok(())
}
