//! The Parquet of a file, in memory: row groups as they should be for who reads them, and no more open at once than there is room for.

mod repeats;

use crate::ExportError;
use crate::file::FileOptions;
use crate::header::FileHeader;
use crate::memory::{COLUMN, MANY_COLUMNS};
use crate::rows::{OFFSET_COLUMN, schema};
use crate::sink::Sink;
use crate::target::header_room;
use arrow_array::RecordBatch;
use floe_objstore::Payload;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use repeats::Plain;

/// Memory of a row group's columns beyond what is encoded: open pages, and dictionaries.
const OPEN_BYTES: u64 = 8 << 20;
/// Most rows of a row group: what readers expect, and what their memory is made for.
const GROUP_ROWS: usize = 1 << 20;
/// Bytes of a page, and rows in it: what a reader decompresses for a few rows.
const PAGE_BYTES: usize = 1 << 20;
const PAGE_ROWS: usize = 20_000;
/// Bytes of a dictionary: what would have a larger one has none.
const DICTIONARY_BYTES: usize = 1 << 20;
/// Fast, and within some percent of what the slow levels give.
const ZSTD_LEVEL: i32 = 1;
/// A file of more bytes has several row groups: at the end of one its pages are copied.
const GROUPS_IN_FILE: u64 = 2;
/// Rows of a row group of very many columns, and bytes of their values: a column has one page of them.
const WIDE_GROUP_ROWS: usize = 20_000;
const WIDE_GROUP_BYTES: usize = 32 << 20;

pub(crate) struct TableWriter {
    options: FileOptions,
    /// None: nothing was written yet, by which it is decided how.
    writer: Option<ArrowWriter<Sink>>,
    said: Vec<KeyValue>,
    columns: usize,
    /// Bytes of records in the row group that is open.
    group_bytes: usize,
}

impl TableWriter {
    pub(crate) fn new(options: &FileOptions) -> Self {
        Self { options: options.clone(), writer: None, said: Vec::new(), columns: options.layout.columns(), group_bytes: 0 }
    }

    /// Bytes of it so far, what is not encoded yet as it is going to be.
    pub(crate) fn bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, |writer| writer.bytes_written() + writer.in_progress_size())
    }

    /// `bytes`: of the records that these rows are.
    ///
    /// # Errors
    /// The writer's.
    pub(crate) fn write(&mut self, rows: &RecordBatch, bytes: usize) -> Result<(), ExportError> {
        self.group_bytes += bytes;
        let is_wide = self.columns > MANY_COLUMNS && self.group_bytes >= WIDE_GROUP_BYTES;
        let (most, columns) = (self.options.file_bytes / GROUPS_IN_FILE, self.columns);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(open(&self.options, columns, &repeats::without_dictionary(rows))?),
        };
        writer.write(rows)?;
        if writer.in_progress_size() as u64 >= most || is_wide || open_bytes(writer, columns) >= OPEN_BYTES {
            writer.flush()?;
            self.group_bytes = 0;
        }
        Ok(())
    }

    /// An entry of the file's metadata.
    pub(crate) fn say(&mut self, key: &str, value: String) {
        self.said.push(KeyValue::new(format!("floe.{key}"), value));
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The writer's.
    pub(crate) fn finish(self, header: &FileHeader) -> Result<Payload, ExportError> {
        let mut writer = match self.writer {
            Some(writer) => writer,
            None => open(&self.options, self.columns, &[])?,
        };
        self.said.into_iter().for_each(|entry| writer.append_key_value_metadata(entry));
        writer.finish()?;
        let sink = std::mem::take(writer.inner_mut());
        Ok(sink.into_body(header.encode().get(4..).unwrap_or_default()))
    }
}

fn open(options: &FileOptions, columns: usize, plain: &[Plain]) -> Result<ArrowWriter<Sink>, ExportError> {
    let options_of_writer = ArrowWriterOptions::new()
        .with_properties(properties(options.bloom, columns > MANY_COLUMNS, plain))
        .with_schema_root("record".to_owned())
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Sink::default(), schema(&options.layout), options_of_writer)?;
    writer.write_all(&header_room()).map_err(|error| ParquetError::General(error.to_string()))?;
    Ok(writer)
}

/// What the open row group holds that is not encoded yet.
fn open_bytes(writer: &ArrowWriter<Sink>, columns: usize) -> u64 {
    let beyond = writer.memory_size().saturating_sub(writer.in_progress_size()) as u64;
    beyond.saturating_sub(columns as u64 * COLUMN)
}

/// `plain`: columns that have no dictionary.
fn properties(bloom: bool, is_wide: bool, plain: &[Plain]) -> WriterProperties {
    let column = |path: &[&str]| ColumnPath::new(path.iter().map(|part| (*part).to_owned()).collect());
    let zstd = ZstdLevel::try_new(ZSTD_LEVEL).expect("zstd has this level");
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(format!("Floe {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(zstd))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(if is_wide { WIDE_GROUP_ROWS } else { PAGE_ROWS })
        .set_max_row_group_row_count(Some(if is_wide { WIDE_GROUP_ROWS - 1 } else { GROUP_ROWS }))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: OFFSET_COLUMN, descending: false, nulls_first: false }]))
        .set_column_dictionary_enabled(column(&["offset"]), false)
        .set_column_encoding(column(&["offset"]), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(column(&["timestamp"]), false)
        .set_column_encoding(column(&["timestamp"]), Encoding::DELTA_BINARY_PACKED);
    for Plain { name, is_integer } in plain {
        properties = properties.set_column_dictionary_enabled(column(&[name]), false);
        if *is_integer {
            properties = properties.set_column_encoding(column(&[name]), Encoding::DELTA_BINARY_PACKED);
        }
    }
    // Nobody looks for a timestamp's type, a value, or a header's, by its order.
    properties = properties.set_column_statistics_enabled(column(&["timestamp_type"]), EnabledStatistics::None);
    for opaque in [&["value"][..], &["headers", "list", "element", "value"], &["_error", "value"]] {
        properties = properties
            .set_column_dictionary_enabled(column(opaque), false)
            .set_column_statistics_enabled(column(opaque), EnabledStatistics::None);
    }
    if bloom {
        properties = properties.set_column_bloom_filter_enabled(column(&["key"]), true);
    }
    properties.build()
}
