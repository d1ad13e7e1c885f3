//! etcd as a child process: one member, in a folder of its own.

use crate::broker::free_port;
use crate::wait;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Dropped: killed.
#[derive(Debug)]
pub struct Etcd {
    command: Command,
    child: Child,
    address: String,
    data: PathBuf,
    pub url: String,
}

/// Why there is none.
///
/// # Errors
/// The reason, for SKIP.
pub fn is_here() -> Result<(), String> {
    match Command::new("etcd").arg("--version").stdout(Stdio::null()).status() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("no etcd ({error}): apt-get install etcd-server")),
    }
}

impl Etcd {
    /// Starts it, and waits until it takes connections.
    ///
    /// # Errors
    /// It does not start in time.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_at(folder, ("127.0.0.1", &[]))
    }

    /// The same on another host: its address, and what is put before the command line.
    ///
    /// # Errors
    /// It does not start in time.
    pub fn start_at(folder: &Path, (host, wrapper): (&str, &[String])) -> anyhow::Result<Self> {
        let (address, peer) = (format!("{host}:{}", free_port()), free_port());
        let (url, peer) = (format!("http://{address}"), format!("http://127.0.0.1:{peer}"));
        let line: Vec<String> = wrapper.iter().cloned().chain(["etcd".to_owned()]).collect();
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        let data = folder.join("etcd");
        command.arg("--data-dir").arg(&data);
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("etcd")?;
        let etcd = Self { command, child, address, data, url };
        etcd.serves()?;
        Ok(etcd)
    }

    fn serves(&self) -> anyhow::Result<()> {
        if wait::until(LIMIT, || TcpStream::connect(&self.address).ok()).is_none() {
            bail!("etcd takes no connections");
        }
        Ok(())
    }

    /// SIGSTOP and SIGCONT: it is there, and says nothing.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("its child has not been waited for");
    }

    /// Where its data is.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// kill -9.
    pub fn kill(&mut self) {
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// It is back, with what it had.
    ///
    /// # Errors
    /// It does not start in time.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.child = self.command.spawn().context("etcd")?;
        self.serves()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}
