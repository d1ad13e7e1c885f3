//! Idempotent producers (B5): a repeat gets its first answer, a gap is refused, across restarts.

use crate::support::{TestBroker, World, sequenced, values};
use floe_broker::BrokerConfig;
use floe_log::Durability;
use floe_protocol::messages::InitProducerIdRequest;
use floe_protocol::{ErrorCode, message};
use std::collections::BTreeSet;

#[tokio::test]
async fn repeats_of_the_last_five_batches_get_their_first_offsets() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let id = client.call(4, &message!(InitProducerIdRequest { transactional_id: None })).await.producer_id;
    for sequence in 0..7 {
        assert_eq!(client.produce("t", &sequenced(id, 0, sequence, &format!("v{sequence}"))).await.base_offset, i64::from(sequence));
    }
    for sequence in 2..7 {
        let again = client.produce("t", &sequenced(id, 0, sequence, &format!("v{sequence}"))).await;
        assert_eq!((again.error_code, again.base_offset), (0, i64::from(sequence)));
    }
    let older = client.produce("t", &sequenced(id, 0, 1, "v1")).await;
    assert_eq!(older.error_code, ErrorCode::DuplicateSequenceNumber.code());
    let gap = client.produce("t", &sequenced(id, 0, 8, "v8")).await;
    assert_eq!(gap.error_code, ErrorCode::OutOfOrderSequenceNumber.code());
    assert_eq!(client.produce("t", &sequenced(id, 1, 0, "next epoch")).await.error_code, 0);
    let fenced = client.produce("t", &sequenced(id, 0, 7, "old epoch")).await;
    assert_eq!(fenced.error_code, ErrorCode::InvalidProducerEpoch.code());
    assert_eq!(values(&client.fetch("t", 0).await.records).len(), 8, "nothing is there twice");
}

#[tokio::test]
async fn a_repeat_on_a_topic_of_append_times_gets_the_time_of_its_original() {
    let world = World::new();
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let id = client.call(4, &message!(InitProducerIdRequest { transactional_id: None })).await.producer_id;
    let first = client.produce("t", &sequenced(id, 0, 0, "v")).await;
    assert!(first.log_append_time_ms > 0);
    broker.kill().await;
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let again = broker.client().await.produce("t", &sequenced(id, 0, 0, "v")).await;
    assert_eq!((again.error_code, again.base_offset, again.log_append_time_ms), (0, 0, first.log_append_time_ms));
}

#[tokio::test]
async fn t40_a_retry_of_an_older_batch_after_a_restart_is_a_duplicate_and_not_out_of_order() {
    for kill in [true, false] {
        let world = World::new();
        let broker = world.start(BrokerConfig::default(), Durability::Local).await;
        let mut client = broker.client().await;
        client.create_topic("t", 1, &[]).await;
        let id = client.call(4, &message!(InitProducerIdRequest { transactional_id: None })).await.producer_id;
        for sequence in 0..6 {
            client.produce("t", &sequenced(id, 0, sequence, "v")).await;
        }
        drop(client);
        if kill {
            broker.kill().await
        } else {
            broker.stop().await
        }
        let broker = world.start(BrokerConfig::default(), Durability::Local).await;
        let mut client = broker.client().await;
        for sequence in [1, 3, 5] {
            let again = client.produce("t", &sequenced(id, 0, sequence, "v")).await;
            assert_eq!((again.error_code, again.base_offset), (0, i64::from(sequence)), "kill {kill}, sequence {sequence}");
        }
        assert_eq!(client.produce("t", &sequenced(id, 0, 6, "v")).await.base_offset, 6);
    }
}

#[tokio::test]
async fn producer_ids_are_never_given_twice_and_transactional_ids_are_refused_for_good() {
    let world = World::new();
    let mut given = BTreeSet::new();
    for _life in 0..2 {
        let broker = world.start(BrokerConfig::default(), Durability::Local).await;
        let mut client = broker.client().await;
        for version in 0..=5 {
            let response = client.call(version, &message!(InitProducerIdRequest { transactional_id: None })).await;
            assert_eq!((response.error_code, response.producer_epoch), (0, 0));
            assert!(given.insert(response.producer_id), "{} was given before", response.producer_id);
            let request = message!(InitProducerIdRequest { transactional_id: Some("tx".into()) });
            let refused = client.call(version, &request).await;
            assert_eq!((refused.error_code, refused.producer_id), (ErrorCode::TransactionalIdAuthorizationFailed.code(), -1));
        }
        let empty = client.call(4, &message!(InitProducerIdRequest { transactional_id: Some("".into()) })).await;
        assert_eq!(empty.error_code, ErrorCode::InvalidRequest.code());
        broker.stop().await;
    }
}
