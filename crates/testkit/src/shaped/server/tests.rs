//! The server spoken to by Floe's own S3 backend: the S3 server of the normal tests.

use super::*;
use floe_objstore::{
    Created, FileBackend, MemoryBackend, OpenOptions, S3Options, Store, StoreError, StoreOptions, StoreUrl, check, conformance, open,
};
use floe_types::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn start(env: &Env, options: ServerOptions) -> ShapedServer {
    ShapedServer::start(env, Arc::new(MemoryBackend::new()), options).await.unwrap()
}

async fn s3(env: &Env, server: &ShapedServer, bucket: &str) -> Arc<dyn Backend> {
    let s3 = S3Options {
        endpoint: Some(server.url()),
        access_key_id: Some("key".into()),
        secret_access_key: Some("secret".into()),
        ..S3Options::default()
    };
    let url = StoreUrl::S3 { bucket: bucket.into(), prefix: "some/prefix".into() };
    open(env, &url, &OpenOptions { s3, ..OpenOptions::default() }).await.unwrap()
}

fn object(id: u8) -> Payload {
    Bytes::from(vec![id; 200]).into()
}

#[tokio::test]
async fn the_s3_backend_conforms_over_the_wire() {
    let env = Env::real();
    let server = start(&env, ServerOptions::default()).await;
    let backend = s3(&env, &server, "bucket").await;
    conformance::conforms(&env, "S3 over memory", Arc::clone(&backend)).await;
    conformance::emptied_folders_are_gone(&env, "S3 over memory", Arc::clone(&backend)).await;
    conformance::lists_bytewise_whatever_the_names(&env, "S3 over memory", Arc::clone(&backend)).await;
    conformance::lists_beyond_a_page(&env, "S3 over memory", Arc::clone(&backend)).await;
    let report = check(&env, &backend).await;
    assert!(report.ok(), "{report:#?}");
}

#[tokio::test]
async fn a_directory_behind_the_server_conforms_too() {
    let env = Env::real();
    let dir = tempfile::tempdir().unwrap();
    let directory = FileBackend::open(&env, dir.path(), false).await.unwrap();
    let server = ShapedServer::start(&env, Arc::new(directory), ServerOptions::default()).await.unwrap();
    conformance::conforms(&env, "S3 over a directory", s3(&env, &server, "bucket").await).await;
}

#[tokio::test]
async fn t07_errors_after_success_are_resolved_over_the_wire() {
    let env = Env::real();
    let server = start(&env, ServerOptions::default()).await;
    let options =
        StoreOptions { first_pause: Duration::from_micros(1), attempt_timeout: Duration::from_millis(200), ..StoreOptions::default() };
    let store = Store::new(env.clone(), s3(&env, &server, "bucket").await, options);
    for (n, fault) in
        [StoreFault::Before, StoreFault::Lost, StoreFault::After, StoreFault::Hang, StoreFault::Late { by_ms: 20 }].into_iter().enumerate()
    {
        let key = format!("slot/{n}");
        server.rules().add(FaultRule { op: Some(StoreOp::Create), prefix: "bucket/".into(), fault, count: 1 });
        assert_eq!(store.create(&key, &object(1)).await, Ok(Created::Won), "{fault:?}");
        assert_eq!(store.create(&key, &object(2)).await, Ok(Created::Lost), "{fault:?}");
        assert_eq!(store.get(&key).await, Ok(object(1).to_bytes()), "{fault:?}");
    }
    // Where the machine is slow, others are not answered in time either, and are resolved as well.
    assert!(store.metrics().resolved() >= 2, "after success, and after a hang: {}", store.metrics().resolved());
}

#[tokio::test]
async fn t24_a_missing_bucket_and_an_outage_are_not_an_empty_store() {
    let env = Env::real();
    let server = start(&env, ServerOptions { buckets: vec!["bucket".into()], ..ServerOptions::default() }).await;
    let options = StoreOptions { attempts: 2, first_pause: Duration::from_micros(1), ..StoreOptions::default() };
    let elsewhere = Store::new(env.clone(), s3(&env, &server, "elsewhere").await, options.clone());
    assert_eq!(elsewhere.get("cluster").await.expect_err("no bucket").kind(), ErrorKind::Invalid);
    assert_eq!(elsewhere.list("", None, 1).await.expect_err("no bucket").kind(), ErrorKind::Invalid);
    assert_eq!(elsewhere.create("cluster", &object(1)).await.expect_err("no bucket").kind(), ErrorKind::Invalid);
    let store = Store::new(env.clone(), s3(&env, &server, "bucket").await, options);
    assert_eq!(store.get("cluster").await, Err(StoreError::NotFound { key: "cluster".into() }));
    server.set_available(false);
    assert_eq!(store.get("cluster").await.expect_err("gone").kind(), ErrorKind::Retry);
    assert_eq!(store.list("", None, 1).await.expect_err("gone").kind(), ErrorKind::Retry);
    server.set_available(true);
    assert_eq!(store.list("", None, 1).await, Ok(vec![]));
}

async fn http(server: &ShapedServer, head: &str, body: &str) -> String {
    let mut socket = net::connect(&server.address.to_string()).await.unwrap();
    let request = format!(
        "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn requests_bytes_and_cost_are_counted_and_errors_come_on_demand_over_http() {
    let env = Env::real();
    let server = start(&env, ServerOptions::default()).await;
    let backend = s3(&env, &server, "bucket").await;
    assert!(http(&server, "GET /_health", "").await.ends_with("\r\n\r\nok\n"));
    backend.create("k", object(1)).await.unwrap();
    backend.get_tail("k", 50).await.unwrap();
    let answer = http(&server, "GET /_stats", "").await;
    let stats: super::super::StatsSnapshot = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((stats.requests[&StoreOp::Create], stats.requests[&StoreOp::Read]), (1, 1));
    assert_eq!((stats.bytes_in, stats.bytes_out), (200, 50));
    assert!((stats.cost_dollars - 0.000_005_4).abs() < 1e-12, "{stats:?}");

    let fail = r#"{"fail":{"op":"read","prefix":"bucket/some/prefix/k","fault":"before","count":1}}"#;
    assert!(http(&server, "POST /_control", fail).await.starts_with("HTTP/1.1 204"));
    assert!(matches!(backend.get("k").await, Err(BackendError::Transient(_))));
    assert!(backend.get("k").await.is_ok());
    assert!(http(&server, "POST /_control", r#"{"available":false}"#).await.starts_with("HTTP/1.1 204"));
    assert!(backend.get("k").await.is_err());
    for command in [r#"{"available":true}"#, r#"{"shaped":false}"#, r#""clear""#, r#""reset_stats""#] {
        assert!(http(&server, "POST /_control", command).await.starts_with("HTTP/1.1 204"), "{command}");
    }
    assert_eq!(server.stats().snapshot(), super::super::StatsSnapshot::default());
    assert!(http(&server, "POST /_control", r#"{"fail":{"fault":"nonsense"}}"#).await.starts_with("HTTP/1.1 422"));
    assert!(http(&server, "POST /bucket/k?uploads", "").await.starts_with("HTTP/1.1 501"));
}

#[tokio::test(start_paused = true)]
async fn bodies_take_the_time_of_a_connection_in_both_directions() {
    let env = Env::simulated(1);
    let server =
        start(&env, ServerOptions { shape: Shape { bytes_per_second: 80_000_000, ..Shape::none() }, ..ServerOptions::default() }).await;
    let chunks: Vec<Result<Bytes, io::Error>> = (0..80).map(|_| Ok(Bytes::from(vec![7; 100_000]))).collect();
    let began = env.monotonic();
    let payload = server.inner.receive(Body::from_stream(futures::stream::iter(chunks))).await.unwrap();
    assert!((env.monotonic() - began).abs_diff(Duration::from_millis(100)) <= Duration::from_millis(2));
    let began = env.monotonic();
    let sent: Vec<_> = server.inner.send(payload.to_bytes()).into_data_stream().collect().await;
    assert!((env.monotonic() - began).abs_diff(Duration::from_millis(100)) <= Duration::from_millis(2));
    assert_eq!(sent.into_iter().map(|chunk| chunk.unwrap().len()).sum::<usize>(), 8_000_000);
}
