//! What is refused before anything is touched, each with its exit code and a message that names what is wrong.

use crate::process::{Broker, code, floe, run, stderr};
use std::net::TcpListener;
use std::path::Path;

/// Starts on `data`, expects the code and the words, and that nothing was made there.
fn refused(data: &Path, more: &[&str], expected: i32, says: &str) {
    let shown = data.display().to_string();
    let output = run(&[&["serve", "--data", &shown, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], more].concat());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(expected), "{more:?}: {said}");
    assert!(said.contains(says), "{more:?}: {said:?} does not say {says:?}");
    assert!(output.stdout.is_empty());
    assert!(!data.exists(), "{more:?}: something was made in {shown}");
}

#[test]
fn unknown_keys_bad_units_and_bad_ranges_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (option, says) in [
        ("num.partition=3", "num.partition: no such setting; did you mean num.partitions?"),
        ("floe.flush.bytes=64 parsecs", "floe.flush.bytes: \"64 parsecs\" is not a size"),
        ("floe.flush.age.ms=soon", "floe.flush.age.ms: \"soon\" is not a duration"),
        ("floe.flush.age.ms=5s", "floe.flush.age.ms: must not be longer than 1s"),
        ("num.partitions=0", "num.partitions: must be at least 1"),
        ("nothing", "is not KEY=VALUE"),
    ] {
        refused(&data, &["-o", option], code::REFUSED, says);
    }
    refused(&data, &["--store", "gs://bucket"], code::REFUSED, "store: \"gs://bucket\" is not a store");
    refused(&data, &["--config", "/no/such/file.toml"], code::REFUSED, "config file /no/such/file.toml");
}

#[test]
fn keys_of_a_file_and_of_the_environment_are_refused_with_their_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("floe.toml");
    std::fs::write(&path, "[num]\npartition = 3\n").unwrap();
    let path = path.display().to_string();
    refused(&folder.path().join("data"), &["--config", &path], code::REFUSED, &format!("{path}: num.partition: no such setting"));
    let output = floe(&["serve"]).env("FLOE_FLUSH_BYTE", "1MiB").output().unwrap();
    assert_eq!(output.status.code(), Some(code::REFUSED));
    assert!(stderr(&output).contains("environment variable FLOE_FLUSH_BYTE: no such setting; did you mean FLOE_FLUSH_BYTES?"));
}

#[test]
fn a_listener_that_others_reach_needs_the_word_insecure() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for flag in ["--listen", "--admin"] {
        let shown = data.display().to_string();
        let output = run(&["serve", "--data", &shown, flag, "0.0.0.0:0"]);
        assert_eq!(output.status.code(), Some(code::REFUSED));
        assert!(stderr(&output).contains("is not a loopback address") && stderr(&output).contains("--insecure"), "{}", stderr(&output));
        assert!(!data.exists());
    }
    let broker = Broker::start(&data, &["--insecure", "--listen", "0.0.0.0:0", "--advertise", "127.0.0.1:9"]);
    broker.drain();
}

#[test]
fn a_port_in_use_is_refused_before_the_data_directory_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin"] {
        let shown = data.display().to_string();
        let mut arguments = vec!["serve", "--data", &shown, flag, &address];
        arguments.extend(if flag == "--listen" { ["--admin", "127.0.0.1:0"] } else { ["--listen", "127.0.0.1:0"] });
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(code::IN_USE), "{}", stderr(&output));
        assert!(stderr(&output).contains(&address));
        assert!(!data.exists());
    }
}

#[test]
fn a_data_directory_in_use_is_refused_and_its_broker_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let first = Broker::start(folder.path(), &[]);
    let Err(second) = Broker::try_start(folder.path(), &[]) else { panic!("two brokers on one data directory") };
    assert_eq!(second.status.code(), Some(code::IN_USE), "{}", stderr(&second));
    assert!(stderr(&second).contains("in use"));
    assert_eq!(first.page("/readyz").0, 200);
    first.drain();
}

#[test]
fn a_data_directory_of_another_cluster_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    Broker::start(&one, &[]).drain();
    Broker::start(&two, &[]).drain();
    let store = format!("file://{}", two.join("store").display());
    let Err(output) = Broker::try_start(&one, &["--store", &store]) else { panic!("a disk of another cluster was taken") };
    assert_eq!(output.status.code(), Some(code::DATA_REFUSED), "{}", stderr(&output));
    assert!(stderr(&output).contains("belongs to cluster"), "{}", stderr(&output));
}

#[test]
fn a_newer_format_version_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    Broker::start(folder.path(), &[]).drain();
    let path = folder.path().join("store/cluster");
    let mut bytes = std::fs::read(&path).unwrap();
    newer(&mut bytes);
    std::fs::write(&path, &bytes).unwrap();
    let Err(output) = Broker::try_start(folder.path(), &[]) else { panic!("a newer format was taken") };
    assert_eq!(output.status.code(), Some(code::DATA_REFUSED), "{}", stderr(&output));
    assert!(stderr(&output).contains("use a newer floe"), "{}", stderr(&output));
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left as it was");
}

/// Raises the format version of an object and mends the header's checksum.
fn newer(bytes: &mut [u8]) {
    let header = floe_formats::peek(bytes).expect("it is an object");
    let newer = floe_formats::ObjectHeader { version: header.version + 1, ..header };
    bytes[..64].copy_from_slice(&newer.to_bytes());
}
