//! `floe export`: what it says, and with which code it ends. What it writes is tested in crates/export and tests/tables.

use crate::commands::produce_to;
use crate::process::{Broker, good, run, stderr};
use serde_json::Value;

#[test]
fn a_topic_is_exported_without_a_broker_and_again_only_what_is_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    let broker = Broker::start(&data, &[]);
    let at = broker.kafka();
    good(&["topic", "create", "t", "--partitions", "2", "-b", &at]);
    produce_to(&at, "t", "{\"a\":1}\n{\"a\":\"b\"}\n{\"c\":2}\n");
    broker.drain();
    let (store, to) = (format!("file://{}", data.join("store").display()), format!("file://{}", out.display()));
    let export = |more: &[&str]| {
        let out = good(&[&["export", "t", "--store", &store, "--to", &to, "--json"], more].concat());
        serde_json::from_str::<Value>(&out).expect("JSON")
    };
    let first = export(&["--mode", "json", "--bloom"]);
    assert_eq!((&first["rows"], &first["partitions"], &first["lost"]), (&3.into(), &2.into(), &0.into()));
    assert!(out.join(first["folder"].as_str().expect("a folder's name")).is_dir());
    assert_eq!(export(&[])["rows"], 0);
    let told = good(&["export", "t", "--store", &store, "--to", &to]);
    assert!(told.contains("0 rows in 0 new files") && told.contains("**/*.parquet"), "{told}");
}

#[test]
fn what_cannot_be_exported_is_refused_with_a_code_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let broker = Broker::start(&data, &[]);
    good(&["topic", "create", "t", "-b", &broker.kafka()]);
    broker.drain();
    let store = format!("file://{}", data.join("store").display());
    let refused = |topic: &str, to: &str, more: &[&str]| {
        let to = format!("file://{}", folder.path().join(to).display());
        let output = run(&[&["export", topic, "--store", &store, "--to", &to], more].concat());
        (output.status.code(), stderr(&output))
    };
    for to in ["data/store", "data/store/tables", "data", "."] {
        let (code, says) = refused("t", to, &[]);
        assert!(code == Some(2) && says.contains("must not lie in the store"), "{to}: {code:?} {says}");
    }
    let (code, says) = refused("nothing", "out", &[]);
    assert!(code == Some(1) && says.contains("there is no topic nothing"), "{code:?} {says}");
    let (code, says) = refused("t", "out", &["--mode", "avro"]);
    assert!(code == Some(2) && says.contains("there is no schema"), "{code:?} {says}");
    let (code, says) = refused("t", "out", &["--file-size", "1KiB"]);
    assert!(code == Some(2) && says.contains("--file-size"), "{code:?} {says}");
}
