//! `floe export`: what it says, and with which code it ends. What it writes is tested in crates/export and tests/tables.

use crate::commands::produce_to;
use crate::process::{Broker, good, run, stderr};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

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
    let merged = &export(&["--merge"])["merged"];
    assert!(out.join(merged["list"].as_str().expect("a list")).is_file(), "{merged}");
    let told = good(&["export", "t", "--store", &store, "--to", &to, "--merge"]);
    assert!(told.contains("0 small files merged into 0") && told.contains("/list/"), "{told}");
    let told = good(&["export", "t", "--store", &store, "--to", &to]);
    assert!(told.contains("0 rows in 0 new files") && told.contains("**/*.parquet"), "{told}");
}

#[test]
fn a_broker_exports_what_topics_ask_for_and_only_where_it_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, lake) = (folder.path().join("data"), folder.path().join("lake"));
    let targets = |path: &Path| format!("floe.export.targets=file://{}", path.display());
    for within in [data.join("store"), data.join("store/tables"), folder.path().to_owned()] {
        let refused = Broker::try_start(&data, &["-o", &targets(&within)]).err().expect("refused");
        assert!(refused.status.code() == Some(2) && stderr(&refused).contains("must not lie in the store"), "{}", stderr(&refused));
    }
    let broker = Broker::start(&data, &["-o", &targets(&lake)]);
    let at = broker.kafka();
    let asks = |topic: &str, more: &[&str]| {
        let settings = ["--config", "floe.export=parquet", "--config", "floe.export.freshness.ms=100"];
        run(&[&["topic", "create", topic, "-b", &at], &settings[..], more].concat())
    };
    let elsewhere = asks("t", &["--config", "floe.export.target=file:///elsewhere"]);
    assert!(!elsewhere.status.success() && stderr(&elsewhere).contains("floe.export.targets"), "{}", stderr(&elsewhere));
    assert!(asks("t", &["--config", "floe.export.mode=json"]).status.success());
    produce_to(&at, "t", "{\"a\":1}\n{\"a\":2}\n{\"c\":3}\n");
    let status = || serde_json::from_str::<Value>(&broker.page("/status").1).expect("JSON")["exports"].clone();
    while status()["rows"] != 3 {
        assert_eq!(status()["failures"], 0, "{}", status());
        std::thread::sleep(Duration::from_millis(20));
    }
    let metrics = broker.page("/metrics").1;
    assert!(metrics.contains("floe_export_rows_total 3") && metrics.contains("floe_export_topics 1"), "{metrics}");
    broker.drain();
    // Whoever exports by hand has nothing left to do; a broker that may export nowhere says so.
    let (store, to) = (format!("file://{}", data.join("store").display()), format!("file://{}", lake.display()));
    let told = good(&["export", "t", "--store", &store, "--to", &to]);
    assert!(told.contains("0 rows in 0 new files"), "{told}");
    let broker = Broker::start(&data, &[]);
    let nowhere = run(&["topic", "create", "u", "-b", &broker.kafka(), "--config", "floe.export=parquet"]);
    assert!(!nowhere.status.success() && stderr(&nowhere).contains("names no place"), "{}", stderr(&nowhere));
    broker.drain();
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
