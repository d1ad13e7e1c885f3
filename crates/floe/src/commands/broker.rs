//! `floe broker`: the brokers of a cluster: list, describe, drain, and declare lost.

use super::cluster::access::{Access, Cluster, Member};
use crate::exit::{Exit, Failure};
use crate::output;
use clap::{Args, Subcommand};
use floe_env::Env;
use floe_formats::etcd::Life;
use floe_types::{BrokerId, DiskId};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Between two looks at a broker that drains.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the brokers that are listed as alive
    List {
        #[command(flatten)]
        access: Access,
    },
    /// Show one broker and what it leads
    Describe {
        /// The broker's id
        id: i32,
        #[command(flatten)]
        access: Access,
    },
    /// Go on without the disk of a broker that will not come back: records that only it has are lost
    Forget {
        /// The broker's id
        id: i32,
        /// Its disk, as the broker that cannot recover another names it; needed where the cluster has forgotten the broker
        #[arg(long, value_name = "ID")]
        disk: Option<DiskId>,
        /// Say that records may be lost
        #[arg(long)]
        accept_loss: bool,
        #[command(flatten)]
        access: Access,
    },
    /// Have a broker flush, hand over and end, and wait for it
    Drain {
        /// The broker's id
        id: i32,
        #[command(flatten)]
        access: Access,
    },
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let env = Env::real();
    match arguments.action {
        Action::List { access } => list(&env, &access).await,
        Action::Describe { id, access } => describe(&env, BrokerId(id), &access).await,
        Action::Drain { id, access } => drain(&env, BrokerId(id), &access).await,
        Action::Forget { id, disk, accept_loss, access } => forget(&env, BrokerId(id), disk, accept_loss, &access).await,
    }
}

async fn list(env: &Env, access: &Access) -> Result<Exit, Failure> {
    let members = Cluster::look(env, access).await?.members(env).await;
    if access.json {
        output::json(&json!(members.iter().map(Member::json).collect::<Vec<_>>()))?;
    } else {
        output::print(&output::table(&Member::HEADINGS, members.iter().map(Member::row)))?;
    }
    Ok(Exit::Ok)
}

async fn describe(env: &Env, id: BrokerId, access: &Access) -> Result<Exit, Failure> {
    let cluster = Cluster::look(env, access).await?;
    let incarnation = cluster.living(id)?;
    let names = cluster.names(env).await.unwrap_or_default();
    let Some(member) = cluster.members(env).await.into_iter().find(|member| member.id == id) else {
        return Err(Failure::error(format!("broker {id} is listed no more")));
    };
    let mut led: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for owned in cluster.view.owned_by(incarnation) {
        let topic = owned.partition.topic;
        led.entry(names.get(&topic).cloned().unwrap_or_else(|| topic.to_string())).or_default().push(owned.partition.index);
    }
    if access.json {
        let mut told = member.json();
        told["partitions"] = json!(led);
        output::json(&told)?;
        return Ok(Exit::Ok);
    }
    output::print(&output::table(&Member::HEADINGS, [member.row()]))?;
    output::print(&format!("peer {}, disk {}", member.entry.peer, member.entry.disk))?;
    let indexes = |indexes: &[i32]| indexes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let rows = led.iter().map(|(topic, of)| vec![topic.clone(), of.len().to_string(), indexes(of)]);
    output::print(&output::table(&["topic", "leads", "partitions"], rows))?;
    Ok(Exit::Ok)
}

async fn drain(env: &Env, id: BrokerId, access: &Access) -> Result<Exit, Failure> {
    let mut cluster = Cluster::look(env, access).await?;
    let incarnation = cluster.living(id)?;
    let leads = cluster.view.owned_by(incarnation).count();
    if !cluster.truth.ask_to_drain(incarnation).await? {
        return Err(Failure::error(format!("broker {id} is being ended already")));
    }
    let deadline = env.monotonic() + Duration::from(access.timeout);
    // Closed, or forgotten by those who have taken over what it led.
    while cluster.view.lives().get(&incarnation).is_some_and(|life| *life != Life::Closed) {
        if env.monotonic() > deadline {
            return Err(Failure::new(
                Exit::Unavailable,
                format!("broker {id} was asked to drain, and is not done after {}", access.timeout),
            ));
        }
        env.sleep(LOOK).await;
        cluster.again().await?;
    }
    if access.json {
        output::json(&json!({ "broker": id.0, "incarnation": incarnation.0, "led": leads, "drained": true }))?;
    } else {
        output::print(&format!("broker {id} has drained: what it led, {leads} partitions, is for the others"))?;
    }
    Ok(Exit::Ok)
}

/// Declares a broker's disks lost for everything that waits to be recovered (R12).
async fn forget(env: &Env, id: BrokerId, disk: Option<DiskId>, accept_loss: bool, access: &Access) -> Result<Exit, Failure> {
    let cluster = Cluster::look(env, access).await?;
    let view = &cluster.view;
    if cluster.living(id).is_ok() {
        return Err(Failure::new(Exit::Refused, format!("broker {id} is alive: nothing of it is lost")));
    }
    let known = view.incarnations().values().filter(|entry| entry.broker == id).map(|entry| entry.disk);
    let disks: BTreeSet<DiskId> = known.chain(disk).collect();
    if disks.is_empty() {
        return Err(Failure::new(Exit::Refused, format!("nobody knows a disk of broker {id}: name it with --disk")));
    }
    // Nobody else's: who is not being recovered may live, and goes on acknowledging with that disk when it is back.
    let dead: Vec<_> = view.lives().iter().filter(|(_, life)| **life == Life::Sealing).map(|(incarnation, _)| *incarnation).collect();
    if !accept_loss {
        let why = format!(
            "what only the disks of broker {id} have of {} incarnations that wait to be recovered would be lost for ever, acknowledged or not: \
             start the broker again on its data directory, or say --accept-loss",
            dead.len()
        );
        return Err(Failure::new(Exit::Refused, why));
    }
    let mut declared = Vec::new();
    for incarnation in dead {
        if cluster.truth.accept_loss(incarnation, &disks).await? {
            declared.push(incarnation.0);
        }
    }
    if access.json {
        let disks: Vec<String> = disks.iter().map(ToString::to_string).collect();
        output::json(&json!({ "broker": id.0, "disks": disks, "incarnations": declared }))?;
    } else {
        output::print(&format!("nobody waits any more for broker {id}: {} incarnations are recovered without its disks", declared.len()))?;
    }
    Ok(Exit::Ok)
}
