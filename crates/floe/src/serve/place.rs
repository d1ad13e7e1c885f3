//! Where a broker keeps its things: its data directory and its store.

use super::directory;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use floe_objstore::StoreUrl;
use std::path::PathBuf;

const DATA: &str = "floe-data";

#[derive(Debug)]
pub(super) struct Place {
    pub(super) data: PathBuf,
    pub(super) store: StoreUrl,
    /// The data directory is worth nothing without this process's memory.
    temporary: bool,
}

impl Place {
    /// From the settings. Makes nothing.
    pub(super) fn find(config: &Config) -> Result<Self, Failure> {
        let temporary = config.server.store == Some(StoreUrl::Memory) && config.server.data.is_none();
        let data = match &config.server.data {
            Some(data) => data.clone(),
            None if temporary => std::env::temp_dir().join(format!("floe-memory-{}", std::process::id())),
            None => PathBuf::from(DATA),
        };
        let data = std::path::absolute(&data).map_err(|error| Failure::new(Exit::Refused, format!("data: {}: {error}", data.display())))?;
        let store = config.server.store.clone().unwrap_or_else(|| directory(data.join("store")));
        Ok(Self { data, store, temporary })
    }

    /// The broker has ended.
    pub(super) fn leave(&self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.data)
        {
            tracing::warn!(data = %self.data.display(), %error, "the temporary data directory stays");
        }
    }
}
