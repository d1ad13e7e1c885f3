//! What a client with its default settings sees while its broker is killed and started again: librdkafka reconnects, and
//! tells its application of nothing but that. Five consumers of one group, three idempotent producers.

use crate::kill::rounds;
use crate::{alone, assert_clean};
use floe_e2e::broker::Setup;
use floe_e2e::history::History;
use floe_e2e::load::{Load, Topic, create_topics, read_everything};
use floe_e2e::wait;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const MEMBERS: usize = 5;

/// What the group's members were given.
#[derive(Default)]
struct Seen {
    records: BTreeSet<(i32, i64)>,
    errors: Vec<String>,
}

/// Takes the errors that librdkafka tells its application.
struct Errors(Arc<Mutex<Seen>>);

impl ClientContext for Errors {
    fn error(&self, error: KafkaError, reason: &str) {
        // The broker is gone for a moment: that is told, and is not an error of anything that was asked.
        let is_gone = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::OperationTimedOut)
        );
        if !is_gone {
            self.0.lock().errors.push(format!("{error}: {reason}"));
        }
    }
}

impl ConsumerContext for Errors {}

fn member(bootstrap: &str, seen: &Arc<Mutex<Seen>>, end: &Arc<AtomicBool>) -> JoinHandle<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "restarts").set("auto.offset.reset", "earliest").set("log_level", "3");
    let consumer: BaseConsumer<Errors> = config.create_with_context(Errors(seen.clone())).unwrap();
    let (seen, end) = (seen.clone(), end.clone());
    std::thread::spawn(move || {
        consumer.subscribe(&["orders"]).unwrap();
        while !end.load(Ordering::Relaxed) {
            match consumer.poll(Duration::from_millis(50)) {
                Some(Ok(message)) => drop(seen.lock().records.insert((message.partition(), message.offset()))),
                Some(Err(error)) => seen.lock().errors.push(error.to_string()),
                None => {}
            }
        }
    })
}

#[test]
fn librdkafka_with_default_settings_tells_of_no_error_while_its_broker_restarts() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), "restarts").option("group.initial.rebalance.delay.ms=100");
    let mut broker = setup.start().unwrap();
    let topics = [Topic::new("orders", 5, "local")];
    create_topics(&setup.bootstrap(), &topics).unwrap();
    let load = Load::with(&setup.bootstrap(), &topics, 0..3, &[("enable.idempotence", "true")]).unwrap();
    let (seen, end) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
    let members: Vec<_> = (0..MEMBERS).map(|_| member(&setup.bootstrap(), &seen, &end)).collect();
    let reads = |more: usize| {
        let before = seen.lock().records.len();
        wait::until(LIMIT, || (seen.lock().records.len() >= before + more).then_some(())).is_some()
    };
    let rounds = rounds(3, 10);
    for round in 0..rounds {
        assert!(load.wait(300, LIMIT), "round {round}: no acks\n{}", broker.log());
        assert!(reads(300), "round {round}: the group reads nothing\n{}", broker.log());
        broker.kill();
        broker = setup.start().unwrap();
    }
    let mut history = History::default();
    load.finish(&mut history).unwrap();
    read_everything(&setup.bootstrap(), &topics, &mut history).unwrap();
    assert_clean(&history);
    let count = history.acknowledgements();
    let saw_all = wait::until(LIMIT, || (seen.lock().records.len() >= count).then_some(()));
    end.store(true, Ordering::Relaxed);
    members.into_iter().for_each(|member| member.join().unwrap());
    let seen = seen.lock();
    println!("{rounds} restarts: {count} acknowledged, {} seen by the group", seen.records.len());
    assert!(saw_all.is_some(), "the group saw {} of {count}", seen.records.len());
    assert!(seen.errors.is_empty(), "{} errors: {:?}", seen.errors.len(), seen.errors);
    assert_eq!(broker.stop().unwrap(), 0);
}
