//! What this broker exports by itself, because topics ask for it (`floe.export`): with the means of `floe export`, into the places that its
//! settings allow.

use super::place::Place;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use async_trait::async_trait;
use floe_env::{Env, Task};
use floe_export::{Exporter, ExporterOptions, HttpRegistry, Places, RegistryClient};
use floe_log::Engine;
use floe_objstore::{Store, StoreOptions, StoreUrl};
use std::sync::Arc;

/// Places are reached as the store is.
#[derive(Debug)]
struct AsTheStore {
    env: Env,
    config: Config,
}

#[async_trait]
impl Places for AsTheStore {
    async fn open(&self, place: &StoreUrl) -> Result<Store, String> {
        let backend = crate::store::open(&self.env, place, &self.config, true).await.map_err(|failure| failure.to_string())?;
        Ok(Store::new(self.env.clone(), backend, StoreOptions::default()))
    }
}

/// What a broker keeps its log in is nobody else's.
pub(super) fn check(config: &Config, place: &Place) -> Result<(), Failure> {
    match config.engine.export_targets.iter().find(|target| target.overlaps(&place.store)) {
        None => Ok(()),
        Some(target) => {
            let why = format!("floe.export.targets: {target} must not lie in the store {}, nor the store in it", place.store);
            Err(Failure::new(Exit::Refused, why))
        }
    }
}

/// Exports until the task is dropped.
pub(super) fn start(env: &Env, engine: &Engine, config: &Config) -> Result<(Exporter, Task<()>), Failure> {
    let registry = config.server.exports.registry.as_deref().map(|url| {
        let client = HttpRegistry::new(url).map_err(|why| Failure::new(Exit::Refused, format!("floe.export.registry: {why}")))?;
        Ok::<Arc<dyn RegistryClient>, Failure>(Arc::new(client))
    });
    let options = ExporterOptions { memory_bytes: config.server.exports.memory.0, registry: registry.transpose()? };
    let places = Arc::new(AsTheStore { env: env.clone(), config: config.clone() });
    let exporter = Exporter::new(env.clone(), engine.clone(), places, options);
    let task = env.spawn("exports", exporter.clone().run());
    Ok((exporter, task))
}
