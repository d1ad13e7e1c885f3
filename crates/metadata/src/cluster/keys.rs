//! The keys of a cluster in etcd, under one prefix. Numbers are of fixed width, so that keys list in their order; no key is another's folder.
//!
//! | key | value |
//! |---|---|
//! | `cluster` | [`floe_formats::etcd::ClusterEntry`] |
//! | `brokers/<id>` | [`floe_formats::etcd::BrokerEntry`], leased |
//! | `incarnations/<i>` | [`floe_formats::etcd::IncarnationEntry`] |
//! | `lives/<i>` | [`floe_formats::etcd::Life`], apart from the above so that a transaction can compare it whole |
//! | `partitions/<topic>/<p>` | [`floe_formats::etcd::OwnerEntry`] |
//! | `listed/<i>` | the same as the broker's, as it was listed last; without a lease |
//! | `preferred/<topic>/<p>` | [`floe_formats::etcd::PreferredEntry`] |
//! | `drain/<i>` | [`floe_formats::etcd::DrainEntry`] |
//! | `lost/<i>` | [`floe_formats::etcd::LostEntry`] |
//! | `cleaning/<i>` | [`floe_formats::etcd::CleanerEntry`], leased |
//! | `catalog`, `counter`, `mark` | one each |

use floe_types::{BrokerId, Incarnation, PartitionId, TopicId};

/// Builds and reads keys under one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    prefix: String,
}

/// What a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Cluster,
    Broker(BrokerId),
    Incarnation(Incarnation),
    Life(Incarnation),
    Partition(PartitionId),
    Preferred(PartitionId),
    Listed(Incarnation),
    Drain(Incarnation),
    Lost(Incarnation),
    Cleaning(Incarnation),
    Catalog,
    Counter,
    Mark,
}

impl Keys {
    /// Keys begin with `prefix` and a slash.
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: format!("{}/", prefix.trim_end_matches('/')) }
    }

    /// What all keys begin with.
    pub(crate) fn all(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn partitions(&self) -> String {
        format!("{}partitions/", self.prefix)
    }

    pub(crate) fn key(&self, key: Key) -> String {
        let prefix = &self.prefix;
        match key {
            Key::Cluster => format!("{prefix}cluster"),
            Key::Broker(broker) => format!("{prefix}brokers/{:010}", broker.0),
            Key::Incarnation(i) => format!("{prefix}incarnations/{:020}", i.0),
            Key::Life(i) => format!("{prefix}lives/{:020}", i.0),
            Key::Partition(p) => format!("{prefix}partitions/{}/{:010}", p.topic, p.index),
            Key::Preferred(p) => format!("{prefix}preferred/{}/{:010}", p.topic, p.index),
            Key::Listed(i) => format!("{prefix}listed/{:020}", i.0),
            Key::Drain(i) => format!("{prefix}drain/{:020}", i.0),
            Key::Lost(i) => format!("{prefix}lost/{:020}", i.0),
            Key::Cleaning(i) => format!("{prefix}cleaning/{:020}", i.0),
            Key::Catalog => format!("{prefix}catalog"),
            Key::Counter => format!("{prefix}counter"),
            Key::Mark => format!("{prefix}mark"),
        }
    }

    /// What a key names; none: it is none of this version's.
    pub(crate) fn parse(&self, key: &str) -> Option<Key> {
        let rest = key.strip_prefix(&self.prefix)?;
        let (folder, name) = rest.split_once('/').unwrap_or((rest, ""));
        let parsed = match folder {
            "cluster" => Key::Cluster,
            "catalog" => Key::Catalog,
            "counter" => Key::Counter,
            "mark" => Key::Mark,
            "brokers" => Key::Broker(BrokerId(name.parse().ok().filter(|id| *id >= 0)?)),
            "incarnations" => Key::Incarnation(Incarnation(name.parse().ok()?)),
            "cleaning" => Key::Cleaning(Incarnation(name.parse().ok()?)),
            "lives" => Key::Life(Incarnation(name.parse().ok()?)),
            "listed" => Key::Listed(Incarnation(name.parse().ok()?)),
            "drain" => Key::Drain(Incarnation(name.parse().ok()?)),
            "lost" => Key::Lost(Incarnation(name.parse().ok()?)),
            "partitions" => Key::Partition(partition(name)?),
            "preferred" => Key::Preferred(partition(name)?),
            _ => return None,
        };
        (self.key(parsed) == key).then_some(parsed)
    }
}

/// `<topic>/<p>`.
fn partition(name: &str) -> Option<PartitionId> {
    let (topic, index) = name.split_once('/')?;
    Some(PartitionId { topic: topic.parse::<TopicId>().ok()?, index: index.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_list_in_the_order_of_their_numbers() {
        let keys = Keys::new("/floe/test/");
        let id = |index| PartitionId { topic: TopicId(7), index };
        let all = [
            Key::Broker(BrokerId(9)),
            Key::Broker(BrokerId(10)),
            Key::Catalog,
            Key::Cleaning(Incarnation(5)),
            Key::Cluster,
            Key::Counter,
            Key::Drain(Incarnation(5)),
            Key::Incarnation(Incarnation(2)),
            Key::Incarnation(Incarnation(u64::MAX)),
            Key::Listed(Incarnation(5)),
            Key::Life(Incarnation(99)),
            Key::Life(Incarnation(100)),
            Key::Lost(Incarnation(5)),
            Key::Mark,
            Key::Partition(id(9)),
            Key::Partition(id(10)),
            Key::Preferred(id(9)),
            Key::Preferred(id(10)),
        ];
        let text: Vec<String> = all.iter().map(|key| keys.key(*key)).collect();
        assert!(text.is_sorted(), "{text:?}");
        assert!(all.iter().zip(&text).all(|(key, text)| keys.parse(text) == Some(*key)));
        assert!(text.iter().all(|key| text.iter().all(|other| !other.starts_with(&format!("{key}/")))), "no key is another's folder");
    }

    #[test]
    fn foreign_keys_are_none() {
        let keys = Keys::new("/floe");
        for key in ["/other/cluster", "/floe/brokers/9", "/floe/brokers/-000000009", "/floe/cluster/x", "/floe/partitions/x/0", "/floe/new"]
        {
            assert_eq!(keys.parse(key), None, "{key}");
        }
    }
}
