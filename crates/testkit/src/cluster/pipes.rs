//! Connections between machines, in memory: pipes with seeded delays, in which nothing moves while the net lets nothing through.

use super::net::Net;
use async_trait::async_trait;
use floe_env::{Env, Task};
use floe_replication::{Accept, Dial, Io};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

/// Bytes that one direction of a pipe holds.
const PIPE: usize = 256 << 10;
/// But for one piece in fifty.
const MOST_DELAY_MS: u64 = 2;
/// Connections that wait to be taken.
const BACKLOG: usize = 16;

#[derive(Debug)]
pub(super) struct Pipes {
    env: Env,
    listeners: Mutex<BTreeMap<usize, mpsc::Sender<DuplexStream>>>,
    open: Mutex<Vec<Pipe>>,
}

#[derive(Debug)]
struct Pipe {
    ends: [usize; 2],
    pumps: [Task<()>; 2],
}

impl Pipes {
    pub(super) fn new(env: &Env) -> Self {
        Self { env: env.process(), listeners: Mutex::default(), open: Mutex::default() }
    }

    pub(super) fn address(node: usize) -> String {
        format!("machine-{node}")
    }

    pub(super) fn listen(&self, node: usize) -> Arc<dyn Accept> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        self.listeners.lock().insert(node, sender);
        Arc::new(Listener(tokio::sync::Mutex::new(receiver)))
    }

    pub(super) fn host(&self, net: Net, node: usize) -> Arc<dyn Dial> {
        Arc::new(Host { net, node })
    }

    /// Nobody listens there any more, and every connection is gone.
    pub(super) fn down(&self, node: usize) {
        self.listeners.lock().remove(&node);
        self.open.lock().retain(|pipe| !pipe.ends.contains(&node));
    }

    fn delay(&self) -> Duration {
        let most = if self.env.random_below(50) == 0 { MOST_DELAY_MS * 20 } else { MOST_DELAY_MS };
        Duration::from_millis(self.env.random_below(most + 1))
    }

    fn pump(
        &self,
        net: &Net,
        (from, to): (usize, usize),
        mut read: ReadHalf<DuplexStream>,
        mut write: WriteHalf<DuplexStream>,
    ) -> Task<()> {
        let net = net.clone();
        self.env.spawn("pipe", async move {
            let mut bytes = vec![0; 32 << 10];
            while let Ok(len @ 1..) = read.read(&mut bytes).await {
                let delay = net.pipes().delay();
                net.pipes().env.sleep(delay).await;
                net.open(from, to).await;
                if write.write_all(&bytes[..len]).await.is_err() {
                    break;
                }
            }
            // The other end may be gone as well.
            let _closed = write.shutdown().await;
        })
    }

    async fn connect(&self, net: &Net, from: usize, to: usize) -> io::Result<Box<dyn Io>> {
        self.env.sleep(self.delay()).await;
        net.open(from, to).await;
        net.open(to, from).await;
        let listener = self.listeners.lock().get(&to).cloned().ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, near_end) = tokio::io::duplex(PIPE);
        let (far, far_end) = tokio::io::duplex(PIPE);
        let (near_read, near_write) = tokio::io::split(near_end);
        let (far_read, far_write) = tokio::io::split(far_end);
        let pumps = [self.pump(net, (from, to), near_read, far_write), self.pump(net, (to, from), far_read, near_write)];
        listener.try_send(far).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        let mut open = self.open.lock();
        open.retain(|pipe| !pipe.pumps.iter().all(Task::is_finished));
        open.push(Pipe { ends: [from, to], pumps });
        Ok(Box::new(near))
    }
}

#[derive(Debug)]
struct Host {
    net: Net,
    node: usize,
}

#[async_trait]
impl Dial for Host {
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Io>> {
        let to = address.strip_prefix("machine-").and_then(|node| node.parse().ok()).ok_or(io::ErrorKind::NotFound)?;
        self.net.pipes().connect(&self.net, self.node, to).await
    }
}

#[derive(Debug)]
struct Listener(tokio::sync::Mutex<mpsc::Receiver<DuplexStream>>);

#[async_trait]
impl Accept for Listener {
    async fn accept(&self) -> io::Result<Box<dyn Io>> {
        match self.0.lock().await.recv().await {
            Some(stream) => Ok(Box::new(stream)),
            None => std::future::pending().await,
        }
    }
}
