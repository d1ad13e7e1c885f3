//! Clients that send rubbish: a Kafka error or a closed connection with a counted reason, and nobody else is hurt.

use crate::support::{Client, TestBroker, batch, produce_request};
use bytes::BufMut;
use floe_broker::BrokerConfig;
use floe_protocol::client::encode_request;
use floe_protocol::message;
use floe_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use floe_types::{ByteSize, Millis};

async fn send(broker: &TestBroker, bytes: &[u8]) -> Client {
    let mut client = broker.client().await;
    client.raw(bytes).await;
    client
}

/// A frame with a request header of this API and version, and this body.
fn frame(api: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.put_i32(i32::try_from(10 + body.len()).expect("small"));
    frame.put_i16(api);
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(-1);
    frame.put_slice(body);
    frame
}

#[tokio::test]
async fn bad_frames_close_their_connection_and_no_other() {
    let broker = TestBroker::start().await;
    let mut innocent = broker.client().await;
    innocent.create_topic("t", 1, &[]).await;
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("a negative size", (-1_i32).to_be_bytes().to_vec(), "bad_frame"),
        ("an oversized frame", (200_i32 << 20).to_be_bytes().to_vec(), "bad_frame"),
        ("the largest size there is", i32::MAX.to_be_bytes().to_vec(), "bad_frame"),
        ("a frame without room for a header", 3_i32.to_be_bytes().to_vec(), "bad_frame"),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: floe\r\n\r\n".to_vec(), "bad_frame"),
        ("an API that is not served", frame(999, 0, &[]), "bad_frame"),
        ("a version that is not served", frame(3, 99, &[0; 8]), "bad_request"),
        ("a body of rubbish", frame(3, 5, &[0x7f; 64]), "bad_request"),
    ];
    let mut count = std::collections::BTreeMap::new();
    for (what, bytes, reason) in cases {
        let mut client = send(&broker, &bytes).await;
        client.assert_closed().await;
        let count = count.entry(reason).or_insert(0);
        *count += 1;
        broker.closed(reason, *count).await;
        assert_eq!(innocent.produce("t", &batch(&["x"])).await.error_code, 0, "after {what}");
    }
}

#[tokio::test]
async fn t41_lengths_from_the_wire_size_nothing() {
    let broker = TestBroker::start().await;
    // Arrays that claim two thousand million elements, in the two encodings.
    let mut legacy = Vec::new();
    legacy.put_i32(i32::MAX);
    let compact = [0, 0xff, 0xff, 0xff, 0xff, 0x07];
    let mut produce = vec![0xff, 0xff];
    produce.put_i16(-1);
    produce.put_i32(1_000);
    produce.put_i32(i32::MAX);
    let cases = [frame(3, 1, &legacy), frame(20, 1, &legacy), frame(0, 3, &produce), frame(32, 1, &legacy), frame(3, 12, &compact)];
    let count = cases.len() as u64;
    for bytes in cases {
        send(&broker, &bytes).await.assert_closed().await;
    }
    broker.closed("bad_request", count).await;
    assert_eq!(broker.client().await.call(0, &message!(ApiVersionsRequest {})).await.error_code, 0);
}

#[tokio::test]
async fn a_request_cut_short_is_counted_and_forgotten() {
    let broker = TestBroker::start().await;
    let whole = encode_request(&produce_request("t", 0, -1, &batch(&["x"])), 9, 1, None).expect("it fits").to_bytes();
    for cut in [1, 3, 4, 5, 20, whole.len() - 1] {
        drop(send(&broker, &whole[..cut]).await);
    }
    broker.closed("in_request", 6).await;
}

#[tokio::test]
async fn a_slow_request_is_cut_off() {
    let config = BrokerConfig { request_receive_timeout: Millis(20), ..BrokerConfig::default() };
    let broker = TestBroker::with(config).await;
    let mut client = send(&broker, &[0, 0, 1, 0, 0, 3]).await;
    client.assert_closed().await;
    let mut early = send(&broker, &[0, 0]).await;
    early.assert_closed().await;
    broker.closed("slow_request", 2).await;
}

#[tokio::test]
async fn a_silent_client_is_cut_off_when_it_was_idle_for_long() {
    let broker = TestBroker::with(BrokerConfig { connections_max_idle: Millis(20), ..BrokerConfig::default() }).await;
    broker.client().await.assert_closed().await;
    broker.closed("idle", 1).await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off_and_gives_back_what_it_held() {
    let config = BrokerConfig { response_send_timeout: Millis(50), ..BrokerConfig::default() };
    let broker = TestBroker::with(config).await;
    let mut admin = broker.client().await;
    admin.create_topic("t", 5_000, &[]).await;
    let mut deaf = broker.client().await;
    let ask = encode_request(&message!(MetadataRequest { topics: None }), 12, 1, None).expect("it fits").to_bytes();
    // Each answer is about 200 kB: the socket's buffers fill, then the answers wait, then the requests.
    let asking = async {
        loop {
            if tokio::io::AsyncWriteExt::write_all(&mut deaf.stream, &ask).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = asking => {}
        () = broker.closed("slow_reader", 1) => {}
    }
    broker.closed("slow_reader", 1).await;
    assert_eq!(admin.call(12, &message!(MetadataRequest { topics: Some(vec![]) })).await.error_code, 0);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_ends() {
    let broker = TestBroker::with(BrokerConfig { max_connections: 1, ..BrokerConfig::default() }).await;
    let mut first = broker.client().await;
    let request = message!(ApiVersionsRequest {});
    first.call(0, &request).await;
    let mut second = broker.client().await;
    second.send(0, &request).await;
    assert_eq!(broker.metrics.open_connections(), 1);
    drop(first);
    let (_, response) = second.receive::<ApiVersionsRequest>(0).await;
    assert_eq!(response.error_code, 0);
}

#[tokio::test]
async fn requests_larger_than_what_is_left_of_the_budget_wait_their_turn() {
    let config = BrokerConfig {
        socket_request_max_bytes: ByteSize(200_000),
        message_max_bytes: ByteSize(150_000),
        queued_max_request_bytes: ByteSize(200_000),
        ..BrokerConfig::default()
    };
    let broker = TestBroker::with(config).await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    // Half of a large request holds most of the budget; the other client's waits for it, and comes through after it.
    let large = encode_request(&produce_request("t", 0, -1, &batch(&[&"x".repeat(140_000)])), 9, 1, None).expect("it fits").to_bytes();
    let mut slow = send(&broker, &large[..100_000]).await;
    let waiting = client.send(9, &produce_request("t", 0, -1, &batch(&[&"y".repeat(140_000)]))).await;
    slow.raw(&large[100_000..]).await;
    let (_, answer) = slow.receive::<floe_protocol::messages::ProduceRequest>(9).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    let (got, answer) = client.receive::<floe_protocol::messages::ProduceRequest>(9).await;
    assert_eq!((got, answer.responses[0].partition_responses[0].error_code), (waiting, 0));
}
