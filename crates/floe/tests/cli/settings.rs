//! Precedence and `--dump-config`, through the program.

use crate::process::{code, floe, good, stderr};
use std::path::PathBuf;

fn file(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("floe.toml");
    std::fs::write(&path, text).expect("the folder is there");
    path
}

#[test]
fn flags_count_over_environment_over_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "num.partitions = 2\nadmin = \"127.0.0.1:2\"\nbroker.id = 2\n").display().to_string();
    let mut command = floe(&["serve", "--config", &path, "--broker-id", "4", "--dump-config"]);
    command.env("FLOE_BROKER_ID", "3").env("FLOE_ADMIN", "127.0.0.1:3");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let dumped = String::from_utf8(output.stdout).unwrap();
    for line in ["broker.id = 4", "admin = \"127.0.0.1:3\"", "num.partitions = 2", "listen = \"127.0.0.1:9092\""] {
        assert!(dumped.lines().any(|dumped| dumped == line), "{line} in {dumped}");
    }
}

#[test]
fn what_is_dumped_can_be_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let first = good(&["serve", "--dump-config", "-o", "floe.flush.bytes=3MiB", "--store", "s3://bucket/a", "--log-format", "json"]);
    let path = file(&folder, &first).display().to_string();
    assert_eq!(good(&["serve", "--dump-config", "--config", &path]), first);
    assert!(first.contains("floe.flush.bytes = \"3MiB\"") && first.contains("store = \"s3://bucket/a\""));
}

#[test]
fn secrets_are_not_dumped() {
    let mut command = floe(&["serve", "--dump-config"]);
    let output = command.env("FLOE_S3_SECRET_ACCESS_KEY", "sesame").env("FLOE_S3_ACCESS_KEY_ID", "key").output().unwrap();
    let dumped = String::from_utf8(output.stdout).unwrap();
    assert!(dumped.contains("s3.access.key.id = \"key\"") && !dumped.contains("sesame"));
    assert_eq!(output.status.code(), Some(code::OK));
}
