//! `floe group`, and `floe consume` for a group.

use crate::commands::produce_to;
use crate::process::{Broker, good, run, stderr};
use serde_json::Value;

fn described(at: &str, group: &str) -> Value {
    let all: Value = serde_json::from_str(&good(&["group", "describe", group, "-b", at, "--json"])).expect("JSON");
    all[0].clone()
}

/// Committed offset and lag of the one partition.
fn first(at: &str, group: &str) -> (Option<i64>, Option<i64>) {
    let group = described(at, group);
    let partition = &group["partitions"][0];
    (partition["committed"].as_i64(), partition["lag"].as_i64())
}

#[test]
fn a_group_goes_on_where_it_stopped_and_is_listed_described_reset_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    let at = broker.kafka();
    assert_eq!(good(&["group", "list", "-b", &at]), "no groups\n");
    good(&["topic", "create", "orders", "-b", &at]);
    produce_to(&at, "orders", "one\ntwo\nthree\nfour\n");
    assert_eq!(good(&["consume", "orders", "-b", &at, "-g", "g", "-n", "3"]), "one\ntwo\nthree\n");
    assert_eq!(first(&at, "g"), (Some(3), Some(1)), "what was printed, not what was fetched");
    assert_eq!(good(&["consume", "orders", "-b", &at, "-g", "g", "-e"]), "four\n");
    assert_eq!(good(&["consume", "orders", "-b", &at, "-g", "g", "-e"]), "");
    let listed = good(&["group", "list", "-b", &at]);
    assert!(listed.contains("GROUP") && listed.contains("g      Empty"), "{listed}");
    assert_eq!(good(&["group", "list", "-b", &at, "--state", "Stable"]), "no groups\n");
    let shown = good(&["group", "describe", "g", "-b", &at]);
    assert!(shown.starts_with("g: Empty, no members so far, 0 members, lag 0\n") && shown.contains("COMMITTED"), "{shown}");
    reset_in_every_way(&at);
    assert_eq!(good(&["group", "delete", "g", "-b", &at]), "deleted g\n");
    let gone = run(&["group", "describe", "g", "-b", &at]);
    assert!(!gone.status.success() && stderr(&gone).contains("GROUP_ID_NOT_FOUND"), "{}", stderr(&gone));
    let twice = run(&["group", "delete", "g", "-b", &at]);
    assert!(!twice.status.success() && stderr(&twice).contains("GROUP_ID_NOT_FOUND"), "{}", stderr(&twice));
    broker.drain();
}

fn reset_in_every_way(at: &str) {
    let dry = good(&["group", "reset", "g", "--to-earliest", "--dry-run", "-b", at]);
    assert!(dry.contains("BEFORE") && dry.ends_with("nothing was set\n"), "{dry}");
    assert_eq!(first(at, "g").0, Some(4), "a dry run sets nothing");
    for (flags, offset) in [
        (&["--to-earliest"][..], 0),
        (&["--shift", "3"], 3),
        (&["--shift", "-1"], 2),
        (&["--shift", "-100"], 0),
        (&["--to-time", "2020-01-01T00:00:00Z"], 0),
        (&["--to-time", "9000000000000"], 4),
        (&["--to-earliest", "--topic", "orders:0"], 0),
        (&["--to-latest"], 4),
    ] {
        good(&[&["group", "reset", "g", "-b", at], flags].concat());
        assert_eq!(first(at, "g").0, Some(offset), "{flags:?}");
    }
    let set: Value =
        serde_json::from_str(&good(&["group", "reset", "new", "--topic", "orders", "--to-latest", "-b", at, "--json"])).expect("JSON");
    assert_eq!((&set["set"], &set["offsets"][0]["before"], &set["offsets"][0]["after"]), (&true.into(), &Value::Null, &4.into()));
    for wrong in [&["--to-earliest", "--to-latest"][..], &[], &["--to-time", "noon"]] {
        let refused = run(&[&["group", "reset", "g", "-b", at], wrong].concat());
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}: {}", stderr(&refused));
    }
    let nothing = run(&["group", "reset", "none", "--to-latest", "-b", at]);
    assert!(stderr(&nothing).contains("say which --topic"), "{}", stderr(&nothing));
}
