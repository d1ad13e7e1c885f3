//! The conformance suite over the backends that need no test kit.

use crate::{Backend, MemoryBackend, OpenOptions, StoreUrl, conformance, open};
use floe_env::Env;
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn memory_conforms() {
    let env = Env::simulated(1);
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    conformance::conforms(&env, "memory", Arc::clone(&backend)).await;
    conformance::lists_beyond_a_page(&env, "memory", Arc::clone(&backend)).await;
    conformance::emptied_folders_are_gone(&env, "memory", Arc::clone(&backend)).await;
    conformance::lists_bytewise_whatever_the_names(&env, "memory", backend).await;
}

/// `FLOE_TEST_S3_URL=s3://bucket/prefix` with `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
#[tokio::test]
async fn an_s3_server_conforms() {
    let Ok(url) = std::env::var("FLOE_TEST_S3_URL") else {
        println!("SKIP: no S3 server, FLOE_TEST_S3_URL is not set (s3://bucket/prefix, with AWS_ENDPOINT_URL and keys)");
        return;
    };
    let env = Env::real();
    let url: StoreUrl = url.parse().expect("FLOE_TEST_S3_URL");
    let backend = open(&env, &url, &OpenOptions::default()).await.expect("opening FLOE_TEST_S3_URL");
    conformance::conforms(&env, "S3", Arc::clone(&backend)).await;
    conformance::lists_beyond_a_page(&env, "S3", Arc::clone(&backend)).await;
    let report = crate::check(&env, &backend).await;
    assert!(report.ok(), "{report:#?}");
}

#[tokio::test]
async fn stores_open_by_url_and_say_what_is_missing() {
    let env = Env::real();
    let dir = tempfile::tempdir().unwrap();
    let file: StoreUrl = format!("file://{}/store", dir.path().display()).parse().unwrap();
    let error = open(&env, &file, &OpenOptions::default()).await.expect_err("not there").to_string();
    assert!(error.contains("store") && error.contains("No such file"), "{error}");
    let options = OpenOptions { create_directory: true, ..OpenOptions::default() };
    assert_eq!(open(&env, &file, &options).await.unwrap().list("", None, 1).await, Ok(vec![]));
    let memory = open(&env, &StoreUrl::Memory, &options).await.unwrap();
    assert_eq!(memory.list("", None, 1).await, Ok(vec![]));
}
