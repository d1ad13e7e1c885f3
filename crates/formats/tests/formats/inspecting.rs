//! `inspect`: every sample described, every field in it explained.

use crate::samples;
use bytes::Bytes;
use floe_formats::{FormatError, inspect};
use serde_json::Value;

/// Fields whose members are data, not fields of the format.
const MAPS: [&str; 6] = [".topics", ".deleted", ".configs", ".all_brokers", ".brokers", ".brokers{}"];

/// Every path of a part's fields, with `[]` for elements and `{}` for members of maps.
fn paths(path: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(members) if MAPS.iter().any(|map| path.ends_with(map)) => {
            members.values().for_each(|member| paths(&format!("{path}{{}}"), member, out));
        }
        Value::Object(members) => {
            for (name, member) in members {
                let path = format!("{path}.{name}");
                out.push(path.clone());
                paths(&path, member, out);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| paths(&format!("{path}[]"), element, out)),
        _ => {}
    }
}

#[test]
fn every_field_of_every_format_is_named_and_explained() {
    for sample in samples::all() {
        let described = inspect::describe(&sample.bytes, sample.name).expect("a sound sample");
        let mut found = Vec::new();
        for (part, value) in described.as_object().expect("an object") {
            if !matches!(part.as_str(), "name" | "format" | "bytes" | "meaning") {
                paths(part, value, &mut found);
            }
        }
        assert!(!found.is_empty(), "{}", sample.name);
        for path in found {
            assert!(described["meaning"].get(&path).is_some(), "{}: {path} is not explained", sample.name);
        }
    }
}

#[test]
fn a_claim_shows_its_header_its_fields_and_what_they_mean() {
    let bytes = floe_formats::encode(&samples::WRITER, &samples::claim());
    let shown = inspect::describe(&bytes, "chain/x/claim/y").expect("sound");
    assert_eq!((&shown["name"], &shown["format"], &shown["bytes"]), (&"chain/x/claim/y".into(), &"claim".into(), &bytes.len().into()));
    assert_eq!(shown["header"]["write_id"], "00112233-4455-6677-8899-aabbccddeeff");
    assert_eq!(shown["body"]["disk"], "00000000-0000-0000-0000-0000000000d1");
    assert_eq!(shown["body"]["state"], "Open");
    assert_eq!(shown["meaning"]["body.quorum"], "How many of the replicas must have an entry before it counts as committed.");
    assert_eq!(shown["meaning"]["body.state=Open"], "The generation is in use.");
}

#[test]
fn rows_give_every_value_its_place_and_meaning() {
    let bytes = floe_formats::encode(&samples::WRITER, &samples::claim());
    let rows = inspect::inspect(&bytes, "x").expect("sound").rows();
    let row = |field: &str| rows.iter().find(|row| row.field == field).unwrap_or_else(|| panic!("no {field} in {rows:?}"));
    assert_eq!(row("body.replicas[2]").value, "00000000-0000-0000-0000-0000000000d3");
    assert_eq!(row("body.state").meaning, "Whether entries may follow, or this ends the generations. Open: The generation is in use.");
    assert_eq!(row("header.kind").value, "claim");
    assert!(rows.iter().all(|row| row.meaning.ends_with('.')), "{rows:?}");
}

#[test]
fn nothing_that_is_stored_is_missing_from_the_rows_of_a_pack() {
    let rows = inspect::inspect(&samples::whole(&samples::shared_pack()), "x").expect("sound").rows();
    let fields: Vec<&str> = rows.iter().map(|row| row.field.as_str()).collect();
    for expected in [
        "header.write_id",
        "footer.segments[0].blocks[1].crc",
        "footer.segments[0].producers[0].batches[4].end_offset",
        "footer.segments[1].blocks",
        "footer.segments[1].events[0].EpochStart.start",
        "footer.wal_from.lsn",
        "trailer.footer_position",
    ] {
        assert!(fields.contains(&expected), "{expected} is missing from {fields:?}");
    }
}

#[test]
fn a_wal_file_shows_its_entries_and_how_it_ends() {
    let (entries, bytes) = samples::wal_file();
    let preallocated: Bytes = [bytes.as_ref(), &[0; 500]].concat().into();
    let shown = inspect::describe(&preallocated, "wal").expect("sound");
    assert_eq!(shown["format"], "WAL file");
    assert_eq!(shown["entries"].as_array().map(Vec::len), Some(entries.len()));
    assert_eq!(shown["entries"][1]["batch"]["end_offset"], 104);
    assert_eq!((&shown["end"]["position"], &shown["end"]["found"]), (&bytes.len().into(), &"nothing was written here".into()));
    let torn = inspect::describe(&bytes.slice(..bytes.len() - 1), "wal").expect("its beginning is sound");
    assert_eq!(torn["entries"].as_array().map(Vec::len), Some(1));
    assert!(torn["end"]["found"].as_str().is_some_and(|found| found.contains("truncated")), "{torn}");
}

#[test]
fn what_is_not_floes_is_refused_with_the_reason() {
    let error = inspect::describe(&Bytes::from_static(b"PAR1 and so on"), "x").expect_err("not ours");
    assert!(matches!(error, FormatError::WrongMagic { .. }), "{error:?}");
}
