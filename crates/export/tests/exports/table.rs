//! The table as a plain `**/*.parquet` sees it, and what must hold of it at every instant.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use bytes::Bytes;
use floe_export::{FILE_HEADER_LEN, FileHeader};
use floe_records::Record;
use floe_testkit::sim_store::SimStore;
use floe_types::Offset;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;

pub(crate) type Octets = Option<Vec<u8>>;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Row {
    pub(crate) partition: i32,
    pub(crate) offset: Offset,
    pub(crate) timestamp: Option<i64>,
    pub(crate) timestamp_type: String,
    pub(crate) key: Octets,
    pub(crate) value: Octets,
    pub(crate) headers: Vec<(Vec<u8>, Octets)>,
    pub(crate) error: Option<Error>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Error {
    pub(crate) what: String,
    pub(crate) key: Octets,
    pub(crate) value: Octets,
    pub(crate) headers: Option<Vec<(Vec<u8>, Octets)>>,
}

/// One file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) header: FileHeader,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) rows: Vec<Row>,
}

/// All files, in the order of their names.
pub(crate) fn files(target: &SimStore) -> Vec<File> {
    let keys = target.peek_keys("");
    keys.iter().filter(|key| key.ends_with(".parquet")).map(|key| file(&target.peek(key).expect("it is listed"))).collect()
}

pub(crate) fn file(bytes: &Bytes) -> File {
    let header = FileHeader::decode(&bytes[..FILE_HEADER_LEN]).expect("an export's header");
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).expect("a Parquet file");
    let entries = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let metadata = entries.into_iter().filter_map(|entry| Some((entry.key, entry.value?))).collect();
    let batches = builder.build().expect("readable").map(|batch| batch.expect("sound"));
    File { header, metadata, rows: batches.flat_map(|batch| rows(&batch)).collect() }
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}")).clone();
    let (partition, offset) = (column("partition"), column("offset"));
    let (timestamp, types, headers, error) = (column("timestamp"), column("timestamp_type"), column("headers"), column("_error"));
    let (key, value) = (column("key"), column("value"));
    (0..batch.num_rows())
        .map(|at| Row {
            partition: partition.as_primitive::<Int32Type>().value(at),
            offset: offset.as_primitive::<Int64Type>().value(at),
            timestamp: timestamp.is_valid(at).then(|| timestamp.as_primitive::<TimestampMillisecondType>().value(at)),
            timestamp_type: types.as_string::<i32>().value(at).to_owned(),
            key: octets(&key, at),
            value: octets(&value, at),
            headers: pairs(&headers, at).expect("never null"),
            error: error.is_valid(at).then(|| error_of(error.as_struct(), at)),
        })
        .collect()
}

fn error_of(error: &StructArray, at: usize) -> Error {
    let column = |name: &str| error.column_by_name(name).expect("a field of _error").clone();
    Error {
        what: column("what").as_string::<i32>().value(at).to_owned(),
        key: octets(&column("key"), at),
        value: octets(&column("value"), at),
        headers: pairs(&column("headers"), at),
    }
}

fn octets(column: &ArrayRef, at: usize) -> Octets {
    column.is_valid(at).then(|| match column.as_binary_opt::<i32>() {
        Some(bytes) => bytes.value(at).to_vec(),
        None => column.as_string::<i32>().value(at).as_bytes().to_vec(),
    })
}

fn pairs(column: &ArrayRef, at: usize) -> Option<Vec<(Vec<u8>, Octets)>> {
    column.is_valid(at).then(|| {
        let entries = column.as_list::<i32>().value(at);
        let entries = entries.as_struct();
        (0..entries.len()).map(|n| (octets(entries.column(0), n).expect("never null"), octets(entries.column(1), n))).collect()
    })
}

/// A record as the row that it must be.
pub(crate) fn row(partition: i32, record: &Record) -> Row {
    let octets = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.to_vec());
    Row {
        partition,
        offset: record.offset,
        timestamp: (record.timestamp != -1).then_some(record.timestamp),
        timestamp_type: "CreateTime".to_owned(),
        key: octets(&record.key),
        value: octets(&record.value),
        headers: record.headers.iter().map(|(key, value)| (key.to_vec(), octets(value))).collect(),
        error: None,
    }
}

/// The files tile their partitions from `begin` on, and hold every acknowledged record of the offsets that they cover, once,
/// as it was - but for `gone`, which must be told as gaps. Where each partition's files end.
pub(crate) fn check(
    target: &SimStore,
    begin: Offset,
    acknowledged: &BTreeMap<i32, BTreeMap<Offset, Record>>,
    gone: impl Fn(i32, Offset) -> bool,
) -> BTreeMap<i32, Offset> {
    let mut ends: BTreeMap<i32, Offset> = BTreeMap::new();
    let mut all = files(target);
    all.sort_by_key(|file| (file.header.partition, file.header.start));
    for file in all {
        let FileHeader { partition, start, end, .. } = file.header;
        let before = ends.insert(partition, end).unwrap_or(begin);
        assert_eq!(before, start, "partition {partition}: a file follows another");
        let all = acknowledged[&partition].range(start..end);
        let expected: Vec<Row> = all.filter(|(offset, _)| !gone(partition, **offset)).map(|(_, record)| row(partition, record)).collect();
        assert_eq!(file.rows, expected, "partition {partition}, offsets {start} to {end}");
        let missing: i64 = ["deleted", "compacted", "control"].iter().map(|why| number(&file, &format!("floe.gaps.{why}"))).sum();
        assert_eq!(end - start, file.rows.len() as i64 + missing, "every offset is a row or told to be missing");
        assert_eq!(number(&file, "floe.start"), start);
        assert_eq!(number(&file, "floe.end"), end);
        assert_eq!(number(&file, "floe.rows"), file.rows.len() as i64);
    }
    ends
}

pub(crate) fn number(file: &File, key: &str) -> i64 {
    file.metadata[key].parse().unwrap_or_else(|_| panic!("{key} is {}", file.metadata[key]))
}

/// Every acknowledged offset is a row, once.
pub(crate) fn check_offsets(target: &SimStore, acknowledged: &BTreeMap<i32, BTreeMap<Offset, Record>>) {
    let mut rows: Vec<(i32, Offset)> =
        files(target).iter().flat_map(|file| file.rows.iter().map(|row| (row.partition, row.offset))).collect();
    rows.sort_unstable();
    let known: Vec<(i32, Offset)> =
        acknowledged.iter().flat_map(|(index, records)| records.keys().map(|offset| (*index, *offset))).collect();
    assert_eq!(rows, known);
}
