//! The broker's settings as they are now: those it was started with and, over them, what was altered while it ran - for
//! all brokers, and over that for this one. What is altered is the catalog's, and holds across restarts.
//!
//! Reading is a look at what is in force; [`LiveSettings::follow`] makes it what a newer catalog says. A stored value that
//! this version cannot use counts as not there: it was checked when it was stored.

use crate::config::{BROKER_SETTINGS, BrokerConfig, BrokerSetting, ConfigError};
use crate::topic_config::{Origin, Source};
use floe_metadata::View;
use floe_types::BrokerId;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

/// All settings at one moment, and where each comes from. What is in force is what it derefs to.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    started: BrokerConfig,
    /// Altered for all brokers, and for this one.
    cluster: BTreeMap<String, String>,
    own: BTreeMap<String, String>,
    in_force: BrokerConfig,
}

impl Deref for Settings {
    type Target = BrokerConfig;
    fn deref(&self) -> &BrokerConfig {
        &self.in_force
    }
}

impl Settings {
    /// Nothing altered.
    pub(crate) fn started(started: BrokerConfig) -> Self {
        Self { in_force: started.clone(), started, cluster: BTreeMap::new(), own: BTreeMap::new() }
    }

    /// With what was altered for all brokers and for this one.
    ///
    /// # Errors
    /// The first value that cannot be read, or the first setting that contradicts another.
    pub(crate) fn altered(&self, cluster: BTreeMap<String, String>, own: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut in_force = self.started.clone();
        for (key, value) in cluster.iter().chain(&own) {
            in_force.set(key, value)?;
        }
        in_force.validate()?;
        Ok(Self { started: self.started.clone(), cluster, own, in_force })
    }

    /// Every place that gives a setting a value, the one that counts first. Never empty.
    pub(crate) fn origins(&self, setting: &BrokerSetting) -> Vec<Origin> {
        let name = setting.key;
        let altered = |configs: &BTreeMap<String, String>, source| {
            let value = setting.shown(configs.get(name)?)?;
            Some(Origin { name, value, source })
        };
        let (started, default) = (setting.value(&self.started), setting.default_value());
        let given = (started != default).then_some(Origin { name, value: started, source: Source::Broker });
        let all = [altered(&self.own, Source::DynamicBroker), altered(&self.cluster, Source::DynamicCluster), given];
        all.into_iter().flatten().chain([Origin { name, value: default, source: Source::Default }]).collect()
    }

    /// Settings altered for all brokers, as they were given.
    pub(crate) fn cluster(&self) -> &BTreeMap<String, String> {
        &self.cluster
    }

    /// Settings altered for this broker, as they were given.
    pub(crate) fn own(&self) -> &BTreeMap<String, String> {
        &self.own
    }
}

/// The settings of a running broker. Clones of what it gives stay as they were.
#[derive(Debug)]
pub(crate) struct LiveSettings {
    broker: BrokerId,
    now: RwLock<Arc<Settings>>,
}

impl LiveSettings {
    pub(crate) fn new(broker: BrokerId, started: BrokerConfig) -> Self {
        Self { broker, now: RwLock::new(Arc::new(Settings::started(started))) }
    }

    pub(crate) fn get(&self) -> Arc<Settings> {
        self.now.read().clone()
    }

    /// Makes what is in force what the catalog says. `view` is asked for under the lock, so that a newer one wins.
    pub(crate) fn follow(&self, view: impl FnOnce() -> Arc<View>) {
        let mut now = self.now.write();
        let view = view();
        let usable = |broker: Option<BrokerId>| {
            let is_usable = |key: &str, value: &str| {
                let setting = BROKER_SETTINGS.iter().find(|setting| setting.key == key && setting.is_dynamic());
                setting.is_some_and(|setting| setting.shown(value).is_some())
            };
            let mut configs = view.broker_configs(broker);
            configs.retain(|key, value| is_usable(key, value));
            configs
        };
        match now.altered(usable(None), usable(Some(self.broker))) {
            Ok(settings) => *now = Arc::new(settings),
            Err(error) => {
                tracing::error!(%error, "settings that were altered contradict what this broker was started with: they are left out")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_types::ByteSize;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_brokers_own_value_wins_over_that_of_all_and_both_over_what_it_was_started_with() {
        let started = Settings::started(BrokerConfig { num_partitions: 2, ..BrokerConfig::default() });
        let setting = BROKER_SETTINGS.iter().find(|setting| setting.key == "num.partitions").expect("it exists");
        let shown = |settings: &Settings| settings.origins(setting).into_iter().map(|o| (o.value, o.source as i8)).collect::<Vec<_>>();
        let value = |value: &str, source: i8| (value.to_owned(), source);
        assert_eq!((started.num_partitions, shown(&started)), (2, vec![value("2", 4), value("1", 5)]));
        let all = started.altered(map(&[("num.partitions", "3")]), map(&[])).expect("readable");
        assert_eq!((all.num_partitions, shown(&all)), (3, vec![value("3", 3), value("2", 4), value("1", 5)]));
        let own = all.altered(all.cluster().clone(), map(&[("num.partitions", " 5 ")])).expect("readable");
        let expected = vec![value("5", 2), value("3", 3), value("2", 4), value("1", 5)];
        assert_eq!((own.num_partitions, shown(&own)), (5, expected));
        let back = own.altered(map(&[]), map(&[])).expect("readable");
        assert_eq!(back.num_partitions, 2);
    }

    #[test]
    fn what_cannot_be_read_or_contradicts_is_refused() {
        let started = Settings::started(BrokerConfig { socket_request_max_bytes: ByteSize(1 << 20), ..BrokerConfig::default() });
        for bad in [("num.partitions", "many"), ("num.partitions", "0"), ("message.max.bytes", "2MiB"), ("no.such", "1")] {
            let error = started.altered(map(&[bad]), map(&[])).expect_err("refused");
            assert!(error.to_string().starts_with(bad.0), "{error}");
        }
    }
}
