//! The tools, against a running broker and its store.

use crate::process::{Broker, code, floe, good, run, stderr, stdout};
use serde_json::Value;
use std::io::Write;
use std::process::{Output, Stdio};

/// Sends lines through stdin.
pub(crate) fn produce_to(broker: &str, topic: &str, lines: &str) -> Output {
    produce_with(broker, topic, lines, &[])
}

fn produce_with(broker: &str, topic: &str, lines: &str, more: &[&str]) -> Output {
    let mut command = floe(&[&["produce", topic, "-b", broker], more].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let sent = child.stdin.take().expect("it is piped").write_all(lines.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    assert!(sent.is_ok() || !output.status.success(), "it ended well without reading everything");
    output
}

#[test]
fn topics_are_created_listed_described_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    let at = broker.kafka();
    assert_eq!(good(&["topic", "list", "-b", &at]), "no topics\n");
    let created = good(&["topic", "create", "a", "-b", &at, "--partitions", "2", "--config", "floe.durability=object"]);
    assert!(created.starts_with("created a with 2 partitions, id "), "{created}");
    let listed = good(&["topic", "list", "-b", &at]);
    assert!(listed.contains("TOPIC") && listed.contains(" a "), "{listed}");
    let described: Value = serde_json::from_str(&good(&["topic", "describe", "a", "-b", &at, "--json"])).unwrap();
    assert_eq!(described[0]["partitions"].as_array().map(Vec::len), Some(2));
    assert_eq!(described[0]["configs"]["floe.durability"], "object");
    let described = good(&["topic", "describe", "a", "-b", &at]);
    assert!(described.contains("floe.durability=object") && described.contains("PARTITION"), "{described}");
    let twice = run(&["topic", "create", "a", "-b", &at]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(stderr(&twice).contains("TOPIC_ALREADY_EXISTS"), "{}", stderr(&twice));
    assert_eq!(good(&["topic", "delete", "a", "-b", &at]), "deleted a\n");
    let gone = run(&["topic", "describe", "a", "-b", &at]);
    assert!(!gone.status.success() && stderr(&gone).contains("UNKNOWN_TOPIC_OR_PARTITION"), "{}", stderr(&gone));
    broker.drain();
}

#[test]
fn a_topic_is_altered_and_what_cannot_be_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    let at = broker.kafka();
    good(&["topic", "create", "a", "-b", &at, "--config", "compression.type=zstd"]);
    let alter = |more: &[&str]| run(&[&["topic", "alter", "a", "-b", &at], more].concat());
    let described = || serde_json::from_str::<Value>(&good(&["topic", "describe", "a", "-b", &at, "--json"])).unwrap();
    let tried = alter(&["--set", "floe.durability=object", "--dry-run"]);
    assert_eq!(stdout(&tried), "could alter a\n", "{}", stderr(&tried));
    assert_eq!(described()[0]["configs"]["floe.durability"], "local");
    let done =
        alter(&["--set", "floe.durability=object", "--set", "max.message.bytes=777", "--delete", "compression.type", "--partitions", "3"]);
    assert_eq!(stdout(&done), "altered a\n", "{}", stderr(&done));
    let now = described();
    assert_eq!(now[0]["partitions"].as_array().map(Vec::len), Some(3));
    let configs = &now[0]["configs"];
    assert_eq!(
        (&configs["floe.durability"], &configs["compression.type"], &configs["max.message.bytes"]),
        (&"object".into(), &"producer".into(), &"777".into())
    );
    let listed = alter(&["--append", "cleanup.policy=delete", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&stdout(&listed)).unwrap()["altered"], true);
    for (more, code, why) in [
        (&["--set", "compression.type=brotli"][..], 1, "INVALID_CONFIG"),
        (&["--subtract", "compression.type=gzip"], 1, "not LIST"),
        (&["--partitions", "2"], 1, "would not be an increase"),
        (&["--set", "compression.type"], 2, "is not KEY=VALUE"),
        (&[], 2, "nothing to alter"),
    ] {
        let refused = alter(more);
        assert!(stderr(&refused).contains(why), "{more:?}: {}", stderr(&refused));
        assert_eq!(refused.status.code(), Some(code), "{more:?}");
    }
    broker.drain();
}

#[test]
fn what_is_produced_is_consumed_with_keys_headers_and_every_codec() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    let at = broker.kafka();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        good(&["topic", "create", codec, "-b", &at]);
        let output = produce_with(&at, codec, "k1:v1\nk2:v2:x\n:\n", &["-k", ":", "-H", "h=1", "-H", "h=2", "--codec", codec]);
        assert_eq!(stdout(&output), format!("3 records to {codec}; partition 0 ends at 3\n"), "{}", stderr(&output));
        let shown = good(&["consume", codec, "-b", &at, "-e", "--show", "offset,key,headers"]);
        assert_eq!(shown, "0\tk1\th=1,h=2\tv1\n1\tk2\th=1,h=2\tv2:x\n2\t\th=1,h=2\t\n");
    }
    let lines = good(&["consume", "zstd", "-b", &at, "-n", "1", "--json"]);
    let record: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!((&record["key"], &record["value"], record["offset"].as_i64()), (&"k1".into(), &"v1".into(), Some(0)));
    broker.drain();
}

#[test]
fn a_consumer_starts_at_the_end_an_offset_or_a_time_and_ends_by_count() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    let at = broker.kafka();
    good(&["topic", "create", "a", "-b", &at]);
    assert!(produce_to(&at, "a", "0\n1\n2\n3\n").status.success());
    assert_eq!(good(&["consume", "a", "-b", &at, "--from", "offset:2", "-e"]), "2\n3\n");
    assert_eq!(good(&["consume", "a", "-b", &at, "--from", "beginning", "-n", "2"]), "0\n1\n");
    assert_eq!(good(&["consume", "a", "-b", &at, "--from", "end", "-e"]), "");
    assert_eq!(good(&["consume", "a", "-b", &at, "--from", "time:2001-01-01T00:00:00Z", "-e"]), "0\n1\n2\n3\n");
    assert_eq!(good(&["consume", "a", "-b", &at, "--from", "ago:1h", "-n", "1"]), "0\n");
    assert_eq!(good(&["consume", "a", "-b", &at, "--from", "time:32503680000000", "-e"]), "", "nothing is as new as the year 3000");
    let outside = run(&["consume", "a", "-b", &at, "--from", "offset:9", "-n", "1"]);
    assert!(stderr(&outside).contains("OFFSET_OUT_OF_RANGE"), "{}", stderr(&outside));
    broker.drain();
}

#[test]
fn keys_go_to_their_partition_and_partitions_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    let at = broker.kafka();
    good(&["topic", "create", "a", "-b", &at, "--partitions", "3"]);
    assert!(produce_with(&at, "a", "same:1\nsame:2\n", &["-k", ":"]).status.success());
    assert!(produce_with(&at, "a", "only\n", &["--partition", "2", "--acks", "1"]).status.success());
    assert!(good(&["consume", "a", "-b", &at, "-e", "--partitions", "2"]).lines().any(|line| line == "only"));
    let all = good(&["consume", "a", "-b", &at, "-e", "--show", "partition,key"]);
    let of_key: Vec<&str> = all.lines().filter(|line| line.contains("\tsame\t")).filter_map(|line| line.split('\t').next()).collect();
    assert!(of_key.len() == 2 && of_key[0] == of_key[1], "{all}");
    let output = produce_with(&at, "a", "x\n", &["--partition", "7"]);
    assert!(stderr(&output).contains("no partition 7"), "{}", stderr(&output));
    broker.drain();
}

#[test]
fn a_file_may_be_produced_and_acks_0_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    let at = broker.kafka();
    good(&["topic", "create", "a", "-b", &at]);
    let path = folder.path().join("records");
    let text: String = (0..5_000).map(|number| format!("record {number}\n")).collect();
    std::fs::write(&path, &text).unwrap();
    let path = path.display().to_string();
    assert_eq!(good(&["produce", "a", "-b", &at, "--file", &path, "--acks", "0"]), "5000 records to a\n");
    assert_eq!(good(&["consume", "a", "-b", &at, "-n", "5000"]), text);
    broker.drain();
}

#[test]
fn a_broker_that_is_not_there_has_an_exit_code_of_its_own() {
    let output = run(&["topic", "list", "-b", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(code::UNAVAILABLE));
    assert!(stderr(&output).contains("127.0.0.1:1"), "{}", stderr(&output));
}

#[test]
fn every_object_and_every_wal_file_can_be_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    assert!(produce_to(&broker.kafka(), "a", "x\n").status.success());
    broker.signal("KILL");
    broker.wait();
    let mut seen = 0;
    // The lock is empty, and a spare is a WAL file made ahead: nothing has been written to it.
    let has_something = |path: &String| !path.ends_with("/lock") && !path.contains("/spare-");
    for path in files(folder.path()).into_iter().filter(has_something) {
        let shown = good(&["inspect", &path, "--json"]);
        let value: Value = serde_json::from_str(&shown).unwrap();
        assert!(value["format"].is_string() && value["meaning"].is_object(), "{path}: {shown}");
        seen += 1;
    }
    assert!(seen >= 4, "cluster, claim, catalog, identity and a WAL file are there");
    let cluster = good(&["inspect", &format!("file://{}", folder.path().join("store/cluster").display())]);
    assert!(cluster.contains("FIELD") && cluster.contains("body.mode"), "{cluster}");
    let nothing = folder.path().join("nothing");
    std::fs::write(&nothing, "not ours").unwrap();
    assert_eq!(run(&["inspect", &nothing.display().to_string()]).status.code(), Some(code::NOT_CLEAN));
}

fn files(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let entry = entry.expect("it is listed");
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path().display().to_string()),
        }
    }
    found
}

#[test]
fn verify_says_clean_and_its_code_says_when_not() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    assert!(produce_to(&broker.kafka(), "a", "x\ny\n").status.success());
    broker.drain();
    let store = format!("file://{}", folder.path().join("store").display());
    let report: Value = serde_json::from_str(&good(&["verify", "--store", &store, "--json"])).unwrap();
    assert_eq!((&report["clean"], report["records"].as_u64()), (&true.into(), Some(2)));
    let is_pack = |path: &String| path.contains("/slot/") && std::fs::metadata(path).is_ok_and(|m| m.len() > 100);
    let slot = files(&folder.path().join("store")).into_iter().find(is_pack).expect("a drain flushes");
    let mut bytes = std::fs::read(&slot).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&slot, bytes).unwrap();
    let output = run(&["verify", "--deep", "--store", &store]);
    assert_eq!(output.status.code(), Some(code::NOT_CLEAN), "{}", stderr(&output));
    assert!(stdout(&output).contains("NOT CLEAN") && stdout(&output).contains("/slot/"), "{}", stdout(&output));
    assert!(stdout(&output).contains("a-0 0..2"), "{}", stdout(&output));
    let report: Value = serde_json::from_str(&stdout(&run(&["verify", "--deep", "--store", &store, "--json"]))).unwrap();
    let problem = &report["problems"][0];
    assert_eq!((&problem["topic"], &problem["partition"], &problem["offsets"]), (&"a".into(), &0.into(), &serde_json::json!([0, 2])));
}

#[test]
fn t30_a_consumer_is_told_of_damage_and_the_log_says_of_which_records() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    assert!(produce_to(&broker.kafka(), "a", "x\ny\n").status.success());
    broker.drain();
    let is_pack = |path: &String| path.contains("/slot/") && std::fs::metadata(path).is_ok_and(|m| m.len() > 100);
    let slot = files(&folder.path().join("store")).into_iter().find(is_pack).expect("a drain flushes");
    let mut bytes = std::fs::read(&slot).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&slot, bytes).unwrap();
    let broker = Broker::start(folder.path(), &[]);
    assert!(produce_to(&broker.kafka(), "a", "new\n").status.success(), "the partition takes records all the same");
    let consume = |from: &str| run(&["consume", "a", "--from", from, "--count", "1", "--bootstrap", &broker.kafka()]);
    let refused = consume("beginning");
    assert!(!refused.status.success() && stderr(&refused).contains("CORRUPT_MESSAGE"), "{}", stderr(&refused));
    let behind = consume("offset:2");
    assert!(stdout(&behind).contains("new"), "{}", stderr(&behind));
    broker.signal("TERM");
    let (_, _, log) = broker.wait();
    let line = log.lines().find(|line| line.contains("records cannot be read")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("offsets 0..2 of partition") && line.contains("/slot/") && line.contains("topic=\"a\""), "{line}");
}

#[test]
fn what_topics_take_and_what_nobody_needs_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    assert!(produce_to(&broker.kafka(), "kept", "some words\n").status.success());
    assert!(produce_to(&broker.kafka(), "gone", "others\n").status.success());
    broker.drain();
    let store = format!("file://{}", folder.path().join("store").display());
    let used: Value = serde_json::from_str(&good(&["du", "--store", &store, "--json", "-o", "price.gib.month=1000000000"])).unwrap();
    let topics: Vec<&Value> = used["topics"].as_object().expect("by id").values().collect();
    assert!(topics.iter().any(|topic| topic["name"] == "kept" && topic["shared_bytes"].as_u64() > Some(50)), "{used}");
    assert!(used["month"].as_f64() > Some(0.1), "{used}");
    let shown = good(&["du", "--store", &store]);
    assert!(shown.contains(" kept ") && shown.contains("A MONTH") && shown.contains("READ ONCE"), "a table for people: {shown}");
    let none: Value = serde_json::from_str(&good(&["gc", "--dry-run", "--store", &store, "--json"])).unwrap();
    assert_eq!(none["unneeded"].as_array().map(Vec::len), Some(0), "{none}");
    // What a broker whose upload came too late has left behind the stop.
    let slots = |path: &String| path.contains("/slot/");
    let mut found: Vec<String> = files(&folder.path().join("store")).into_iter().filter(slots).collect();
    found.sort();
    let (pack, stop) = (found.first().expect("a drain flushes").clone(), found.last().expect("and stops").clone());
    std::fs::copy(&pack, stop.replace("/slot/0000", "/slot/000f")).unwrap();
    let shown = good(&["gc", "--dry-run", "--store", &store]);
    assert!(shown.contains("behind the stop") && shown.contains("1 objects"), "{shown}");
    let refused = run(&["gc", "--store", &store]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
}

#[test]
fn what_a_topic_costs_follows_the_price_table() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    assert!(produce_to(&broker.kafka(), "large", &"many words, many more than the other has\n".repeat(2_000)).status.success());
    assert!(produce_to(&broker.kafka(), "small", "few words\n").status.success());
    broker.drain();
    let store = format!("file://{}", folder.path().join("store").display());
    let prices = folder.path().join("prices.toml");
    let du = |table: &str| -> Value {
        std::fs::write(&prices, table).unwrap();
        serde_json::from_str(&good(&["du", "--store", &store, "--json", "--config", &prices.display().to_string()])).unwrap()
    };
    let topic =
        |used: &Value, name: &str| used["topics"].as_object().unwrap().values().find(|topic| topic["name"] == name).unwrap().clone();
    let gib = f64::from(1 << 30);
    let bytes = |topic: &Value| topic["own_bytes"].as_f64().unwrap() + topic["shared_bytes"].as_f64().unwrap();
    let near = |found: &Value, expected: f64| (found.as_f64().unwrap() - expected).abs() <= 1e-9 * expected.abs();

    let used = du("price.gib.month = 2.5\nprice.put.thousand = 1000\nprice.get.thousand = 2000\n");
    let (large, small) = (topic(&used, "large"), topic(&used, "small"));
    for topic in [&large, &small] {
        assert!(bytes(topic) > 0.0 && near(&topic["month"], bytes(topic) / gib * 2.5), "{topic}");
        let objects = topic["objects"].as_f64().unwrap() + topic["shared_objects"].as_f64().unwrap();
        assert!(objects > 0.0 && near(&topic["written"], objects), "{topic}");
        assert!(topic["reads"].as_u64() >= Some(2) && near(&topic["read_once"], 2.0 * topic["reads"].as_f64().unwrap()), "{topic}");
    }
    assert!(bytes(&large) > bytes(&small) && large["month"].as_f64() > small["month"].as_f64());
    assert!(near(&used["month"], used["bytes"].as_f64().unwrap() / gib * 2.5), "{used}");
    assert!(near(&used["written"], used["objects"].as_f64().unwrap()), "{used}");

    // By prefix: the records lie in slots, which are the chain's.
    let used = du("[price]\ngib.month = 0\nprefixes = \"chain/=7, topic/=1\"\n");
    let large = topic(&used, "large");
    assert!(near(&large["month"], bytes(&large) / gib * 7.0), "{large}");
    assert!(used["month"].as_f64() > large["month"].as_f64(), "indexes and the like are the chain's as well: {used}");
    let used = du("[price]\ngib.month = 3\nprefixes = \"chain/=0\"\n");
    assert!(topic(&used, "large")["month"].as_f64() == Some(0.0) && used["month"].as_f64() > Some(0.0), "{used}");

    for (setting, says) in [
        ("price.prefixes=chain", "price.prefixes: \"chain\" is not PREFIX=PRICE"),
        ("price.prefixes=chains/=1", "price.prefixes: no key begins with \"chains/\""),
        ("price.prefixes=chain/=dear", "price.prefixes: chain/: \"dear\" is not a number"),
        ("price.put.thousand=-1", "price.put.thousand: \"-1\" is no price"),
        ("price.get.thousands=1", "did you mean price.get.thousand?"),
    ] {
        let refused = run(&["du", "--store", &store, "-o", setting]);
        assert_eq!(refused.status.code(), Some(code::REFUSED), "{setting}");
        assert!(stderr(&refused).contains(says), "{setting}: {}", stderr(&refused));
    }
}

#[test]
fn a_store_can_be_asked_whether_it_is_safe() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file://{}", folder.path().join("new").display());
    let shown = good(&["store", "check", &store]);
    assert!(shown.contains("one winner under races") && shown.contains("is safe for Floe"), "{shown}");
    let report: Value = serde_json::from_str(&good(&["store", "check", &store, "--json"])).unwrap();
    assert_eq!(report["safe"], true);
}
