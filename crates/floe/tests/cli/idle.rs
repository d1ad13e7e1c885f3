//! Brokers that end when nobody uses them, and are started by whoever does.

use crate::commands::produce_to;
use crate::process::{Broker, code, floe, good};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

#[test]
fn without_traffic_it_drains_and_ends_and_its_disk_can_be_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file://{}", folder.path().join("store").display());
    let broker = Broker::start(&folder.path().join("first"), &["--store", &store, "--idle-exit", "1s"]);
    good(&["topic", "create", "t", "--bootstrap", &broker.kafka()]);
    assert!(produce_to(&broker.kafka(), "t", "kept\n").status.success());
    let (ended, _, log) = broker.wait();
    assert_eq!(ended, Some(code::OK), "{log}");
    assert!(log.contains("idle: draining"), "{log}");
    std::fs::remove_dir_all(folder.path().join("first")).unwrap();
    let broker = Broker::start(&folder.path().join("second"), &["--store", &store]);
    let read = good(&["consume", "t", "--from", "beginning", "--count", "1", "--bootstrap", &broker.kafka()]);
    assert!(read.contains("kept"), "{read}");
    broker.drain();
}

#[test]
fn a_consumer_that_only_waits_keeps_it_or_does_not_as_the_settings_say() {
    let folder = tempfile::tempdir().unwrap();
    let waiting = |broker: &Broker| {
        let mut consumer = floe(&["consume", "t", "--from", "end", "--bootstrap", &broker.kafka()]);
        consumer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let broker = Broker::start(&folder.path().join("polls"), &["--idle-exit", "1s", "-o", "floe.idle.exit.polls=false"]);
    good(&["topic", "create", "t", "--bootstrap", &broker.kafka()]);
    let mut consumer = waiting(&broker);
    let (ended, _, log) = broker.wait();
    assert_eq!(ended, Some(code::OK), "{log}");
    end(&mut consumer);

    let broker = Broker::start(&folder.path().join("held"), &["--idle-exit", "1s"]);
    good(&["topic", "create", "t", "--bootstrap", &broker.kafka()]);
    let mut consumer = waiting(&broker);
    // Longer than it would stay without traffic: the pages do not count.
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(4) {
        assert_eq!(broker.page("/healthz").0, 200);
    }
    end(&mut consumer);
    assert_eq!(broker.wait().0, Some(code::OK), "then it ends");
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _killed = child.kill();
    child.wait().expect("it can be waited for");
}

/// ApiVersions version 0, with correlation id 7.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0, 0];

#[test]
fn a_connection_to_an_inherited_socket_starts_it_and_is_served_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    for _ in 0..3 {
        // The client is there, and has asked, before there is a broker.
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(&API_VERSIONS).unwrap();
        let mut broker = activated(&socket, folder.path());
        let mut answer = [0; 8];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer[4..], [0, 0, 0, 7]);
        drop(client);
        let mut line = String::new();
        BufReader::new(broker.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains(&format!("kafka {address}")), "{line}");
        assert_eq!(broker.wait().unwrap().code(), Some(code::OK), "idle, it ends; the socket stays");
    }
}

/// As systemd starts it: the socket is descriptor 3.
fn activated(socket: &TcpListener, folder: &std::path::Path) -> Child {
    let program = env!("CARGO_BIN_EXE_floe");
    let script = "exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash", program, "serve", "--data"]).arg(folder.join("data"));
    command.args(["--admin", "127.0.0.1:0", "--idle-exit", "1s"]);
    command.stdin(OwnedFd::from(socket.try_clone().expect("descriptors are left"))).stdout(Stdio::piped()).stderr(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLOE_")) {
        command.env_remove(name);
    }
    command.spawn().expect("bash is there")
}
