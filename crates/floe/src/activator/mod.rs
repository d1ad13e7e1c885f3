//! `floe activator`: the addresses that clients know, while there are no brokers.
//!
//! A connection wakes them, and is held meanwhile, with what it has sent. On the same machine the socket itself is passed, so that nothing stands between
//! clients and their broker; to brokers elsewhere connections are passed on. What cannot be woken in time is closed, which every client takes
//! for a broker that is not there yet, and tries again.
//!
//! Keeps nothing: it can be started again at any time.

mod local;
mod proxy;
mod wake;

use crate::exit::{Exit, Failure};
use crate::output;
use crate::serve::Signals;
use clap::Args;
use floe_env::{Env, net};
use floe_types::Millis;
use local::Local;
use proxy::{Door, Proxy};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use wake::Waker;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Address that clients know, the broker's listener; with =HOST:PORT, that of the broker to which its connections are passed on. May be given several times
    #[arg(long, value_name = "ADDR[=TARGET]", required = true)]
    listen: Vec<String>,
    /// How long a connection is held while no broker comes
    #[arg(long, value_name = "TIME", default_value = "60s")]
    wake_timeout: Millis,
    /// Connections that are passed on at the same time; more wait
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    #[command(flatten)]
    wake: wake::Arguments,
    /// A broker on this machine, such as: floe serve --idle-exit 5m. Gets the listeners' sockets (LISTEN_FDS), in their order
    #[arg(last = true, value_name = "COMMAND")]
    broker: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    crate::logging::start("info", crate::logging::Format::Text)?;
    let (env, mut signals) = (Env::real(), Signals::install()?);
    let limit = Duration::from(arguments.wake_timeout);
    let doors: Vec<(&str, Option<&str>)> = arguments.listen.iter().map(|listen| split(listen)).collect();
    if !arguments.broker.is_empty() {
        if doors.iter().any(|(_, target)| target.is_some()) {
            return Err(Failure::new(
                Exit::Refused,
                "a broker on this machine gets the sockets themselves: --listen takes no =TARGET with it",
            ));
        }
        let addresses: Vec<&str> = doors.into_iter().map(|(address, _)| address).collect();
        let local = Local { env, command: arguments.broker, limit };
        let sockets = tokio::select! {
            biased;
            _ = signals.next() => return Ok(Exit::Ok),
            sockets = local.hold(&addresses) => sockets?,
        };
        tell(sockets.iter().map(net::Held::local_addr))?;
        return local.serve(&sockets, &mut signals).await;
    }
    let waker = Waker::new(env.clone(), &arguments.wake)?;
    let places = Arc::new(Semaphore::new(usize::try_from(arguments.max_connections).unwrap_or(usize::MAX)));
    let proxy = Proxy { env: env.clone(), waker, limit, places };
    let mut open = Vec::with_capacity(doors.len());
    for (address, target) in doors {
        let none =
            || Failure::new(Exit::Refused, format!("--listen {address}: where to? Give =HOST:PORT, or the broker's command behind --"));
        open.push(Door { listener: net::listen(address).await?, target: target.ok_or_else(none)?.into() });
    }
    tell(open.iter().map(|door| door.listener.local_addr()))?;
    for door in open {
        env.spawn("a door", proxy.clone().serve(door)).detach_to_group();
    }
    signals.next().await;
    Ok(Exit::Ok)
}

/// The address, and where its connections go.
fn split(listen: &str) -> (&str, Option<&str>) {
    listen.split_once('=').map_or((listen, None), |(address, target)| (address, Some(target)))
}

fn tell(addresses: impl Iterator<Item = std::io::Result<std::net::SocketAddr>>) -> Result<(), Failure> {
    let addresses: Vec<String> = addresses.map(|address| address.map(|address| address.to_string())).collect::<Result<_, _>>()?;
    output::print(&format!("floe activator ready: {}", addresses.join(",")))
}
