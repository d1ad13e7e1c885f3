//! `floe partition`: who leads a partition of a cluster.

use super::cluster::access::{Access, Cluster};
use crate::exit::{Exit, Failure};
use crate::output;
use clap::{Args, Subcommand};
use floe_env::Env;
use floe_types::{BrokerId, PartitionId};
use serde_json::json;
use std::str::FromStr;
use std::time::Duration;

/// Between two looks at what moves.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Have a broker lead a partition, while that broker is alive, and wait until it does
    Move {
        topic: String,
        partition: i32,
        /// The broker's id; any: leave it to the cluster again
        #[arg(long, value_name = "ID")]
        to: To,
        /// Do not wait
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        access: Access,
    },
}

/// Where to.
#[derive(Debug, Clone, Copy)]
struct To(Option<BrokerId>);

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "any" => Ok(Self(None)),
            id => id.parse().map(|id| Self(Some(BrokerId(id)))).map_err(|_| "is neither a broker's id nor \"any\"".to_owned()),
        }
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Action::Move { topic, partition, to: To(to), no_wait, access } = arguments.action;
    let env = Env::real();
    let mut cluster = Cluster::look(&env, &access).await?;
    if let Some(to) = to {
        cluster.living(to)?;
    }
    let names = cluster.names(&env).await;
    let names = names.ok_or_else(|| Failure::new(Exit::Unavailable, "no broker answers: nobody knows the topic's id"))?;
    let found = names.iter().find(|(_, name)| **name == topic).map(|(id, _)| PartitionId { topic: *id, index: partition });
    let Some(id) = found.filter(|id| cluster.view.owner(*id).is_some()) else {
        return Err(Failure::error(format!("there is no partition {partition} of topic {topic}")));
    };
    cluster.truth.prefer(&[(id, to)]).await?;
    let deadline = env.monotonic() + Duration::from(access.timeout);
    loop {
        let leader = cluster.view.leader(id).map(|(leader, _)| leader);
        if no_wait || to.is_none() || leader == to {
            return tell(&topic, id, leader, access.json);
        }
        if env.monotonic() > deadline {
            let at = leader.map_or_else(|| "nobody".to_owned(), |leader| format!("broker {leader}"));
            let why = format!("{topic} {partition} is led by {at} still, after {}; it is moved as soon as it can be", access.timeout);
            return Err(Failure::new(Exit::Unavailable, why));
        }
        env.sleep(LOOK).await;
        cluster.again().await?;
    }
}

fn tell(topic: &str, id: PartitionId, leader: Option<BrokerId>, as_json: bool) -> Result<Exit, Failure> {
    if as_json {
        output::json(&json!({ "topic": topic, "partition": id.index, "leader": leader.map(|leader| leader.0) }))?;
    } else {
        let by = leader.map_or_else(|| "nobody at the moment".to_owned(), |leader| format!("broker {leader}"));
        output::print(&format!("{topic} {}: led by {by}", id.index))?;
    }
    Ok(Exit::Ok)
}
