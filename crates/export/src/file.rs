//! One Parquet file, built in memory: rows in offset order, one row group after another, and at the end what it covers and
//! what is missing in it.

mod gaps;

use crate::committed::{Visible, visible};
use crate::header::FileHeader;
use crate::rows::{Layout, Pushed, Rows, schema};
use crate::sink::Sink;
use crate::target::header_room;
use crate::{ExportError, rows};
use bytes::Bytes;
use floe_log::stored::Stretch;
use floe_objstore::Payload;
use floe_records::{BatchHeader, TimestampType};
use floe_types::{Offset, PartitionId};
use gaps::{Gaps, Why};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

/// Rows, and bytes of them, that become columns at a time.
const ROWS_AT_ONCE: usize = 16 << 10;
const BYTES_AT_ONCE: usize = 4 << 20;
/// Most rows of a row group, and of a file: what readers expect, and what their memory is made for.
const GROUP_ROWS: usize = 1 << 20;
const FILE_ROWS: u64 = 16 << 20;
/// Bytes of a page, and rows in it: what a reader decompresses for a few rows.
const PAGE_BYTES: usize = 1 << 20;
const PAGE_ROWS: usize = 20_000;
/// Fast, and within some percent of what the slow levels give.
const ZSTD_LEVEL: i32 = 1;
/// A file of more bytes has several row groups: at the end of one its pages are copied.
const GROUPS_IN_FILE: u64 = 2;

/// How files are made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FileOptions {
    pub(crate) layout: Layout,
    /// Bytes after which a file ends.
    pub(crate) file_bytes: u64,
    /// A bloom filter for `key`.
    pub(crate) bloom: bool,
}

/// A file that is being built.
pub(crate) struct FileBuilder {
    options: FileOptions,
    partition: PartitionId,
    topic: String,
    start: Offset,
    /// The next offset that it does not cover yet.
    next: Offset,
    /// Nothing from here on belongs into it.
    until: Offset,
    writer: ArrowWriter<Sink>,
    rows: Rows,
    count: u64,
    gaps: Gaps,
}

/// A file that is ready to be created.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) header: FileHeader,
    pub(crate) body: Payload,
    pub(crate) rows: u64,
}

impl FileBuilder {
    /// A file of the records from `start` on, none of them at or behind `until`.
    ///
    /// # Errors
    /// The writer's.
    pub(crate) fn new(
        options: FileOptions,
        (partition, topic): (PartitionId, &str),
        (start, until): (Offset, Offset),
    ) -> Result<Self, ExportError> {
        let options_of_writer = ArrowWriterOptions::new()
            .with_properties(properties(&options))
            .with_schema_root("record".to_owned())
            .with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Sink::default(), schema(&options.layout), options_of_writer)?;
        writer.write_all(&header_room()).map_err(|error| parquet::errors::ParquetError::General(error.to_string()))?;
        let rows = Rows::new(&options.layout, partition.index);
        let topic = topic.to_owned();
        Ok(Self { options, partition, topic, start, next: start, until, writer, rows, count: 0, gaps: Gaps::default() })
    }

    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    pub(crate) fn rows(&self) -> u64 {
        self.count
    }

    /// Takes in what was read, and stops where the file is full. True if it is, or all it may cover is in it.
    ///
    /// # Errors
    /// Records that are broken or not to be judged; the writer's.
    pub(crate) fn add(&mut self, stretch: &Stretch) -> Result<bool, ExportError> {
        if stretch.from > self.next {
            self.pass(stretch.from, Why::Deleted);
        }
        for batch in &stretch.batches {
            let header = self.parse(batch)?;
            if header.end_offset() <= self.next {
                continue;
            }
            if header.base_offset >= self.until {
                break;
            }
            if !self.add_batch(batch, &header)? || self.is_full() {
                return Ok(true);
            }
        }
        self.pass(stretch.next, Why::Compacted);
        Ok(self.next >= self.until)
    }

    /// False if the next record needs a file with other columns.
    fn add_batch(&mut self, batch: &Bytes, header: &BatchHeader) -> Result<bool, ExportError> {
        match visible(batch, header)? {
            Visible::Control => {
                self.pass(header.base_offset, Why::Compacted);
                self.pass(header.end_offset(), Why::Control);
            }
            Visible::Records(records) => {
                for record in records {
                    let record = record.map_err(|source| ExportError::Records { offset: header.base_offset, source })?;
                    let is_in_it = record.offset >= self.next && record.offset < self.until;
                    if is_in_it && !self.add_record(&record, header.timestamp_type())? {
                        return Ok(false);
                    }
                }
                self.pass(header.end_offset(), Why::Compacted);
            }
        }
        Ok(true)
    }

    fn add_record(&mut self, record: &floe_records::Record, timestamp_type: TimestampType) -> Result<bool, ExportError> {
        // The first one was looked at when the columns were decided: what it has no column for, it never gets.
        if self.rows.push(record, timestamp_type, self.count == 0 || self.options.layout.is_closed) == Pushed::NewField {
            return Ok(false);
        }
        self.pass(record.offset, Why::Compacted);
        (self.next, self.count) = (record.offset + 1, self.count + 1);
        if self.rows.len() >= ROWS_AT_ONCE || self.rows.bytes() >= BYTES_AT_ONCE {
            self.write()?;
        }
        Ok(true)
    }

    /// Covers offsets that have no row.
    fn pass(&mut self, to: Offset, why: Why) {
        let to = to.min(self.until);
        if to > self.next {
            self.gaps.add(self.next..to, why);
            self.next = to;
        }
    }

    fn write(&mut self) -> Result<(), ExportError> {
        self.writer.write(&self.rows.take()?)?;
        if self.writer.in_progress_size() as u64 >= self.options.file_bytes / GROUPS_IN_FILE {
            self.writer.flush()?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let bytes = self.writer.bytes_written() + self.writer.in_progress_size() + self.rows.bytes();
        bytes as u64 >= self.options.file_bytes || self.count >= FILE_ROWS
    }

    fn parse(&self, batch: &Bytes) -> Result<BatchHeader, ExportError> {
        BatchHeader::parse(batch).map_err(|source| ExportError::Records { offset: self.next, source })
    }

    /// Ends the file. `write_id`: its name among all writes.
    ///
    /// # Errors
    /// The writer's.
    pub(crate) fn finish(mut self, write_id: u128) -> Result<Built, ExportError> {
        if self.rows.len() > 0 {
            self.write()?;
        }
        let header = FileHeader { write_id, partition: self.partition.index, start: self.start, end: self.next };
        let mut say = |key: &str, value: String| self.writer.append_key_value_metadata(KeyValue::new(format!("floe.{key}"), value));
        say("format", "1".to_owned());
        say("topic", self.topic.clone());
        say("topic_id", self.partition.topic.to_string());
        say("partition", self.partition.index.to_string());
        say("start", header.start.to_string());
        say("end", header.end.to_string());
        say("rows", self.count.to_string());
        self.gaps.tell(say);
        self.writer.finish()?;
        let sink = std::mem::take(self.writer.inner_mut());
        let body = sink.into_body(header.encode().get(4..).unwrap_or_default());
        Ok(Built { header, body, rows: self.count })
    }
}

fn properties(options: &FileOptions) -> WriterProperties {
    let column = |path: &[&str]| ColumnPath::new(path.iter().map(|part| (*part).to_owned()).collect());
    let zstd = ZstdLevel::try_new(ZSTD_LEVEL).expect("zstd has this level");
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(format!("Floe {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(zstd))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: rows::OFFSET_COLUMN, descending: false, nulls_first: false }]))
        .set_column_dictionary_enabled(column(&["offset"]), false)
        .set_column_encoding(column(&["offset"]), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(column(&["timestamp"]), false)
        .set_column_encoding(column(&["timestamp"]), Encoding::DELTA_BINARY_PACKED);
    // Nobody looks for a value, or for a header's, by its order.
    for opaque in [&["value"][..], &["headers", "list", "element", "value"], &["_error", "value"]] {
        properties = properties
            .set_column_dictionary_enabled(column(opaque), false)
            .set_column_statistics_enabled(column(opaque), EnabledStatistics::None);
    }
    if options.bloom {
        properties = properties.set_column_bloom_filter_enabled(column(&["key"]), true);
    }
    properties.build()
}
