//! `floe cluster`: what a cluster's etcd says of brokers, their lives, and who leads what.

pub(super) mod access;

use super::StoreSettings;
use crate::exit::{Exit, Failure};
use crate::output;
use access::{Access, Cluster, Member};
use clap::{Args, Subcommand};
use floe_env::Env;
use floe_formats::etcd::Life;
use floe_objstore::{Store, StoreOptions, StoreUrl};
use serde_json::json;
use std::collections::BTreeSet;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show brokers, who is being recovered, and what is led by nobody
    Status {
        #[command(flatten)]
        access: Access,
    },
    /// Make a single broker's store, after that broker has drained, a cluster's
    Adopt {
        /// The store: file:///path or s3://bucket/prefix
        #[arg(long, value_name = "URL")]
        store: StoreUrl,
        #[command(flatten)]
        access: Access,
        #[command(flatten)]
        settings: StoreSettings,
    },
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let env = Env::real();
    let access = match arguments.action {
        Action::Status { access } => access,
        Action::Adopt { store, access, settings } => return adopt(&env, &store, &access, &settings).await,
    };
    let cluster = Cluster::look(&env, &access).await?;
    let names = cluster.names(&env).await;
    let members = cluster.members(&env).await;
    status(&cluster, &members, names.as_ref().map(|names| names.len()), access.json)
}

async fn adopt(env: &Env, url: &StoreUrl, access: &Access, settings: &StoreSettings) -> Result<Exit, Failure> {
    let backend = crate::store::open(env, url, &settings.load()?, false).await?;
    let store = Store::new(env.clone(), backend, StoreOptions::default());
    let adopted = floe_log::adopt(env, &store, &access.truth(env)?).await?;
    if access.json {
        output::json(&json!({ "incarnation": adopted.incarnation.0, "partitions": adopted.partitions }))?;
    } else {
        output::print(&format!(
            "adopted: {} partitions of incarnation {}; brokers with --etcd take them over",
            adopted.partitions, adopted.incarnation
        ))?;
    }
    Ok(Exit::Ok)
}

fn status(cluster: &Cluster, members: &[Member], topics: Option<usize>, as_json: bool) -> Result<Exit, Failure> {
    let view = &cluster.view;
    let is_led = |incarnation| view.lives().get(&incarnation).is_some_and(|life| *life == Life::Open);
    let unled: Vec<_> = view.owners().iter().filter(|(_, owner)| !is_led(owner.incarnation)).map(|(id, _)| *id).collect();
    let moves: Vec<_> = cluster.moves().collect();
    let listed: BTreeSet<_> = view.brokers().values().map(|entry| entry.incarnation).collect();
    // Being recovered, or draining; or about to be suspected.
    let recovering: Vec<_> =
        view.lives().iter().filter(|(i, life)| **life == Life::Sealing || (**life == Life::Open && !listed.contains(i))).collect();
    if as_json {
        let life = |(i, life): &(&floe_types::Incarnation, &Life)| {
            json!({ "incarnation": i.0, "life": format!("{life:?}").to_lowercase(), "broker": view.incarnations().get(i).map(|entry| entry.broker.0),
                    "partitions": view.owned_by(**i).count() })
        };
        output::json(&json!({
            "cluster": cluster.id.to_string(),
            "revision": view.revision(),
            "catalog_version": view.catalog(),
            "topics": topics,
            "partitions": view.owners().len(),
            "not_led": unled.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "moving": moves.iter().map(|(id, from, to)| json!({ "partition": id.to_string(), "from": from.map(|from| from.0), "to": to.0 })).collect::<Vec<_>>(),
            "recovering": recovering.iter().map(life).collect::<Vec<_>>(),
            "brokers": members.iter().map(Member::json).collect::<Vec<_>>(),
        }))?;
        return Ok(exit(&unled));
    }
    output::print(&format!("cluster {}, catalog version {}, {} partitions", cluster.id, view.catalog(), view.owners().len()))?;
    output::print(&output::table(&Member::HEADINGS, members.iter().map(Member::row)))?;
    for (incarnation, life) in recovering {
        let what =
            if *life == Life::Sealing { "is being ended, by itself or by others" } else { "is listed no more, and not recovered yet" };
        let broker = view.incarnations().get(incarnation).map_or_else(String::new, |entry| format!(" of broker {}", entry.broker));
        output::print(&format!("incarnation {incarnation}{broker} {what}: {} partitions", view.owned_by(*incarnation).count()))?;
    }
    if !moves.is_empty() {
        output::print(&format!("{} partitions are being moved", moves.len()))?;
    }
    if !unled.is_empty() {
        output::print(&format!("{} partitions have no leader at the moment", unled.len()))?;
    }
    Ok(exit(&unled))
}

/// Scripts see by the code whether everything is led.
fn exit(unled: &[floe_types::PartitionId]) -> Exit {
    if unled.is_empty() { Exit::Ok } else { Exit::NotClean }
}
