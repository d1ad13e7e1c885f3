//! Creating, changing and deleting topics: the catalog first (R16), the partitions after it.

use crate::engine::Engine;
use crate::open::{epoch_of, open_wal};
use crate::partition::{Line, Partition};
use crate::shared::SentClaim;
use crate::start;
use crate::{Durability, Ended, EngineOptions, OpenError, TopicError};
use floe_formats::{CatalogChange, ClaimState, Topic, keys};
use floe_objstore::{Created, Payload};
use floe_types::{Generation, PartitionId, TopicId, check_topic_name};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The topic setting that says when a record counts as committed.
pub const DURABILITY: &str = "floe.durability";
/// Partitions of one topic: what one index line each still makes a small object.
const MAX_PARTITIONS: i32 = 100_000;

/// A topic to be created.
#[derive(Debug, Clone)]
pub struct NewTopic {
    pub name: String,
    pub partitions: i32,
    pub configs: BTreeMap<String, String>,
}

/// What a topic's settings say; one that cannot be read counts as the default.
pub(crate) fn durability_of(topic: &Topic, options: &EngineOptions) -> Durability {
    topic.configs.get(DURABILITY).and_then(|text| text.parse().ok()).unwrap_or(options.durability)
}

impl Engine {
    /// Creates a topic: it is in the catalog, and its partitions take records, when this returns.
    ///
    /// # Errors
    /// A name that is taken or against the rules, a setting that is wrong, or a store that does not answer.
    pub async fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>, TopicError> {
        check(&new)?;
        self.check_running()?;
        let topic = Topic {
            id: TopicId(self.shared().env.random_u128()),
            name: new.name,
            partitions: new.partitions,
            configs: new.configs,
            created_ms: self.shared().env.now_ms(),
        };
        if durability_of(&topic, &self.shared().options) == Durability::Local {
            self.ensure_wal().await?;
        }
        let plan = |view: &floe_metadata::View| match view.by_name(&topic.name) {
            Some(_) => Err(TopicError::Exists(topic.name.clone())),
            None => Ok((vec![CatalogChange::CreateTopic(topic.clone())], ())),
        };
        self.catalog().change(self.shared().incarnation, plan).await??;
        self.open_partitions();
        Ok(Arc::new(topic))
    }

    /// Deletes a topic: it is gone from the catalog, and its partitions refuse everything, when this returns. Its
    /// space comes back later (R21).
    ///
    /// # Errors
    /// No such topic, or a store that does not answer.
    pub async fn delete_topic(&self, id: TopicId) -> Result<(), TopicError> {
        self.check_running()?;
        let deleted_ms = self.shared().env.now_ms();
        let plan = |view: &floe_metadata::View| match view.by_id(id) {
            None => Err(TopicError::NotFound(id.to_string())),
            Some(topic) => Ok((vec![CatalogChange::DeleteTopic { id, deleted_ms }], topic.partitions)),
        };
        let partitions = self.catalog().change(self.shared().incarnation, plan).await??;
        for index in 0..partitions {
            if let Some(partition) = self.shared().remove_partition(PartitionId { topic: id, index }) {
                partition.close_deleted();
            }
        }
        Ok(())
    }

    /// Sets one of a topic's settings, or puts its default back. A new durability counts from the next batch on.
    ///
    /// # Errors
    /// No such topic, a durability that does not exist, or a store that does not answer.
    pub async fn set_topic_config(&self, id: TopicId, key: &str, value: Option<String>) -> Result<(), TopicError> {
        self.check_running()?;
        let options = &self.shared().options;
        if key == DURABILITY {
            let durability = value.as_deref().map_or(Ok(options.durability), str::parse).map_err(TopicError::Invalid)?;
            if durability == Durability::Local {
                self.ensure_wal().await?;
            }
        }
        let plan = |view: &floe_metadata::View| match view.by_id(id) {
            None => Err(TopicError::NotFound(id.to_string())),
            Some(_) => Ok((vec![CatalogChange::SetTopicConfig { id, key: key.to_owned(), value: value.clone() }], ())),
        };
        self.catalog().change(self.shared().incarnation, plan).await??;
        if let Some(topic) = self.catalog().view().by_id(id) {
            for index in 0..topic.partitions {
                if let Some(partition) = self.shared().partition(PartitionId { topic: id, index }) {
                    partition.set_durability(durability_of(topic, options));
                }
            }
        }
        Ok(())
    }

    /// Opens what the catalog has and this engine does not: new topics, and those that others created.
    fn open_partitions(&self) {
        let shared = self.shared();
        let view = self.catalog().view();
        for topic in view.topics() {
            let durability = durability_of(topic, &shared.options);
            for index in 0..topic.partitions {
                let id = PartitionId { topic: topic.id, index };
                if shared.partition(id).is_none() {
                    let left = Line::empty(id).to_index();
                    shared.add_partition(Partition::open(shared.clone(), left, epoch_of(shared.incarnation), durability));
                }
            }
        }
    }

    /// The first use of a WAL is a new generation: its claim names this disk before anything relies on it (R2).
    async fn ensure_wal(&self) -> Result<(), TopicError> {
        let shared = self.shared();
        let mut sent = shared.sent_claim.lock().await;
        if shared.wal().is_some() {
            return Ok(());
        }
        if sent.is_none() {
            let generation = Generation(shared.generation().0 + 1);
            let claim = start::claim(shared, generation, ClaimState::Open, Some(self.owned().disk_id));
            let body = Payload::from(floe_formats::encode(&crate::chain::Chain::writer(shared), &claim));
            *sent = Some(SentClaim { generation, body });
        }
        let Some(SentClaim { generation, body }) = sent.clone() else { return Ok(()) };
        let key = keys::claim(shared.incarnation, generation);
        // An answer that is lost leaves the claim as it was sent, to be asked about again with the same body (T07).
        if shared.store.create(&key, &body).await? == Created::Lost {
            if crate::chain::is_closed(shared, &key).await {
                // By a broker that was then refused, or is about to stop this one's row: go on with what there is.
                *sent = None;
                return Err(TopicError::Invalid("another broker has closed this one's claims: it can begin no local WAL any more".into()));
            }
            let (by, found) = crate::chain::whose(shared, &key).await;
            shared.end(Ended::Fenced { by, found });
            return self.check_running();
        }
        *sent = None;
        shared.set_generation(generation, None);
        let wal = open_wal(shared, &self.owned().disk, generation).await.map_err(|error| match error {
            OpenError::Wal(error) => TopicError::Wal(error),
            other => TopicError::Invalid(other.to_string()),
        })?;
        shared.set_generation(generation, Some(wal));
        Ok(())
    }

    fn check_running(&self) -> Result<(), TopicError> {
        self.shared().ended.get().map_or(Ok(()), |ended| Err(TopicError::Ended(ended)))
    }
}

fn check(new: &NewTopic) -> Result<(), TopicError> {
    check_topic_name(&new.name).map_err(|e| TopicError::Invalid(e.to_string()))?;
    if !(1..=MAX_PARTITIONS).contains(&new.partitions) {
        return Err(TopicError::Invalid(format!("{} partitions; a topic has 1 to {MAX_PARTITIONS}", new.partitions)));
    }
    match new.configs.get(DURABILITY).map(|text| text.parse::<Durability>()) {
        Some(Err(why)) => Err(TopicError::Invalid(why)),
        _ => Ok(()),
    }
}
