//! etcd as a child process: one member, in a folder of its own.

use crate::broker::free_port;
use crate::wait;
use anyhow::{Context, bail};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Dropped: killed.
#[derive(Debug)]
pub struct Etcd {
    child: Child,
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
        let (client, peer) = (free_port(), free_port());
        let (url, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(folder.join("etcd"));
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("etcd")?;
        let etcd = Self { child, url };
        if wait::until(LIMIT, || TcpStream::connect((Ipv4Addr::LOCALHOST, client)).ok()).is_none() {
            bail!("etcd takes no connections");
        }
        Ok(etcd)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
