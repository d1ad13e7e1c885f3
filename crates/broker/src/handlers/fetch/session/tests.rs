//! Sessions by themselves: what is remembered, what is news, and who has to go.

use super::*;
use bytes::Bytes;
use floe_protocol::message;
use floe_protocol::messages::fetch_request::FetchPartition as Asked;

fn sessions(slots: usize) -> FetchSessions {
    FetchSessions::new(Env::simulated(1), slots)
}

fn asked(topic: &str, partitions: &[(i32, i64)]) -> AskedTopic {
    let one = |(partition, offset): &(i32, i64)| {
        message!(Asked { partition: *partition, fetch_offset: *offset, partition_max_bytes: 100, current_leader_epoch: -1 })
    };
    message!(AskedTopic { topic: topic.into(), partitions: partitions.iter().map(one).collect() })
}

fn forgotten(topic: &str, partitions: &[i32]) -> ForgottenTopic {
    message!(ForgottenTopic { topic: topic.into(), partitions: partitions.to_vec() })
}

/// An answer to every partition of these runs: so high a watermark, and records where it says so.
fn answers(runs: &[Run], high_watermark: i64, with_records: &[i32]) -> Vec<FetchTopic> {
    let partition = |asked: &AskedPartition| FetchPartition {
        index: asked.index,
        high_watermark,
        last_stable_offset: high_watermark,
        log_start_offset: 0,
        records: if with_records.contains(&asked.index) { vec![Bytes::from_static(b"batch")] } else { vec![] },
        ..FetchPartition::default()
    };
    let topic =
        |run: &Run| FetchTopic { name: run.name.clone(), topic_id: run.id, partitions: run.partitions.iter().map(partition).collect() };
    runs.iter().map(topic).collect()
}

fn create(sessions: &FetchSessions, topics: &[AskedTopic]) -> i32 {
    let runs: Vec<Run> = topics.iter().map(Run::from).collect();
    sessions.create(false, &runs, &answers(&runs, 5, &[]))
}

fn open(sessions: &FetchSessions, id: i32, epoch: i32, topics: &[AskedTopic], forgotten: &[ForgottenTopic]) -> Result<Context, ErrorCode> {
    sessions.open(&Opening { session_id: id, session_epoch: epoch, by_id: false, topics, forgotten })
}

/// Opens an incremental fetch, which must be one.
fn go_on(sessions: &FetchSessions, id: i32, epoch: i32, topics: &[AskedTopic], forgotten: &[ForgottenTopic]) -> (Arc<Session>, i32) {
    match open(sessions, id, epoch, topics, forgotten) {
        Ok(Context::Incremental { session, epoch }) => (session, epoch),
        other => panic!("not an incremental fetch: {other:?}"),
    }
}

fn indexes(runs: &[Run]) -> Vec<(String, i32, i64)> {
    let all = runs.iter().flat_map(|run| run.partitions.iter().map(|p| (run.name.to_string(), p.index, p.offset)));
    all.collect()
}

fn told(news: &[FetchTopic]) -> Vec<i32> {
    news.iter().flat_map(|topic| topic.partitions.iter().map(|p| p.index)).collect()
}

#[tokio::test(start_paused = true)]
async fn an_incremental_fetch_reads_all_and_tells_only_news() {
    let sessions = sessions(10);
    let id = create(&sessions, &[asked("a", &[(0, 1), (1, 2)]), asked("b", &[(0, 3)])]);
    assert!(id > 0);
    let (session, epoch) = go_on(&sessions, id, 1, &[], &[]);
    let runs = session.runs();
    let names = |i: &[(&str, i32, i64)]| i.iter().map(|(n, p, o)| ((*n).to_owned(), *p, *o)).collect::<Vec<_>>();
    assert_eq!(indexes(&runs), names(&[("a", 0, 1), ("a", 1, 2), ("b", 0, 3)]));
    assert_eq!(session.tell(epoch, answers(&runs, 5, &[])), Ok(vec![]), "nothing has changed since the full answer");
    // A partition more, one with another offset, one less.
    let (session, epoch) = go_on(&sessions, id, 2, &[asked("a", &[(1, 9), (7, 0)])], &[forgotten("b", &[0])]);
    let runs = session.runs();
    assert_eq!(indexes(&runs), names(&[("a", 0, 1), ("a", 1, 9), ("a", 7, 0)]));
    assert_eq!(told(&session.tell(epoch, answers(&runs, 5, &[])).expect("in time")), [7], "the new one was never told");
    let (session, epoch) = go_on(&sessions, id, 3, &[], &[]);
    assert_eq!(told(&session.tell(epoch, answers(&runs, 6, &[])).expect("in time")), [0, 1, 7], "a watermark moved");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_gave_records_goes_to_the_back() {
    let sessions = sessions(10);
    let id = create(&sessions, &[asked("a", &[(0, 0), (1, 0), (2, 0)])]);
    let (session, epoch) = go_on(&sessions, id, 1, &[], &[]);
    let news = session.tell(epoch, answers(&session.runs(), 5, &[0])).expect("in time");
    assert_eq!(told(&news), [0]);
    assert_eq!(session.runs()[0].partitions.iter().map(|p| p.index).collect::<Vec<_>>(), [1, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_news_each_time_and_so_is_its_end() {
    let sessions = sessions(10);
    let id = create(&sessions, &[asked("a", &[(0, 0)])]);
    let mut failed = answers(&[Run::from(&asked("a", &[(0, 0)]))], 5, &[]);
    failed[0].partitions[0].error_code = 6;
    for (epoch, answer, expected) in [
        (1, failed.clone(), 1),
        (2, failed, 1),
        (3, answers(&[Run::from(&asked("a", &[(0, 0)]))], 5, &[]), 1),
        (4, answers(&[Run::from(&asked("a", &[(0, 0)]))], 5, &[]), 0),
    ] {
        let (session, expected_epoch) = go_on(&sessions, id, epoch, &[], &[]);
        assert_eq!(session.tell(expected_epoch, answer).expect("in time").len(), expected, "epoch {epoch}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_out_of_turn_is_refused() {
    let sessions = sessions(10);
    let id = create(&sessions, &[asked("a", &[(0, 0)])]);
    assert_eq!(open(&sessions, id, 2, &[], &[]).err(), Some(ErrorCode::InvalidFetchSessionEpoch));
    assert_eq!(open(&sessions, id ^ 1, 1, &[], &[]).err(), Some(ErrorCode::FetchSessionIdNotFound));
    let by_id = Opening { session_id: id, session_epoch: 1, by_id: true, topics: &[], forgotten: &[] };
    assert_eq!(sessions.open(&by_id).err(), Some(ErrorCode::FetchSessionTopicIdError));
    let (first, epoch) = go_on(&sessions, id, 1, &[], &[]);
    let runs = first.runs();
    go_on(&sessions, id, 2, &[], &[]);
    assert_eq!(first.tell(epoch, answers(&runs, 9, &[])), Err(ErrorCode::InvalidFetchSessionEpoch), "another fetch came in between");
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_it_is_empty_or_its_consumer_starts_again() {
    let sessions = sessions(10);
    let id = create(&sessions, &[asked("a", &[(0, 0)])]);
    assert!(matches!(open(&sessions, id, 1, &[], &[forgotten("a", &[0])]), Ok(Context::Sessionless)));
    assert_eq!(sessions.held(), (0, 0));
    for (epoch, kind) in [(INITIAL, true), (FINAL, false)] {
        let id = create(&sessions, &[asked("a", &[(0, 0), (1, 0), (1, 0)])]);
        assert_eq!(sessions.held(), (1, 2), "named twice, there once");
        let context = open(&sessions, id, epoch, &[], &[]).expect("always allowed");
        assert_eq!(matches!(context, Context::Full { .. }), kind);
        assert_eq!(sessions.held(), (0, 0));
    }
    assert_eq!(create(&sessions, &[]), NO_SESSION, "nothing to remember");
}

#[tokio::test(start_paused = true)]
async fn a_full_cache_keeps_who_is_active_and_gives_up_who_is_idle_or_small() {
    let sessions = sessions(2);
    let small = create(&sessions, &[asked("a", &[(0, 0)])]);
    let large = create(&sessions, &[asked("a", &[(0, 0), (1, 0), (2, 0)])]);
    assert_eq!(create(&sessions, &[asked("a", &[(0, 0), (1, 0)])]), NO_SESSION, "both are new");
    sessions.env.sleep(EVICTABLE_AFTER + Duration::from_secs(1)).await;
    for (id, epoch) in [(small, 1), (large, 1)] {
        go_on(&sessions, id, epoch, &[], &[]);
    }
    assert_eq!(create(&sessions, &[asked("a", &[(9, 0)])]), NO_SESSION, "no larger than the smallest");
    let middle = create(&sessions, &[asked("a", &[(0, 0), (1, 0)])]);
    assert_ne!(middle, NO_SESSION);
    assert_eq!(open(&sessions, small, 2, &[], &[]).err(), Some(ErrorCode::FetchSessionIdNotFound));
    sessions.env.sleep(EVICTABLE_AFTER + Duration::from_secs(1)).await;
    go_on(&sessions, middle, 1, &[], &[]);
    assert_ne!(create(&sessions, &[asked("a", &[(0, 0)])]), NO_SESSION, "the large one was idle");
    assert_eq!(open(&sessions, large, 2, &[], &[]).err(), Some(ErrorCode::FetchSessionIdNotFound));
}

#[tokio::test(start_paused = true)]
async fn all_sessions_together_hold_a_bounded_number_of_partitions() {
    let sessions = sessions(10);
    let many = |first: i32, count: i32| asked("a", &(first..first + count).map(|index| (index, 0)).collect::<Vec<_>>());
    let half = i32::try_from(MAX_PARTITIONS / 2).expect("it is small");
    let (first, second) = (create(&sessions, &[many(0, half)]), create(&sessions, &[many(0, half)]));
    assert!(first != NO_SESSION && second != NO_SESSION);
    assert_eq!(create(&sessions, &[many(0, 1)]), NO_SESSION);
    assert_eq!(
        open(&sessions, first, 1, &[many(half, 1)], &[]).err(),
        Some(ErrorCode::FetchSessionIdNotFound),
        "one that grows too far ends"
    );
    assert_eq!(sessions.held(), (1, MAX_PARTITIONS / 2));
}
