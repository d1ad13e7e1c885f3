//! Creating, changing and deleting topics: the catalog first (R16), the partitions after it.

use crate::engine::Engine;
use crate::exporting::check_export_setting;
use crate::open::{epoch_of, open_wal};
use crate::partition::{Line, Partition};
use crate::shared::{SentClaim, Shared};
use crate::start;
use crate::{Durability, Ended, EngineOptions, OpenError, TopicError};
use floe_formats::{CatalogChange, Claim, Topic, WalKind, keys};
use floe_metadata::{Catalog, MetadataError, View};
use floe_objstore::{Created, Payload};
use floe_types::{Generation, PartitionId, TopicId, check_topic_name};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The topic setting that says when a record counts as committed.
pub const DURABILITY: &str = "floe.durability";
/// The topic setting that says how many copies a record must have. A certain slot satisfies any number.
pub const MIN_INSYNC: &str = "min.insync.replicas";
/// Copies that a record has for certain: of a `local` one this disk's, of a `replicated` one a quorum's.
const LOCAL_COPIES: i64 = 1;
const QUORUM_COPIES: i64 = 2;
/// Partitions of one topic: what one index line each still makes a small object.
const MAX_PARTITIONS: i32 = 100_000;

/// A topic to be created.
#[derive(Debug, Clone)]
pub struct NewTopic {
    pub name: String,
    pub partitions: i32,
    pub configs: BTreeMap<String, String>,
}

/// What a topic's settings say; one that cannot be read counts as the default. Where more copies are asked for than a
/// WAL has here, records wait for their slot instead: slower, never weaker.
pub(crate) fn durability_of(topic: &Topic, options: &EngineOptions) -> Durability {
    let copies: i64 = topic.configs.get(MIN_INSYNC).and_then(|text| text.trim().parse().ok()).unwrap_or(LOCAL_COPIES);
    match topic.configs.get(DURABILITY).and_then(|text| text.trim().parse().ok()).unwrap_or(options.durability) {
        // `local` in a cluster: of a single broker that has become one of several; and the other way round.
        Durability::Local if !options.in_cluster && copies <= LOCAL_COPIES => Durability::Local,
        Durability::Replicated if options.in_cluster && copies <= QUORUM_COPIES => Durability::Replicated,
        Durability::Local | Durability::Replicated | Durability::Object => Durability::Object,
    }
}

/// Why a change was not written.
enum NotYet {
    /// It needs a WAL, and there is none.
    Wal,
}

impl Engine {
    /// Creates a topic: it is in the catalog, and its partitions take records, when this returns.
    ///
    /// # Errors
    /// A name that is taken or against the rules, a setting that is wrong, or a store that does not answer.
    pub async fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>, TopicError> {
        let mut created = self.create_topics(vec![new]).await?;
        created.pop().expect("one topic was asked for, so there is one answer")
    }

    /// Creates topics in one version of the catalog: all that can be are there, and their partitions take records, when
    /// this returns. One answer for each, in order.
    ///
    /// # Errors
    /// A store that does not answer, or an engine that has ended; then none is answered for. The answers' own errors are
    /// a name that is taken, collides or is against the rules, and a setting that is wrong.
    pub async fn create_topics(&self, new: Vec<NewTopic>) -> Result<Vec<Result<Arc<Topic>, TopicError>>, TopicError> {
        let topics: Vec<Arc<Topic>> = new.into_iter().map(|new| Arc::new(self.make(new))).collect();
        self.change_catalog(|view| {
            let mut names = Names::of(view, self.options());
            let answers: Vec<_> = topics.iter().map(|topic| names.take(topic).map(|()| topic.clone())).collect();
            let created = answers.iter().filter_map(|answer| answer.as_ref().ok());
            (created.map(|topic| CatalogChange::CreateTopic(topic.as_ref().clone())).collect(), answers)
        })
        .await
    }

    /// What [`Engine::create_topics`] would answer now, without creating anything.
    #[must_use]
    pub fn validate_topics(&self, new: Vec<NewTopic>) -> Vec<Result<(), TopicError>> {
        let view = self.catalog().view();
        let mut names = Names::of(&view, self.options());
        new.into_iter().map(|new| names.take(&self.make(new))).collect()
    }

    fn make(&self, new: NewTopic) -> Topic {
        let env = &self.shared().env;
        let (id, created_ms) = (TopicId(env.random_u128()), env.now_ms());
        Topic { id, name: new.name, partitions: new.partitions, configs: new.configs, created_ms }
    }

    /// Deletes a topic: it is gone from the catalog, and its partitions refuse everything, when this returns. Its
    /// space comes back later (R21).
    ///
    /// # Errors
    /// No such topic, or a store that does not answer.
    pub async fn delete_topic(&self, id: TopicId) -> Result<(), TopicError> {
        let mut deleted = self.delete_topics(vec![id]).await?;
        deleted.pop().expect("one topic was asked for, so there is one answer")
    }

    /// Deletes topics in one version of the catalog. One answer for each, in order.
    ///
    /// # Errors
    /// A store that does not answer; then none is answered for. The answers' own: no such topic.
    pub async fn delete_topics(&self, ids: Vec<TopicId>) -> Result<Vec<Result<(), TopicError>>, TopicError> {
        let deleted_ms = self.shared().env.now_ms();
        self.change_catalog(|view| {
            let is_there = |id: &&TopicId| view.by_id(**id).is_some();
            let changes = ids.iter().filter(is_there).map(|id| CatalogChange::DeleteTopic { id: *id, deleted_ms }).collect();
            let answer = |id: &TopicId| if is_there(&id) { Ok(()) } else { Err(TopicError::NotFound(id.to_string())) };
            (changes, ids.iter().map(answer).collect())
        })
        .await
    }

    /// Sets one of a topic's settings, or puts its default back. A new durability counts from the next batch on.
    ///
    /// # Errors
    /// No such topic, a durability that does not exist, or a store that does not answer.
    pub async fn set_topic_config(&self, id: TopicId, key: &str, value: Option<String>) -> Result<(), TopicError> {
        if let Some(text) = &value {
            check_setting(key, text, self.options()).map_err(TopicError::Config)?;
        }
        self.change_catalog(|view| match view.by_id(id) {
            None => (Vec::new(), Err(TopicError::NotFound(id.to_string()))),
            Some(_) => (vec![CatalogChange::SetTopicConfig { id, key: key.to_owned(), value: value.clone() }], Ok(())),
        })
        .await?
    }

    /// Changes the catalog, and then what this engine has open: partitions are opened, closed, and told their
    /// durability, which counts from the next batch on. `plan` looks at the newest catalog and says what to change and
    /// what to answer; it is asked again when another change came first. All its changes stand in one version of the
    /// catalog, and count, when this returns; a plan without changes writes nothing. What it changes is `plan`'s to check.
    ///
    /// # Errors
    /// A store that does not answer, or an engine that has ended: the changes may or may not stand.
    pub async fn change_catalog<T>(&self, plan: impl Fn(&View) -> (Vec<CatalogChange>, T)) -> Result<T, TopicError> {
        self.check_running()?;
        loop {
            let shared = self.shared();
            let changed = |view: &View| {
                let (changes, answer) = plan(view);
                let touched: BTreeSet<TopicId> = changes.iter().filter_map(touched).collect();
                if shared.wals.current().is_none() && self.wants_wal(&view.after(&changes), &touched) {
                    return Err(NotYet::Wal);
                }
                Ok((changes, (touched, answer)))
            };
            match self.catalog().change(shared.incarnation, changed).await {
                Ok(Ok((touched, answer))) => {
                    follow(shared, self.catalog(), touched.clone());
                    if let Some((member, _)) = &self.owned().member {
                        member.announce(&touched).await;
                    }
                    return Ok(answer);
                }
                Ok(Err(NotYet::Wal)) => self.ensure_wal().await?,
                // Who finds that the catalog is another's now has lost its place in everything (T16).
                Err(MetadataError::Fenced { by }) => {
                    let ended = Ended::Fenced { by: Some(by), found: "the catalog is its".into() };
                    shared.end(ended.clone());
                    return Err(TopicError::Ended(ended));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wants_wal(&self, view: &View, touched: &BTreeSet<TopicId>) -> bool {
        let local = |topic: &Arc<Topic>| durability_of(topic, &self.shared().options) == Durability::Local;
        touched.iter().filter_map(|id| view.by_id(*id)).any(local)
    }

    /// The first use of a WAL is a new generation: its claim names this disk before anything relies on it (R2).
    async fn ensure_wal(&self) -> Result<(), TopicError> {
        let shared = self.shared();
        let mut sent = shared.sent_claim.lock().await;
        if shared.wals.current().is_some() {
            return Ok(());
        }
        if sent.is_none() {
            let (generation, disk) = (Generation(shared.wals.newest().0 + 1), self.owned().disk_id);
            let claim =
                Claim { disk: Some(disk), replicas: vec![disk], quorum: 1, wal: WalKind::Local, ..start::claim(shared, generation) };
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
        shared.wals.claimed(generation);
        let wal = open_wal(shared, &self.owned().disk, generation).await.map_err(|error| match error {
            OpenError::Wal(error) => TopicError::Wal(error),
            other => TopicError::Invalid(other.to_string()),
        })?;
        shared.wals.begin(wal);
        Ok(())
    }

    fn check_running(&self) -> Result<(), TopicError> {
        self.shared().ended.get().map_or(Ok(()), |ended| Err(TopicError::Ended(ended)))
    }
}

/// Makes what is open what the newest catalog says, for the topics that were changed; for all, where the catalog has
/// moved by more than this change: others were there, or an earlier change whose answer was lost. One at a time, so that nobody opens a partition twice or follows
/// an older view. In a cluster nothing is opened here: that is for whoever the records of ownership name.
pub(crate) fn follow(shared: &Arc<Shared>, catalog: &Catalog, mut touched: BTreeSet<TopicId>) {
    let mut followed = shared.followed.lock();
    let view = catalog.view();
    if view.version > followed.version + u64::from(!touched.is_empty()) {
        touched.extend(view.topics().map(|topic| topic.id));
        touched.extend(shared.partitions().iter().map(|partition| partition.id().topic));
    }
    for id in touched {
        let Some(topic) = view.by_id(id) else {
            shared.remove_topic(id).iter().for_each(|partition| partition.close_deleted());
            shared.history.want_index();
            shared.history.want_clean();
            continue;
        };
        let durability = durability_of(topic, &shared.options);
        for index in 0..topic.partitions {
            let id = PartitionId { topic: topic.id, index };
            match shared.partition(id) {
                Some(partition) => partition.set_durability(durability),
                None if shared.options.in_cluster => {}
                None => {
                    let left = Line::empty(id).to_index();
                    let partition = Partition::open(shared.clone(), left, epoch_of(shared.incarnation), durability);
                    if followed.draining {
                        partition.stop_appending();
                    }
                    shared.add_partition(partition);
                }
            }
        }
    }
    followed.version = view.version;
}

/// The topic that a change is about, if it is about one.
fn touched(change: &CatalogChange) -> Option<TopicId> {
    match change {
        CatalogChange::CreateTopic(topic) => Some(topic.id),
        CatalogChange::DeleteTopic { id, .. } | CatalogChange::SetTopicConfig { id, .. } | CatalogChange::SetPartitions { id, .. } => {
            Some(*id)
        }
        CatalogChange::SetBrokerConfig { .. } => None,
    }
}

/// The names that are taken, while topics are created.
struct Names<'a> {
    view: &'a View,
    /// Names that differ by `.` and `_` alone would share a metric's name, so they are one here; the first is shown.
    metrics: BTreeMap<String, String>,
    options: &'a EngineOptions,
}

impl<'a> Names<'a> {
    fn of(view: &'a View, options: &'a EngineOptions) -> Self {
        let metrics = view.topics().map(|topic| (as_metric(&topic.name), topic.name.clone())).collect();
        Self { view, metrics, options }
    }

    /// Gives the topic its name, or says why it cannot be.
    fn take(&mut self, topic: &Topic) -> Result<(), TopicError> {
        check(topic, self.options)?;
        let (name, metric) = (topic.name.clone(), as_metric(&topic.name));
        match self.metrics.get(&metric) {
            _ if self.view.by_name(&name).is_some() => Err(TopicError::Exists(name)),
            Some(taken) if *taken == name => Err(TopicError::Exists(name)),
            Some(taken) => Err(TopicError::Collides { name, with: taken.clone() }),
            None => {
                self.metrics.insert(metric, name);
                Ok(())
            }
        }
    }
}

/// Kafka's rule (`Topic.unifyCollisionChars`).
fn as_metric(name: &str) -> String {
    name.replace('.', "_")
}

fn check(new: &Topic, options: &EngineOptions) -> Result<(), TopicError> {
    check_topic_name(&new.name).map_err(|e| TopicError::Invalid(e.to_string()))?;
    if !(1..=MAX_PARTITIONS).contains(&new.partitions) {
        return Err(TopicError::Invalid(format!("{} partitions; a topic has 1 to {MAX_PARTITIONS}", new.partitions)));
    }
    new.configs.iter().try_for_each(|(name, value)| check_setting(name, value, options)).map_err(TopicError::Config)
}

/// Whether brokers of this kind, and this one, can do what a setting asks for.
fn check_setting(name: &str, value: &str, options: &EngineOptions) -> Result<(), String> {
    match name {
        DURABILITY => Durability::read(value, options.in_cluster).map(|_| ()),
        _ => check_export_setting(name, value, options),
    }
}
