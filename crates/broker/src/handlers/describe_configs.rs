//! DescribeConfigs: every setting of a topic or of this broker, where its value comes from, its type and its meaning.

use crate::broker::Broker;
use crate::config::{BROKER_SETTINGS, ConfigType};
use crate::config_change::{BROKER, BROKER_LOGGER, CLIENT_METRICS, TOPIC, check_broker_name};
use crate::errors::Refusal;
use crate::topic_config::{Origin, Source, TOPIC_SETTINGS};
use floe_protocol::messages::describe_configs_request::DescribeConfigsResource;
use floe_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym};
use floe_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use floe_protocol::{ErrorCode, message};
use floe_types::check_topic_name;

/// A setting with all its values.
struct Described {
    kind: ConfigType,
    doc: &'static str,
    read_only: bool,
    /// As the resource calls it.
    name: &'static str,
    origins: Vec<Origin>,
}

pub(super) fn handle(broker: &Broker, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let (synonyms, documentation) = (request.include_synonyms, request.include_documentation);
    let results = request
        .resources
        .into_iter()
        .map(|resource| match describe(broker, &resource) {
            Ok(settings) => {
                let keys = resource.configuration_keys.unwrap_or_default();
                let wanted = |setting: &Described| keys.is_empty() || keys.iter().any(|key| key.as_str() == setting.name);
                let configs = settings.into_iter().filter(wanted).map(|setting| show(setting, synonyms, documentation)).collect();
                message!(DescribeConfigsResult { resource_type: resource.resource_type, resource_name: resource.resource_name, configs })
            }
            Err(Refusal { code, message }) => message!(DescribeConfigsResult {
                error_code: code.code(),
                error_message: Some(message.into()),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
            }),
        })
        .collect();
    message!(DescribeConfigsResponse { results })
}

fn describe(broker: &Broker, resource: &DescribeConfigsResource) -> Result<Vec<Described>, Refusal> {
    let name = resource.resource_name.as_str();
    match resource.resource_type {
        TOPIC => describe_topic(broker, name),
        BROKER if name.is_empty() => Ok(describe_cluster(broker)),
        BROKER => check_broker_name(broker.id(), name).map(|()| describe_broker(broker)),
        // Levels of single loggers are not to be changed while the broker runs.
        BROKER_LOGGER => check_broker_name(broker.id(), name).map(|()| Vec::new()),
        CLIENT_METRICS if name.is_empty() => {
            Err(Refusal::new(ErrorCode::InvalidRequest, "Client metrics subscription name must not be empty"))
        }
        CLIENT_METRICS => Ok(Vec::new()),
        other => Err(Refusal::new(ErrorCode::InvalidRequest, format!("Unsupported resource type: {other}"))),
    }
}

fn describe_topic(broker: &Broker, name: &str) -> Result<Vec<Described>, Refusal> {
    check_topic_name(name).map_err(|e| Refusal::new(ErrorCode::InvalidTopicException, e.to_string()))?;
    let view = broker.view();
    let topic = view.by_name(name).ok_or_else(|| Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name}")))?;
    let settings = broker.settings();
    let described = |setting: &crate::topic_config::TopicSetting| Described {
        kind: setting.kind,
        doc: setting.doc,
        read_only: false,
        name: setting.name,
        origins: setting.origins(&topic.configs, &settings, broker.engine.options().durability),
    };
    Ok(TOPIC_SETTINGS.iter().map(described).collect())
}

fn describe_broker(broker: &Broker) -> Vec<Described> {
    let settings = broker.settings();
    let described = |setting: &crate::config::BrokerSetting| Described {
        kind: setting.kind,
        doc: setting.doc,
        read_only: !setting.is_dynamic(),
        name: setting.key,
        origins: settings.origins(setting),
    };
    BROKER_SETTINGS.iter().map(described).collect()
}

/// What was altered for all brokers, and nothing else.
fn describe_cluster(broker: &Broker) -> Vec<Described> {
    let altered = |setting: &Described| setting.origins.iter().any(|origin| origin.source == Source::DynamicCluster);
    let mut settings = describe_broker(broker);
    settings.retain(altered);
    for setting in &mut settings {
        setting.origins.retain(|origin| origin.source >= Source::DynamicCluster);
    }
    settings
}

fn show(setting: Described, synonyms: bool, documentation: bool) -> DescribeConfigsResourceResult {
    let (value, source) = setting.origins.first().map_or((None, Source::Default), |o| (Some(o.value.as_str().into()), o.source));
    let synonyms = if synonyms { setting.origins } else { Vec::new() };
    message!(DescribeConfigsResourceResult {
        name: setting.name.into(),
        value,
        read_only: setting.read_only,
        config_source: source as i8,
        is_sensitive: false,
        config_type: setting.kind as i8,
        documentation: documentation.then(|| setting.doc.into()),
        synonyms: synonyms
            .into_iter()
            .map(|o| message!(DescribeConfigsSynonym { name: o.name.into(), value: Some(o.value.into()), source: o.source as i8 }))
            .collect(),
    })
}
