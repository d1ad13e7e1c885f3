//! Records as columns. One row is one record; what a record's mode cannot hold goes into `_error`, with the raw bytes.

mod errors;

use crate::ExportError;
use crate::decode::{Decoded, Field as DecodedField, Node, Readers, Refusal, behind_id, data_fields, leaves, parse};
use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{ArrayRef, Int32Array, Int64Array, ListArray, PrimitiveArray, RecordBatch, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use errors::{Errors, Misfit};
use floe_records::{NO_TIMESTAMP, RecordView, TimestampType};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Columns of every table: [`schema`]'s, those within structs and lists counted one by one.
const BASE_COLUMNS: usize = 13;
/// Where `offset` stands: files are sorted by it.
pub(crate) const OFFSET_COLUMN: i32 = 1;

/// Memory of a row beside its bytes, of a header, and of one value in a decoded column, whichever: their lengths and places, twice while
/// they become arrays.
const ROW_COST: usize = 160;
const HEADER_COST: usize = 32;
const LEAF_COST: usize = 24;
/// Most bytes that a column makes room for because the rows before had them.
const MOST_ROOM: usize = 2 << 20;

/// How key and value become columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Bytes, as they are.
    #[default]
    Raw,
    /// Text: what is no UTF-8 is null here, and its bytes are in `_error`.
    String,
    /// Text, and a column for each field of values that are JSON objects.
    Json,
    /// Bytes, and a column for each field of the values' Avro schemas.
    Avro,
    /// The same of Protocol Buffers.
    Protobuf,
}

/// The columns of a file.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) mode: Mode,
    /// Leave `value` out where all of it is in decoded columns.
    pub(crate) drop_value: bool,
    pub(crate) decoded: Arc<Vec<DecodedField>>,
    /// The schemas by which values are read, where they have any.
    pub(crate) readers: Option<Arc<Readers>>,
    /// Fields without a column get none in later files either.
    pub(crate) is_closed: bool,
}

impl Mode {
    /// Whether values have columns of their own.
    pub(crate) fn takes_apart(self) -> bool {
        !matches!(self, Self::Raw | Self::String)
    }
}

impl Layout {
    /// Whether the columns of a file depend on the values in it.
    pub(crate) fn infers(&self) -> bool {
        self.mode == Mode::Json || self.readers.as_ref().is_some_and(|readers| readers.is_open())
    }

    /// Whether values are text behind an id.
    fn is_prefixed_text(&self) -> bool {
        self.mode == Mode::Json && self.readers.as_ref().is_some_and(|readers| readers.is_prefixed())
    }

    /// All columns, those within structs and lists counted one by one.
    pub(crate) fn columns(&self) -> usize {
        BASE_COLUMNS + leaves(&self.decoded)
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    Row,
    /// It has a field without a column, and was not taken.
    NewField,
}

/// Rows that are being gathered.
#[derive(Debug)]
pub(crate) struct Rows {
    schema: SchemaRef,
    drop_value: bool,
    partition: i32,
    offsets: Vec<i64>,
    timestamps: Vec<Option<i64>>,
    timestamp_types: StringBuilder,
    key: Column,
    value: Column,
    headers: Headers,
    decoded: Option<Decoded>,
    readers: Option<Arc<Readers>>,
    is_prefixed_text: bool,
    errors: Errors,
    /// Of decoded columns.
    leaves: usize,
    bytes: usize,
    held: usize,
}

#[derive(Debug)]
struct Column {
    builder: Builder,
    /// Bytes that the rows before had: these are going to have about as many.
    before: usize,
}

#[derive(Debug)]
enum Builder {
    Raw(BinaryBuilder),
    Text(StringBuilder),
}

/// A list of structs for each row: nothing about order or duplicates is lost.
#[derive(Debug, Default)]
struct Headers {
    ends: Vec<i32>,
    keys: StringBuilder,
    values: BinaryBuilder,
}

pub(crate) fn schema(layout: &Layout) -> SchemaRef {
    let bytes = match layout.mode {
        Mode::Raw | Mode::Avro | Mode::Protobuf => DataType::Binary,
        Mode::String | Mode::Json => DataType::Utf8,
    };
    let mut columns = vec![
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
        Field::new("timestamp_type", DataType::Utf8, false),
        Field::new("key", bytes.clone(), true),
        Field::new("value", bytes, true),
        Field::new("headers", DataType::List(header_element()), false),
    ];
    columns.extend(data_fields(&layout.decoded));
    columns.push(Field::new("_error", errors::data_type(), true));
    Arc::new(Schema::new(columns))
}

fn header_element() -> FieldRef {
    Arc::new(Field::new("element", DataType::Struct(header_fields()), false))
}

fn header_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)])
}

impl Rows {
    pub(crate) fn new(layout: &Layout, partition: i32) -> Self {
        let column = || Column {
            builder: match layout.mode {
                Mode::Raw | Mode::Avro | Mode::Protobuf => Builder::Raw(BinaryBuilder::new()),
                Mode::String | Mode::Json => Builder::Text(StringBuilder::new()),
            },
            before: 0,
        };
        Self {
            schema: schema(layout),
            drop_value: layout.drop_value,
            decoded: layout.mode.takes_apart().then(|| Decoded::new(&layout.decoded)),
            readers: layout.readers.clone(),
            is_prefixed_text: layout.is_prefixed_text(),
            partition,
            offsets: Vec::new(),
            timestamps: Vec::new(),
            timestamp_types: StringBuilder::new(),
            key: column(),
            value: column(),
            headers: Headers::default(),
            errors: Errors::default(),
            leaves: leaves(&layout.decoded),
            bytes: 0,
            held: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Bytes of keys, values and headers.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory that they take, about, and no less: tiny records and empty columns count.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// `whatever`: also a record with a field that has no column, which is an error of its row then.
    pub(crate) fn push(&mut self, record: &RecordView<'_>, timestamp_type: TimestampType, whatever: bool) -> Pushed {
        let mut misfit = Misfit::default();
        let decoded = match self.decode(record.value) {
            Ok(decoded) => decoded,
            Err(Refusal::NewField(_) | Refusal::Unknown(_)) if !whatever => return Pushed::NewField,
            Err(refusal) => {
                if let (Refusal::NewField(_) | Refusal::Unknown(_), Some(columns)) = (&refusal, &mut self.decoded) {
                    columns.push_nulls();
                }
                misfit.value(record, &refusal.to_string());
                false
            }
        };
        self.offsets.push(record.offset);
        self.timestamps.push((record.timestamp != NO_TIMESTAMP).then_some(record.timestamp));
        self.timestamp_types.append_value(match timestamp_type {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        });
        if !self.key.push(record.key) {
            misfit.key(record, "the key is not UTF-8");
        }
        let value = record.value.filter(|_| !(decoded && self.drop_value));
        let text = value.filter(|_| self.is_prefixed_text).map(behind_id);
        if !self.value.push(text.or(value)) {
            misfit.value(record, "the value is not UTF-8");
        }
        if !self.headers.push(&record.headers) {
            misfit.headers(record, "a header's key is not UTF-8");
        }
        self.held += misfit.held();
        self.errors.push(self.offsets.len() - 1, misfit);
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers: usize = record.headers.iter().map(|(key, value)| key.len() + len(*value)).sum();
        let bytes = len(record.key) + len(record.value) + headers;
        self.bytes += bytes;
        self.held += bytes + ROW_COST + record.headers.len() * HEADER_COST + self.leaves * LEAF_COST;
        Pushed::Row
    }

    /// Takes a value's fields into their columns; true if there were any.
    fn decode(&mut self, value: Option<&[u8]>) -> Result<bool, Refusal> {
        let Some(columns) = &mut self.decoded else { return Ok(false) };
        let Some(value) = value else {
            columns.push_nulls();
            return Ok(false);
        };
        let text = if self.readers.is_none() { simdutf8::basic::from_utf8(value).map_err(|_| ()) } else { Err(()) };
        if let Some(values) = text.ok().and_then(|text| columns.push_text(text)) {
            self.held += values * LEAF_COST + value.len();
            return Ok(true);
        }
        let held = &mut self.held;
        let mut take = |node: &Node<'_>| {
            columns.push(Some(node))?;
            *held += node.values() * LEAF_COST + value.len();
            Ok(())
        };
        let taken = match (&self.readers, text) {
            (Some(readers), _) => readers.read(value, take),
            (None, Ok(text)) => parse(text).map_err(Refusal::Misfit).and_then(|node| take(&node)),
            // What is no text is told as such.
            (None, Err(_)) => {
                columns.push_nulls();
                return Ok(false);
            }
        };
        if let Err(Refusal::Misfit(_)) = taken {
            columns.push_nulls();
        }
        taken.map(|()| true)
    }

    /// The rows so far, as columns; none are left here.
    ///
    /// # Errors
    /// The columns contradict each other: a fault of this crate.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, ExportError> {
        let offsets = std::mem::take(&mut self.offsets);
        let rows = offsets.len();
        let timestamps = PrimitiveArray::<TimestampMillisecondType>::from(std::mem::take(&mut self.timestamps)).with_timezone("UTC");
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_value(self.partition, rows)),
            Arc::new(Int64Array::from(offsets)),
            Arc::new(timestamps),
            Arc::new(self.timestamp_types.finish()),
            self.key.finish(),
            self.value.finish(),
            Arc::new(self.headers.finish()?),
        ];
        if let Some(decoded) = &mut self.decoded {
            columns.extend(decoded.finish()?);
        }
        columns.push(self.errors.finish(rows)?);
        (self.bytes, self.held) = (0, 0);
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

impl Column {
    /// False if the bytes do not fit: the row has a null then.
    fn push(&mut self, bytes: Option<&[u8]>) -> bool {
        if self.before > 0 {
            self.make_room();
        }
        match (&mut self.builder, bytes) {
            (Builder::Raw(column), bytes) => column.append_option(bytes),
            (Builder::Text(column), None) => column.append_null(),
            (Builder::Text(column), Some(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => column.append_value(text),
                Err(_) => {
                    column.append_null();
                    return false;
                }
            },
        }
        true
    }

    fn make_room(&mut self) {
        // And an eighth: what is a little more is not to move all that is there.
        let bytes = std::mem::take(&mut self.before).min(MOST_ROOM) / 8 * 9;
        match &mut self.builder {
            Builder::Raw(column) => *column = BinaryBuilder::with_capacity(0, bytes),
            Builder::Text(column) => *column = StringBuilder::with_capacity(0, bytes),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match &mut self.builder {
            Builder::Raw(column) => {
                self.before = column.values_slice().len();
                Arc::new(column.finish())
            }
            Builder::Text(column) => {
                self.before = column.values_slice().len();
                Arc::new(column.finish())
            }
        }
    }
}

impl Headers {
    /// False if a key is no text: what can be read of it stands here.
    fn push(&mut self, headers: &[(&[u8], Option<&[u8]>)]) -> bool {
        let mut fits = true;
        for (key, value) in headers {
            let text = String::from_utf8_lossy(key);
            fits &= matches!(text, std::borrow::Cow::Borrowed(_));
            self.keys.append_value(text);
            self.values.append_option(*value);
        }
        let before = self.ends.last().copied().unwrap_or(0);
        self.ends.push(before.saturating_add(i32::try_from(headers.len()).unwrap_or(i32::MAX)));
        fits
    }

    fn finish(&mut self) -> Result<ListArray, ExportError> {
        let entries = StructArray::try_new(header_fields(), vec![Arc::new(self.keys.finish()), Arc::new(self.values.finish())], None)?;
        let offsets = std::iter::once(0).chain(std::mem::take(&mut self.ends)).collect::<Vec<i32>>();
        Ok(ListArray::try_new(header_element(), OffsetBuffer::new(offsets.into()), Arc::new(entries), None)?)
    }
}
