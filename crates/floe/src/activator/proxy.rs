//! Brokers elsewhere: connections are taken, held until their broker can be reached, and passed on.

use super::wake::Waker;
use floe_env::{Env, net};
use futures::FutureExt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// What one attempt to reach a broker may take.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Between two attempts: the first, and the longest.
const PAUSE: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(200)];
/// After an accept that failed for want of descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// Where clients come in, and the broker behind it.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: net::Listener,
    pub(super) target: Arc<str>,
}

#[derive(Debug, Clone)]
pub(super) struct Proxy {
    pub(super) env: Env,
    pub(super) waker: Arc<Waker>,
    /// How long a connection is held.
    pub(super) limit: Duration,
    /// Connections at the same time, over all doors.
    pub(super) places: Arc<Semaphore>,
}

impl Proxy {
    /// Takes connections for ever; those for which there is no place wait in the system's queue.
    pub(super) async fn serve(self, door: Door) {
        loop {
            let Ok(place) = self.places.clone().acquire_owned().await else { return };
            match door.listener.accept().await {
                Ok((client, peer)) => {
                    let (this, target) = (self.clone(), door.target.clone());
                    let pass = async move {
                        this.pass(client, peer, &target).await;
                        drop(place);
                    };
                    self.env.spawn("pass a connection on", pass).detach_to_group();
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take connections");
                    self.env.sleep(OUT_OF_DESCRIPTORS).await;
                }
            }
        }
    }

    async fn pass(&self, mut client: TcpStream, peer: SocketAddr, target: &str) {
        let Some(mut broker) = self.reach(target, &client).await else {
            // Closed: to a client that is a broker which is not there, and he tries again.
            tracing::warn!(%peer, target, limit = ?self.limit, "no broker came; the connection is closed");
            return;
        };
        match tokio::io::copy_bidirectional(&mut client, &mut broker).await {
            Ok((sent, received)) => tracing::debug!(%peer, target, sent, received, "connection ended"),
            Err(error) => tracing::debug!(%peer, target, %error, "connection broke"),
        }
    }

    /// A connection to the broker, which is woken if there is none; None if it does not come in time, or the client goes first.
    async fn reach(&self, target: &str, client: &TcpStream) -> Option<TcpStream> {
        let give_up = self.env.monotonic() + self.limit;
        let mut pause = PAUSE[0];
        loop {
            if let Ok(Ok(broker)) = self.env.timeout(ATTEMPT, net::connect(target)).await {
                return Some(broker);
            }
            self.waker.wake();
            if self.env.monotonic() >= give_up || has_gone(client) {
                return None;
            }
            self.env.sleep(pause).await;
            pause = (pause * 2).min(PAUSE[1]);
        }
    }
}

/// Whether a client that is held has closed its connection: nobody waits for a broker then.
fn has_gone(client: &TcpStream) -> bool {
    matches!(client.peek(&mut [0]).now_or_never(), Some(Ok(0) | Err(_)))
}
