//! Hosts of their own on this machine: network namespaces on one bridge, which can be cut from one another. Needs root and `ip`.

use anyhow::{Context, bail};
use std::process::Command;

/// A bridge, and the hosts on it. Dropped: all gone.
#[derive(Debug)]
pub struct Network {
    /// Part of every name: what another run has left is not in the way.
    id: u32,
    hosts: Vec<Host>,
}

/// One namespace with one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    name: String,
    pub address: String,
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).output().context("ip")?;
    if output.status.success() {
        return Ok(());
    }
    bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim())
}

/// Why there can be none.
///
/// # Errors
/// The reason, for SKIP.
pub fn is_here() -> Result<(), String> {
    let network = Network::new().and_then(|mut network| network.host(2).map(|_| ()));
    network.map_err(|error| format!("no network namespaces: {error:#}"))
}

impl Network {
    /// # Errors
    /// Not root, or no `ip`.
    pub fn new() -> anyhow::Result<Self> {
        let network = Self { id: std::process::id() % 100_000, hosts: Vec::new() };
        let bridge = network.bridge();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{}/24", network.outside()), "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        Ok(network)
    }

    fn bridge(&self) -> String {
        format!("flbr{}", self.id)
    }

    /// Another run at the same time has other addresses, as far as their processes' numbers differ.
    fn address(&self, number: u8) -> String {
        format!("10.{}.{}.{number}", 100 + self.id / 250 % 150, self.id % 250)
    }

    /// This process's own address there.
    pub fn outside(&self) -> String {
        self.address(1)
    }

    /// A new host, whose address ends with `number`; this process reaches it.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn host(&mut self, number: u8) -> anyhow::Result<Host> {
        let (name, bridge) = (format!("floe-{}-{number}", self.id), self.bridge());
        let (outside, inside) = (format!("flo{}.{number}", self.id), format!("fli{}.{number}", self.id));
        let host = Host { name: name.clone(), address: self.address(number) };
        ip(&["netns", "add", &name])?;
        self.hosts.push(host.clone());
        ip(&["link", "add", &outside, "type", "veth", "peer", "name", &inside])?;
        ip(&["link", "set", &inside, "netns", &name, "name", "eth0"])?;
        ip(&["link", "set", &outside, "master", &bridge])?;
        ip(&["link", "set", &outside, "up"])?;
        ip(&["-n", &name, "addr", "add", &format!("{}/24", host.address), "dev", "eth0"])?;
        ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        Ok(host)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What is not there any more need not be taken away.
        for host in &self.hosts {
            drop(ip(&["netns", "del", &host.name]));
        }
        drop(ip(&["link", "del", &self.bridge()]));
    }
}

impl Host {
    /// What is put before a command line so that it runs there.
    pub fn wrapper(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// Nothing gets in or out any more, or everything does again.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn set_up(&self, is_up: bool) -> anyhow::Result<()> {
        ip(&["-n", &self.name, "link", "set", "eth0", if is_up { "up" } else { "down" }])
    }

    /// Whatever `other` sends is not answered any more, or is again: to `other` this host is silent.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn set_deaf_to(&self, other: &Host, is_deaf: bool) -> anyhow::Result<()> {
        ip(&["-n", &self.name, "route", if is_deaf { "add" } else { "del" }, "blackhole", &format!("{}/32", other.address)])
    }
}
