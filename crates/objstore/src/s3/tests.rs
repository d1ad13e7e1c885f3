//! The S3 client against a scripted server: what its failures are taken for, and what it sends.

use super::*;
use crate::Created;
use floe_env::net::{self, Listener};
use floe_types::{ErrorKind, Millis};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// What the server does with a request it has read: answers, or hangs up where `None`.
type Answer = Option<String>;

/// A connection, with TLS or without.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

struct Server {
    url: String,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
    _task: floe_env::Task<()>,
}

impl Server {
    async fn start(env: &Env) -> Self {
        Self::start_with(env, None).await
    }

    async fn start_with(env: &Env, tls: Option<TlsAcceptor>) -> Self {
        let listener = net::listen("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (answers, requests) = (Arc::new(Mutex::default()), Arc::new(Mutex::default()));
        let task = env.spawn("stub", Self::serve(listener, tls, Arc::clone(&answers), Arc::clone(&requests)));
        Self { url, answers, requests, _task: task }
    }

    async fn serve(listener: Listener, tls: Option<TlsAcceptor>, answers: Arc<Mutex<VecDeque<Answer>>>, requests: Arc<Mutex<Vec<String>>>) {
        loop {
            let Ok((socket, _)) = listener.accept().await else { return };
            let mut socket: Box<dyn Socket> = match &tls {
                None => Box::new(socket),
                Some(tls) => match tls.accept(socket).await {
                    Ok(socket) => Box::new(socket),
                    // The client trusts another.
                    Err(_) => continue,
                },
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match socket.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            let mut body = vec![0; length];
            if socket.read_exact(&mut body).await.is_err() {
                continue;
            }
            requests.lock().push(head);
            let answer = answers.lock().pop_front().expect("a request too many");
            if let Some(answer) = answer {
                let _ = socket.write_all(answer.as_bytes()).await;
                let _ = socket.shutdown().await;
            }
        }
    }

    fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        *self.answers.lock() = answers.into_iter().collect();
        self.requests.lock().clear();
    }

    async fn backend(&self, env: &Env, prefix: &str) -> S3Backend {
        S3Backend::open(env, "bucket", prefix, &options(&self.url)).await.unwrap()
    }
}

fn options(endpoint: &str) -> S3Options {
    S3Options {
        endpoint: Some(endpoint.into()),
        region: Some("eu-test-1".into()),
        access_key_id: Some("key".into()),
        secret_access_key: Some("hush".into()),
        ..S3Options::default()
    }
}

fn answer(status: &str, headers: &str, body: &str) -> Answer {
    Some(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len()))
}

fn failure(status: &str, code: &str) -> Answer {
    answer(status, "", &format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>"))
}

#[derive(Debug, PartialEq, Eq)]
enum Is {
    Exists,
    NotFound,
    Unknown,
    Transient,
    Refused,
    Corrupt,
}

fn is(error: &BackendError) -> Is {
    match error {
        BackendError::Exists => Is::Exists,
        BackendError::NotFound => Is::NotFound,
        BackendError::Unknown(_) => Is::Unknown,
        BackendError::Transient(_) => Is::Transient,
        BackendError::Refused(_) => Is::Refused,
        BackendError::Corrupt(_) => Is::Corrupt,
    }
}

#[tokio::test]
async fn t07_t24_failures_say_no_more_than_what_is_known_and_are_not_repeated() {
    let env = Env::real();
    let server = Server::start(&env).await;
    let backend = server.backend(&env, "p").await;
    use Is::*;
    // (answer, create, get, list, delete); a delete of what is not there is Ok.
    let table: [(Answer, Is, Is, Is, Option<Is>); 18] = [
        (None, Unknown, Transient, Transient, Some(Unknown)),
        (failure("412 Precondition Failed", "PreconditionFailed"), Exists, Refused, Refused, Some(Refused)),
        (failure("409 Conflict", "ConditionalRequestConflict"), Exists, Transient, Transient, Some(Unknown)),
        (failure("404 Not Found", "NoSuchKey"), Unknown, NotFound, Transient, None),
        (failure("404 Not Found", "NoSuchBucket"), Refused, Refused, Refused, Some(Refused)),
        (answer("404 Not Found", "", "<html>nginx</html>"), Unknown, Transient, Transient, Some(Unknown)),
        (answer("404 Not Found", "", ""), Unknown, Transient, Transient, Some(Unknown)),
        (failure("403 Forbidden", "AccessDenied"), Refused, Refused, Refused, Some(Refused)),
        (failure("401 Unauthorized", "Unauthorized"), Refused, Refused, Refused, Some(Refused)),
        (failure("400 Bad Request", "InvalidArgument"), Refused, Refused, Refused, Some(Refused)),
        (failure("400 Bad Request", "RequestTimeout"), Unknown, Transient, Transient, Some(Unknown)),
        (failure("408 Request Timeout", "RequestTimeout"), Unknown, Transient, Transient, Some(Unknown)),
        (failure("429 Too Many Requests", "SlowDown"), Unknown, Transient, Transient, Some(Unknown)),
        (failure("500 Internal Server Error", "InternalError"), Unknown, Transient, Transient, Some(Unknown)),
        (failure("501 Not Implemented", "NotImplemented"), Refused, Refused, Refused, Some(Refused)),
        (failure("502 Bad Gateway", ""), Unknown, Transient, Transient, Some(Unknown)),
        (failure("503 Service Unavailable", "SlowDown"), Unknown, Transient, Transient, Some(Unknown)),
        (failure("301 Moved Permanently", "PermanentRedirect"), Refused, Refused, Refused, Some(Refused)),
    ];
    for (answer, create, get, list, delete) in table {
        server.script(vec![answer.clone(); 4]);
        let body = Payload::from(Bytes::from_static(b"body"));
        assert_eq!(is(&backend.create("k", body).await.expect_err("create")), create, "create: {answer:?}");
        assert_eq!(is(&backend.get("k").await.expect_err("get")), get, "get: {answer:?}");
        assert_eq!(is(&backend.list("", None, 1).await.expect_err("list")), list, "list: {answer:?}");
        assert_eq!(backend.delete("k").await.err().as_ref().map(is), delete, "delete: {answer:?}");
        assert_eq!(server.requests.lock().len(), 4, "one request each: {answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_surely_did_nothing() {
    let env = Env::real();
    let port = net::listen("127.0.0.1:0").await.unwrap().local_addr().unwrap().port(); // free again at once
    let backend = S3Backend::open(&env, "bucket", "", &options(&format!("http://127.0.0.1:{port}"))).await.unwrap();
    let error = backend.create("k", Bytes::from_static(b"x").into()).await.expect_err("nobody listens");
    assert_eq!(is(&error), Is::Transient);
}

#[tokio::test]
async fn a_server_that_does_not_answer_leaves_the_outcome_unknown() {
    let env = Env::real();
    let listener = net::listen("127.0.0.1:0").await.unwrap(); // connections are taken by the system and never read
    let options = S3Options { request_timeout: Millis(50), ..options(&format!("http://{}", listener.local_addr().unwrap())) };
    let backend = S3Backend::open(&env, "bucket", "", &options).await.unwrap();
    assert_eq!(is(&backend.create("k", Bytes::from_static(b"x").into()).await.expect_err("silence")), Is::Unknown);
    assert_eq!(is(&backend.get("k").await.expect_err("silence")), Is::Transient);
}

const STAMPS: &str = "etag: \"e\"\r\nlast-modified: Wed, 25 Nov 2026 09:00:00 GMT\r\n";

#[tokio::test]
async fn t24_a_cut_off_or_misplaced_answer_is_not_taken_for_the_object() {
    let env = Env::real();
    let server = Server::start(&env).await;
    let backend = server.backend(&env, "").await;
    let cut = Some(format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n{STAMPS}\r\nonly this"));
    server.script([cut]);
    assert_eq!(is(&backend.get("k").await.expect_err("cut off")), Is::Transient);
    server.script([answer("200 OK", STAMPS, "the whole object, though a range was asked for")]);
    assert_eq!(is(&backend.get_range("k", 0..3).await.expect_err("no range")), Is::Corrupt);
    server.script([answer("206 Partial Content", &format!("content-range: bytes 1-3/10\r\n{STAMPS}"), "abc")]);
    assert_eq!(is(&backend.get_range("k", 0..3).await.expect_err("another range")), Is::Corrupt);
    server.script([answer("206 Partial Content", &format!("content-range: bytes 5-9/10\r\n{STAMPS}"), "56789")]);
    assert_eq!(is(&backend.get_range("k", 5..15).await.expect_err("cut at the end")), Is::Corrupt);
    server.script([answer("200 OK", "", "this is no listing")]);
    assert_eq!(is(&backend.list("", None, 1).await.expect_err("no listing")), Is::Corrupt);
}

#[tokio::test]
async fn an_empty_object_has_a_start_and_a_tail_on_every_server() {
    let env = Env::real();
    let server = Server::start(&env).await;
    let backend = server.backend(&env, "").await;
    let minio = || answer("206 Partial Content", &format!("content-range: bytes 0--1/0\r\n{STAMPS}"), "");
    let s3 = || failure("416 Range Not Satisfiable", "InvalidRange");
    for empty in [&minio as &dyn Fn() -> Answer, &s3] {
        server.script([empty(), empty(), empty()]);
        assert_eq!(backend.get_start("k", 64).await, Ok((0, Bytes::new())));
        assert_eq!(backend.get_tail("k", 64).await, Ok((0, Bytes::new())));
        assert_eq!(is(&backend.get_range("k", 0..1).await.expect_err("nothing there")), Is::Corrupt);
    }
}

#[tokio::test]
async fn creates_are_conditional_and_signed_with_their_body_where_there_is_no_tls() {
    let env = Env::real();
    let server = Server::start(&env).await;
    let backend = server.backend(&env, "some/prefix").await;
    server.script([answer("200 OK", "etag: \"e\"\r\n", "")]);
    let body = Payload::from(vec![Bytes::from_static(b"header"), Bytes::from_static(b"body")]);
    assert_eq!(backend.create("a/b", body).await, Ok(()));
    let request = server.requests.lock()[0].clone();
    assert!(request.starts_with("put /bucket/some/prefix/a/b http/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nif-none-match: *\r\n"), "{request}");
    assert!(request.contains("\r\ncontent-length: 10\r\n"), "{request}");
    assert!(request.contains("/eu-test-1/s3/aws4_request"), "{request}");
    // sha256("headerbody")
    assert!(request.contains("\r\nx-amz-content-sha256: 198b05de748f"), "{request}");
}

fn listing(keys: &[&str], token: Option<&str>) -> Answer {
    let contents: String = keys
        .iter()
        .map(|key| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-25T09:00:00.000Z</LastModified><ETag>\"e\"</ETag><Size>7</Size></Contents>"
            )
        })
        .collect();
    let token = token.map(|token| format!("<NextContinuationToken>{token}</NextContinuationToken>")).unwrap_or_default();
    answer("200 OK", "", &format!("<ListBucketResult>{contents}{token}</ListBucketResult>"))
}

#[tokio::test]
async fn a_listing_asks_for_no_more_than_it_needs() {
    let env = Env::real();
    let server = Server::start(&env).await;
    let backend = server.backend(&env, "p").await;
    server.script([listing(&["p/a/1", "p/a/2"], Some("more"))]);
    let found = backend.list("a", Some("a/0"), 2).await.unwrap();
    assert_eq!(found, ["a/1", "a/2"].map(|key| ObjectInfo { key: key.into(), size: 7 }));
    let request = server.requests.lock()[0].clone();
    for part in ["list-type=2", "prefix=p%2fa%2f", "start-after=p%2fa%2f0", "max-keys=2"] {
        assert!(request.contains(part), "{part} is not in {request}");
    }
}

#[tokio::test]
async fn a_server_that_lists_by_component_is_read_to_the_end_and_sorted() {
    let env = Env::real();
    let server = Server::start(&env).await;
    let backend = server.backend(&env, "").await;
    // 'a/x' before 'a-b' is SeaweedFS's order; bytewise '-' comes before '/'. 'a-a' hides behind the page.
    server.script([listing(&["a/x", "a-b"], Some("t")), listing(&["a-a", "b"], None)]);
    let keys: Vec<String> = backend.list("", None, 2).await.unwrap().into_iter().map(|o| o.key).collect();
    assert_eq!(keys, ["a-a", "a-b"]);
    // A server that ignores where to start.
    server.script([listing(&["a", "b"], Some("t")), listing(&["c", "d"], None)]);
    let keys: Vec<String> = backend.list("", Some("b"), 1).await.unwrap().into_iter().map(|o| o.key).collect();
    assert_eq!(keys, ["c"]);
}

#[tokio::test]
async fn t07_a_create_whose_answer_was_a_500_is_found_out_to_have_won() {
    let env = Env::real();
    let server = Server::start(&env).await;
    let store = crate::Store::new(env.clone(), Arc::new(server.backend(&env, "").await), crate::StoreOptions::default());
    let body = Payload::from(Bytes::from(vec![b'i'; 70]));
    let range = format!("content-range: bytes 0-63/70\r\n{STAMPS}");
    server.script([
        failure("500 Internal Server Error", "InternalError"),
        failure("412 Precondition Failed", "PreconditionFailed"),
        answer("206 Partial Content", &range, &"i".repeat(64)),
    ]);
    assert_eq!(store.create("slot", &body).await, Ok(Created::Won));
    server.script([failure("412 Precondition Failed", "PreconditionFailed"), answer("206 Partial Content", &range, &"j".repeat(64))]);
    assert_eq!(store.create("slot", &body).await, Ok(Created::Lost));
}

#[tokio::test]
async fn settings_come_before_the_environment_and_contradictions_are_named() {
    let env = Env::real();
    let variables = |name: &str| {
        let value = match name {
            "AWS_ENDPOINT_URL" => "https://minio.example:9000",
            "AWS_REGION" => "eu-1",
            "AWS_ACCESS_KEY_ID" => "id",
            "AWS_SECRET_ACCESS_KEY" => "secret",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let resolve = async |options: S3Options, bucket: &str| options.resolve(&env, bucket, "s3://b", &variables).await;
    let from_environment = resolve(S3Options::default(), "bucket").await.unwrap();
    assert_eq!(from_environment.endpoint.unwrap().as_str(), "https://minio.example:9000/");
    assert_eq!((from_environment.region.as_str(), from_environment.path_style, from_environment.tls), ("eu-1", true, true));

    let set = resolve(S3Options { path_style: Some(false), ..options("http://other:1") }, "bucket").await.unwrap();
    assert_eq!(set.endpoint.unwrap().as_str(), "http://bucket.other:1/");
    assert_eq!((set.region.as_str(), set.path_style, set.tls), ("eu-test-1", false, false));

    let half = S3Options { access_key_id: Some("id".into()), ..S3Options::default() };
    let error = resolve(half, "bucket").await.err().expect("half a key");
    assert!(error.to_string().contains("go together"), "{error}");
    let error = resolve(options("minio:9000"), "bucket").await.err().expect("no scheme");
    assert!(error.to_string().contains("setting endpoint"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let shown = format!("{:?}", options("http://x"));
    assert!(shown.contains("eu-test-1") && !shown.contains("hush"), "{shown}");
}

#[tokio::test]
async fn encryption_class_and_payer_are_said_with_every_object() {
    let env = Env::real();
    let server = Server::start(&env).await;
    let options = S3Options {
        encryption: Some(Encryption::Kms),
        kms_key_id: Some("a-key".into()),
        bucket_key: Some(true),
        storage_class: Some(StorageClass::IntelligentTiering),
        request_payer: true,
        ..options(&server.url)
    };
    let backend = S3Backend::open(&env, "bucket", "", &options).await.unwrap();
    server.script([answer("200 OK", "etag: \"e\"\r\n", ""), answer("200 OK", "etag: \"e\"\r\n", "body")]);
    backend.create("a", Bytes::from_static(b"body").into()).await.unwrap();
    let request = server.requests.lock()[0].clone();
    for header in [
        "if-none-match: *",
        "x-amz-server-side-encryption: aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id: a-key",
        "x-amz-server-side-encryption-bucket-key-enabled: true",
        "x-amz-storage-class: intelligent_tiering",
        "x-amz-request-payer: requester",
    ] {
        assert!(request.contains(&format!("\r\n{header}\r\n")), "{header}: {request}");
    }
    // Reading needs the payer only.
    let _ = backend.get("a").await;
    let request = server.requests.lock()[1].clone();
    assert!(request.contains("\r\nx-amz-request-payer: requester\r\n"), "{request}");
    assert!(!request.contains("encryption"), "{request}");
}

#[tokio::test]
async fn what_contradicts_in_encryption_or_is_no_certificate_is_named() {
    let env = Env::real();
    let refused = async |options: S3Options| S3Backend::open(&env, "bucket", "", &options).await.expect_err("refused").to_string();
    let error = refused(S3Options { kms_key_id: Some("k".into()), ..options("https://h") }).await;
    assert!(error.contains("kms_key_id") && error.contains("aws:kms"), "{error}");
    let error = refused(S3Options { bucket_key: Some(true), encryption: Some(Encryption::S3), ..options("https://h") }).await;
    assert!(error.contains("bucket_key"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let error = refused(S3Options { ca_bundle: Some(file.clone()), ..options("https://h") }).await;
    assert!(error.contains("ca_bundle") && error.contains("ca.pem") && error.contains("No such file"), "{error}");
    #[expect(clippy::disallowed_methods, reason = "an operator's file")]
    std::fs::write(&file, "nothing").unwrap();
    let error = refused(S3Options { ca_bundle: Some(file), ..options("https://h") }).await;
    assert!(error.contains("no certificate"), "{error}");
    let why = "GLACIER".parse::<StorageClass>().expect_err("needs restoring");
    assert!(why.starts_with("\"GLACIER\" is not one of STANDARD, "), "{why}");
}

#[tokio::test]
async fn aws_itself_needs_a_region_and_is_asked_by_bucket_name() {
    let env = Env::real();
    let keys = |name: &str| matches!(name, "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY").then(|| "x".to_owned());
    let error = S3Options::default().resolve(&env, "b", "s3://b", &keys).await.err().expect("no region");
    assert!(error.to_string().contains("setting region"), "{error}");
    let options = S3Options { region: Some("eu-1".into()), ..S3Options::default() };
    let plain = options.resolve(&env, "bucket", "s3://b", &keys).await.unwrap();
    assert!(!plain.path_style && plain.tls && plain.endpoint.is_none());
    assert!(options.resolve(&env, "bucket.with.dots", "s3://b", &keys).await.unwrap().path_style);
    assert_eq!(Duration::from(options.connect_timeout), Duration::from_millis(500));
}

/// A certificate for 127.0.0.1 that nobody but its own bundle trusts, and a server's end that has it.
fn certified() -> (String, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = versions.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    (made.cert.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_store_whose_certificate_a_bundle_has_is_spoken_to_and_no_other() {
    let env = Env::real();
    let (pem, tls) = certified();
    let (stranger, _) = certified();
    let server = Server::start_with(&env, Some(tls)).await;
    let folder = tempfile::tempdir().unwrap();
    let bundle = |name: &str, text: String| {
        let file = folder.path().join(name);
        #[expect(clippy::disallowed_methods, reason = "an operator's file")]
        std::fs::write(&file, text).unwrap();
        Some(file)
    };
    let open = async |ca_bundle| S3Backend::open(&env, "bucket", "p", &S3Options { ca_bundle, ..options(&server.url) }).await.unwrap();
    // What is trusted may stand anywhere in the file.
    let trusting = open(bundle("both.pem", format!("{stranger}{pem}"))).await;
    server.script([answer("200 OK", "", "bytes")]);
    assert_eq!(trusting.get("a").await.unwrap(), "bytes");
    assert_eq!(server.requests.lock().len(), 1);
    for untrusting in [open(None).await, open(bundle("other.pem", stranger)).await] {
        let error = untrusting.get("a").await.unwrap_err();
        assert_eq!(is(&error), Is::Transient, "{error:?}");
        let told = format!("{error:?}").to_lowercase();
        assert!(told.contains("certificate"), "{told}");
    }
    assert_eq!(server.requests.lock().len(), 1, "nothing was told to a stranger");
}
