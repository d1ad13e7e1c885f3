//! `floe group reset`: new offsets for a group, shown before they are set.

use super::{Broker, commit, committed};
use crate::commands::consume::Start;
use crate::commands::topic::{EARLIEST, LATEST, offsets};
use crate::exit::{Exit, Failure};
use crate::kafka::{Kafka, TopicInfo};
use crate::output;
use clap::Args;
use floe_env::Env;
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    group: String,
    /// Only this topic, or some of its partitions, such as orders or orders:0,3; may be given more than once [default: all that the group has offsets of]
    #[arg(long, short, value_name = "TOPIC[:N,...]")]
    topic: Vec<String>,
    #[command(flatten)]
    target: Target,
    /// Show what would be set, and set nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    broker: Broker,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// To the first record that is there
    #[arg(long)]
    to_earliest: bool,
    /// Behind the last record that is there
    #[arg(long)]
    to_latest: bool,
    /// To the first record of a time: RFC 3339, or milliseconds since 1970
    #[arg(long, value_name = "TIME")]
    to_time: Option<String>,
    /// By so many records, back if negative
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift: Option<i64>,
}

/// One partition: what it had, and what it gets.
struct Change {
    topic: String,
    partition: i32,
    before: Option<i64>,
    after: i64,
}

pub(super) async fn run(env: &Env, arguments: Arguments) -> Result<Exit, Failure> {
    let mut kafka = Kafka::connect(env, &arguments.broker).await?;
    let before = committed(&mut kafka, &arguments.group).await?;
    let wanted = wanted(&mut kafka, &arguments.topic, &before).await?;
    if wanted.is_empty() {
        return Err(Failure::error(format!("group {}: it has no offsets; say which --topic", arguments.group)));
    }
    let mut changes = Vec::new();
    for (topic, partitions) in &wanted {
        changes.extend(plan(&mut kafka, &arguments.target, topic, partitions, &before).await?);
    }
    if !arguments.dry_run {
        let offsets = changes.iter().map(|change| ((change.topic.clone(), change.partition), change.after)).collect();
        commit(&mut kafka, &arguments.group, &offsets).await?;
    }
    show(&arguments, &changes)
}

/// Which partitions of which topics.
async fn wanted(kafka: &mut Kafka, given: &[String], before: &BTreeMap<(String, i32), i64>) -> Result<Vec<(TopicInfo, Vec<i32>)>, Failure> {
    let mut names: BTreeMap<String, Option<Vec<i32>>> = BTreeMap::new();
    if given.is_empty() {
        for (topic, partition) in before.keys() {
            names.entry(topic.clone()).or_insert_with(|| Some(Vec::new())).get_or_insert_default().push(*partition);
        }
    }
    for text in given {
        let (name, partitions) = parse(text)?;
        names.insert(name, partitions);
    }
    let mut wanted = Vec::new();
    for (name, partitions) in names {
        let topic = kafka.topic(&name, false).await?;
        let partitions = partitions.unwrap_or_else(|| topic.partitions.keys().copied().collect());
        for partition in &partitions {
            topic.leader(*partition)?;
        }
        wanted.push((topic, partitions));
    }
    Ok(wanted)
}

/// A topic, or some partitions of it. Names of topics hold no colon.
fn parse(text: &str) -> Result<(String, Option<Vec<i32>>), Failure> {
    let Some((name, partitions)) = text.split_once(':') else { return Ok((text.to_owned(), None)) };
    let one = |number: &str| {
        let wrong = || Failure::new(Exit::Refused, format!("--topic {text}: {number:?} is not a partition"));
        number.trim().parse::<i32>().map_err(|_| wrong())
    };
    Ok((name.to_owned(), Some(partitions.split(',').map(one).collect::<Result<_, _>>()?)))
}

async fn plan(
    kafka: &mut Kafka,
    target: &Target,
    topic: &TopicInfo,
    partitions: &[i32],
    before: &BTreeMap<(String, i32), i64>,
) -> Result<Vec<Change>, Failure> {
    let (starts, ends) = (offsets(kafka, topic, EARLIEST).await?, offsets(kafka, topic, LATEST).await?);
    let found = match &target.to_time {
        Some(text) => offsets(kafka, topic, time(text)?).await?,
        None => BTreeMap::new(),
    };
    let mut changes = Vec::new();
    for partition in partitions {
        let of = |map: &BTreeMap<i32, i64>| map.get(partition).copied().unwrap_or(0);
        let had = before.get(&(topic.name.clone(), *partition)).copied();
        let after = match target.shift {
            Some(by) => {
                let none = || Failure::error(format!("{} {partition}: the group has no offset there to shift", topic.name));
                had.ok_or_else(none)?.saturating_add(by)
            }
            None if target.to_earliest => of(&starts),
            None if target.to_latest => of(&ends),
            // After the last record there is none of that time: the end.
            None => Some(of(&found)).filter(|offset| *offset >= 0).unwrap_or(i64::MAX),
        };
        let after = after.clamp(of(&starts), of(&ends).max(of(&starts)));
        changes.push(Change { topic: topic.name.clone(), partition: *partition, before: had, after });
    }
    Ok(changes)
}

fn time(text: &str) -> Result<i64, Failure> {
    match format!("time:{text}").parse() {
        Ok(Start::Time(time)) => Ok(time),
        Ok(_) => Err(Failure::new(Exit::Refused, format!("--to-time {text}: is not a time"))),
        Err(why) => Err(Failure::new(Exit::Refused, format!("--to-time: {why}"))),
    }
}

fn show(arguments: &Arguments, changes: &[Change]) -> Result<Exit, Failure> {
    if arguments.json {
        let rows: Vec<_> =
            changes.iter().map(|c| json!({ "topic": c.topic, "partition": c.partition, "before": c.before, "after": c.after })).collect();
        output::json(&json!({ "group": arguments.group, "set": !arguments.dry_run, "offsets": rows }))?;
        return Ok(Exit::Ok);
    }
    let rows = changes.iter().map(|c| {
        let before = c.before.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
        vec![c.topic.clone(), c.partition.to_string(), before, c.after.to_string()]
    });
    output::print(&output::table(&["topic", "partition", "before", "after"], rows))?;
    if arguments.dry_run {
        output::print("nothing was set")?;
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_name_its_partitions() {
        assert_eq!(parse("orders").expect("a topic"), ("orders".into(), None));
        assert_eq!(parse("orders:0,3").expect("partitions"), ("orders".into(), Some(vec![0, 3])));
        assert!(parse("orders:x").is_err() && parse("orders:").is_err());
    }

    #[test]
    fn a_time_is_read_as_consumers_read_it() {
        assert_eq!(time("2023-11-14T22:13:20Z").expect("a time"), 1_700_000_000_000);
        assert_eq!(time("1700000000000").expect("milliseconds"), 1_700_000_000_000);
        assert!(time("noon").is_err());
    }
}
