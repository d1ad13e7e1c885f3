//! Files as one: their rows in their order, with all columns that the table has by now.

use super::{Entry, Merge};
use crate::ExportError;
use crate::file::{FileOptions, MOST_GAPS};
use crate::header::FileHeader;
use crate::rows::schema;
use crate::writer::TableWriter;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, RecordBatch, StructArray, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, Fields, SchemaRef};
use bytes::Bytes;
use floe_objstore::{Created, Payload};
use floe_types::Offset;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Memory of the rows that are read at a time, about, and the most of them.
const BYTES_AT_ONCE: u64 = 4 << 20;
const ROWS_AT_ONCE: u64 = 16 << 10;
/// Memory of a value besides its bytes, about, of whatever type.
const VALUE_COST: u64 = 16;
/// Counts that are added up.
const COUNTS: [&str; 5] = ["rows", "gaps.deleted", "gaps.compacted", "gaps.control", "gaps.left_out"];
const LEFT_OUT: usize = 4;

/// A merged file that is being written.
struct Merging {
    schema: SchemaRef,
    columns: usize,
    writer: TableWriter,
    counts: [u64; COUNTS.len()],
    gaps: Vec<(Offset, Offset, String)>,
}

impl Merge<'_> {
    /// Makes one file of several, or finds that it was made.
    pub(super) async fn rewrite(&self, sources: &[Entry], options: &FileOptions) -> Result<Entry, ExportError> {
        let nothing = || ExportError::Task("nothing is to be merged".to_owned());
        let mut merged = Entry::merged(self.topic.id, sources).ok_or_else(nothing)?;
        // Its own bytes, and those of the source that is read.
        let largest = sources.iter().map(|source| source.bytes).max().unwrap_or(0);
        let _room = self.memory.room(options.file_bytes.saturating_add(largest), options.layout.columns()).await;
        let mut merging = Merging::new(options);
        for source in sources {
            let body = self.target.store().get(&source.key).await?;
            let key = source.key.clone();
            merging = self.compute(move || merging.add(&key, body).map(|()| merging)).await?;
        }
        let write_id = self.target.write_id();
        let header = FileHeader { write_id, partition: merged.partition, start: merged.start(), end: merged.end() };
        let topic = (self.topic.id.to_string(), self.topic.name.clone());
        let ranges: Vec<(Offset, Offset)> = merged.ranges().map(|range| (range.start, range.end)).collect();
        let body = self.compute(move || merging.finish(&header, topic, &ranges)).await?;
        merged.bytes = match self.target.store().create(&merged.key, &body).await? {
            Created::Won => body.len(),
            // Of the same files, by another merger or by one that did not come to its end.
            Created::Lost => self.target.header_at(&merged.key, merged.partition, merged.start()).await?.1,
        };
        Ok(merged)
    }

    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
    ) -> Result<T, ExportError> {
        self.env.compute("merge", work).await.map_err(|error| ExportError::Task(error.to_string()))?
    }
}

impl Merging {
    fn new(options: &FileOptions) -> Self {
        let (schema, columns, writer) = (schema(&options.layout), options.layout.columns(), TableWriter::new(options));
        Self { schema, columns, writer, counts: [0; COUNTS.len()], gaps: Vec::new() }
    }

    fn add(&mut self, key: &str, body: Bytes) -> Result<(), ExportError> {
        let foreign = |why: String| ExportError::Foreign { key: key.to_owned(), why };
        let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(body, options)?;
        self.add_told(builder.metadata()).map_err(|name| foreign(format!("it does not tell floe.{name}")))?;
        let at_once = rows_at_once(builder.metadata(), self.columns);
        for batch in builder.with_batch_size(at_once).build()? {
            let batch = batch?;
            let bytes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size()).sum::<Result<usize, _>>()?;
            let wide = widen(&batch, &self.schema).map_err(|error| foreign(error.to_string()))?;
            self.writer.write(&wide, bytes)?;
        }
        Ok(())
    }

    /// Adds what a source tells of itself; else what it does not tell.
    fn add_told(&mut self, metadata: &ParquetMetaData) -> Result<(), &'static str> {
        let entries = metadata.file_metadata().key_value_metadata().map_or(&[][..], Vec::as_slice);
        let told = |name: &str| entries.iter().find(|entry| entry.key.strip_prefix("floe.") == Some(name))?.value.as_deref();
        for (count, name) in self.counts.iter_mut().zip(COUNTS) {
            *count += told(name).and_then(|number| number.parse::<u64>().ok()).ok_or(name)?;
        }
        let gaps: Vec<(Offset, Offset, String)> = told("gaps").and_then(|text| serde_json::from_str(text).ok()).ok_or("gaps")?;
        for (start, end, why) in gaps {
            let has_room = self.gaps.len() < MOST_GAPS;
            match self.gaps.last_mut() {
                Some((_, last, same)) if *last == start && *same == why => *last = end,
                _ if has_room => self.gaps.push((start, end, why)),
                _ => self.counts[LEFT_OUT] += 1,
            }
        }
        Ok(())
    }

    fn finish(mut self, header: &FileHeader, (id, name): (String, String), ranges: &[(Offset, Offset)]) -> Result<Payload, ExportError> {
        let writer = &mut self.writer;
        writer.say("format", "1".to_owned());
        writer.say("topic", name);
        writer.say("topic_id", id);
        writer.say("partition", header.partition.to_string());
        writer.say("start", header.start.to_string());
        writer.say("end", header.end.to_string());
        writer.say("ranges", serde_json::to_string(ranges).expect("numbers have a JSON form"));
        writer.say("gaps", serde_json::to_string(&self.gaps).expect("numbers and texts have a JSON form"));
        for (name, count) in COUNTS.into_iter().zip(self.counts) {
            writer.say(name, count.to_string());
        }
        self.writer.finish(header)
    }
}

/// Rows of a file that are read at a time, where they get so many columns.
pub(super) fn rows_at_once(metadata: &ParquetMetaData, columns: usize) -> usize {
    let row_bytes = row_bytes(metadata) + columns as u64 * VALUE_COST;
    usize::try_from((BYTES_AT_ONCE / row_bytes.max(1)).clamp(1, ROWS_AT_ONCE)).unwrap_or(1)
}

/// Memory of a row, about: in each column that of the page whose values are the largest, so that a few large ones among many small ones
/// count.
fn row_bytes(metadata: &ParquetMetaData) -> u64 {
    let groups = metadata.row_groups().iter().enumerate().map(|(at, group)| {
        let (pages, rows) = (metadata.page_index_for_row_group(at), group.num_rows().unsigned_abs().max(1));
        let of_column = |(at, values): (usize, i64)| {
            let text = pages.offset_index(at).map_or(0, |index| largest(index, rows));
            text + VALUE_COST * values.unsigned_abs().div_ceil(rows)
        };
        let columns: u64 = group.columns().iter().map(|chunk| chunk.num_values()).enumerate().map(of_column).sum();
        columns.max(group.total_byte_size().unsigned_abs() / rows)
    });
    groups.max().unwrap_or(0)
}

/// The most bytes of a row of texts in a page.
fn largest(index: &OffsetIndexMetaData, rows: u64) -> u64 {
    let starts = || index.page_locations().iter().map(|page| page.first_row_index.unsigned_abs());
    let lens = starts().zip(starts().skip(1).chain([rows])).map(|(start, end)| end.saturating_sub(start).max(1));
    let bytes = index.unencoded_byte_array_data_bytes().map_or(&[][..], Vec::as_slice);
    bytes.iter().zip(lens).map(|(bytes, rows)| bytes.unsigned_abs().div_ceil(rows)).max().unwrap_or(0)
}

/// The rows with these columns: those that they do not have are null.
pub(super) fn widen(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = with_fields(batch.schema_ref().fields(), batch.columns(), schema.fields(), batch.num_rows())?;
    RecordBatch::try_new(schema.clone(), columns)
}

/// Columns as `wanted` has them, none of which may be left over.
fn with_fields(known: &Fields, columns: &[ArrayRef], wanted: &Fields, rows: usize) -> Result<Vec<ArrayRef>, ArrowError> {
    let mut left: BTreeMap<&str, &ArrayRef> = known.iter().map(|field| field.name().as_str()).zip(columns).collect();
    let column = |field: &Arc<Field>| match left.remove(field.name().as_str()) {
        Some(column) => as_type(column, field.data_type()),
        None => Ok(new_null_array(field.data_type(), rows)),
    };
    let found = wanted.iter().map(column).collect::<Result<_, _>>()?;
    match left.keys().next() {
        Some(lost) => Err(ArrowError::SchemaError(format!("it has a column {lost}, which its table has not"))),
        None => Ok(found),
    }
}

/// A column as one that has at least its fields, however deep they lie.
fn as_type(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    Ok(match (column.data_type(), wanted) {
        (known, wanted) if known == wanted => column.clone(),
        (DataType::Struct(known), DataType::Struct(fields)) => {
            let column = column.as_struct();
            let columns = with_fields(known, column.columns(), fields, column.len())?;
            Arc::new(StructArray::try_new(fields.clone(), columns, column.nulls().cloned())?)
        }
        (DataType::List(_), DataType::List(element)) => {
            let list = column.as_list::<i32>();
            let values = as_type(list.values(), element.data_type())?;
            Arc::new(ListArray::try_new(element.clone(), list.offsets().clone(), values, list.nulls().cloned())?)
        }
        (DataType::Map(..), DataType::Map(entry, sorted)) => {
            let map = column.as_map();
            let DataType::Struct(fields) = entry.data_type() else { return Err(mismatch(column.data_type(), wanted)) };
            // By their places: readers differ in how they call them.
            let parts = fields.iter().zip(map.entries().columns()).map(|(field, part)| as_type(part, field.data_type()));
            let entries = StructArray::try_new(fields.clone(), parts.collect::<Result<_, _>>()?, None)?;
            Arc::new(MapArray::try_new(entry.clone(), map.offsets().clone(), entries, map.nulls().cloned(), *sorted)?)
        }
        (known, wanted) => return Err(mismatch(known, wanted)),
    })
}

fn mismatch(known: &DataType, wanted: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("a column is {known}, and its table has {wanted}"))
}
