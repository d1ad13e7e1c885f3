//! One version of the catalog, as everybody reads it: immutable, with the look-ups that handlers need.

use floe_formats::{CatalogChange, CatalogState, Topic};
use floe_types::TopicId;
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

    pub(crate) fn from_state(version: u64, state: CatalogState) -> Self {
        let mut view = Self { version, deleted: state.deleted, ..Self::default() };
        for (_, topic) in state.topics {
            view.insert(topic);
        }
        view
    }

    pub(crate) fn to_state(&self) -> CatalogState {
        CatalogState {
            topics: self.topics.iter().map(|(id, topic)| (*id, topic.as_ref().clone())).collect(),
            deleted: self.deleted.clone(),
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
        }
    }

    fn update(&mut self, id: TopicId, change: impl FnOnce(&mut Topic)) {
        if let Some(topic) = self.topics.get_mut(&id) {
            change(Arc::make_mut(topic));
        }
    }
}
