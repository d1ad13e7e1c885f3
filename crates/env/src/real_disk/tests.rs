//! Tests of what only a disk of the operating system has.

#![expect(clippy::disallowed_methods, reason = "looks at the folder behind the disk's back")]

use super::*;
use crate::disk::BLOCK;
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
async fn writes_that_begin_and_end_anywhere_are_read_back_whole() {
    let (dir, disk) = disk();
    let file = disk.create("log", 16 << 20).await.unwrap();
    let mut expected = Vec::new();
    // Within a block, up to a block's end, over many blocks, longer than the buffer.
    for (n, len) in [1, 61, 4_034, 4_096, 5_000, 1, 3_286, 100_000, (5 << 20) + 7, 12, 4_096].into_iter().enumerate() {
        let bytes: Vec<u8> = (0..len).map(|i| u8::try_from((i * 31 + n) % 251).unwrap()).collect();
        let cut = len / 3;
        let parts = vec![Bytes::copy_from_slice(&bytes[..cut]), Bytes::new(), Bytes::copy_from_slice(&bytes[cut..])];
        let at = expected.len() as u64;
        file.write_and_sync(at, parts).await.unwrap();
        expected.extend(bytes);
        assert_eq!(file.read_at(at, len).await.unwrap(), expected[expected.len() - len..], "write {n} of {len} bytes");
    }
    // A place that no write ended at: what lies before it in its block stays.
    file.write_at(10, vec![Bytes::from_static(b"again")]).await.unwrap();
    expected[10..15].copy_from_slice(b"again");
    assert_eq!(file.read_at(0, 15).await.unwrap(), expected[..15]);
    assert_eq!(file.read_at(BLOCK as u64, expected.len() - BLOCK).await.unwrap(), expected[BLOCK..]);
    drop(file);
    let stored = std::fs::read(dir.path().join("log")).unwrap();
    assert_eq!(stored.len(), 16 << 20);
    assert!(stored[expected.len()..].iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn a_file_whose_length_is_no_multiple_of_a_block_is_written_all_the_same() {
    let (_dir, disk) = disk();
    let file = disk.create("odd", 5_000).await.unwrap();
    file.write_at(4_990, vec![Bytes::from_static(b"0123456789")]).await.unwrap();
    assert_eq!((file.len(), file.read_at(4_988, 12).await.unwrap().as_ref()), (5_000, b"\0\x000123456789".as_ref()));
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
