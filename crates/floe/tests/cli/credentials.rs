//! S3 credentials as clouds hand them out: a profile's file, a container's endpoint, an instance's metadata. One server of the test
//! plays all of them and the store, and tells by whose key the store was asked.

use crate::process::{floe, stderr};
use parking_lot::Mutex;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

const ROLE: &str = "/latest/meta-data/iam/security-credentials/";

/// `METHOD path` of every request, and the key that it was signed with.
type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// Its address; it lives as long as the test's process.
fn cloud() -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let asked = Asked::default();
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &log);
        }
    });
    (address, asked)
}

fn answer(mut stream: TcpStream, log: &Asked) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).is_ok_and(|len| len > 2) {
        head.push_str(&std::mem::take(&mut line));
    }
    let header = |name: &str| {
        let found = head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").map_or(0, |len| len.parse().expect("a length"));
    reader.take(length).read_to_end(&mut Vec::new()).expect("the request has a body");
    let request = head.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let key = header("authorization").and_then(|value| Some(value.split_once("Credential=")?.1.split('/').next()?.to_owned()));
    let credentials = |key: &str| {
        let body = format!(
            "{{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"{key}\",\"SecretAccessKey\":\"hush\",\"Token\":\"t\",\
             \"Expiration\":\"2999-01-01T00:00:00Z\",\"LastUpdated\":\"2020-01-01T00:00:00Z\"}}"
        );
        ("200 OK", body)
    };
    let (status, body) = match request.as_str() {
        "GET /container" => credentials("key-of-container"),
        "PUT /latest/api/token" => ("200 OK", "token".to_owned()),
        path if path == format!("GET {ROLE}") => ("200 OK", "broker".to_owned()),
        path if path == format!("GET {ROLE}broker") => credentials("key-of-instance"),
        _ => ("403 Forbidden", "<Error><Code>AccessDenied</Code><Message>no</Message></Error>".to_owned()),
    };
    log.lock().push((request, key));
    let ttl = "x-aws-ec2-metadata-token-ttl-seconds: 21600";
    let _gone = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{ttl}\r\n\r\n{body}", body.len());
}

/// The keys that the store was asked by, when the program was started with these variables and none of this machine's.
fn keys_by(address: &str, asked: &Asked, home: &Path, variables: &[(&str, &str)]) -> Vec<String> {
    asked.lock().clear();
    let mut command =
        floe(&["du", "--store", "s3://bucket/log", "-o", &format!("s3.endpoint=http://{address}"), "-o", "s3.region=eu-test-1"]);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    let output = command.env("HOME", home).envs(variables.iter().copied()).output().expect("the program starts");
    let said = stderr(&output);
    assert!(!output.status.success() && said.contains("AccessDenied"), "{said}");
    assert!(!said.contains("hush"), "a secret is told: {said}");
    let of_store = |(request, key): &(String, Option<String>)| request.contains("/bucket").then(|| key.clone().unwrap_or_default());
    asked.lock().iter().filter_map(of_store).collect()
}

#[test]
fn credentials_come_from_a_profile_a_container_and_an_instance() {
    let (address, asked) = cloud();
    let home = tempfile::tempdir().unwrap();
    let container = format!("http://{address}/container");
    let metadata = format!("http://{address}");
    let no_metadata = ("AWS_EC2_METADATA_DISABLED", "true");
    let is_all = |keys: Vec<String>, expected: &str| assert!(!keys.is_empty() && keys.iter().all(|key| key == expected), "{keys:?}");
    is_all(keys_by(&address, &asked, home.path(), &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container), no_metadata]), "key-of-container");
    is_all(keys_by(&address, &asked, home.path(), &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata)]), "key-of-instance");
    let token = ("PUT /latest/api/token".to_owned(), None);
    assert!(asked.lock().contains(&token), "IMDSv2 asks with a token");
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let profile = "[default]\naws_access_key_id = key-of-default\naws_secret_access_key = hush\n\
                   [other]\naws_access_key_id = key-of-profile\naws_secret_access_key = hush\n";
    std::fs::write(home.path().join(".aws/credentials"), profile).unwrap();
    is_all(keys_by(&address, &asked, home.path(), &[no_metadata]), "key-of-default");
    is_all(keys_by(&address, &asked, home.path(), &[("AWS_PROFILE", "other"), no_metadata]), "key-of-profile");
    let own = [("AWS_ACCESS_KEY_ID", "key-of-variable"), ("AWS_SECRET_ACCESS_KEY", "hush"), no_metadata];
    is_all(keys_by(&address, &asked, home.path(), &own), "key-of-variable");
}
