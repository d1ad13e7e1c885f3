//! Noticing that nobody uses the broker, so that it can end until somebody does (`--idle-exit`).
//!
//! Traffic is what clients ask, members' heartbeats included. Nothing may be left to flush: a broker that ends while the store is
//! away would leave acknowledged records on a disk that is perhaps thrown away.

use crate::config::ServerConfig;
use floe_broker::BrokerMetrics;
use floe_env::Env;
use floe_log::Engine;
use std::time::Duration;

/// Least and most time between two looks.
const LOOK: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(250)];

/// Returns when there was no traffic for as long as the settings say, and nothing is left to flush; never if they say never.
pub(super) async fn wait(env: &Env, metrics: &BrokerMetrics, engine: &Engine, config: &ServerConfig) {
    let after = Duration::from(config.idle_exit);
    if after.is_zero() {
        return std::future::pending().await;
    }
    let traffic = || metrics.traffic(config.idle_exit_polls);
    let (mut seen, mut since) = (traffic(), env.monotonic());
    loop {
        env.sleep((after / 8).clamp(LOOK[0], LOOK[1])).await;
        let now = traffic();
        if now != seen {
            (seen, since) = (now, env.monotonic());
        } else if env.monotonic().saturating_sub(since) >= after && engine.status().unflushed_batches == 0 {
            return;
        }
    }
}
