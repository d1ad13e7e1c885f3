//! Tests of what only a disk of the operating system has.

#![expect(clippy::disallowed_methods, reason = "looks at the folder behind the disk's back")]

use super::*;
use std::os::unix::fs::MetadataExt;

fn disk() -> (tempfile::TempDir, RealDisk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(dir.path().to_path_buf());
    (dir, disk)
}

#[tokio::test]
async fn a_new_file_has_its_blocks_before_anything_is_written() {
    let (dir, disk) = disk();
    let len = (3 << 20) + 5;
    disk.create("log", len).await.unwrap();
    let metadata = std::fs::metadata(dir.path().join("log")).unwrap();
    assert_eq!(metadata.len(), len);
    assert!(metadata.blocks() * 512 >= len, "{} blocks", metadata.blocks());
}

#[tokio::test]
async fn what_a_crash_left_of_a_durable_write_is_in_nobodys_way() {
    let (dir, disk) = disk();
    disk.create_dir_all("seals").await.unwrap();
    std::fs::File::create(dir.path().join("seals/.one.tmp")).unwrap().write_all(b"half of a body that is lon").unwrap();
    assert_eq!(disk.list("seals").await.unwrap(), []);
    disk.write_durably("seals/one", Bytes::from_static(b"whole")).await.unwrap();
    assert_eq!(disk.read("seals/one").await.unwrap(), "whole");
    std::fs::File::create(dir.path().join("seals/.two.tmp")).unwrap();
    disk.remove("seals/one").await.unwrap();
    disk.remove("seals").await.unwrap();
    assert!(!dir.path().join("seals").exists());
}

#[tokio::test]
async fn a_file_that_could_not_be_filled_is_taken_away_again() {
    let (dir, disk) = disk();
    let error = disk.create("log", 1 << 62).await.expect_err("no disk is so large");
    assert!(error.to_string().contains("cannot create"), "{error}");
    assert!(!dir.path().join("log").exists());
}

#[tokio::test]
async fn a_lock_ends_with_its_process() {
    let (dir, disk) = disk();
    drop(disk.lock("lock").await.unwrap());
    let path = dir.path().join("lock");
    let mut holder = std::process::Command::new("flock")
        .args(["--exclusive", path.to_str().unwrap(), "--command", "echo held; cat"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    io::BufRead::read_line(&mut io::BufReader::new(holder.stdout.as_mut().unwrap()), &mut said).unwrap();
    assert_eq!(said, "held\n");
    assert_eq!(disk.lock("lock").await.expect_err("held").kind(), io::ErrorKind::WouldBlock);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    disk.lock("lock").await.unwrap();
}
