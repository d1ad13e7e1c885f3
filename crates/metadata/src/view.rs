//! One version of the catalog, as everybody reads it: immutable, with the look-ups that handlers need.

use floe_formats::{CatalogChange, CatalogState, Topic};
use floe_types::{BrokerId, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The catalog as of one version. Cheap to share, never changed in place.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The newest version that this view includes; 0 is the empty catalog.
    pub version: u64,
    topics: BTreeMap<TopicId, Arc<Topic>>,
    names: BTreeMap<String, TopicId>,
    deleted: BTreeMap<TopicId, i64>,
    all_brokers: BTreeMap<String, String>,
    brokers: BTreeMap<BrokerId, BTreeMap<String, String>>,
}

impl View {
    /// The topic of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.names.get(name).and_then(|id| self.topics.get(id))
    }

    /// The topic of this id.
    #[must_use]
    pub fn by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(&id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.names.values().filter_map(|id| self.topics.get(id))
    }

    /// Whether this id belonged to a topic that was deleted: only such ids may ever be swept (R21).
    #[must_use]
    pub fn is_deleted(&self, id: TopicId) -> bool {
        self.deleted.contains_key(&id)
    }

    /// Settings that a broker was given while it ran; with none, those of all brokers that have no value of their own.
    #[must_use]
    pub fn broker_configs(&self, broker: Option<BrokerId>) -> BTreeMap<String, String> {
        let configs = match broker {
            Some(broker) => self.brokers.get(&broker),
            None => Some(&self.all_brokers),
        };
        configs.cloned().unwrap_or_default()
    }

    pub(crate) fn from_state(version: u64, state: CatalogState) -> Self {
        let CatalogState { topics, deleted, all_brokers, brokers } = state;
        let mut view = Self { version, deleted, all_brokers, brokers, ..Self::default() };
        for (_, topic) in topics {
            view.insert(topic);
        }
        view
    }

    pub(crate) fn to_state(&self) -> CatalogState {
        CatalogState {
            topics: self.topics.iter().map(|(id, topic)| (*id, topic.as_ref().clone())).collect(),
            deleted: self.deleted.clone(),
            all_brokers: self.all_brokers.clone(),
            brokers: self.brokers.clone(),
        }
    }

    fn insert(&mut self, topic: Topic) {
        self.names.insert(topic.name.clone(), topic.id);
        self.topics.insert(topic.id, Arc::new(topic));
    }

    /// The view of the next version, if these are its changes.
    #[must_use]
    pub fn after(&self, changes: &[CatalogChange]) -> Self {
        self.apply(self.version + 1, changes)
    }

    /// The view after these changes. A change to a topic that is not there changes nothing: the catalog was rebased
    /// over its deletion.
    pub(crate) fn apply(&self, version: u64, changes: &[CatalogChange]) -> Self {
        let mut next = Self { version, ..self.clone() };
        for change in changes {
            next.apply_one(change);
        }
        next
    }

    fn apply_one(&mut self, change: &CatalogChange) {
        match change {
            CatalogChange::CreateTopic(topic) => self.insert(topic.clone()),
            CatalogChange::DeleteTopic { id, deleted_ms } => {
                if let Some(topic) = self.topics.remove(id) {
                    self.names.remove(&topic.name);
                    self.deleted.insert(*id, *deleted_ms);
                }
            }
            CatalogChange::SetTopicConfig { id, key, value } => self.update(*id, |topic| match value {
                Some(value) => {
                    topic.configs.insert(key.clone(), value.clone());
                }
                None => {
                    topic.configs.remove(key);
                }
            }),
            CatalogChange::SetPartitions { id, count } => self.update(*id, |topic| topic.partitions = *count),
            CatalogChange::SetBrokerConfig { broker, key, value } => {
                let configs = match broker {
                    Some(broker) => self.brokers.entry(*broker).or_default(),
                    None => &mut self.all_brokers,
                };
                match value {
                    Some(value) => drop(configs.insert(key.clone(), value.clone())),
                    None => drop(configs.remove(key)),
                }
                self.brokers.retain(|_, configs| !configs.is_empty());
            }
        }
    }

    fn update(&mut self, id: TopicId, change: impl FnOnce(&mut Topic)) {
        if let Some(topic) = self.topics.get_mut(&id) {
            change(Arc::make_mut(topic));
        }
    }
}
