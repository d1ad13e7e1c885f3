//! What the broker asks of the operating system, and in which order: kill -9 keeps the page cache, so it cannot show this.

use crate::alone;
use floe_e2e::broker::{Broker, Setup, verify};
use floe_e2e::load::{Topic, create_topics};
use floe_e2e::trace::{Call, answer_follows_sync, object_precedes_trim, parse, strace};
use floe_e2e::wait;
use floe_e2e::wire::{Connection, Correlation};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Whether processes can be traced here.
fn tracing() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match traced {
        Ok(status) if status.success() => true,
        Ok(status) => {
            println!("SKIP: strace may not trace here ({status})");
            false
        }
        Err(error) => {
            println!("SKIP: strace: {error}");
            false
        }
    }
}

/// As many distinct ones as three digits in base 36 give.
fn correlation(n: usize) -> Correlation {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    [b'Q', DIGITS[n / 1296 % 36], DIGITS[n / 36 % 36], DIGITS[n % 36]]
}

fn text(correlation: &Correlation) -> &str {
    std::str::from_utf8(correlation).unwrap()
}

/// The calls of a broker that has ended.
fn calls_of(broker: Broker, file: &Path) -> Vec<Call> {
    let pid = broker.pid();
    assert_eq!(broker.stop().unwrap(), 0);
    // strace writes its last line after the process's end.
    let ended = wait::until(Duration::from_secs(30), || {
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        text.lines().any(|line| line.starts_with(&format!("{pid} ")) && line.contains("+++ exited with 0")).then_some(text)
    });
    parse(&ended.expect("strace writes how the broker ended"))
}

#[test]
fn every_ack_follows_an_fdatasync_that_covers_its_bytes() {
    if !tracing() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace");
    let setup = Setup { wrapper: strace(&file), ..Setup::new(folder.path(), "broker") };
    let broker = setup.start().unwrap();
    create_topics(&setup.bootstrap(), &[Topic::new("traced", 4, "local")]).unwrap();
    let payload = |n: usize| format!("payload-{n:06}-payload");
    let mut connections: Vec<_> = (0..3).map(|_| Connection::open(&setup.bootstrap()).unwrap()).collect();
    let mut sent = 0;
    // One at a time: each needs an fdatasync of its own.
    for _ in 0..50 {
        connections[0].send(correlation(sent), "traced", 0, payload(sent).as_bytes()).unwrap();
        assert_eq!(connections[0].answer().unwrap().0, correlation(sent));
        sent += 1;
    }
    // Pipelined on several connections: groups share one.
    for _ in 0..10 {
        let first = sent;
        for n in 0..24 {
            connections[n % 3].send(correlation(sent), "traced", (n % 4) as i32, payload(sent).as_bytes()).unwrap();
            sent += 1;
        }
        for n in 0..24 {
            assert_eq!(connections[n % 3].answer().unwrap().0, correlation(first + n), "answers come in order");
        }
    }
    let calls = calls_of(broker, &file);
    let problems: Vec<String> = (0..sent).filter_map(|n| answer_follows_sync(&calls, &payload(n), text(&correlation(n))).err()).collect();
    assert!(problems.is_empty(), "{} of {sent}: {:#?}", problems.len(), &problems[..problems.len().min(5)]);
    println!("{sent} answers, {} calls", calls.len());
    verify(&setup).unwrap();
}

#[test]
fn an_object_and_its_folder_are_fsynced_before_the_wal_that_held_it_goes() {
    if !tracing() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace");
    let setup = Setup { wrapper: strace(&file), ..Setup::new(folder.path(), "broker") };
    let setup = setup.option("floe.flush.bytes=256KiB").option("floe.wal.file.bytes=2MiB").option("floe.pack.bytes=1MiB");
    let broker = setup.start().unwrap();
    create_topics(&setup.bootstrap(), &[Topic::new("traced", 2, "local")]).unwrap();
    let mut connection = Connection::open(&setup.bootstrap()).unwrap();
    let mut random = StdRng::seed_from_u64(1);
    let mut payloads = Vec::new();
    // 10 MiB, of which nothing compresses: a pack holds each payload as it is.
    for n in 0..160 {
        let payload: String = (0..24).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect();
        let mut value: Vec<u8> = (0..65_536).map(|_| random.random()).collect();
        value[20_000..20_024].copy_from_slice(payload.as_bytes());
        connection.send(correlation(n), "traced", (n % 2) as i32, &value).unwrap();
        connection.answer().unwrap();
        payloads.push(payload);
    }
    let calls = calls_of(broker, &file);
    let mut given_up = 0;
    for payload in &payloads {
        given_up += usize::from(object_precedes_trim(&calls, payload).unwrap());
    }
    println!("{given_up} of {} records lay in WAL files that were given up", payloads.len());
    assert!(given_up >= payloads.len() / 2, "{given_up}: the test must see WAL files go");
    verify(&setup).unwrap();
}
