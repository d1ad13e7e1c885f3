//! A broker that ends whenever nobody produces, behind an activator: clients that were connected before go on with what they have, by default settings.

use crate::alone;
use crate::kill::rounds;
use floe_e2e::broker::{free_port, program};
use floe_e2e::load::{Topic, create_topics};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What each end of the broker may cost in all: clients wait up to ten seconds between their attempts by default.
const LIMIT: Duration = Duration::from_secs(120);

/// `floe activator` with a broker that ends half a second after the last traffic, long polls not counted. Drained when dropped.
struct Activator(Child);

impl Activator {
    fn start(folder: &Path, address: &str) -> Self {
        let program = program().unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let mut command = Command::new(&program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLOE_")) {
            command.env_remove(name);
        }
        command.args(["activator", "--listen", address, "--"]).arg(&program).args(["serve", "--admin", "127.0.0.1:0", "--data"]);
        command.arg(folder.join("data")).args(["--idle-exit", "500ms", "-o", "floe.idle.exit.polls=false"]);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Activator {
    fn drop(&mut self) {
        // It may have ended already.
        let _sent = rustix::process::kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _reaped = self.0.wait();
    }
}

fn times_idle(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("log")).unwrap().matches("idle: draining").count()
}

/// Sends one record, and waits for its acknowledgement.
fn send(producer: &BaseProducer, number: usize) {
    let payload = number.to_string();
    producer.send(BaseRecord::<(), str>::to("t").partition(0).payload(&payload)).map_err(|(error, _)| error).unwrap();
    producer.flush(LIMIT).unwrap();
    assert_eq!(producer.in_flight_count(), 0, "record {number} was not acknowledged");
}

/// Reads what is there. That no broker is there just now is no error: the client tries again by itself.
fn read(consumer: &BaseConsumer, values: &mut Vec<usize>, pause: Duration) {
    let until = Instant::now() + pause;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        match consumer.poll(left) {
            None => {}
            Some(Ok(message)) => {
                let text = std::str::from_utf8(message.payload().unwrap()).unwrap();
                values.push(text.parse().unwrap());
            }
            Some(Err(KafkaError::MessageConsumption(code)))
                if format!("{code:?}").contains("BrokersDown") || format!("{code:?}").contains("Transport") => {}
            Some(Err(error)) => panic!("{error}"),
        }
    }
}

#[test]
fn clients_that_were_connected_before_zero_go_on_after_it() {
    let _alone = alone();
    let cycles = rounds(5, 20);
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let activator = Activator::start(folder.path(), &address);
    let began = Instant::now();
    while create_topics(&address, &[Topic::new("t", 1, "object")]).is_err() {
        assert!(began.elapsed() < LIMIT, "no topic could be created");
    }
    let defaults = || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &address).set("log_level", "2");
        config
    };
    let producer: BaseProducer = defaults().set("enable.idempotence", "true").create().unwrap();
    let consumer: BaseConsumer = defaults().set("group.id", "zero").create().unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset("t", 0, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let (mut sent, mut values) = (0, Vec::new());
    while times_idle(folder.path()) < cycles {
        assert!(began.elapsed() < LIMIT * (1 + u32::try_from(cycles).unwrap()), "it ended {} times only", times_idle(folder.path()));
        send(&producer, sent);
        sent += 1;
        read(&consumer, &mut values, Duration::from_millis(700));
    }
    let began = Instant::now();
    while values.len() < sent {
        assert!(began.elapsed() < LIMIT, "{} of {sent} records were read", values.len());
        read(&consumer, &mut values, Duration::from_millis(100));
    }
    println!("{sent} records over {} ends of the broker", times_idle(folder.path()));
    assert_eq!(values, (0..sent).collect::<Vec<_>>(), "each once, in order");
    // A consumer waits for its group's coordinator when it goes.
    drop(consumer);
    drop(activator);
}
