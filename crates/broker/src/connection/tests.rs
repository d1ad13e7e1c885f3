//! Connections over pipes in memory, on a clock that only moves when nothing else can.

use super::*;
use crate::config::BrokerConfig;
use crate::testing::{Pipe, World, batch, create_topic, produce_request};
use floe_log::{Durability, EngineOptions};
use floe_protocol::message;
use floe_protocol::messages::{MetadataRequest, ProduceRequest, ProduceResponse};
use floe_types::Millis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ROOMY: usize = 1 << 20;

fn outcome(response: &ProduceResponse) -> (i16, i64) {
    let partition = &response.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_does_not_come_in_time_is_a_time_out_and_the_record_may_still_come() {
    let world = World::new(1);
    let broker = world.broker().await;
    let partitions = create_topic(&broker, "t", 1, Durability::Object).await;
    let mut pipe = Pipe::new(&broker, ROOMY);
    world.store.set_available(false);
    let started = broker.env.monotonic();
    let response = pipe.call(9, &produce_request("t", &batch(&broker.env, 10), 700)).await;
    assert_eq!(outcome(&response), (7, -1));
    let took = broker.env.monotonic() - started;
    assert!((700..710).contains(&took.as_millis()), "{took:?}");
    world.store.set_available(true);
    partitions[0].committed(1).await.expect("the store is back");
    let response = pipe.call(9, &produce_request("t", &batch(&broker.env, 10), 30_000)).await;
    assert_eq!(outcome(&response), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_full_log_slows_producers_then_refuses_them_retriably_and_takes_them_again_when_there_is_room() {
    let world = World::new(2);
    let options = EngineOptions { object_unflushed_bytes: 5_000, ..EngineOptions::default() };
    let broker = world.broker_with(BrokerConfig::default(), options).await;
    create_topic(&broker, "t", 1, Durability::Object).await;
    world.store.set_available(false);
    let mut pipe = Pipe::new(&broker, ROOMY);
    let mut codes = Vec::new();
    let mut waited = Vec::new();
    for _ in 0..8 {
        let started = broker.env.monotonic();
        let response = pipe.call(9, &produce_request("t", &batch(&broker.env, 1_000), 100)).await;
        codes.push(outcome(&response).0);
        waited.push((broker.env.monotonic() - started).as_millis());
    }
    assert_eq!(codes, [7, 7, 7, 7, 19, 19, 19, 19], "appended but not committed; then no room");
    assert!((1_000..1_100).contains(&waited[4]), "the first waits for room: {waited:?}");
    assert!(waited[5..].iter().all(|ms| *ms < 100), "the others are told at once: {waited:?}");
    world.store.set_available(true);
    let mut response = pipe.call(9, &produce_request("t", &batch(&broker.env, 1_000), 30_000)).await;
    while outcome(&response).0 == 19 {
        broker.env.sleep(Duration::from_millis(100)).await;
        response = pipe.call(9, &produce_request("t", &batch(&broker.env, 1_000), 30_000)).await;
    }
    assert_eq!(outcome(&response), (0, 4), "nothing that was refused is there");
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_wait_for_their_answer_than_are_allowed() {
    let world = World::new(3);
    let config = BrokerConfig { max_pending_requests: 2, ..BrokerConfig::default() };
    let broker = world.broker_with(config, EngineOptions::default()).await;
    let partitions = create_topic(&broker, "t", 1, Durability::Object).await;
    world.store.set_available(false);
    let mut pipe = Pipe::new(&broker, ROOMY);
    for n in 0..10 {
        pipe.send(9, n, &produce_request("t", &batch(&broker.env, 10), 60_000)).await;
    }
    broker.env.sleep(Duration::from_secs(5)).await;
    assert_eq!(partitions[0].offsets().end, 3, "one at the writer, two behind it");
    world.store.set_available(true);
    for n in 0..10 {
        let (correlation, response) = pipe.receive::<ProduceRequest>(9).await;
        assert_eq!((correlation, outcome(&response)), (n, (0, i64::from(n))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_has_one_answer_waiting_and_is_cut_off() {
    let world = World::new(4);
    let broker = world.broker().await;
    create_topic(&broker, "t", 500, Durability::Local).await;
    let mut pipe = Pipe::new(&broker, 4 << 10);
    for n in 0..20 {
        pipe.send(12, n, &message!(MetadataRequest { topics: None })).await;
    }
    broker.env.sleep(Duration::from_secs(1)).await;
    let held = broker.answers.in_use();
    assert!((10_000..60_000).contains(&held), "one answer of about 20 kB is charged, not twenty: {held}");
    let started = broker.env.monotonic();
    let close = pipe.serving.join().await.expect("no panic");
    assert!(matches!(close, Close::SlowReader { .. }), "{close}");
    assert!(broker.env.monotonic() - started < Duration::from_secs(30));
    assert_eq!((broker.answers.in_use(), broker.requests.in_use()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_byte_by_byte_has_its_time_and_no_more() {
    let world = World::new(5);
    let config = BrokerConfig { request_receive_timeout: Millis(10_000), ..BrokerConfig::default() };
    let broker = world.broker_with(config, EngineOptions::default()).await;
    let mut pipe = Pipe::new(&broker, ROOMY);
    pipe.stream.write_all(&(3_i32 << 20).to_be_bytes()).await.expect("open");
    let started = broker.env.monotonic();
    let trickle = async {
        loop {
            broker.env.sleep(Duration::from_millis(500)).await;
            if pipe.stream.write_all(&[0; 100]).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(trickle, async {
        broker.env.sleep(Duration::from_secs(5)).await;
        assert_eq!(broker.requests.in_use(), 3 << 20, "the whole frame is charged");
    });
    let close = pipe.serving.join().await.expect("no panic");
    assert!(matches!(close, Close::SlowRequest { .. }), "{close}");
    assert_eq!((broker.env.monotonic() - started).as_secs(), 13, "ten seconds, and one for each MiB");
    assert_eq!(broker.requests.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_after_its_time() {
    let world = World::new(6);
    let broker = world.broker().await;
    let mut pipe = Pipe::new(&broker, ROOMY);
    pipe.call(12, &message!(MetadataRequest { topics: None })).await;
    let started = broker.env.monotonic();
    let close = pipe.serving.join().await.expect("no panic");
    assert!(matches!(close, Close::Idle(_)), "{close}");
    assert_eq!((broker.env.monotonic() - started).as_secs(), 600);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_before_a_bad_frame_is_still_answered() {
    let world = World::new(7);
    let broker = world.broker().await;
    create_topic(&broker, "t", 1, Durability::Object).await;
    let mut pipe = Pipe::new(&broker, ROOMY);
    pipe.send(9, 1, &produce_request("t", &batch(&broker.env, 10), 30_000)).await;
    pipe.stream.write_all(&[0xff; 8]).await.expect("open");
    let (_, response) = pipe.receive::<ProduceRequest>(9).await;
    assert_eq!(outcome(&response), (0, 0));
    assert_eq!(pipe.stream.read_u8().await.expect_err("closed").kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(matches!(pipe.serving.join().await.expect("no panic"), Close::Frame(_)));
}
