//! A broker on this machine: its sockets are held here while it is not there, and given to it when somebody connects. While it runs nothing passes
//! through this process.

use crate::exit::{Exit, Failure};
use crate::serve::Signals;
use command_fds::{CommandFdExt, FdMapping};
use floe_env::Env;
use floe_env::net::{self, Held};
use futures::future::select_all;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// The first descriptor that is given, by systemd's convention.
const FIRST: i32 = 3;
/// Between two looks at a broker that runs.
const LOOK: Duration = Duration::from_millis(20);
/// Within this a broker that serves has taken whatever connection waits.
const TAKEN: Duration = Duration::from_millis(5);
/// After a broker that has failed: the first pause, and the longest.
const PAUSE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// What a broker gets to drain when this process ends.
const DRAIN: Duration = Duration::from_secs(60);
/// Between two attempts at an address that is taken.
const BIND: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Local {
    pub(super) env: Env,
    /// The broker's command line.
    pub(super) command: Vec<String>,
    /// How long a connection is held.
    pub(super) limit: Duration,
}

/// How a broker that was started ended.
enum End {
    /// By itself.
    Itself(ExitStatus),
    /// It took no connection in time, and was ended.
    Hung,
}

impl Local {
    /// Binds the addresses. One that is taken is waited for: by a broker that was woken before this process was started again.
    pub(super) async fn hold(&self, addresses: &[&str]) -> Result<Vec<Held>, Failure> {
        let mut held = Vec::with_capacity(addresses.len());
        for address in addresses {
            let mut is_told = false;
            held.push(loop {
                match net::hold(address).await {
                    Ok(socket) => break socket,
                    Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                        if !std::mem::replace(&mut is_told, true) {
                            tracing::warn!(
                                address,
                                "the address is taken: by a broker that runs already, it seems; waiting until it is free"
                            );
                        }
                        self.env.sleep(BIND).await;
                    }
                    Err(error) => return Err(Failure::new(Exit::Refused, error.to_string())),
                }
            });
        }
        Ok(held)
    }

    /// Starts the broker whenever somebody connects, until a signal comes; a broker that runs then is drained.
    pub(super) async fn serve(&self, sockets: &[Held], signals: &mut Signals) -> Result<Exit, Failure> {
        let (mut pause, mut failing_since) = (PAUSE[0], None);
        loop {
            tokio::select! {
                biased;
                _ = signals.next() => return Ok(Exit::Ok),
                knocked = knocked(sockets) => knocked?,
            }
            let began = self.env.monotonic();
            let Some(end) = self.run_broker(sockets, signals).await? else { return Ok(Exit::Ok) };
            match end {
                End::Itself(status) if status.success() => {
                    tracing::info!("the broker has ended; waiting for the next connection");
                    (pause, failing_since) = (PAUSE[0], None);
                    continue;
                }
                End::Itself(status) => tracing::warn!(%status, "the broker has ended"),
                End::Hung => tracing::warn!(limit = ?self.limit, "the broker took no connection, and was ended"),
            }
            let now = self.env.monotonic();
            if now.saturating_sub(*failing_since.get_or_insert(began)) >= self.limit {
                let away: usize = sockets.iter().map(Held::turn_away).sum();
                tracing::warn!(connections = away, "no broker came; they are closed");
                failing_since = None;
            }
            tokio::select! {
                biased;
                _ = signals.next() => return Ok(Exit::Ok),
                () = self.env.sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE[1]);
        }
    }

    /// Runs the broker to its end; None if a signal came, and it was drained.
    async fn run_broker(&self, sockets: &[Held], signals: &mut Signals) -> Result<Option<End>, Failure> {
        let began = self.env.monotonic();
        let mut broker = start(&self.command, sockets)?;
        let mut has_taken = false;
        loop {
            if let Some(status) = broker.try_wait()? {
                return Ok(Some(End::Itself(status)));
            }
            if !has_taken {
                has_taken = self.env.timeout(TAKEN, knocked(sockets)).await.is_err();
                let took = self.env.monotonic().saturating_sub(began);
                if has_taken {
                    tracing::info!(?took, "the broker serves");
                } else if took >= self.limit {
                    broker.kill()?;
                    broker.wait()?;
                    return Ok(Some(End::Hung));
                }
            }
            tokio::select! {
                biased;
                signal = signals.next() => {
                    tracing::info!(signal, "draining the broker");
                    self.drain(&mut broker).await?;
                    return Ok(None);
                }
                () = self.env.sleep(LOOK) => {}
            }
        }
    }

    async fn drain(&self, broker: &mut Child) -> Result<(), Failure> {
        // By the system's own program: that it has ended by itself already is no failure.
        drop(Command::new("kill").arg(broker.id().to_string()).stderr(Stdio::null()).status());
        let give_up = self.env.monotonic() + DRAIN;
        while broker.try_wait()?.is_none() {
            if self.env.monotonic() >= give_up {
                return Err(Failure::new(Exit::NotDrained, format!("the broker has not ended in {DRAIN:?}, and was left")));
            }
            self.env.sleep(LOOK).await;
        }
        Ok(())
    }
}

/// Returns when a connection waits at any of them.
async fn knocked(sockets: &[Held]) -> std::io::Result<()> {
    select_all(sockets.iter().map(|socket| Box::pin(socket.knocked()))).await.0
}

/// Starts the broker with its sockets, as systemd would.
fn start(command: &[String], sockets: &[Held]) -> Result<Child, Failure> {
    let Some((program, arguments)) = command.split_first() else { return Err(Failure::new(Exit::Refused, "no command")) };
    let mut mappings = Vec::with_capacity(sockets.len());
    for (socket, child_fd) in sockets.iter().zip(FIRST..) {
        mappings.push(FdMapping { parent_fd: socket.to_fd()?, child_fd });
    }
    let mut command = Command::new(program);
    // A group of its own: Ctrl-C is for this process, which drains the broker.
    command.args(arguments).process_group(0).env("LISTEN_FDS", sockets.len().to_string()).env_remove("LISTEN_PID").stdin(Stdio::null());
    command.fd_mappings(mappings).map_err(|error| Failure::error(error.to_string()))?;
    command.spawn().map_err(|error| Failure::new(Exit::Refused, format!("{program}: {error}")))
}
