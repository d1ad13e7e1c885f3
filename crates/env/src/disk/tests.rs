//! Tests of path rules, and one suite of manners that every disk has to pass.

use super::*;
use crate::RealDisk;

#[test]
fn paths_stay_within_the_disk_and_off_its_own_files() {
    for good in ["a", "wal/0001/file", "with space.and.dots"] {
        assert!(check_path(good).is_ok(), "{good}");
    }
    for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", ".hidden", "a/.hidden", "a\0b"] {
        assert_eq!(check_path(bad).map_err(|e| e.kind()), Err(io::ErrorKind::InvalidInput), "{bad}");
    }
    assert!(check_dir("").is_ok());
    assert_eq!((split("a/b/c"), split("c")), (("a/b", "c"), ("", "c")));
    assert_eq!((temporary("a/b"), temporary("b")), ("a/.b.tmp".into(), ".b.tmp".into()));
}

fn kind<T: Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.expect_err("should be refused").kind()
}

async fn manners(disk: &dyn Disk) {
    names_are_kept(disk).await;
    small_files_are_whole(disk).await;
    files_are_written_in_place(disk).await;
    locks_exclude(disk).await;
}

async fn names_are_kept(disk: &dyn Disk) {
    assert_eq!(kind(disk.list("names").await), io::ErrorKind::NotFound);
    disk.create_dir_all("").await.unwrap();
    disk.create_dir_all("names/b/c").await.unwrap();
    disk.create_dir_all("names/b").await.unwrap();
    disk.write_durably("names/z", Bytes::from_static(b"12345")).await.unwrap();
    disk.write_durably("names/a", Bytes::new()).await.unwrap();
    let entry = |name: &str, len, is_dir| FileEntry { name: name.into(), len, is_dir };
    assert_eq!(disk.list("names").await.unwrap(), [entry("a", 0, false), entry("b", 0, true), entry("z", 5, false)]);
    assert_eq!(disk.list("").await.unwrap(), [entry("names", 0, true)]);

    disk.rename("names/z", "names/b/y").await.unwrap();
    assert_eq!(disk.list("names/b").await.unwrap(), [entry("c", 0, true), entry("y", 5, false)]);
    assert_eq!(kind(disk.rename("names/z", "names/y").await), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.remove("names/b").await), io::ErrorKind::DirectoryNotEmpty);
    for path in ["names/b/y", "names/b/y", "names/b/c", "names/b", "names/a", "names/none/at/all"] {
        disk.remove(path).await.unwrap();
    }
    assert_eq!(disk.list("names").await.unwrap(), []);
    assert_eq!(kind(disk.write_durably("absent/file", Bytes::new()).await), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.create("absent/file", 1).await), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.read("../outside").await), io::ErrorKind::InvalidInput);
}

async fn small_files_are_whole(disk: &dyn Disk) {
    assert_eq!(kind(disk.read("names/small").await), io::ErrorKind::NotFound);
    for body in ["first", "second, longer", ""] {
        disk.write_durably("names/small", Bytes::from_static(body.as_bytes())).await.unwrap();
        assert_eq!(disk.read("names/small").await.unwrap(), body);
    }
    let error = disk.open("names/missing").await.expect_err("missing").to_string();
    assert!(error.contains("cannot open") && error.contains("names/missing"), "{error}");
}

async fn files_are_written_in_place(disk: &dyn Disk) {
    let file = disk.create("names/log", 10_000).await.unwrap();
    assert_eq!(kind(disk.create("names/log", 1).await), io::ErrorKind::AlreadyExists);
    assert_eq!((file.len(), file.read_at(0, 10_000).await.unwrap()), (10_000, Bytes::from(vec![0; 10_000])));

    let many: Vec<Bytes> = (0..3_000_u32).map(|n| Bytes::from(n.to_le_bytes()[..2 * (n as usize % 2)].to_vec())).collect();
    let joined = many.concat();
    file.write_and_sync(4_090, vec![Bytes::from_static(b"across "), Bytes::new(), Bytes::from_static(b"pages")]).await.unwrap();
    file.write_at(5_000, many).await.unwrap();
    file.write_at(100, vec![]).await.unwrap();
    file.sync_data().await.unwrap();
    assert_eq!(file.read_at(4_090, 12).await.unwrap(), "across pages");
    assert_eq!(file.read_at(5_000, joined.len()).await.unwrap(), joined);
    assert_eq!((file.len(), disk.read("names/log").await.unwrap().len()), (10_000, 10_000));

    file.write_at(9_999, vec![Bytes::from_static(b"on")]).await.unwrap();
    let again = disk.open("names/log").await.unwrap();
    assert_eq!((file.len(), again.len()), (10_001, 10_001));
    assert_eq!(again.read_at(9_999, 2).await.unwrap(), "on");
    assert_eq!(kind(again.read_at(9_999, 3).await), io::ErrorKind::UnexpectedEof);
    assert_eq!(kind(again.read_at(0, usize::MAX).await), io::ErrorKind::UnexpectedEof, "nothing so large is allocated");
    assert_eq!(kind(again.read_at(u64::MAX, 2).await), io::ErrorKind::UnexpectedEof);

    disk.remove("names/log").await.unwrap();
    assert_eq!(again.read_at(9_999, 2).await.unwrap(), "on", "an open file outlives its name");
    assert_eq!(disk.create("names/empty", 0).await.unwrap().len(), 0);
}

async fn locks_exclude(disk: &dyn Disk) {
    let held = disk.lock("names/lock").await.unwrap();
    assert_eq!(kind(disk.lock("names/lock").await), io::ErrorKind::WouldBlock);
    let _other = disk.lock("names/other").await.unwrap();
    drop(held);
    disk.lock("names/lock").await.unwrap();
    assert!(format!("{:?}", disk.lock("names/lock").await.unwrap()).contains("names/lock"));
}

#[tokio::test]
async fn a_real_disk_has_manners() {
    let dir = tempfile::tempdir().unwrap();
    manners(&RealDisk::new(dir.path().join("made/on/demand"))).await;
}

#[cfg(feature = "sim")]
#[tokio::test(start_paused = true)]
async fn a_simulated_disk_has_manners() {
    for seed in 0..20 {
        manners(&crate::sim::SimDisk::new(&crate::Env::simulated(seed))).await;
    }
}
