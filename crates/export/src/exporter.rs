//! A broker's own exports: every topic whose settings say `floe.export=parquet`, as far as this broker leads it, under one budget.
//!
//! Each of these topics has a task. As often as the topic's settings say it compares what is in the store with what was exported, which
//! asks nothing of anybody, and exports what is new. All of them share the memory for files, so many are at work at a time, and one whose
//! target fails holds up no other.
//!
//! Keeps what `target.rs` keeps, and rests on nothing of the broker: one that dies in the middle, is deposed, or is only taken for dead leaves
//! an exact table, and whoever leads the partition next goes on where its files end. Is not: a judge of what may be exported where, which
//! is floe-log's.

use crate::memory::Memory;
use crate::{Export, ExportOptions, Folders, Follow, Mode, RegistryClient, Round};
use async_trait::async_trait;
use floe_env::{Env, Task};
use floe_formats::Topic;
use floe_log::{Engine, ExportSettings};
use floe_objstore::{Store, StoreUrl};
use floe_types::TopicId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Time between two looks at the topics' settings.
const LOOK: Duration = Duration::from_secs(1);
/// Least time between two rounds of one topic, and after one that failed.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Topics at work at the same time.
const TOPICS_AT_ONCE: usize = 16;
/// Partitions of one topic that are, as far as there is memory.
const PARTITIONS_AT_ONCE: usize = 2;

/// Opens the places that topics are exported to.
#[async_trait]
pub trait Places: fmt::Debug + Send + Sync {
    /// # Errors
    /// Why it cannot be opened, for people.
    async fn open(&self, place: &StoreUrl) -> Result<Store, String>;
}

/// What a broker's exports may take.
#[derive(Debug, Clone)]
pub struct ExporterOptions {
    /// Of all topics together: files being built, and what they are built of.
    pub memory_bytes: u64,
    /// Where schemas of Avro and Protocol Buffers are asked for.
    pub registry: Option<Arc<dyn RegistryClient>>,
}

/// What a broker's exports have done since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct ExporterStatus {
    /// Topics whose settings ask for it; and those of them that this broker may not export.
    pub topics: u64,
    pub refused: u64,
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Files thrown away because another exporter had been first.
    pub lost: u64,
    /// Small files that were merged.
    pub merged: u64,
    pub failures: u64,
}

#[derive(Debug, Clone)]
pub struct Exporter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    env: Env,
    engine: Engine,
    places: Arc<dyn Places>,
    options: ExporterOptions,
    memory: Arc<Memory>,
    at_work: Semaphore,
    status: Mutex<ExporterStatus>,
}

/// What a task was started for: where it changes, another is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    topic: Arc<Topic>,
    settings: ExportSettings,
}

impl Exporter {
    #[must_use]
    pub fn new(env: Env, engine: Engine, places: Arc<dyn Places>, options: ExporterOptions) -> Self {
        // Nobody waits for a table as producers wait for their acknowledgements.
        let env = env.giving_way();
        let (memory, at_work) = (Arc::new(Memory::new(options.memory_bytes)), Semaphore::new(TOPICS_AT_ONCE));
        Self(Arc::new(Inner { env, engine, places, options, memory, at_work, status: Mutex::default() }))
    }

    #[must_use]
    pub fn status(&self) -> ExporterStatus {
        *self.0.status.lock()
    }

    /// Exports until it is dropped, which may be at any time.
    pub async fn run(self) {
        let mut running: BTreeMap<TopicId, (Wanted, Task<()>)> = BTreeMap::new();
        let mut refused = BTreeMap::new();
        loop {
            let (mut wanted, not_here) = self.wanted();
            if not_here != refused {
                for (topic, why) in &not_here {
                    tracing::warn!(topic, why, "not exported");
                }
                refused = not_here;
            }
            {
                let mut status = self.0.status.lock();
                (status.topics, status.refused) = ((wanted.len() + refused.len()) as u64, refused.len() as u64);
            }
            running.retain(|id, (started, task)| wanted.get(id) == Some(started) && !task.is_finished());
            wanted.retain(|id, _| !running.contains_key(id));
            for (id, wanted) in wanted {
                let task = self.0.env.spawn("export a topic", self.clone().follow(wanted.clone()));
                running.insert(id, (wanted, task));
            }
            self.0.env.sleep(LOOK).await;
        }
    }

    /// Topics to be exported; and those that are to be and may not, by name, with the reason.
    fn wanted(&self) -> (BTreeMap<TopicId, Wanted>, BTreeMap<String, String>) {
        let (mut wanted, mut refused) = (BTreeMap::new(), BTreeMap::new());
        for topic in self.0.engine.catalog().view().topics() {
            match ExportSettings::of(&topic.configs, &self.0.engine.options().export_targets) {
                None => {}
                Some(Ok(settings)) => {
                    wanted.insert(topic.id, Wanted { topic: topic.clone(), settings });
                }
                Some(Err(why)) => {
                    refused.insert(topic.name.clone(), why);
                }
            }
        }
        (wanted, refused)
    }

    /// Round after round of one topic.
    async fn follow(self, wanted: Wanted) {
        let Wanted { topic, settings } = &wanted;
        let (mut export, mut follow, mut failed) = (None, Follow::new(settings.merges), None::<String>);
        loop {
            let began = self.0.env.monotonic();
            let pause = match self.round(&wanted, &mut export, &mut follow).await {
                Ok(()) => {
                    failed = None;
                    let took = self.0.env.monotonic().saturating_sub(began);
                    settings.freshness.saturating_sub(took).max(PAUSE)
                }
                Err(why) => {
                    self.0.status.lock().failures += 1;
                    if failed.as_ref() != Some(&why) {
                        tracing::warn!(topic = topic.name, why, "not exported; trying again");
                        failed = Some(why);
                    }
                    settings.freshness.max(PAUSE_AFTER_FAILURE)
                }
            };
            self.0.env.sleep(pause).await;
        }
    }

    /// Exports what is new, if anything is.
    async fn round(&self, wanted: &Wanted, opened: &mut Option<Export>, follow: &mut Follow) -> Result<(), String> {
        if !opened.as_ref().map_or_else(|| self.leads_some(&wanted.topic), Export::is_behind) {
            return Ok(());
        }
        let _place = self.0.at_work.acquire().await.map_err(|error| error.to_string())?;
        let export = match opened {
            Some(export) => export,
            None => opened.insert(self.open(wanted).await?),
        };
        let Round { report, merged } = follow.round(export, |_| {}).await.map_err(|error| error.to_string())?;
        let merged = merged.transpose();
        {
            let mut status = self.0.status.lock();
            (status.files, status.rows) = (status.files + report.files, status.rows + report.rows);
            (status.bytes, status.lost) = (status.bytes + report.bytes, status.lost + report.lost);
            status.merged += merged.as_ref().ok().and_then(|merged| merged.as_ref()).map_or(0, |merged| merged.sources);
        }
        merged.map(|_| ()).map_err(|error| format!("not merged: {error}"))
    }

    fn leads_some(&self, topic: &Topic) -> bool {
        crate::run::led(&self.0.engine, topic).any(|partition| partition.stored_end() > 0)
    }

    async fn open(&self, Wanted { topic, settings }: &Wanted) -> Result<Export, String> {
        let target = self.0.places.open(&settings.target).await?;
        let word = |word: &str| serde_json::Value::String(word.to_owned());
        let mode: Mode = serde_json::from_value(word(&settings.mode)).map_err(|error| error.to_string())?;
        let folders: Folders = serde_json::from_value(word(&settings.layout)).map_err(|error| error.to_string())?;
        // Texts have no ids before them: nothing says that they do.
        let registry = self.0.options.registry.clone().filter(|_| matches!(mode, Mode::Avro | Mode::Protobuf));
        let options = ExportOptions {
            mode: Some(mode),
            folders: Some(folders),
            registry,
            file_bytes: settings.file_bytes,
            parallel: PARTITIONS_AT_ONCE,
            ..ExportOptions::default()
        };
        Ok(Export::led(self.0.env.clone(), (self.0.engine.clone(), topic.clone()), target, options, self.0.memory.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_log::{LAYOUTS, MODES};

    #[test]
    fn the_words_of_topics_are_those_of_exports() {
        let read = |word: &str| serde_json::Value::String(word.to_owned());
        assert!(MODES.iter().all(|word| serde_json::from_value::<Mode>(read(word)).is_ok()));
        assert!(LAYOUTS.iter().all(|word| serde_json::from_value::<Folders>(read(word)).is_ok()));
        assert_eq!(serde_json::from_value::<Mode>(read(MODES[0])).unwrap(), Mode::default());
        assert_eq!(serde_json::from_value::<Folders>(read(LAYOUTS[0])).unwrap(), Folders::default());
    }
}
