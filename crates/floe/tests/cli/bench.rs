//! `floe bench` and `floe completions`.

use crate::process::{Broker, code, good, run, stderr, stdout};
use serde_json::Value;

#[test]
fn a_load_is_measured_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    let at = broker.kafka();
    let load = ["bench", "-b", &at, "--partitions", "3", "--producers", "2", "--consumers", "2", "--record-bytes", "100"];
    let bench = |more: &[&str]| run(&[&load[..], more].concat());
    let figures = bench(&["--batch-records", "10", "--rate", "1000", "--duration", "1s", "--codec", "lz4", "--json"]);
    assert!(figures.status.success(), "{}", stderr(&figures));
    let figures: Value = serde_json::from_str(&stdout(&figures)).unwrap();
    let produced = figures["produced"]["records"].as_u64().unwrap();
    assert!(produced > 0 && produced <= 1_000 && produced.is_multiple_of(10), "the rate is kept: {figures}");
    assert_eq!(figures["consumed"]["records"], produced, "{figures}");
    assert_eq!(figures["consumed"]["bytes"], produced * 100);
    assert!(figures["produced"]["max_ms"].as_f64() >= figures["produced"]["p50_ms"].as_f64());
    assert_eq!(good(&["topic", "list", "-b", &at]), "no topics\n");
    let table = stdout(&bench(&["--duration", "1ms", "--keep", "--topic", "mine", "--acks", "0"]));
    assert!(table.contains("P99.9 MS") && table.contains("\n produced") && table.contains("\n consumed"), "{table}");
    good(&["topic", "describe", "mine", "-b", &at]);
    bench(&["--duration", "1ms", "--topic", "mine"]);
    good(&["topic", "describe", "mine", "-b", &at]);
    broker.drain();
}

#[test]
fn what_the_broker_refuses_is_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &["-o", "message.max.bytes=1000"]);
    let refused = run(&["bench", "-b", &broker.kafka(), "--duration", "1s", "--producers", "1"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("batches were refused, the first: partition 0: MESSAGE_TOO_LARGE"), "{}", stderr(&refused));
    broker.drain();
}

#[test]
fn shells_complete_every_command() {
    let script = good(&["completions", "bash"]);
    for command in ["serve", "topic", "group", "bench", "verify"] {
        assert!(script.contains(&format!("floe__{command}")) || script.contains(&format!("floe__subcmd__{command}")), "{command}");
    }
    assert_eq!(run(&["completions", "no-shell"]).status.code(), Some(code::REFUSED));
}
