//! A network in memory: pipes with seeded delays, which break, are cut - in one direction or both - and stand still.

use async_trait::async_trait;
use floe_env::{Env, Task, Watched};
use floe_replication::{Accept, Dial, Io};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    sync::mpsc,
};

/// Bytes that one direction of a pipe holds.
const PIPE: usize = 256 << 10;
/// But for one piece in fifty.
const MOST_DELAY_MS: u64 = 2;

/// Clones are the same network.
#[derive(Debug, Clone)]
pub(crate) struct Net(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    env: Env,
    listeners: Mutex<BTreeMap<String, mpsc::Sender<DuplexStream>>>,
    /// From whom to whom nothing gets through.
    cuts: Watched<BTreeSet<(String, String)>>,
    pipes: Mutex<Vec<Pipe>>,
    /// What each piece takes at least.
    slow: Mutex<Duration>,
    /// Bytes that were given to each.
    given: Mutex<BTreeMap<String, u64>>,
}

#[derive(Debug)]
struct Pipe {
    ends: [String; 2],
    _pumps: [Task<()>; 2],
}

impl Net {
    pub(crate) fn new(env: &Env) -> Self {
        Self(Arc::new(Inner {
            env: env.process(),
            listeners: Mutex::default(),
            cuts: Watched::new(BTreeSet::new()),
            pipes: Mutex::default(),
            slow: Mutex::default(),
            given: Mutex::default(),
        }))
    }

    pub(crate) fn host(&self, name: &str) -> Arc<dyn Dial> {
        Arc::new(Host { net: self.clone(), name: name.into() })
    }

    pub(crate) fn listen(&self, name: &str) -> Arc<dyn Accept> {
        let (sender, receiver) = mpsc::channel(16);
        self.0.listeners.lock().insert(name.into(), sender);
        Arc::new(Listener(tokio::sync::Mutex::new(receiver)))
    }

    /// Nobody listens there any more, and every connection is gone.
    pub(crate) fn down(&self, name: &str) {
        self.0.listeners.lock().remove(name);
        self.lose(name);
    }

    /// Connections from and to it break.
    pub(crate) fn lose(&self, name: &str) {
        self.0.pipes.lock().retain(|pipe| !pipe.ends.iter().any(|end| end == name));
    }

    pub(crate) fn cut(&self, from: &str, to: &str) {
        self.0.cuts.set_if(|cuts| cuts.insert((from.into(), to.into())));
    }

    /// Pieces of up to 32 KiB take this long from now on.
    pub(crate) fn slow(&self, delay: Duration) {
        *self.0.slow.lock() = delay;
    }

    /// Bytes that got through to it.
    pub(crate) fn given(&self, to: &str) -> u64 {
        self.0.given.lock().get(to).copied().unwrap_or_default()
    }

    pub(crate) fn heal(&self) {
        self.0.cuts.set(BTreeSet::new());
    }

    fn delay(&self) -> Duration {
        let most = if self.0.env.random_below(50) == 0 { MOST_DELAY_MS * 20 } else { MOST_DELAY_MS };
        *self.0.slow.lock() + Duration::from_millis(self.0.env.random_below(most + 1))
    }

    async fn open(&self, from: &str, to: &str) {
        let way = (from.to_string(), to.to_string());
        self.0.cuts.wait_for(|cuts| !cuts.contains(&way)).await;
    }

    fn pump(&self, ends: (&str, &str), mut read: ReadHalf<DuplexStream>, mut write: WriteHalf<DuplexStream>) -> Task<()> {
        let (net, from, to) = (self.clone(), ends.0.to_string(), ends.1.to_string());
        self.0.env.spawn("pipe", async move {
            let mut bytes = vec![0; 32 << 10];
            while let Ok(len @ 1..) = read.read(&mut bytes).await {
                net.0.env.sleep(net.delay()).await;
                net.open(&from, &to).await;
                if write.write_all(&bytes[..len]).await.is_err() {
                    break;
                }
                *net.0.given.lock().entry(to.clone()).or_default() += len as u64;
            }
            let _ = write.shutdown().await;
        })
    }

    async fn connect(&self, from: &str, to: &str) -> io::Result<Box<dyn Io>> {
        self.0.env.sleep(self.delay()).await;
        self.open(from, to).await;
        self.open(to, from).await;
        let listener = self.0.listeners.lock().get(to).cloned().ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, near_end) = tokio::io::duplex(PIPE);
        let (far, far_end) = tokio::io::duplex(PIPE);
        let (near_read, near_write) = tokio::io::split(near_end);
        let (far_read, far_write) = tokio::io::split(far_end);
        let pumps = [self.pump((from, to), near_read, far_write), self.pump((to, from), far_read, near_write)];
        listener.try_send(far).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        let mut pipes = self.0.pipes.lock();
        pipes.retain(|pipe| !pipe._pumps.iter().all(Task::is_finished));
        pipes.push(Pipe { ends: [from.into(), to.into()], _pumps: pumps });
        Ok(Box::new(near))
    }
}

#[derive(Debug)]
struct Host {
    net: Net,
    name: String,
}

#[async_trait]
impl Dial for Host {
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Io>> {
        self.net.connect(&self.name, address).await
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
