//! Frames through pipes of every width, cut anywhere, within budget and time.

use super::*;
use tokio::io::{AsyncWriteExt, DuplexStream};

fn frames(capacity: usize, budget: u64) -> (DuplexStream, Frames<DuplexStream>, ByteBudget) {
    let (near, far) = tokio::io::duplex(capacity);
    let budget = ByteBudget::new(budget);
    let limits =
        FrameLimits { max_bytes: 10 << 20, idle: Duration::from_secs(600), receive: Duration::from_secs(30), budget: budget.clone() };
    (near, Frames::new(far, Env::simulated(1), limits), budget)
}

fn framed(body: &[u8]) -> Vec<u8> {
    let size = i32::try_from(body.len()).expect("small");
    [&size.to_be_bytes()[..], body].concat()
}

#[tokio::test(start_paused = true)]
async fn frames_come_out_as_they_went_in_however_they_were_cut() {
    for capacity in [1, 7, 64 << 10, 2 << 20] {
        let (mut near, mut frames, budget) = frames(capacity, 1 << 30);
        let bodies: Vec<Vec<u8>> = [10, 11, 5_000, 70_000, 12, 200_000].iter().map(|len| (0..*len).map(|n| n as u8).collect()).collect();
        let stream = bodies.iter().map(|body| framed(body)).collect::<Vec<_>>().concat();
        let write = async {
            near.write_all(&stream).await.expect("open");
            drop(near);
        };
        let read = async {
            for body in &bodies {
                let frame = frames.next().await.expect("a frame");
                assert_eq!(frame.bytes, body);
                assert_eq!(budget.in_use(), body.len(), "charged for as long as it is held");
            }
            assert!(matches!(frames.next().await, Err(Close::ByClient)));
        };
        tokio::join!(write, read);
        assert_eq!(budget.in_use(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_cancelled_anywhere_loses_nothing() {
    let (mut near, mut frames, _) = frames(1 << 20, 1 << 30);
    let body: Vec<u8> = (0..40_u8).collect();
    for byte in framed(&body) {
        assert!(frames.next().now_or_never().is_none(), "not whole yet");
        near.write_all(&[byte]).await.expect("open");
    }
    assert_eq!(frames.next().await.expect("a frame").bytes, body);
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_taken_before_the_body_is_read() {
    let (mut near, mut frames, budget) = frames(1 << 20, 1_000);
    let other = budget.acquire(500).await;
    near.write_all(&framed(&[7; 900])).await.expect("open");
    assert!(frames.next().now_or_never().is_none(), "there is no room");
    drop(other);
    assert_eq!(frames.next().await.expect("a frame").bytes.len(), 900);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_keeps_no_large_buffer() {
    let (mut near, mut frames, _) = frames(4 << 20, 1 << 30);
    near.write_all(&framed(&[7; 2 << 20])).await.expect("open");
    drop(frames.next().await.expect("a frame"));
    assert!(frames.next().now_or_never().is_none(), "idle");
    assert!(frames.source.buffer.capacity() <= IDLE_CAPACITY, "{}", frames.source.buffer.capacity());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_left_is_noticed_unless_it_has_sent_more() {
    let (near, mut left, _) = frames(1 << 20, 1 << 30);
    drop(near);
    assert!(matches!(left.closed().await, Close::ByClient));
    let (mut near, mut busy, _) = frames(1 << 20, 1 << 30);
    near.write_all(&framed(&[1; 20])).await.expect("open");
    drop(near);
    assert!(busy.closed().now_or_never().is_none(), "there is a request to be handled first");
    assert_eq!(busy.next().await.expect("it is whole").bytes.len(), 20);
}
