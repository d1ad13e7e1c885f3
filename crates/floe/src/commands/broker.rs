//! `floe broker`: the brokers of a cluster: list, describe, drain.

use super::cluster::access::{Access, Cluster, Member};
use crate::exit::{Exit, Failure};
use crate::output;
use clap::{Args, Subcommand};
use floe_env::Env;
use floe_formats::etcd::Life;
use floe_types::BrokerId;
use serde_json::json;
use std::collections::BTreeMap;
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
