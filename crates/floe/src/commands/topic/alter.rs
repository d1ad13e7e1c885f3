//! `floe topic alter`: settings and the number of partitions of a topic that is there.

use super::{Common, TOPIC, millis};
use crate::exit::{Exit, Failure};
use crate::kafka::{Kafka, check};
use crate::output;
use clap::Args;
use floe_protocol::message;
use floe_protocol::messages::{
    CreatePartitionsRequest, IncrementalAlterConfigsRequest,
    create_partitions_request::CreatePartitionsTopic,
    incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
};
use serde_json::json;

/// Kafka's numbers of what is done with a setting (`AlterConfigOp.OpType`).
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

#[derive(Debug, Args)]
pub(super) struct Changes {
    name: String,
    /// Give a setting a value, such as floe.durability=object
    #[arg(long, short, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Put a setting back to its default
    #[arg(long, short, value_name = "KEY")]
    delete: Vec<String>,
    /// Add to a setting that is a list
    #[arg(long, value_name = "KEY=VALUE")]
    append: Vec<String>,
    /// Take away from a setting that is a list
    #[arg(long, value_name = "KEY=VALUE")]
    subtract: Vec<String>,
    /// Raise the number of partitions; records with keys go elsewhere from then on
    #[arg(long, short, value_name = "N")]
    partitions: Option<i32>,
    /// Say whether it could be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Changes {
    fn configs(&self) -> Result<Vec<AlterableConfig>, Failure> {
        let mut configs = Vec::new();
        for (flag, operation, given) in
            [("--set", SET, &self.set), ("--append", APPEND, &self.append), ("--subtract", SUBTRACT, &self.subtract)]
        {
            for text in given {
                let not_a_pair = || Failure::new(Exit::Refused, format!("{flag} {text}: is not KEY=VALUE"));
                let (key, value) = text.split_once('=').ok_or_else(not_a_pair)?;
                configs.push(message!(AlterableConfig { name: key.into(), config_operation: operation, value: Some(value.into()) }));
            }
        }
        configs.extend(
            self.delete.iter().map(|key| message!(AlterableConfig { name: key.as_str().into(), config_operation: DELETE, value: None })),
        );
        Ok(configs)
    }
}

pub(super) async fn run(kafka: &mut Kafka, changes: &Changes, common: &Common) -> Result<Exit, Failure> {
    let configs = changes.configs()?;
    if configs.is_empty() && changes.partitions.is_none() {
        return Err(Failure::new(Exit::Refused, "nothing to alter: give --set, --delete, --append, --subtract or --partitions"));
    }
    let name = changes.name.as_str();
    if !configs.is_empty() {
        let resource = message!(AlterConfigsResource { resource_type: TOPIC, resource_name: name.into(), configs });
        let request = message!(IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: changes.dry_run });
        for answer in kafka.ask(|_| request).await?.responses {
            check(&format!("settings of {name}"), answer.error_code, answer.error_message.as_deref())?;
        }
    }
    if let Some(count) = changes.partitions {
        let topic = message!(CreatePartitionsTopic { name: name.into(), count, assignments: None });
        let request = message!(CreatePartitionsRequest { topics: vec![topic], timeout_ms: millis(common), validate_only: changes.dry_run });
        for answer in kafka.ask(|_| request).await?.results {
            check(&format!("partitions of {name}"), answer.error_code, answer.error_message.as_deref())?;
        }
    }
    if common.json {
        output::json(&json!({ "name": name, "altered": !changes.dry_run }))?;
    } else {
        output::print(&format!("{} {name}", if changes.dry_run { "could alter" } else { "altered" }))?;
    }
    Ok(Exit::Ok)
}
