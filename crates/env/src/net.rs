//! TCP with Nagle's algorithm off on both sides: a small answer must not wait for the acknowledgement of the one before.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream};

/// A bound socket.
#[derive(Debug)]
pub struct Listener(TcpListener);

/// Binds `addr` (`host:port`; port 0 takes a free one).
///
/// # Errors
/// The address does not resolve, is in use, or may not be bound; the message names it.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn listen(addr: &str) -> io::Result<Listener> {
    TcpListener::bind(addr).await.map(Listener).map_err(|e| named("listen on", addr, &e))
}

/// The sockets that whoever started this process has bound for it (systemd's `LISTEN_FDS`), in its order. Given once: a second call
/// finds none.
///
/// # Errors
/// One of them is no listening TCP socket.
pub fn inherited() -> io::Result<Vec<Listener>> {
    let mut given = listenfd::ListenFd::from_env();
    let mut listeners = Vec::with_capacity(given.len());
    for index in 0..given.len() {
        let socket = given.take_tcp_listener(index).map_err(|e| named("take over", "a socket of LISTEN_FDS", &e))?;
        listeners.extend(socket.map(adopt).transpose()?);
    }
    Ok(listeners)
}

fn adopt(socket: std::net::TcpListener) -> io::Result<Listener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket).map(Listener)
}

/// A bound socket that takes no connection. They wait in the system's queue, with what they have sent, until the socket is given to a process that takes them.
#[derive(Debug)]
pub struct Held(std::net::TcpListener);

/// Binds `addr` (`host:port`) for another process.
///
/// # Errors
/// As [`listen`].
pub async fn hold(addr: &str) -> io::Result<Held> {
    listen(addr).await?.0.into_std().map(Held)
}

impl Held {
    /// The address that was bound.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Returns when a connection waits. Cancellation safe.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub async fn knocked(&self) -> io::Result<()> {
        // Watched only now: who comes while another process takes connections wakes nobody here.
        #[expect(
            deprecated,
            reason = "its successor is unsafe for types that may close their descriptor while it is watched; this one does not"
        )]
        let watched = AsyncFd::with_interest(self.to_fd()?, Interest::READABLE)?;
        watched.readable().await.map(|mut ready| ready.retain_ready())
    }

    /// The socket once more, for another process.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn to_fd(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }

    /// Takes and closes the connections that wait: who is turned away knows it, and can try again. How many.
    pub fn turn_away(&self) -> usize {
        std::iter::from_fn(|| self.0.accept().ok()).count()
    }
}

/// Connects to `addr` (`host:port`). Has no time limit of its own.
///
/// # Errors
/// The address does not resolve or does not answer; the message names it.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn connect(addr: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await.map_err(|e| named("connect to", addr, &e))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Listener {
    /// The address that was bound.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The next connection. One that broke before it was taken is skipped. Cancellation safe.
    ///
    /// # Errors
    /// The process or the system is out of descriptors or memory: wait a moment, then call again.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            match self.0.accept().await {
                Ok((stream, peer)) => match stream.set_nodelay(true) {
                    Ok(()) => return Ok((stream, peer)),
                    Err(error) => tracing::debug!(%peer, %error, "connection broke before it was taken"),
                },
                Err(error) if broke_early(&error) => tracing::debug!(%error, "connection broke before it was taken"),
                Err(error) => return Err(error),
            }
        }
    }
}

fn broke_early(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn named(action: &str, addr: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {action} {addr}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn both_ends_of_a_connection_have_no_delay() {
        let listener = listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let (accepted, connected) = tokio::join!(listener.accept(), connect(&addr));
        assert!(accepted.unwrap().0.nodelay().unwrap());
        assert!(connected.unwrap().nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_held_socket_tells_of_connections_and_keeps_them_for_another() {
        let held = hold("127.0.0.1:0").await.unwrap();
        let addr = held.local_addr().unwrap().to_string();
        let mut early = connect(&addr).await.unwrap();
        early.write_all(b"first").await.unwrap();
        held.knocked().await.unwrap();
        let taker = adopt(held.to_fd().unwrap().into()).unwrap();
        let (mut taken, _) = taker.accept().await.unwrap();
        let mut said = [0; 5];
        taken.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"first");
        let mut late = connect(&addr).await.unwrap();
        held.knocked().await.unwrap();
        assert_eq!((held.turn_away(), held.turn_away()), (1, 0));
        assert_eq!(late.read(&mut said).await.unwrap(), 0, "closed");
    }

    #[tokio::test]
    async fn a_taken_port_is_refused_by_name() {
        let first = listen("127.0.0.1:0").await.unwrap();
        let addr = first.local_addr().unwrap().to_string();
        let error = listen(&addr).await.expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("cannot listen on {addr}: ")), "{error}");
        drop(first);
        let error = connect(&addr).await.expect_err("nobody there");
        assert!(error.to_string().contains(&addr), "{error}");
    }
}
