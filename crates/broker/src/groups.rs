//! The settings of `floe-groups` in Kafka's words.

use crate::config::BrokerConfig;
use crate::live::LiveSettings;
use floe_coordinator::GroupConfig;
use floe_env::{Env, Shutdown};
use floe_groups::{Groups, GroupsOptions};
use floe_log::Engine;
use std::sync::Arc;
use std::time::Duration;

/// Without any delay, members that start in the same moment find a group that has begun with the first of them, whose members learn of
/// the others by their heartbeats, which are seconds apart.
const LEAST_REBALANCE_DELAY: Duration = Duration::from_millis(50);

pub(crate) fn coordinate(env: Env, engine: Engine, live: Arc<LiveSettings>, shutdown: Shutdown) -> Groups {
    let options = options(&live.get());
    Groups::new(env, engine, options, move || group_config(&live.get()), shutdown)
}

fn options(config: &BrokerConfig) -> GroupsOptions {
    // Few in tests, so that they see checkpoints.
    let GroupsOptions { checkpoint_slack, checkpoint_batch, .. } = GroupsOptions::default();
    let (checkpoint_slack, checkpoint_batch) = if cfg!(test) { (24, 3) } else { (checkpoint_slack, checkpoint_batch) };
    GroupsOptions {
        topic_partitions: config.offsets_topic_partitions,
        retention_check: config.offsets_retention_check.into(),
        commit_timeout: config.offsets_commit_timeout.into(),
        checkpoint_slack,
        checkpoint_batch,
        ..GroupsOptions::default()
    }
}

fn group_config(config: &BrokerConfig) -> GroupConfig {
    let size = |n: i32| usize::try_from(n).unwrap_or(0);
    GroupConfig {
        initial_rebalance_delay: Duration::from(config.group_initial_rebalance_delay).max(LEAST_REBALANCE_DELAY),
        min_session_timeout_ms: config.group_min_session_timeout,
        max_session_timeout_ms: config.group_max_session_timeout,
        max_size: size(config.group_max_size),
        max_offset_metadata: size(config.offset_metadata_max_bytes),
        offsets_retention_ms: i64::from(config.offsets_retention_minutes) * 60_000,
        ..GroupConfig::default()
    }
}

#[cfg(test)]
mod tests;
