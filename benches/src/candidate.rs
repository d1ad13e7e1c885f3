//! The brokers under measurement, each started on a data directory of its own with the settings its users run.

use crate::process::Process;
use anyhow::{Context, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Candidate {
    Floe,
    /// Apache Kafka 4.1.1: one node, page cache, no fsync, which is its default.
    Kafka,
}

impl Candidate {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floe => "floe",
            Self::Kafka => "kafka",
        }
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) floe: PathBuf,
    /// Folder with Kafka's jars; none: no Java here.
    pub(crate) kafka: Option<PathBuf>,
    pub(crate) shaped_store: PathBuf,
    /// SeaweedFS, where it is.
    pub(crate) seaweed: Option<PathBuf>,
}

impl Programs {
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        if self.kafka.is_some() { vec![Candidate::Floe, Candidate::Kafka] } else { vec![Candidate::Floe] }
    }
}

/// A running broker.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Broker {
    pub(crate) fn bootstrap(&self) -> String {
        self.address.to_string()
    }
}

pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A floe command line that is not yet started; its listener takes `address`.
pub(crate) fn floe_command(programs: &Programs, data: &Path, address: SocketAddr, settings: &[String]) -> anyhow::Result<Command> {
    std::fs::create_dir_all(data)?;
    let mut command = Command::new(&programs.floe);
    command.args(["serve", "--log", "warn", "--admin", "127.0.0.1:0"]).arg("--data").arg(data.join("floe"));
    command.args(["--listen", &address.to_string()]);
    for setting in settings {
        command.args(["-o", setting]);
    }
    command.env("AWS_ACCESS_KEY_ID", "bench").env("AWS_SECRET_ACCESS_KEY", "bench").env("AWS_REGION", "us-east-1");
    Ok(command)
}

/// A Kafka command line; formats the data directory the first time.
pub(crate) fn kafka_command(programs: &Programs, data: &Path, address: SocketAddr) -> anyhow::Result<Command> {
    let libs = format!("{}/*", programs.kafka.as_ref().context("Kafka is not here")?.display());
    let (properties, logging) = (data.join("server.properties"), data.join("log4j2.xml"));
    let fresh = !properties.exists();
    std::fs::create_dir_all(data)?;
    let controller = free_port()?;
    std::fs::write(&logging, "<Configuration><Loggers><Root level=\"OFF\"/></Loggers></Configuration>\n")?;
    std::fs::write(
        &properties,
        format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@{controller}\n\
             listeners=PLAINTEXT://{address},CONTROLLER://{controller}\nadvertised.listeners=PLAINTEXT://{address}\n\
             controller.listener.names=CONTROLLER\nlog.dirs={}\noffsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0\n",
            data.join("kafka").display()
        ),
    )?;
    let logging = format!("-Dlog4j2.configurationFile={}", logging.display());
    if fresh {
        let status = Command::new("java")
            .args([&logging, "-cp", &libs, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"])
            .arg(&properties)
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            bail!("Kafka's StorageTool: {status}");
        }
    }
    let mut command = Command::new("java");
    command.args(["-Xms512m", "-Xmx1G", "-XX:+UseG1GC", &logging, "-cp", &libs, "kafka.Kafka"]).arg(&properties);
    Ok(command)
}

/// Starts a broker with its defaults, and comes back when it answers.
pub(crate) fn start(candidate: Candidate, programs: &Programs, data: &Path) -> anyhow::Result<Broker> {
    match candidate {
        // As Kafka's are started here: nobody waits for members that do not come.
        Candidate::Floe => start_floe(programs, data, &["group.initial.rebalance.delay.ms=0".to_owned()]),
        Candidate::Kafka => {
            let address = free_port()?;
            let process = Process::spawn(&mut kafka_command(programs, data, address)?)?;
            let began = std::time::Instant::now();
            while std::net::TcpStream::connect(address).is_err() {
                if began.elapsed() > std::time::Duration::from_secs(60) {
                    bail!("Kafka does not listen after a minute");
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Ok(Broker { process, address })
        }
    }
}

pub(crate) fn start_floe(programs: &Programs, data: &Path, settings: &[String]) -> anyhow::Result<Broker> {
    let address = free_port()?;
    let (process, line) = Process::spawn_and_read_line(&mut floe_command(programs, data, address, settings)?)?;
    if !line.starts_with("floe ready") {
        bail!("floe said {line:?}");
    }
    Ok(Broker { process, address })
}

/// An S3 server, and its URL.
pub(crate) fn start_store(programs: &Programs, shaped: bool) -> anyhow::Result<(Process, String)> {
    let mut command = Command::new(&programs.shaped_store);
    if !shaped {
        command.arg("--unshaped");
    }
    Process::spawn_and_read_line(&mut command)
}

/// Settings that point a floe at such a server.
pub(crate) fn store_settings(url: &str) -> Vec<String> {
    ["store=s3://bench/floe".to_owned(), format!("s3.endpoint={url}"), "s3.path.style=true".to_owned()].into()
}
