//! What records become: every field bit for bit, and what does not fit beside it.

use crate::table::{Error, check, files, row};
use crate::world::{World, record, run};
use bytes::Bytes;
use floe_export::{ExportOptions, Mode};
use floe_records::{Codec, Record};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

#[test]
fn all_codecs_null_keys_and_values_and_repeated_headers_come_back() {
    run(async {
        let mut world = World::new(1).await;
        let topic = world.topic("t", 1, &[]).await;
        let header = |key: &'static str, value: Option<&'static str>| (Bytes::from(key), value.map(Bytes::from));
        let records = [
            record(None, None),
            record(Some(""), Some("")),
            record(Some("k"), None),
            Record { timestamp: -1, ..record(None, Some("no time")) },
            Record { timestamp: i64::from(u32::MAX) * 1000, ..record(None, Some("late")) },
            Record {
                headers: vec![header("h", None), header("h", Some("")), header("h", Some("3")), header("", Some("4"))],
                ..record(None, Some("v"))
            },
            Record { value: Some(Bytes::from(vec![0xff; 1 << 20])), ..record(Some("large"), None) },
        ];
        for codec in CODECS {
            world.produce(topic, 0, codec, &records).await;
        }
        world.export(ExportOptions { bloom: true, ..ExportOptions::default() }).await.expect("exported");
        assert_eq!(check(&world.target, 0, &world.acknowledged, |_, _| false)[&0], 35);
    });
}

#[test]
fn what_is_no_text_is_kept_as_bytes_beside_it() {
    run(async {
        let mut world = World::new(2).await;
        let topic = world.topic("t", 1, &[]).await;
        let broken = Bytes::from_static(b"\xff\xfe");
        let records = [
            record(Some("ключ"), Some("значение")),
            Record { key: Some(broken.clone()), ..record(None, Some("v")) },
            Record { value: Some(broken.clone()), headers: vec![(broken.clone(), None)], ..record(Some("k"), None) },
        ];
        world.produce(topic, 0, Codec::None, &records).await;
        world.export(ExportOptions { mode: Some(Mode::String), ..ExportOptions::default() }).await.expect("exported");
        let rows = files(&world.target).pop().expect("a file").rows;
        let known: Vec<_> = world.acknowledged[&0].values().map(|record| row(0, record)).collect();
        assert_eq!(rows[0], known[0]);
        let raw = || Some(broken.to_vec());
        let of_key = Error { what: "the key is not UTF-8".into(), key: raw(), ..Error::default() };
        assert_eq!(rows[1], crate::table::Row { key: None, error: Some(of_key), ..known[1].clone() });
        let what = "the value is not UTF-8; a header's key is not UTF-8".into();
        let of_value = Error { what, value: raw(), headers: Some(vec![(broken.to_vec(), None)]), ..Error::default() };
        let lossy = vec![("\u{fffd}\u{fffd}".as_bytes().to_vec(), None)];
        assert_eq!(rows[2], crate::table::Row { value: None, headers: lossy, error: Some(of_value), ..known[2].clone() });
    });
}

#[test]
fn any_records_are_the_same_records_in_the_table() {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from));
    let headers = proptest::collection::vec(("[a-c]{0,2}".prop_map(Bytes::from), bytes()), 0..4);
    let one = (-1_i64..1 << 45, bytes(), bytes(), headers).prop_map(|(timestamp, key, value, headers)| Record {
        offset: 0,
        timestamp,
        key,
        value,
        headers,
    });
    let batches = proptest::collection::vec((proptest::collection::vec(one, 1..12), proptest::sample::select(&CODECS)), 1..6);
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let same = runner.run(&(batches, 200_u64..20_000), |(batches, file_bytes)| {
        run(async {
            let mut world = World::new(file_bytes).await;
            let topic = world.topic("t", 1, &[]).await;
            for (records, codec) in &batches {
                world.produce(topic, 0, *codec, records).await;
            }
            world.export(ExportOptions { file_bytes, ..ExportOptions::default() }).await.expect("exported");
            let end = check(&world.target, 0, &world.acknowledged, |_, _| false)[&0];
            assert_eq!(end, batches.iter().map(|(records, _)| records.len() as i64).sum::<i64>());
        });
        Ok(())
    });
    same.expect("every batch is the same in the table");
}
