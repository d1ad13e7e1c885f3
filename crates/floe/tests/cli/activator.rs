//! `floe activator`: nobody is there until somebody connects.

use crate::commands::produce_to;
use crate::process::{code, floe, good};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// ApiVersions version 0, with correlation id 7.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0, 0];

/// A running activator, on free ports. Ended when dropped, with the broker that it may have woken.
struct Activator {
    child: Child,
    /// Its broker's, too.
    _out: BufReader<ChildStdout>,
    addresses: Vec<String>,
}

impl Activator {
    fn start(arguments: &[&str]) -> Activator {
        let mut command = floe(&[&["activator"], arguments].concat());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        out.read_line(&mut line).expect("stdout is text");
        let addresses = line.strip_prefix("floe activator ready: ").unwrap_or_else(|| panic!("{arguments:?} said {line:?}"));
        Activator { addresses: addresses.trim().split(',').map(str::to_owned).collect(), child, _out: out }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().expect("kill is there");
        assert!(sent.success());
    }
}

impl Drop for Activator {
    fn drop(&mut self) {
        // It may have ended already.
        let _sent = Command::new("kill").arg(self.child.id().to_string()).stderr(Stdio::null()).status();
        let _reaped = self.child.wait();
    }
}

/// The command line of a broker that ends after a second without traffic.
fn broker(folder: &Path) -> Vec<String> {
    let data = folder.join("data").display().to_string();
    let words = ["serve", "--data", &data, "--admin", "127.0.0.1:0", "--idle-exit", "1s"].map(str::to_owned);
    [env!("CARGO_BIN_EXE_floe").to_owned()].into_iter().chain(words).collect()
}

fn local(folder: &Path, listen: &str, more: &[&str]) -> Activator {
    let broker = broker(folder);
    let broker: Vec<&str> = broker.iter().map(String::as_str).collect();
    Activator::start(&[&["--listen", listen], more, &["--"], &broker[..]].concat())
}

/// Whether a broker answers on a connection.
fn asks(client: &mut TcpStream) -> bool {
    let mut head = [0; 8];
    client.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
    if client.write_all(&API_VERSIONS).is_err() || client.read_exact(&mut head).is_err() {
        return false;
    }
    let [a, b, c, d, correlation @ ..] = head;
    let mut rest = vec![0; u32::from_be_bytes([a, b, c, d]) as usize - 4];
    client.read_exact(&mut rest).is_ok() && correlation == [0, 0, 0, 7]
}

/// Processes that have this word in their command line, and are brokers.
fn brokers(word: &Path) -> usize {
    let found =
        Command::new("pgrep").args(["-f", "-c", &format!("^[^ ]*floe serve --data {}", word.display())]).output().expect("pgrep is there");
    String::from_utf8_lossy(&found.stdout).trim().parse().expect("a number")
}

fn until_no_broker(folder: &Path) {
    let began = std::time::Instant::now();
    while brokers(folder) > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn clients_wake_the_broker_again_and_again_and_find_what_they_left() {
    let folder = tempfile::tempdir().unwrap();
    let activator = local(folder.path(), "127.0.0.1:0", &[]);
    let at = &activator.addresses[0];
    assert_eq!(brokers(folder.path()), 0, "nobody has asked for one");
    good(&["topic", "create", "t", "-b", at]);
    for lines in ["a\n", "b\n", "c\n"] {
        assert!(produce_to(at, "t", lines).status.success());
        until_no_broker(folder.path());
    }
    let read = good(&["consume", "t", "--from", "beginning", "--count", "3", "-b", at]);
    assert_eq!(["a", "b", "c"].map(|value| read.matches(value).count()), [1, 1, 1], "{read}");
    activator.signal("TERM");
    until_no_broker(folder.path());
}

#[test]
fn the_broker_outlives_its_activator_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = local(folder.path(), "127.0.0.1:0", &[]);
    let at = first.addresses[0].clone();
    let mut client = TcpStream::connect(&at).unwrap();
    assert!(asks(&mut client));
    first.signal("KILL");
    first.child.wait().unwrap();
    assert!(asks(&mut client), "the broker is still there");
    // Says that it is ready when the broker has ended, and the address is free.
    drop(client);
    let second = local(folder.path(), &at, &[]);
    assert_eq!(second.addresses, std::slice::from_ref(&at));
    assert!(asks(&mut TcpStream::connect(&at).unwrap()));
    second.signal("TERM");
    until_no_broker(folder.path());
}

#[test]
fn a_broker_that_does_not_come_costs_a_client_no_more_than_the_time_limit() {
    for broker in ["false", "sleep 1000"] {
        let script = format!("exec {broker}");
        let activator = Activator::start(&["--listen", "127.0.0.1:0", "--wake-timeout", "500ms", "--", "sh", "-c", &script]);
        let mut client = TcpStream::connect(&activator.addresses[0]).unwrap();
        assert!(!asks(&mut client), "{broker}: closed, and not for ever silent");
    }
}

/// An activator for a broker elsewhere, which its command starts, slowly, writing down that it did.
fn elsewhere(folder: &Path) -> (Activator, u16) {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port is free").port();
    let (broker, log) = (broker(folder).join(" "), folder.join("woken"));
    let command =
        format!("echo woken >>{}; sleep 0.3; exec </dev/null >/dev/null 2>&1; setsid {broker} --listen 127.0.0.1:{port} &", log.display());
    (Activator::start(&["--listen", &format!("127.0.0.1:0=127.0.0.1:{port}"), "--wake-command", &command]), port)
}

#[test]
fn many_clients_cause_one_wake_up_of_a_broker_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (activator, _) = elsewhere(folder.path());
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let at = activator.addresses[0].clone();
            std::thread::spawn(move || asks(&mut TcpStream::connect(at).unwrap()))
        })
        .collect();
    assert!(clients.into_iter().all(|client| client.join().unwrap()));
    assert_eq!(std::fs::read_to_string(folder.path().join("woken")).unwrap(), "woken\n");
    until_no_broker(folder.path());
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |arguments: &[&str], why: &str| {
        let output = floe(&[&["activator"], arguments].concat()).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code::REFUSED), "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    };
    refused(&[], "--listen");
    refused(&["--listen", "127.0.0.1:0"], "--wake-command");
    refused(&["--listen", "127.0.0.1:0", "--wake-command", "true"], "where to?");
    refused(&["--listen", "127.0.0.1:0=127.0.0.1:1", "--", "true"], "takes no =TARGET");
    refused(&["--listen", "127.0.0.1:0=127.0.0.1:1", "--wake-kubernetes", "x"], "NAMESPACE/NAME=REPLICAS");
    refused(&["--listen", "127.0.0.1:0=127.0.0.1:1", "--wake-webhook", "no address"], "--wake-webhook");
}
