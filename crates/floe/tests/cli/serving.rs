//! The life of a broker: ready line, admin pages, signals, a newer broker.

use crate::process::{Broker, code, good, stderr};

#[test]
fn one_line_says_that_it_is_ready_and_a_restart_goes_on_with_the_next_incarnation() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    let store = format!("store file://{}", folder.path().join("store").display());
    assert!(broker.ready.starts_with("floe ready: kafka 127.0.0.1:") && broker.ready.contains(&store), "{}", broker.ready);
    assert!(broker.ready.contains(", incarnation 1, ") && broker.ready.ends_with(" s\n"), "{}", broker.ready);
    broker.signal("TERM");
    let (code, out, err) = broker.wait();
    assert_eq!((code, out.as_str()), (Some(code::OK), ""), "stdout has the ready line and nothing else; {err}");
    let again = Broker::start(folder.path(), &[]);
    assert!(again.ready.contains(", incarnation 2, "), "{}", again.ready);
    again.drain();
}

#[test]
fn admin_pages_tell_health_readiness_status_and_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    assert_eq!(broker.page("/healthz"), (200, "ok\n".to_owned()));
    let (code, ready) = broker.page("/readyz");
    assert_eq!((code, ready.as_str()), (200, "{\"ready\":true,\"reasons\":[]}"));
    good(&["topic", "create", "a", "-b", &broker.kafka(), "--partitions", "3"]);
    let status: serde_json::Value = serde_json::from_str(&broker.page("/status").1).unwrap();
    assert_eq!((status["engine"]["topics"].as_u64(), status["engine"]["partitions"].as_u64()), (Some(1), Some(3)));
    let partitions: serde_json::Value = serde_json::from_str(&broker.page("/status/partitions").1).unwrap();
    assert_eq!(partitions.as_array().map(Vec::len), Some(3));
    let (_, metrics) = broker.page("/metrics");
    for name in
        ["floe_store_requests_total{op=\"Create\"}", "floe_kafka_requests_total{api=\"CreateTopics\"} 1", "floe_log_partitions 3", "# EOF"]
    {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
    assert_eq!(broker.page("/nothing").0, 404);
    broker.drain();
}

#[test]
fn sigint_drains_as_sigterm_does_and_the_disk_can_be_thrown_away_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file://{}", folder.path().join("store").display());
    let broker = Broker::start(&folder.path().join("one"), &["--store", &store]);
    produce(&broker, "a", "first\nsecond\n");
    broker.signal("INT");
    assert_eq!(broker.wait().0, Some(code::OK));
    std::fs::remove_dir_all(folder.path().join("one")).unwrap();
    let broker = Broker::start(&folder.path().join("two"), &["--store", &store]);
    assert_eq!(good(&["consume", "a", "-b", &broker.kafka(), "-e"]), "first\nsecond\n");
    broker.drain();
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    produce(&broker, "a", "first\nsecond\n");
    broker.signal("KILL");
    assert_eq!(broker.wait().0, None);
    let broker = Broker::start(folder.path(), &[]);
    assert_eq!(good(&["consume", "a", "-b", &broker.kafka(), "-e"]), "first\nsecond\n");
    broker.drain();
    assert!(good(&["verify", "--store", &format!("file://{}", folder.path().join("store").display())]).starts_with("clean"));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (data, store) = (folder.path().join("data"), folder.path().join("store"));
    let url = format!("file://{}", store.display());
    let broker = Broker::start(&data, &["--store", &url, "-o", "floe.drain.timeout.ms=1h"]);
    // A store that has gone holds the drain up for as long as it may take.
    produce(&broker, "a", "x\n");
    std::fs::rename(&store, folder.path().join("gone")).unwrap();
    std::fs::write(&store, "in the way").unwrap();
    broker.signal("TERM");
    while broker.page("/readyz").0 == 200 {}
    broker.signal("TERM");
    assert_eq!(broker.wait().0, Some(code::INTERRUPTED));
}

#[test]
fn a_broker_that_a_newer_one_stops_ends_with_a_code_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file://{}", folder.path().join("store").display());
    let object = ["--store", &store, "-o", "floe.durability=object"];
    let first = Broker::start(&folder.path().join("one"), &object);
    produce(&first, "a", "kept\n");
    let second = Broker::start(&folder.path().join("two"), &object);
    // The first one learns of it when it next has something to write.
    let written = crate::process::run(&["topic", "create", "b", "-b", &first.kafka()]);
    let produced = crate::commands::produce_to(&first.kafka(), "a", "lost\n");
    assert!(!produced.status.success(), "{} {}", stderr(&written), stderr(&produced));
    let (code, _, err) = first.wait();
    assert_eq!(code, Some(code::SUPERSEDED), "{err}");
    assert!(err.contains("stopped by a newer broker"), "{err}");
    assert_eq!(good(&["consume", "a", "-b", &second.kafka(), "-e"]), "kept\n");
    second.drain();
}

#[test]
fn a_local_wal_on_another_disk_is_refused_unless_it_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file://{}", folder.path().join("store").display());
    let first = Broker::start(&folder.path().join("one"), &["--store", &store]);
    first.signal("KILL");
    first.wait();
    let Err(output) = Broker::try_start(&folder.path().join("two"), &["--store", &store]) else { panic!("it must be refused") };
    assert_eq!(output.status.code(), Some(code::DATA_REFUSED), "{}", stderr(&output));
    assert!(stderr(&output).contains("--take-over"), "{}", stderr(&output));
    Broker::start(&folder.path().join("two"), &["--store", &store, "--take-over"]).drain();
}

#[test]
fn logs_may_be_json_and_stay_off_stdout() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &["--log-format", "json"]);
    broker.signal("TERM");
    let (_, out, err) = broker.wait();
    assert!(out.is_empty());
    let lines: Vec<serde_json::Value> = err.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.iter().any(|line| line["fields"]["message"] == "draining"), "{err}");
}

#[test]
fn a_store_in_memory_goes_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(&folder.path().join("data"), &["--store", "memory://"]);
    produce(&broker, "a", "x\n");
    assert_eq!(good(&["consume", "a", "-b", &broker.kafka(), "-e"]), "x\n");
    broker.drain();
}

fn produce(broker: &Broker, topic: &str, lines: &str) {
    let output = crate::commands::produce_to(&broker.kafka(), topic, lines);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn several_listeners_serve_the_same_log_and_tell_their_own_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &["--listen", "127.0.0.1:0", "--listen", "other=127.0.0.1:0"]);
    let other = broker.word_after("other ");
    good(&["topic", "create", "t", "-b", &broker.kafka()]);
    assert!(good(&["topic", "list", "-b", &other, "--json"]).contains("\"t\""));
    // Produced and consumed by what the leader's address is said to be there.
    let input = folder.path().join("input");
    std::fs::write(&input, "by the other door\n").unwrap();
    good(&["produce", "t", "-b", &other, "--file", &input.display().to_string()]);
    assert_eq!(good(&["consume", "t", "-b", &broker.kafka(), "--from", "beginning", "-e"]), "by the other door\n");
    broker.drain();
}
