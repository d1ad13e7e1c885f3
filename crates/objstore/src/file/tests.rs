//! The directory store against a real directory.
#![expect(clippy::disallowed_methods, reason = "these tests look at, and into, the directory itself")]

use super::*;
use crate::conformance;

async fn store(dir: &tempfile::TempDir) -> (Env, Arc<FileBackend>) {
    let env = Env::real();
    let backend = FileBackend::open(&env, dir.path(), false).await.unwrap();
    (env, Arc::new(backend))
}

fn files_below(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_below(&entry.path())),
            false => found.push(entry.path().to_string_lossy().into_owned()),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_conforms_and_no_file_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (env, backend) = store(&dir).await;
    conformance::conforms(&env, "directory", backend.clone()).await;
    conformance::emptied_folders_are_gone(&env, "directory", backend.clone()).await;
    conformance::lists_bytewise_whatever_the_names(&env, "directory", backend).await;
    assert_eq!(files_below(dir.path()), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_that_share_a_directory_agree_on_the_winner() {
    let dir = tempfile::tempdir().unwrap();
    let ((env, one), (_, other)) = (store(&dir).await, store(&dir).await);
    for round in 0..20 {
        let key = format!("slot/{round}");
        let race = [(&one, "one"), (&other, "other")].map(|(backend, name)| {
            let (backend, key) = (Arc::clone(backend), key.clone());
            env.spawn("racer", async move { backend.create(&key, Bytes::from(name).into()).await }).join()
        });
        let [first, second] = race;
        let answers = [first.await.unwrap(), second.await.unwrap()];
        let winner = answers.iter().position(Result::is_ok).expect("somebody wins");
        assert_eq!(answers[1 - winner], Err(BackendError::Exists));
        assert_eq!(one.get(&key).await, Ok(Bytes::from(["one", "other"][winner])));
    }
}

#[tokio::test]
async fn staging_files_are_no_objects_and_old_ones_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, backend) = store(&dir).await;
    backend.create("slot/0", Bytes::from_static(b"x").into()).await.unwrap();
    let (young, old) = (dir.path().join("slot/1#1"), dir.path().join("slot/2#7"));
    for path in [&young, &old] {
        fs::write(path, b"half").unwrap();
    }
    let long_ago = fs::metadata(&old).unwrap().modified().unwrap() - (STALE + Duration::from_secs(5));
    fs::File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    let listed = backend.list("", None, 10).await.unwrap();
    assert_eq!(listed, [ObjectInfo { key: "slot/0".into(), size: 1 }]);
    assert!(young.exists(), "its writer may be alive");
    assert!(!old.exists());
    assert_eq!(backend.create("slot/1", Bytes::from_static(b"y").into()).await, Ok(()), "a leftover is in nobody's way");
}

#[tokio::test]
async fn a_missing_directory_is_made_only_where_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real();
    let path = dir.path().join("a/b/store");
    assert_eq!(FileBackend::open(&env, &path, false).await.expect_err("missing").kind(), io::ErrorKind::NotFound);
    assert!(!dir.path().join("a").exists());
    let backend = FileBackend::open(&env, &path, true).await.unwrap();
    assert_eq!(backend.list("", None, 10).await, Ok(vec![]));
    fs::write(dir.path().join("file"), b"x").unwrap();
    assert_eq!(FileBackend::open(&env, &dir.path().join("file"), true).await.expect_err("a file").kind(), io::ErrorKind::NotADirectory);
}

#[tokio::test]
async fn t24_a_directory_that_has_gone_is_not_an_empty_store() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let env = Env::real();
    let backend = FileBackend::open(&env, &root, true).await.unwrap();
    backend.create("a/b", Bytes::from_static(b"x").into()).await.unwrap();
    assert_eq!(backend.get("a/c").await, Err(BackendError::NotFound));
    fs::rename(&root, dir.path().join("elsewhere")).unwrap();
    for gone in [true, false] {
        if !gone {
            fs::create_dir(&root).unwrap(); // as the mount point of a disk that was unmounted
        }
        assert!(matches!(backend.get("a/b").await, Err(BackendError::Transient(_))));
        assert!(matches!(backend.get_tail("a/b", 1).await, Err(BackendError::Transient(_))));
        assert!(matches!(backend.list("", None, 10).await, Err(BackendError::Transient(_))));
        assert!(matches!(backend.list_folders("").await, Err(BackendError::Transient(_))));
        assert!(matches!(backend.delete("a/b").await, Err(BackendError::Transient(_))));
    }
    fs::remove_dir(&root).unwrap();
    fs::rename(dir.path().join("elsewhere"), &root).unwrap();
    assert_eq!(backend.get("a/b").await, Ok(Bytes::from_static(b"x")));
}

#[tokio::test]
async fn a_folder_where_an_object_should_be_is_an_error_and_not_an_absence() {
    let dir = tempfile::tempdir().unwrap();
    let (_, backend) = store(&dir).await;
    backend.create("a/b", Bytes::from_static(b"x").into()).await.unwrap();
    assert!(matches!(backend.get("a").await, Err(BackendError::Refused(_))));
    assert!(matches!(backend.get("a/b/c").await, Err(BackendError::Refused(_))));
}
