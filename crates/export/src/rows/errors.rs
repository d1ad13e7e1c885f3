//! `_error`: what did not fit, why, and its bytes. Rare, so that it is kept by row.

use crate::ExportError;
use arrow_array::builder::{ArrayBuilder, BinaryBuilder, StringBuilder};
use arrow_array::{ArrayRef, ListArray, StructArray, new_null_array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields};
use bytes::Bytes;
use floe_records::{Header, RecordView};
use std::sync::Arc;

/// What of one record did not fit. Empty: all did.
#[derive(Debug, Default)]
pub(super) struct Misfit {
    what: String,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Option<Vec<Header>>,
}

impl Misfit {
    pub(super) fn key(&mut self, record: &RecordView<'_>, what: &str) {
        self.say(what);
        self.key = record.key.map(own);
    }

    pub(super) fn value(&mut self, record: &RecordView<'_>, what: &str) {
        self.say(what);
        self.value = record.value.map(own);
    }

    pub(super) fn headers(&mut self, record: &RecordView<'_>, what: &str) {
        self.say(what);
        self.headers = Some(record.headers.iter().map(|(key, value)| (own(key), value.map(own))).collect());
    }

    /// Memory that it takes.
    pub(super) fn held(&self) -> usize {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter().flatten().map(|(key, value)| key.len() + len(value) + size_of::<Header>()).sum::<usize>();
        self.what.len() + len(&self.key) + len(&self.value) + headers
    }

    fn say(&mut self, what: &str) {
        if self.what == what {
            return;
        }
        if !self.what.is_empty() {
            self.what.push_str("; ");
        }
        self.what.push_str(what);
    }
}

/// The bytes, without the batch that they were decompressed with.
fn own(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

#[derive(Debug, Default)]
pub(super) struct Errors(Vec<(usize, Misfit)>);

pub(super) fn data_type() -> DataType {
    DataType::Struct(fields())
}

fn fields() -> Fields {
    Fields::from(vec![
        Field::new("what", DataType::Utf8, false),
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("headers", DataType::List(element()), true),
    ])
}

fn element() -> FieldRef {
    Arc::new(Field::new("element", DataType::Struct(header_fields()), false))
}

fn header_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Binary, false), Field::new("value", DataType::Binary, true)])
}

impl Errors {
    pub(super) fn push(&mut self, row: usize, misfit: Misfit) {
        if !misfit.what.is_empty() {
            self.0.push((row, misfit));
        }
    }

    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef, ExportError> {
        if self.0.is_empty() {
            return Ok(new_null_array(&data_type(), rows));
        }
        let (mut what, mut keys, mut values) = (StringBuilder::new(), BinaryBuilder::new(), BinaryBuilder::new());
        let (mut header_keys, mut header_values) = (BinaryBuilder::new(), BinaryBuilder::new());
        let (mut offsets, mut has_headers, mut is_there) = (vec![0_i32], Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut misfits = std::mem::take(&mut self.0).into_iter().peekable();
        for row in 0..rows {
            let misfit = misfits.next_if(|(at, _)| *at == row).map(|(_, misfit)| misfit);
            is_there.push(misfit.is_some());
            let misfit = misfit.unwrap_or_default();
            what.append_value(&misfit.what);
            keys.append_option(misfit.key);
            values.append_option(misfit.value);
            has_headers.push(misfit.headers.is_some());
            for (key, value) in misfit.headers.unwrap_or_default() {
                header_keys.append_value(key);
                header_values.append_option(value);
            }
            offsets.push(i32::try_from(header_keys.len()).unwrap_or(i32::MAX));
        }
        let entries = StructArray::try_new(header_fields(), vec![Arc::new(header_keys.finish()), Arc::new(header_values.finish())], None)?;
        let headers =
            ListArray::try_new(element(), OffsetBuffer::new(offsets.into()), Arc::new(entries), Some(NullBuffer::from(has_headers)))?;
        let columns: Vec<ArrayRef> = vec![Arc::new(what.finish()), Arc::new(keys.finish()), Arc::new(values.finish()), Arc::new(headers)];
        Ok(Arc::new(StructArray::try_new(fields(), columns, Some(NullBuffer::from(is_there)))?))
    }
}
