//! Bad days of an S3 server: a proxy before it that turns requests away, delays them, or keeps answers to itself, for all or for one
//! host. It reads HTTP/1.1 as S3 clients and servers speak it, a whole message at a time.

use crate::wait;
use anyhow::{Context, bail, ensure};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Nobody's head is longer.
const HEAD_BYTES: u64 = 64 << 10;
/// A request that is kept waiting is let go at the latest then.
const LONGEST: Duration = Duration::from_secs(300);
const REFUSED: &str = "HTTP/1.1 503 Slow Down\r\n";
const FAILED: &str = "HTTP/1.1 500 Internal Server Error\r\n";

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Fine,
    /// 503, and nothing happened.
    Refused,
    /// Answered so much later.
    Slow(Duration),
    /// No answer. When the trouble is over, it is done, or not; nobody is told.
    Silent,
    /// Done, and the connection ends without an answer.
    Unanswered,
    /// Done, and 500 is told.
    FailedAfter,
}

#[derive(Debug)]
struct Weather {
    trouble: Trouble,
    /// Of a hundred requests, so many meet it.
    share: u32,
    /// Hosts that get no answers.
    cut: BTreeSet<IpAddr>,
    random: StdRng,
}

#[derive(Debug)]
struct Shared {
    server: String,
    weather: Mutex<Weather>,
    ended: AtomicBool,
    met: AtomicU64,
}

/// The proxy. Dropped: it takes no more connections.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens on a port of `host`, and passes on to `server`; `seed` decides which requests of a share meet trouble.
    ///
    /// # Errors
    /// There is no such address here.
    pub fn start(host: &str, server: &str, seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((host, 0))?;
        let address = listener.local_addr()?;
        let random = StdRng::seed_from_u64(seed);
        let weather = Mutex::new(Weather { trouble: Trouble::Fine, share: 0, cut: BTreeSet::new(), random });
        let shared = Arc::new(Shared { server: server.to_owned(), weather, ended: AtomicBool::new(false), met: AtomicU64::new(0) });
        let served = shared.clone();
        std::thread::spawn(move || {
            while let Ok((client, from)) = listener.accept() {
                if served.ended.load(Ordering::Relaxed) {
                    return;
                }
                let shared = served.clone();
                // A connection that breaks is the client's to open again.
                std::thread::spawn(move || drop(shared.serve(client, from.ip())));
            }
        });
        Ok(Self { address, shared })
    }

    /// From now on `share` of a hundred requests meet `trouble`.
    pub fn set(&self, trouble: Trouble, share: u32) {
        let mut weather = self.shared.weather.lock();
        (weather.trouble, weather.share) = (trouble, share);
    }

    /// Requests of this host are not answered, or are again.
    pub fn cut(&self, host: IpAddr, is_cut: bool) {
        let cut = &mut self.shared.weather.lock().cut;
        if is_cut {
            cut.insert(host)
        } else {
            cut.remove(&host)
        };
    }

    /// Requests that met trouble so far.
    pub fn met(&self) -> u64 {
        self.shared.met.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Only to wake it up.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn meets(&self, from: IpAddr) -> Trouble {
        let mut weather = self.weather.lock();
        if weather.cut.contains(&from) {
            return Trouble::Silent;
        }
        let share = weather.share;
        if weather.trouble != Trouble::Fine && weather.random.random_range(0..100) < share { weather.trouble } else { Trouble::Fine }
    }

    /// Whether what silences this host is over.
    fn is_over(&self, from: IpAddr) -> bool {
        let weather = self.weather.lock();
        self.ended.load(Ordering::Relaxed) || !weather.cut.contains(&from) && weather.trouble != Trouble::Silent
    }

    fn serve(&self, client: TcpStream, from: IpAddr) -> anyhow::Result<()> {
        client.set_nodelay(true)?;
        let mut client = BufReader::new(client);
        let mut server = None;
        while let Some(request) = Message::read(&mut client, false)? {
            let trouble = self.meets(from);
            self.met.fetch_add(u64::from(trouble != Trouble::Fine), Ordering::Relaxed);
            match trouble {
                Trouble::Fine => {}
                Trouble::Slow(by) => std::thread::sleep(by),
                Trouble::Refused => {
                    client.get_mut().write_all(&bare(REFUSED))?;
                    continue;
                }
                Trouble::Silent => {
                    wait::until(LONGEST, || self.is_over(from).then_some(()));
                    if self.weather.lock().random.random_bool(0.5) {
                        self.pass(&mut server, &request)?;
                    }
                    bail!("nobody is told");
                }
                Trouble::Unanswered => {
                    self.pass(&mut server, &request)?;
                    bail!("nobody is told");
                }
                Trouble::FailedAfter => {
                    self.pass(&mut server, &request)?;
                    client.get_mut().write_all(&bare(FAILED))?;
                    continue;
                }
            }
            let answer = self.pass(&mut server, &request)?;
            client.get_mut().write_all(&answer.0)?;
        }
        Ok(())
    }

    /// What the server says to this.
    fn pass(&self, server: &mut Option<BufReader<TcpStream>>, request: &Message) -> anyhow::Result<Message> {
        let mut stream = match server.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.server)?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        stream.get_mut().write_all(&request.0)?;
        let answer = Message::read(&mut stream, request.0.starts_with(b"HEAD "))?.context("the server closed")?;
        *server = Some(stream);
        Ok(answer)
    }
}

fn bare(status: &str) -> Vec<u8> {
    let body = "<Error><Code>SlowDown</Code><Message>a bad day</Message></Error>";
    format!("{status}Content-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A request or an answer, as it goes over the wire.
struct Message(Vec<u8>);

impl Message {
    /// None: the other side has closed. `without_body`: an answer to HEAD.
    fn read(from: &mut BufReader<TcpStream>, without_body: bool) -> anyhow::Result<Option<Self>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            ensure!((bytes.len() as u64) < HEAD_BYTES, "a head without an end");
            if from.take(HEAD_BYTES).read_until(b'\n', &mut bytes)? == 0 {
                ensure!(bytes.is_empty(), "closed within a head");
                return Ok(None);
            }
        }
        let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
        let is_empty = without_body || head.starts_with("http/1.1 204") || head.starts_with("http/1.1 304");
        if is_empty {
            return Ok(Some(Self(bytes)));
        }
        if let Some(len) = header("content-length") {
            let (len, before) = (len.parse::<usize>()?, bytes.len());
            bytes.resize(before + len, 0);
            from.read_exact(&mut bytes[before..])?;
        } else if header("transfer-encoding") == Some("chunked") {
            chunks(from, &mut bytes)?;
        } else {
            ensure!(!head.starts_with("http/"), "an answer whose end nobody knows");
        }
        Ok(Some(Self(bytes)))
    }
}

fn chunks(from: &mut BufReader<TcpStream>, bytes: &mut Vec<u8>) -> anyhow::Result<()> {
    loop {
        let at = bytes.len();
        from.read_until(b'\n', bytes)?;
        let line = std::str::from_utf8(&bytes[at..])?;
        let len = usize::from_str_radix(line.split([';', '\r']).next().unwrap_or_default(), 16).context("a chunk's length")?;
        // The line end behind it, too; behind the last one: no trailers.
        let before = bytes.len();
        bytes.resize(before + len + 2, 0);
        from.read_exact(&mut bytes[before..])?;
        if len == 0 {
            return Ok(());
        }
    }
}
