//! The schema: bytes as Kafka writes them, every version that may be found, and damage.

use super::*;

fn name(text: &str) -> Name {
    text.into()
}

fn committed() -> CommittedOffset {
    CommittedOffset { offset: 77, leader_epoch: 3, metadata: name("meta"), committed_ms: 1_000, expires_ms: None }
}

fn offset(committed: Option<CommittedOffset>) -> GroupRecord {
    GroupRecord::Offset { group: name("g"), topic: name("orders"), partition: 5, committed }
}

fn group() -> GroupRecord {
    let member = StoredMember {
        member: "m-1".into(),
        instance: Some("i".into()),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout_ms: 300_000,
        session_timeout_ms: 45_000,
        subscription: Bytes::from_static(b"sub"),
        assignment: Bytes::from_static(b"assigned"),
    };
    let stored = StoredGroup {
        protocol_type: "consumer".into(),
        generation: 9,
        protocol: Some("range".into()),
        leader: Some("m-1".into()),
        state_since_ms: 5,
        members: vec![member],
    };
    GroupRecord::Group { group: name("g"), stored: Some(stored) }
}

fn read_back(record: &GroupRecord) -> Result<Option<GroupRecord>, RecordError> {
    GroupRecord::read(&record.key(), record.value().as_ref())
}

#[test]
fn records_are_the_bytes_that_kafka_writes() {
    assert_eq!(&offset(None).key()[..], b"\0\x01\0\x01g\0\x06orders\0\0\0\x05");
    let value = offset(Some(committed())).value().expect("an offset");
    assert_eq!(&value[..], b"\0\x03\0\0\0\0\0\0\0\x4d\0\0\0\x03\0\x04meta\0\0\0\0\0\0\x03\xe8");
    assert_eq!(&group().key()[..], b"\0\x02\0\x01g");
    let value = group().value().expect("a group");
    let expected = b"\0\x03\0\x08consumer\0\0\0\x09\0\x05range\0\x03m-1\0\0\0\0\0\0\0\x05\0\0\0\x01\
        \0\x03m-1\0\x01i\0\x01c\0\x0a/127.0.0.1\0\x04\x93\xe0\0\0\xaf\xc8\0\0\0\x03sub\0\0\0\x08assigned";
    assert_eq!(&value[..], &expected[..]);
}

#[test]
fn records_read_back_as_written() {
    let expiring = CommittedOffset { expires_ms: Some(9_000), leader_epoch: -1, ..committed() };
    let empty = GroupRecord::Group { group: name("g"), stored: Some(StoredGroup { state_since_ms: 4, ..StoredGroup::default() }) };
    let deleted = GroupRecord::Group { group: name("g"), stored: None };
    for record in [offset(None), offset(Some(committed())), offset(Some(expiring)), group(), empty, deleted] {
        assert_eq!(read_back(&record), Ok(Some(record.clone())));
    }
}

#[test]
fn older_and_newer_versions_are_read() {
    let key = offset(None).key();
    let read = |value: &'static [u8]| match GroupRecord::read(&key, Some(&Bytes::from_static(value))) {
        Ok(Some(GroupRecord::Offset { committed: Some(committed), .. })) => committed,
        other => panic!("not an offset: {other:?}"),
    };
    let plain = CommittedOffset { leader_epoch: -1, ..committed() };
    assert_eq!(read(b"\0\0\0\0\0\0\0\0\0\x4d\0\x04meta\0\0\0\0\0\0\x03\xe8"), plain);
    assert_eq!(read(b"\0\x02\0\0\0\0\0\0\0\x4d\0\x04meta\0\0\0\0\0\0\x03\xe8"), plain);
    assert_eq!(read(b"\0\x04\0\0\0\0\0\0\0\x4d\0\0\0\x03\x05meta\0\0\0\0\0\0\x03\xe8\0"), committed());
    let flexible = b"\0\x04\x09consumer\0\0\0\x09\x06range\x04m-1\0\0\0\0\0\0\0\x05\x02\
        \x04m-1\x02i\x02c\x0b/127.0.0.1\0\x04\x93\xe0\0\0\xaf\xc8\x04sub\x09assigned\0\0";
    assert_eq!(GroupRecord::read(&group().key(), Some(&Bytes::from_static(flexible))), Ok(Some(group())));
}

#[test]
fn kinds_that_are_not_known_are_skipped_and_values_that_are_not_known_refused() {
    assert_eq!(GroupRecord::read(&Bytes::from_static(b"\0\x05\0\x01g"), None), Ok(None));
    let future = Bytes::from_static(b"\0\x05rest");
    assert_eq!(GroupRecord::read(&group().key(), Some(&future)), Err(RecordError("its version is not known")));
}

#[test]
fn t41_damage_is_an_error_and_no_allocation() {
    for record in [offset(Some(committed())), group()] {
        let (key, value) = (record.key(), record.value().expect("a value"));
        for cut in 0..value.len() {
            assert!(GroupRecord::read(&key, Some(&value.slice(..cut))).is_err(), "cut at {cut}");
        }
        for cut in 0..key.len() {
            assert!(GroupRecord::read(&key.slice(..cut), Some(&value)).is_err(), "key cut at {cut}");
        }
    }
    let many = b"\0\x03\0\x08consumer\0\0\0\x09\xff\xff\xff\xff\0\0\0\0\0\0\0\x05\x7f\xff\xff\xff";
    assert!(GroupRecord::read(&group().key(), Some(&Bytes::from_static(many))).is_err());
}

#[test]
fn text_that_is_too_long_is_cut_at_a_character() {
    let long = "ö".repeat(MAX_TEXT);
    let record = GroupRecord::Group { group: name(&long), stored: None };
    let Ok(Some(GroupRecord::Group { group, .. })) = read_back(&record) else { panic!("a group") };
    assert_eq!(group.len(), MAX_TEXT - 1);
}
