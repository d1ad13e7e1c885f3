//! Precedence, refusals and the round trip of settings, without files and processes.

use super::sources::{markdown, parse_file};
use super::*;
use std::collections::BTreeSet;

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn refusal(layers: &Layers) -> String {
    load(layers).expect_err("it is to be refused").to_string()
}

#[test]
fn flags_count_over_environment_over_file_over_defaults() {
    let mut layers = Layers { file: pairs(&[("num.partitions", "2")]), ..Layers::default() };
    assert_eq!(load(&Layers::default()).unwrap().broker.num_partitions, 1);
    assert_eq!(load(&layers).unwrap().broker.num_partitions, 2);
    layers.environment = pairs(&[("FLOE_NUM_PARTITIONS", "3")]);
    assert_eq!(load(&layers).unwrap().broker.num_partitions, 3);
    layers.command_line = pairs(&[("num.partitions", "4")]);
    assert_eq!(load(&layers).unwrap().broker.num_partitions, 4);
}

#[test]
fn unknown_keys_are_refused_with_source_and_the_nearest_key() {
    let layers = Layers { file: pairs(&[("num.partition", "2")]), file_name: "floe.toml".into(), ..Layers::default() };
    assert_eq!(refusal(&layers), "floe.toml: num.partition: no such setting; did you mean num.partitions?");
    let layers = Layers { environment: pairs(&[("FLOE_FLUSH_BYTE", "2")]), ..Layers::default() };
    assert_eq!(refusal(&layers), "environment variable FLOE_FLUSH_BYTE: no such setting; did you mean FLOE_FLUSH_BYTES?");
    let layers = Layers { command_line: pairs(&[("nonsense", "2")]), ..Layers::default() };
    assert_eq!(refusal(&layers), "command line: nonsense: no such setting");
}

#[test]
fn variables_that_a_cluster_sets_for_a_service_called_floe_are_passed_over() {
    let environment =
        pairs(&[("FLOE_PORT", "tcp://10.0.0.1:9092"), ("FLOE_SERVICE_HOST", "10.0.0.1"), ("FLOE_PORT_9092_TCP", "x"), ("HOME", "/")]);
    assert!(load(&Layers { environment, ..Layers::default() }).is_ok());
}

#[test]
fn bad_units_are_refused_with_the_key() {
    for (key, value, says) in [
        ("floe.flush.bytes", "64 parsecs", "a size such as 64MiB"),
        ("floe.flush.age.ms", "2 fortnights", "a duration such as"),
        ("broker.id", "first", "whole number"),
        ("insecure", "maybe", "neither true nor false"),
        ("store", "gs://bucket", "unknown scheme"),
        ("listen", "9092", "not host:port"),
        ("floe.durability", "twice", "not one of local, object, replicated"),
        ("log.format", "xml", "neither text nor json"),
        ("s3.storage.class", "DEEP_ARCHIVE", "is not one of STANDARD"),
        ("s3.encryption", "rot13", "is not one of AES256"),
        ("message.max.bytes", "lots", "a size such as"),
    ] {
        let said = refusal(&Layers { command_line: pairs(&[(key, value)]), ..Layers::default() });
        assert!(said.starts_with(&format!("command line: {key}: ")) && said.contains(says), "{said}");
    }
}

#[test]
fn times_are_given_as_people_write_them() {
    for (text, ms) in [("15min", 900_000), ("15m", 900_000), ("900s", 900_000), ("900000", 900_000)] {
        let config = load(&Layers { command_line: pairs(&[("floe.idle.exit.ms", text)]), ..Layers::default() }).unwrap();
        assert_eq!(config.server.idle_exit.0, ms, "{text}");
    }
}

#[test]
fn values_out_of_their_range_are_refused_with_the_key() {
    for (key, value) in [
        ("floe.flush.age.ms", "5s"),
        ("floe.upload.window", "0"),
        ("floe.wal.budget.bytes", "1MiB"),
        ("floe.replica.budget.bytes", "1MiB"),
        ("broker.id", "-1"),
        ("num.partitions", "0"),
    ] {
        let said = refusal(&Layers { command_line: pairs(&[(key, value)]), ..Layers::default() });
        assert!(said.starts_with(&format!("{key}: must")), "{said}");
    }
}

#[test]
fn a_listener_that_others_reach_needs_the_word_insecure() {
    for key in ["listen", "admin"] {
        let mut layers = Layers { command_line: pairs(&[(key, "10.1.2.3:9092")]), ..Layers::default() };
        assert!(refusal(&layers).contains("--insecure"), "{key}");
        layers.command_line.extend(pairs(&[("insecure", "true")]));
        assert!(load(&layers).is_ok(), "{key}");
    }
    for address in ["localhost:0", "[::1]:9092", "127.9.9.9:1"] {
        assert!(load(&Layers { command_line: pairs(&[("listen", address)]), ..Layers::default() }).is_ok(), "{address}");
    }
    let all = Layers { command_line: pairs(&[("listen", "0.0.0.0:9092"), ("insecure", "true")]), ..Layers::default() };
    assert!(refusal(&all).starts_with("advertise: must be set"));
}

#[test]
fn each_listener_is_checked_and_may_have_an_address_for_its_clients() {
    let load_with = |of: &[(&str, &str)]| {
        load(&Layers { command_line: pairs(&[&[("insecure", "true")], of].concat()), ..Layers::default() })
            .map_err(|error| error.to_string())
    };
    let both = [("listen", "internal=10.0.0.1:9092,external=0.0.0.0:9094"), ("advertise", "external=kafka.example:443")];
    let config = load_with(&both).unwrap();
    assert_eq!(config.server.listen.to_string(), both[0].1);
    assert_eq!(config.server.advertise.unwrap().to_string(), both[1].1);
    let why = load_with(&[both[0]]).expect_err("external is everywhere");
    assert_eq!(why, "advertise: must be set (HOST:PORT that clients can dial) for external, which listens on all addresses");
    let why = load_with(&[("listen", "a=127.0.0.1:1"), ("advertise", "b=h:1")]).expect_err("no such listener");
    assert_eq!(why, "advertise: there is no listener b");
    let exposed = Layers { command_line: pairs(&[("listen", "127.0.0.1:1,b=10.0.0.1:2")]), ..Layers::default() };
    assert!(refusal(&exposed).starts_with("listen: 10.0.0.1:2 is not a loopback address"));
}

#[test]
fn a_file_may_use_dotted_keys_or_tables_and_units() {
    let text = "num.partitions = 3\n\"broker.id\" = 7\ninsecure = true\n[floe]\nflush.bytes = \"32MiB\"\n[s3]\nregion = \"eu-west-1\"\n";
    let config = load(&Layers { file: parse_file(text, "f").unwrap(), ..Layers::default() }).unwrap();
    assert_eq!((config.broker.num_partitions, config.engine.broker.0, config.server.insecure), (3, 7, true));
    assert_eq!((config.flush_bytes, config.s3.region.as_deref()), (Some(32 << 20), Some("eu-west-1")));
    assert!(parse_file("num.partitions = [1]", "f").expect_err("a list").to_string().starts_with("f: num.partitions: must be text"));
    assert!(parse_file("a.b = 1\n\"a.b\" = 2\n", "f").expect_err("two ways to one key").to_string().contains("set twice"));
}

#[test]
fn what_is_dumped_reads_back_to_the_same() {
    let command_line = pairs(&[
        ("data", "/var/lib/floe"),
        ("store", "s3://bucket/a"),
        ("advertise", "[2001:db8::1]:9092"),
        ("floe.flush.bytes", "3MiB"),
        ("floe.durability", "local"),
        ("s3.path.style", "true"),
        ("s3.encryption", "aws:kms"),
        ("s3.bucket.key", "false"),
        ("s3.storage.class", "STANDARD_IA"),
        ("s3.access.key.id", "key"),
        ("s3.secret.access.key", "sesame"),
        ("log.message.timestamp.type", "LogAppendTime"),
    ]);
    let config = load(&Layers { command_line, ..Layers::default() }).unwrap();
    let dumped = dump(&config);
    assert!(!dumped.contains("sesame"), "secrets stay out of it");
    let again = load(&Layers { file: parse_file(&dumped, "dump").unwrap(), ..Layers::default() }).unwrap();
    assert_eq!(dump(&again), dumped);
    assert_eq!(again.broker, config.broker);
}

#[test]
fn keys_and_variables_are_unique_and_documented() {
    let keys: Vec<&str> = settings().map(Setting::key).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    assert_eq!(settings().map(Setting::variable).collect::<BTreeSet<_>>().len(), keys.len());
    for (a, b) in keys.iter().flat_map(|a| keys.iter().map(move |b| (a, b))) {
        assert!(!b.starts_with(&format!("{a}.")), "{a} could not be written beside {b} in a TOML file");
    }
    assert!(settings().all(|setting| setting.doc().ends_with('.')));
}

#[test]
fn the_default_durability_follows_the_store_unless_it_is_set() {
    let mut config = Config::default();
    for (url, expected) in [("file:///a", Durability::Local), ("s3://b/c", Durability::Object), ("memory://", Durability::Object)] {
        assert_eq!(config.engine_options(&url.parse().unwrap()).durability, expected, "{url}");
    }
    config.durability = Some(Durability::Local);
    assert_eq!(config.engine_options(&StoreUrl::Memory).durability, Durability::Local);
}

#[test]
fn the_disk_caches_what_is_further_away_than_the_disk_unless_it_is_told_otherwise() {
    let mut config = Config::default();
    for (url, expected) in [("file:///a", 0), ("s3://b/c", 1 << 30), ("memory://", 0)] {
        assert_eq!(config.engine_options(&url.parse().unwrap()).disk_cache_bytes, expected, "{url}");
    }
    config.disk_cache_bytes = Some(0);
    assert_eq!(config.engine_options(&"s3://b/c".parse().unwrap()).disk_cache_bytes, 0);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it compares a file of the project")]
fn settings_are_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
    if std::env::var_os("FLOE_BLESS").is_some() {
        std::fs::write(path, markdown()).unwrap();
    }
    let documented = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        documented == markdown(),
        "docs/settings.md is not what the code says: FLOE_BLESS=1 cargo test -p floe settings_are_documented"
    );
}

#[test]
fn a_broker_of_a_cluster_takes_less_memory_and_fewer_requests_unless_told_otherwise() {
    let store = "s3://b/c".parse().unwrap();
    let mut given = vec![("etcd.endpoints", "http://127.0.0.1:2379"), ("store", "s3://b/c")];
    let single = Config::default().engine_options(&store);
    let options = load(&Layers { command_line: pairs(&given), ..Layers::default() }).unwrap().engine_options(&store);
    assert!(options.tail_bytes < single.tail_bytes && options.flush_bytes < single.flush_bytes);
    assert!(options.object_flush_age > single.object_flush_age);
    given.extend([("floe.tail.bytes", "48MiB"), ("floe.flush.bytes", "4MiB"), ("floe.object.flush.age.ms", "20ms")]);
    let options = load(&Layers { command_line: pairs(&given), ..Layers::default() }).unwrap().engine_options(&store);
    assert_eq!((options.tail_bytes, options.flush_bytes, options.object_flush_age.as_millis()), (48 << 20, 4 << 20, 20));
}
