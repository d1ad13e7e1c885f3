//! Changing settings: what IncrementalAlterConfigs and AlterConfigs have in common.
//!
//! Every resource succeeds or fails by itself and as a whole. What changes of all topics together is one version of the
//! catalog, planned on the newest one, so that two who append to one list both find their value in it.

use crate::broker::Broker;
use crate::config::{BROKER_SETTINGS, ConfigType};
use crate::errors::{self, Refusal};
use crate::live::Settings;
use crate::topic_config::{check_topic_setting, topic_setting};
use floe_formats::{CatalogChange, Topic};
use floe_log::{DURABILITY, Durability, EngineOptions, check_export_setting};
use floe_metadata::View;
use floe_protocol::ErrorCode;
use floe_types::{BrokerId, check_topic_name};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Kinds of resources (`ConfigResource.Type`).
pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
pub(crate) const BROKER_LOGGER: i8 = 8;
pub(crate) const CLIENT_METRICS: i8 = 16;
pub(crate) const GROUP: i8 = 32;

/// Longest wait for the catalog; these requests bring no time of their own.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is to be done with one setting (`AlterConfigOp.OpType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

impl Operation {
    pub(crate) fn from_wire(number: i8) -> Option<Self> {
        Some(match number {
            0 => Self::Set,
            1 => Self::Delete,
            2 => Self::Append,
            3 => Self::Subtract,
            _ => return None,
        })
    }
}

/// One setting of a request.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// None for a number that means nothing.
    pub(crate) operation: Option<Operation>,
    pub(crate) value: Option<String>,
}

/// What a request asks of one resource.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) kind: i8,
    pub(crate) name: String,
    pub(crate) keys: Vec<Key>,
    /// What the keys do not name goes back to its default.
    pub(crate) replace: bool,
}

/// What settings are planned upon besides the catalog.
#[derive(Debug)]
struct Ground {
    settings: Arc<Settings>,
    broker: BrokerId,
    durability: Durability,
    asked: Vec<Asked>,
    /// Those that are refused whatever the catalog says, by their place.
    refused: BTreeMap<usize, Refusal>,
}

/// Changes, or with `validate_only` only says whether they could be made. One answer for each resource, in order.
pub(crate) async fn alter(broker: &Broker, asked: Vec<Asked>, validate_only: bool) -> Vec<Result<(), Refusal>> {
    let refused = refuse(broker, &asked);
    let options = broker.engine.options();
    let ground = Ground { settings: broker.settings(), broker: options.broker, durability: options.durability, asked, refused };
    let ground = Arc::new(ground);
    if validate_only {
        return ground.plan(&broker.view()).1;
    }
    let (engine, live, planner) = (broker.engine.clone(), broker.live.clone(), ground.clone());
    let work = async move {
        let answers = engine.change_catalog(|view| planner.plan(view)).await;
        live.follow(|| engine.catalog().view());
        answers
    };
    let refusal = match broker.run_to_end("alter-configs", TIMEOUT, work).await {
        Some(Ok(answers)) => return answers,
        Some(Err(error)) => Refusal::new(errors::of_topic(&error), error.to_string()),
        None => Refusal::new(ErrorCode::RequestTimedOut, "the change may have been made a moment later"),
    };
    ground.plan(&broker.view()).1.into_iter().map(|answer| answer.and(Err(refusal.clone()))).collect()
}

/// What can be said without the catalog.
fn refuse(broker: &Broker, asked: &[Asked]) -> BTreeMap<usize, Refusal> {
    let mut refused = BTreeMap::new();
    let mut seen: BTreeMap<(i8, &str), usize> = BTreeMap::new();
    for (at, resource) in asked.iter().enumerate() {
        if let Some(before) = seen.insert((resource.kind, &resource.name), at) {
            for at in [before, at] {
                refused.insert(at, Refusal::new(ErrorCode::InvalidRequest, "Each resource must appear at most once."));
            }
        }
    }
    for (at, resource) in asked.iter().enumerate() {
        let checked = check_keys(&resource.keys).and_then(|()| check_resource(broker.id(), resource));
        if let Err(refusal) = checked.and_then(|()| check_here(resource, broker.engine.options())) {
            refused.entry(at).or_insert(refusal);
        }
    }
    refused
}

fn check_keys(keys: &[Key]) -> Result<(), Refusal> {
    let refuse = |why: String| Err(Refusal::new(ErrorCode::InvalidRequest, why));
    let mut seen = BTreeSet::new();
    if keys.iter().any(|key| !seen.insert(&key.name)) {
        return refuse("Error due to duplicate config keys".to_owned());
    }
    if let Some(key) = keys.iter().find(|key| key.operation.is_none()) {
        return refuse(format!("Unknown operation for config {}", key.name));
    }
    let null = |key: &&Key| key.value.is_none() && key.operation != Some(Operation::Delete);
    let nulls: Vec<_> = keys.iter().filter(null).map(|key| key.name.as_str()).collect();
    if nulls.is_empty() { Ok(()) } else { refuse(format!("Null value not supported for : {}", nulls.join(", "))) }
}

/// Not every broker knows every level of durability, or may export everywhere.
fn check_here(resource: &Asked, options: &EngineOptions) -> Result<(), Refusal> {
    let asked = resource.keys.iter().filter(|_| resource.kind == TOPIC);
    for (name, value) in asked.filter_map(|key| Some((key.name.as_str(), key.value.as_ref()?))) {
        let checked = match name {
            DURABILITY => Durability::read(value, options.in_cluster).map(|_| ()),
            _ => check_export_setting(name, value, options),
        };
        checked.map_err(|why| Refusal::new(ErrorCode::InvalidConfig, why))?;
    }
    Ok(())
}

/// Which resources there are, and what is known of them beforehand.
fn check_resource(id: i32, resource: &Asked) -> Result<(), Refusal> {
    match resource.kind {
        TOPIC if resource.name.is_empty() => Err(Refusal::new(ErrorCode::InvalidRequest, "Default topic resources are not allowed.")),
        TOPIC => check_topic_name(&resource.name).map_err(|e| Refusal::new(ErrorCode::InvalidTopicException, e.to_string())),
        BROKER if resource.name.is_empty() => Ok(()),
        BROKER => check_broker_name(id, &resource.name),
        BROKER_LOGGER if !resource.replace => {
            check_broker_name(id, &resource.name)?;
            match resource.keys.first() {
                None => Ok(()),
                Some(key) => Err(Refusal::new(ErrorCode::InvalidConfig, format!("Logger {} does not exist!", key.name))),
            }
        }
        other => Err(Refusal::new(ErrorCode::InvalidRequest, format!("Unsupported resource type: {other}"))),
    }
}

/// A broker can be named by its id only.
pub(crate) fn check_broker_name(id: i32, name: &str) -> Result<(), Refusal> {
    match name.parse::<i32>() {
        Ok(named) if named == id => Ok(()),
        Ok(_) => Err(Refusal::new(
            ErrorCode::InvalidRequest,
            format!("Unexpected broker id, expected {id} or empty string, but received {name}"),
        )),
        Err(_) => Err(Refusal::new(ErrorCode::InvalidRequest, format!("Node id must be an integer, but it is: {name}"))),
    }
}

impl Ground {
    /// What to change, and the answers if that is done.
    fn plan(&self, view: &View) -> (Vec<CatalogChange>, Vec<Result<(), Refusal>>) {
        let mut changes = Vec::new();
        let answers = self.asked.iter().enumerate().map(|(at, resource)| {
            if let Some(refusal) = self.refused.get(&at) {
                return Err(refusal.clone());
            }
            match resource.kind {
                TOPIC => changes.extend(self.plan_topic(view, resource)?),
                BROKER => changes.extend(self.plan_broker(view, resource)?),
                _ => {}
            }
            Ok(())
        });
        let answers = answers.collect();
        (changes, answers)
    }

    fn plan_topic(&self, view: &View, asked: &Asked) -> Result<Vec<CatalogChange>, Refusal> {
        let unknown = || Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("The topic '{}' does not exist.", asked.name));
        let topic = view.by_name(&asked.name).ok_or_else(unknown)?;
        let mut wanted = BTreeMap::new();
        for key in &asked.keys {
            let value = self.new_value(topic, key)?;
            if let Some(value) = &value {
                check_topic_setting(&key.name, Some(value)).map_err(|e| Refusal::new(errors::of_topic_config(&e), e.to_string()))?;
            }
            wanted.insert(key.name.as_str(), value);
        }
        if asked.replace {
            for key in topic.configs.keys() {
                wanted.entry(key).or_insert(None);
            }
        }
        let changed = wanted.into_iter().filter(|(key, value)| topic.configs.get(*key) != value.as_ref());
        Ok(changed.map(|(key, value)| CatalogChange::SetTopicConfig { id: topic.id, key: key.to_owned(), value }).collect())
    }

    /// The same for settings of this broker, or of all; together they must be what a broker could be started with.
    fn plan_broker(&self, view: &View, asked: &Asked) -> Result<Vec<CatalogChange>, Refusal> {
        let broker = (!asked.name.is_empty()).then_some(self.broker);
        let now = view.broker_configs(broker);
        let fixed = |key: &&Key| !BROKER_SETTINGS.iter().any(|setting| setting.key == key.name && setting.is_dynamic());
        let fixed: Vec<_> = asked.keys.iter().filter(fixed).map(|key| key.name.as_str()).collect();
        if !fixed.is_empty() {
            let why = format!("Cannot update these configs dynamically: {}; a broker reads them when it starts", fixed.join(", "));
            return Err(Refusal::new(ErrorCode::InvalidRequest, why));
        }
        let mut then = if asked.replace { BTreeMap::new() } else { now.clone() };
        for key in &asked.keys {
            match self.new_broker_value(key)? {
                Some(value) => then.insert(key.name.clone(), value),
                None => then.remove(&key.name),
            };
        }
        // What a later version stored is not this one's to judge.
        let is_known = |name: &String| BROKER_SETTINGS.iter().any(|setting| setting.key == name);
        let known = then.iter().filter(|(name, _)| is_known(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
        let (cluster, own) = match broker {
            Some(_) => (self.settings.cluster().clone(), known),
            None => (known, self.settings.own().clone()),
        };
        self.settings.altered(cluster, own).map_err(|e| Refusal::new(ErrorCode::InvalidConfig, e.to_string()))?;
        let names: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
        let changed = names.into_iter().filter(|name| now.get(*name) != then.get(*name));
        Ok(changed.map(|key| CatalogChange::SetBrokerConfig { broker, key: key.clone(), value: then.get(key).cloned() }).collect())
    }

    /// No setting of a broker is a list so far.
    fn new_broker_value(&self, key: &Key) -> Result<Option<String>, Refusal> {
        match key.operation {
            Some(Operation::Set) => Ok(key.value.clone()),
            Some(Operation::Delete) | None => Ok(None),
            Some(edit @ (Operation::Append | Operation::Subtract)) => Err(not_a_list(edit, &key.name)),
        }
    }

    /// None puts the default back.
    fn new_value(&self, topic: &Topic, key: &Key) -> Result<Option<String>, Refusal> {
        let given = key.value.as_deref().unwrap_or_default();
        let edit = match key.operation {
            Some(Operation::Set) => return Ok(Some(given.to_owned())),
            Some(Operation::Delete) | None => return Ok(None),
            Some(edit @ (Operation::Append | Operation::Subtract)) => edit,
        };
        let setting = topic_setting(&key.name).filter(|setting| setting.kind == ConfigType::List);
        let setting = setting.ok_or_else(|| not_a_list(edit, &key.name))?;
        let now = setting.origins(&topic.configs, &self.settings, self.durability).into_iter().next().map(|origin| origin.value);
        Ok(Some(edit_list(&now.unwrap_or_default(), given, edit == Operation::Append)))
    }
}

fn not_a_list(edit: Operation, name: &str) -> Refusal {
    let edit = if edit == Operation::Append { "APPEND" } else { "SUBTRACT" };
    Refusal::new(ErrorCode::InvalidConfig, format!("Can't {edit} to key {name} because its type is not LIST."))
}

/// A list with elements more, each once, or with elements less.
fn edit_list(now: &str, given: &str, append: bool) -> String {
    let elements = |text: &str| text.split(',').map(str::trim).filter(|e| !e.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (mut list, given) = (elements(now), elements(given));
    if append {
        for element in given {
            if !list.contains(&element) {
                list.push(element);
            }
        }
    } else {
        list.retain(|element| !given.contains(element));
    }
    list.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_and_shrink_by_elements() {
        for (now, given, append, expected) in [
            ("delete", "compact", true, "delete,compact"),
            ("delete", "delete", true, "delete"),
            ("", "a, b,a", true, "a,b"),
            ("delete, compact", "delete", false, "compact"),
            ("delete", "compact", false, "delete"),
            ("delete", "delete,compact", false, ""),
        ] {
            assert_eq!(edit_list(now, given, append), expected, "{now:?} {given:?} {append}");
        }
    }

    #[test]
    fn keys_are_named_once_and_have_a_value_and_an_operation() {
        let key = |name: &str, operation: i8, value: Option<&str>| Key {
            name: name.to_owned(),
            operation: Operation::from_wire(operation),
            value: value.map(str::to_owned),
        };
        assert_eq!(check_keys(&[key("a", 0, Some("")), key("b", 1, None), key("c", 3, Some("x"))]), Ok(()));
        for bad in [
            vec![key("a", 0, Some("1")), key("a", 1, None)],
            vec![key("a", 4, Some("1"))],
            vec![key("a", -1, Some("1"))],
            vec![key("a", 0, None)],
            vec![key("a", 2, None)],
        ] {
            assert_eq!(check_keys(&bad).expect_err("refused").code, ErrorCode::InvalidRequest, "{bad:?}");
        }
    }
}
