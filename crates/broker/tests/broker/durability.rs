//! Durability as a client sees it: what was acknowledged is there after a restart, and a broker that stops answers what
//! it has taken.

use crate::support::{World, batch, fetch_request, produce_request, values};
use floe_broker::BrokerConfig;
use floe_log::Durability;
use floe_protocol::messages::{FetchRequest, ProduceRequest};

#[tokio::test]
async fn acknowledged_records_of_either_durability_survive_a_kill() {
    let world = World::new();
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let mut client = broker.client().await;
    for durability in ["local", "object"] {
        client.create_topic(durability, 1, &[("floe.durability", durability)]).await;
        for n in 0..5 {
            assert_eq!(client.produce(durability, &batch(&[&format!("{durability}-{n}")])).await.error_code, 0);
        }
    }
    broker.kill().await;
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let mut client = broker.client().await;
    for durability in ["local", "object"] {
        let expected: Vec<_> = (0..5).map(|n| (n, format!("{durability}-{n}"))).collect();
        assert_eq!(values(&client.fetch(durability, 0).await.records), expected);
    }
}

#[tokio::test]
async fn history_from_the_store_comes_back_in_one_answer_within_its_limits() {
    let world = World::new();
    let broker = world.start(BrokerConfig::default(), Durability::Object).await;
    let mut client = broker.client().await;
    client.create_topic("t", 3, &[]).await;
    let large = "x".repeat(1_000);
    for n in 0..20 {
        for partition in 0..3 {
            client.call(9, &produce_request("t", partition, -1, &batch(&[&format!("{n}-{large}")]))).await;
        }
    }
    broker.stop().await;
    let broker = world.start(BrokerConfig::default(), Durability::Object).await;
    let mut client = broker.client().await;
    let mut request = fetch_request("t", &[(0, 0), (1, 5), (2, 20)], 0);
    request.min_bytes = i32::MAX;
    let response = client.call::<FetchRequest>(12, &request).await;
    let counts: Vec<_> = response.responses[0].partitions.iter().map(|p| (p.error_code, values(&p.records).len())).collect();
    assert_eq!(counts, [(0, 20), (0, 15), (0, 0)]);
    request.max_bytes = 10_000;
    let response = client.call::<FetchRequest>(12, &request).await;
    let bytes: usize = response.responses[0].partitions.iter().map(|p| p.records.as_ref().map_or(0, bytes::Bytes::len)).sum();
    assert!((1_000..=10_000).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn a_broker_that_stops_answers_what_it_has_taken_and_ends_long_polls() {
    let world = World::new();
    let broker = world.start(BrokerConfig::default(), Durability::Object).await;
    let (mut producer, mut consumer) = (broker.client().await, broker.client().await);
    producer.create_topic("t", 1, &[]).await;
    consumer.send(12, &fetch_request("t", &[(0, 0)], 59_000)).await;
    // Answered once its pack is in a slot; by then the broker is stopping.
    producer.send(9, &produce_request("t", 0, -1, &batch(&["taken"]))).await;
    while broker.engine.partition_statuses()[0].end == 0 {
        tokio::task::yield_now().await;
    }
    broker.shutdown.trigger();
    let (_, response) = producer.receive::<ProduceRequest>(9).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    producer.assert_closed().await;
    let (_, response) = consumer.receive::<FetchRequest>(12).await;
    assert_eq!(response.responses[0].partitions[0].error_code, 0);
    consumer.assert_closed().await;
    broker.stop().await;
}
