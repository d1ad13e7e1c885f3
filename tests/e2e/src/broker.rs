//! A broker as a child process: started, waited for by its ready line, killed by pid.

use crate::wait;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// A start that takes longer hangs.
pub const READY_LIMIT: Duration = Duration::from_secs(60);

/// How a broker is started; the same setup may be started many times.
#[derive(Debug, Clone)]
pub struct Setup {
    pub data: PathBuf,
    /// The folder in the data directory, if none.
    pub store: Option<String>,
    /// Where its clients reach it.
    pub host: String,
    /// Chosen once, so that a restarted broker is found by its clients.
    pub port: u16,
    pub admin: u16,
    pub options: Vec<String>,
    pub flags: Vec<String>,
    /// Put before the broker's command line, such as strace and its options.
    pub wrapper: Vec<String>,
    /// Where its log goes.
    pub log: PathBuf,
}

impl Setup {
    /// A broker with all it has in `folder`, under `name`.
    pub fn new(folder: &Path, name: &str) -> Self {
        Self {
            data: folder.join(name),
            store: None,
            host: "127.0.0.1".to_owned(),
            port: free_port(),
            admin: free_port(),
            options: Vec::new(),
            flags: Vec::new(),
            wrapper: Vec::new(),
            log: folder.join(format!("{name}.log")),
        }
    }

    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    pub fn bootstrap(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The store's URL.
    pub fn store_url(&self) -> String {
        self.store.clone().unwrap_or_else(|| format!("file://{}", self.data.join("store").display()))
    }

    /// Starts it, and does not wait.
    ///
    /// # Errors
    /// It cannot be executed.
    pub fn spawn(&self) -> anyhow::Result<Broker> {
        let program = program()?;
        let mut line = self.wrapper.clone();
        line.push(program.display().to_string());
        let mut command = Command::new(&line[0]);
        without_settings(&mut command);
        command.args(&line[1..]).arg("serve").arg("--data").arg(&self.data);
        command.args(["--listen", &self.bootstrap(), "--admin", &format!("{}:{}", self.host, self.admin)]);
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        for option in &self.options {
            command.args(["-o", option]);
        }
        let log = File::options().create(true).append(true).open(&self.log).context("the log file")?;
        command.args(&self.flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", line.join(" ")))?;
        let out = child.stdout.take().expect("it was asked for");
        let (sender, ready) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let mut line = String::new();
            if BufReader::new(out).read_line(&mut line).is_ok_and(|read| read > 0) {
                // Nobody may be waiting for it any more.
                drop(sender.send(line));
            }
        });
        Ok(Broker { child, ready, setup: self.clone() })
    }

    /// Starts it, and waits until it serves.
    ///
    /// # Errors
    /// It ended instead, or took too long; with its log.
    pub fn start(&self) -> anyhow::Result<Broker> {
        let mut broker = self.spawn()?;
        broker.ready()?;
        Ok(broker)
    }
}

/// A running broker. Dropped: killed.
#[derive(Debug)]
pub struct Broker {
    child: Child,
    ready: mpsc::Receiver<String>,
    pub setup: Setup,
}

impl Broker {
    /// Waits for the ready line, and gives it back.
    ///
    /// # Errors
    /// It ended before, or takes too long.
    pub fn ready(&mut self) -> anyhow::Result<String> {
        match self.ready.recv_timeout(READY_LIMIT) {
            Ok(line) if line.starts_with("floe ready: ") => Ok(line),
            Ok(line) => bail!("an unknown first line on stdout: {line:?}"),
            Err(error) => bail!("not ready: {error}\n{}", self.log()),
        }
    }

    /// Whether the ready line has come; to be asked until it has.
    pub fn is_ready(&self) -> bool {
        self.ready.try_recv().is_ok_and(|line| line.starts_with("floe ready: "))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether its process is gone.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// How its process ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Bytes of memory that it holds now.
    ///
    /// # Errors
    /// The system does not say.
    pub fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
    }

    /// A number from its metrics, if it answers.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.page("/metrics").lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("its child has not been waited for");
    }

    /// kill -9, and waits for the end.
    pub fn kill(mut self) {
        self.end_now();
    }

    /// SIGTERM, and the exit code.
    ///
    /// # Errors
    /// It does not end in time, or by a signal.
    pub fn stop(self) -> anyhow::Result<i32> {
        self.signal(Signal::TERM);
        self.exit_code(Duration::from_secs(60))
    }

    /// Waits for the end, and gives back the exit code.
    ///
    /// # Errors
    /// It does not end in time, or by a signal.
    pub fn exit_code(mut self, limit: Duration) -> anyhow::Result<i32> {
        let ended = wait::until(limit, || self.child.try_wait().transpose());
        match ended.transpose()? {
            Some(status) => status.code().with_context(|| format!("{status}\n{}", self.log())),
            None => bail!("it did not end in {limit:?}\n{}", self.log()),
        }
    }

    /// What its `/status` says; nothing while it does not answer.
    #[must_use]
    pub fn status(&self) -> String {
        self.page("/status")
    }

    /// One of its admin pages; nothing if it is not there within a second.
    fn page(&self, path: &str) -> String {
        let second = Duration::from_secs(1);
        let ask = || -> anyhow::Result<String> {
            let mut stream = TcpStream::connect_timeout(&(IpAddr::from_str(&self.setup.host)?, self.setup.admin).into(), second)?;
            stream.set_read_timeout(Some(second))?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: floe\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().unwrap_or_default()
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.setup.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("--- log of {}\n{}", self.setup.log.display(), lines[lines.len().saturating_sub(40)..].join("\n"))
    }

    fn end_now(&mut self) {
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.log());
        }
        self.end_now();
    }
}

/// The folder with the programs that cargo built.
pub fn built() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a file");
    // target/debug/deps/e2e-1234, or target/debug/chaos
    let folder = program.parent().expect("a file lies in a folder");
    if folder.ends_with("deps") { folder.parent().expect("deps lies in the build folder").to_owned() } else { folder.to_owned() }
}

/// The broker's program.
///
/// # Errors
/// It has not been built.
pub fn program() -> anyhow::Result<PathBuf> {
    let program = std::env::var_os("FLOE_TEST_BROKER").map_or_else(|| built().join("floe"), PathBuf::from);
    if program.is_file() { Ok(program) } else { bail!("{} is not there: cargo build -p floe", program.display()) }
}

/// The broker takes settings from the environment, and refuses what it does not know there: a test's own are not for it.
fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLOE_")) {
        command.env_remove(name);
    }
}

/// Checks a store that no broker writes to by `floe verify --deep`.
///
/// # Errors
/// It is not clean.
pub fn verify(setup: &Setup) -> anyhow::Result<()> {
    let mut command = Command::new(program()?);
    without_settings(&mut command);
    command.args(["verify", "--deep", "--store", &setup.store_url()]);
    for option in setup.options.iter().filter(|option| option.starts_with("s3.")) {
        command.args(["-o", option]);
    }
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    bail!("verify: {}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A port that was free just now. Below those that the system gives to outgoing connections: a client that dials a dead broker's port
/// must not get it for itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + u16::try_from(std::process::id() % 500).expect("below 500") * 20;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (0..1000).map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed)).find(free).expect("one of a thousand ports is free")
}
