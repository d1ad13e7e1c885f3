//! What the commands of a cluster look at: etcd, and, for names of topics and sizes, whichever broker answers.

use crate::commands::Broker;
use crate::exit::{Exit, Failure};
use crate::kafka::Kafka;
use clap::Args;
use floe_env::Env;
use floe_formats::etcd::{BrokerEntry, Life};
use floe_metadata::cluster::etcd::{EtcdBackend, EtcdOptions};
use floe_metadata::cluster::{Cluster as Truth, ClusterError, ClusterOptions, ClusterView};
use floe_protocol::message;
use floe_protocol::messages::{DescribeLogDirsRequest, topic_id};
use floe_types::{BrokerId, ByteSize, ClusterId, Incarnation, Millis, PartitionId, TopicId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Time that a broker gets for names and sizes: what etcd says is shown without them.
const ASIDE: Duration = Duration::from_secs(3);

/// How a cluster is reached.
#[derive(Debug, Clone, Args)]
pub(crate) struct Access {
    /// Endpoints of etcd, http://HOST:PORT, separated by commas
    #[arg(long, value_name = "URL", env = "FLOE_ETCD_ENDPOINTS")]
    pub(crate) etcd: String,
    /// What the cluster's keys in etcd begin with
    #[arg(long, value_name = "PREFIX", default_value = "/floe", env = "FLOE_ETCD_PREFIX")]
    pub(crate) prefix: String,
    /// Time that the command may take
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) timeout: Millis,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A cluster as etcd has it.
pub(crate) struct Cluster {
    pub(crate) truth: Truth,
    pub(crate) id: ClusterId,
    pub(crate) view: ClusterView,
}

/// A broker that is listed as alive, with what is known of it.
pub(crate) struct Member {
    pub(crate) id: BrokerId,
    pub(crate) entry: BrokerEntry,
    pub(crate) life: Option<Life>,
    pub(crate) leads: usize,
    /// What its disk has and the store does not; none: it did not say.
    pub(crate) unflushed: Option<u64>,
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let exit = match &error {
            ClusterError::Unavailable { .. } => Exit::Unavailable,
            ClusterError::Refused { .. } => Exit::Refused,
            ClusterError::SetBack { .. } | ClusterError::Format { .. } => Exit::DataRefused,
            _ => Exit::Error,
        };
        Self::new(exit, error.to_string())
    }
}

impl Access {
    pub(crate) fn truth(&self, env: &Env) -> Result<Truth, Failure> {
        let endpoints = self.etcd.split(',').map(|url| url.trim().trim_end_matches('/').to_owned()).collect();
        let backend = EtcdBackend::new(&EtcdOptions::new(endpoints));
        let backend = backend.map_err(|error| Failure::new(Exit::Refused, format!("--etcd: {error}")))?;
        let options = ClusterOptions { prefix: self.prefix.clone(), ..ClusterOptions::default() };
        Ok(Truth::new(env.clone(), Arc::new(backend), options))
    }
}

impl Cluster {
    /// Reads all that etcd has of it.
    pub(crate) async fn look(env: &Env, access: &Access) -> Result<Self, Failure> {
        let truth = access.truth(env)?;
        let Some(id) = truth.founded().await? else {
            let why = format!("etcd knows no cluster under {}: see --prefix", access.prefix);
            return Err(Failure::new(Exit::DataRefused, why));
        };
        let view = truth.read().await?;
        Ok(Self { truth, id, view })
    }

    /// Reads it again.
    pub(crate) async fn again(&mut self) -> Result<(), Failure> {
        self.view = self.truth.read().await?;
        Ok(())
    }

    /// Brokers that are listed as alive, and what they say of themselves.
    pub(crate) async fn members(&self, env: &Env) -> Vec<Member> {
        let asked = self.view.brokers().iter().map(async |(id, entry)| Member {
            id: *id,
            entry: entry.clone(),
            life: self.view.lives().get(&entry.incarnation).copied(),
            leads: self.view.owned_by(entry.incarnation).count(),
            unflushed: env.timeout(ASIDE, unflushed(env, entry)).await.ok().flatten(),
        });
        futures::future::join_all(asked).await
    }

    /// The names of topics, as the first broker that answers has them.
    pub(crate) async fn names(&self, env: &Env) -> Option<BTreeMap<TopicId, String>> {
        for entry in self.view.brokers().values() {
            let asked = async {
                let topics = Kafka::connect(env, &kafka_of(entry)).await.ok()?.topics(None, false).await.ok()?;
                Some(topics.into_iter().filter_map(|topic| Some((topic_id(topic.id)?, topic.name))).collect())
            };
            if let Ok(Some(names)) = env.timeout(ASIDE, asked).await {
                return Some(names);
            }
        }
        None
    }

    /// Partitions that are led by another broker than by the one that should lead them and is alive: from whom to whom.
    pub(crate) fn moves(&self) -> impl Iterator<Item = (PartitionId, Option<BrokerId>, BrokerId)> + '_ {
        let view = &self.view;
        let moves = move |(id, to): (&PartitionId, &BrokerId)| {
            let from = view.leader(*id).map(|(broker, _)| broker);
            (view.brokers().contains_key(to) && from != Some(*to)).then_some((*id, from, *to))
        };
        view.preferred().iter().filter_map(moves)
    }

    /// The life of a broker that is listed as alive.
    pub(crate) fn living(&self, id: BrokerId) -> Result<Incarnation, Failure> {
        let is_open = |entry: &BrokerEntry| self.view.lives().get(&entry.incarnation) == Some(&Life::Open);
        let alive = || self.view.brokers().iter().filter(|(_, entry)| is_open(entry)).map(|(id, _)| id.to_string()).collect::<Vec<_>>();
        let missing = || Failure::error(format!("no broker {id} is alive; there are: {}", alive().join(", ")));
        self.view.brokers().get(&id).filter(|entry| is_open(entry)).map(|entry| entry.incarnation).ok_or_else(missing)
    }
}

fn kafka_of(entry: &BrokerEntry) -> Broker {
    let host = if entry.host.contains(':') { format!("[{}]", entry.host) } else { entry.host.clone() };
    Broker { bootstrap: format!("{host}:{}", entry.port), timeout: Millis(u64::try_from(ASIDE.as_millis()).unwrap_or(u64::MAX)) }
}

async fn unflushed(env: &Env, entry: &BrokerEntry) -> Option<u64> {
    let request = message!(DescribeLogDirsRequest { topics: None });
    let answer = Kafka::connect(env, &kafka_of(entry)).await.ok()?.ask(|_| request).await.ok()?;
    let wal = answer.results.iter().find(|place| place.log_dir.as_str() == "wal")?;
    let sizes = wal.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| u64::try_from(partition.partition_size).unwrap_or(0));
    Some(sizes.sum())
}

impl Member {
    pub(crate) const HEADINGS: [&'static str; 7] = ["broker", "rack", "incarnation", "state", "address", "leads", "unflushed"];

    fn state(&self) -> String {
        self.life.map_or_else(|| "unknown".to_owned(), |life| format!("{life:?}").to_lowercase())
    }

    pub(crate) fn row(&self) -> Vec<String> {
        let unflushed = self.unflushed.map_or_else(|| "?".to_owned(), |bytes| ByteSize(bytes).to_string());
        let rack = if self.entry.rack.is_empty() { "-" } else { &self.entry.rack };
        vec![
            self.id.to_string(),
            rack.to_owned(),
            self.entry.incarnation.to_string(),
            self.state(),
            format!("{}:{}", self.entry.host, self.entry.port),
            self.leads.to_string(),
            unflushed,
        ]
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "broker": self.id.0,
            "rack": self.entry.rack,
            "incarnation": self.entry.incarnation.0,
            "state": self.state(),
            "host": self.entry.host,
            "port": self.entry.port,
            "peer": self.entry.peer,
            "disk": self.entry.disk.to_string(),
            "leads": self.leads,
            "unflushed_bytes": self.unflushed,
        })
    }
}
