//! The tools: one file per command, all in one style. They talk to brokers through Kafka's protocol and to stores directly.

pub(crate) mod bench;
pub(crate) mod broker;
pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod consume;
pub(crate) mod dev;
pub(crate) mod du;
pub(crate) mod export;
pub(crate) mod gc;
pub(crate) mod group;
pub(crate) mod iceberg;
pub(crate) mod inspect;
pub(crate) mod partition;
pub(crate) mod produce;
pub(crate) mod topic;
pub(crate) mod verify;

use crate::config::{self, Config, Layers, Refused};
use crate::exit::{Exit, Failure};
use clap::Args;
use floe_types::Millis;
use std::path::PathBuf;

/// How a broker is reached.
#[derive(Debug, Clone, Args)]
pub(crate) struct Broker {
    /// Brokers to ask first, separated by commas
    #[arg(long, short = 'b', value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    pub(crate) bootstrap: String,
    /// Time that one request may take
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) timeout: Millis,
}

/// Settings of a store that a tool looks at.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreSettings {
    /// Settings file (TOML) [environment: FLOE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set any setting, such as s3.endpoint
    #[arg(short = 'o', value_name = "KEY=VALUE")]
    options: Vec<String>,
}

impl StoreSettings {
    /// The settings, from the same sources as the broker's. Starts logging too: only warnings, unless a level is set.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        let refused = |error: Refused| Failure::new(Exit::Refused, error.to_string());
        let mut layers = Layers::read(self.config.as_deref()).map_err(refused)?;
        layers.command_line = vec![("log.level".to_owned(), "warn".to_owned())];
        layers.command_line.extend(config::options(&self.options).map_err(refused)?);
        let config = config::load(&layers).map_err(refused)?;
        crate::logging::start(&config.server.log_level, config.server.log_format)?;
        Ok(config)
    }
}
