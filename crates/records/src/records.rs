//! The records of one batch: slices of the batch where it is uncompressed, slices of one bounded buffer where it is not.
//!
//! Two layers: [`Frames`] finds each record and reads only where and when it is (what time searches need), [`Records`] takes it apart.

use std::{iter::FusedIterator, ops::Range};

use bytes::Bytes;

use crate::{BatchError, BatchHeader, HEADER_LEN, KeyedRecord, TimedOffset, TimestampType, cursor::Cursor};

/// A record's header: a key and a value that may be null.
pub type Header = (Bytes, Option<Bytes>);

/// One record, as readers see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    pub offset: i64,
    /// Unix milliseconds; -1 for none; the batch's append time where that is its timestamp type.
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    /// In order, duplicates included.
    pub headers: Vec<Header>,
}

/// A [`Record`] in the batch that it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView<'a> {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

/// The records of `batch` (one whole batch). A compressed one is decompressed here, into at most `limit` bytes; of an uncompressed one,
/// keys, values and headers are slices.
pub fn records(batch: &Bytes, limit: usize) -> Result<Records, BatchError> {
    Ok(Records { frames: frames(batch, limit)? })
}

/// Iterator over the records of a batch; ends after an error. What it checks on the way: each record is exactly as long as it says, its
/// offset is one of the batch's, and the records are as many as the header says. Holds the decompressed records and one record's
/// headers (a header of the smallest kind, 2 bytes, takes 64 in memory), never more.
#[derive(Debug, Clone)]
pub struct Records {
    frames: Frames,
}

impl Records {
    /// The batch's header.
    pub fn header(&self) -> &BatchHeader {
        &self.frames.header
    }

    /// What [`Iterator::next`] gives, where it lies.
    pub fn next_view(&mut self) -> Option<Result<RecordView<'_>, BatchError>> {
        let frame = match self.frames.next()? {
            Ok(frame) => frame,
            Err(error) => return Some(Err(error)),
        };
        let Frames { section, at, left, .. } = &mut self.frames;
        let view = frame.view(section);
        if view.is_err() {
            (*at, *left) = (section.len(), 0);
        }
        Some(view)
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = match self.frames.next()? {
            Ok(frame) => frame,
            Err(error) => return Some(Err(error)),
        };
        let record = self.frames.record(&frame);
        if record.is_err() {
            self.frames.end();
        }
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.frames.size_hint()
    }
}

impl FusedIterator for Records {}

/// The bytes of the records, as stored.
pub(crate) fn section(batch: &Bytes, header: &BatchHeader) -> Result<Bytes, BatchError> {
    let need = header.total_len();
    if batch.len() < need {
        return Err(BatchError::Truncated { have: batch.len(), need });
    }
    Ok(batch.slice(HEADER_LEN..need))
}

pub(crate) fn frames(batch: &Bytes, limit: usize) -> Result<Frames, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let stored = section(batch, &header)?;
    // A batch that compaction emptied has no records, whatever its codec bits say.
    let section = if stored.is_empty() { stored } else { header.codec()?.decompress(&stored, limit)? };
    Ok(Frames { header, section, at: 0, left: header.record_count })
}

/// Where a record is and when it was.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) timed: TimedOffset,
    pub(crate) has_key: bool,
    /// Key, value and headers, as positions in the section.
    body: Range<usize>,
}

impl Frame {
    /// What lies there.
    fn view<'a>(&self, section: &'a [u8]) -> Result<RecordView<'a>, BatchError> {
        let mut cursor = Cursor::new(section.get(self.body.clone()).unwrap_or_default());
        let bad = |why| BatchError::Record { at: self.body.start, why };
        let key = read_bytes(&mut cursor).ok_or_else(|| bad("a bad key"))?;
        let value = read_bytes(&mut cursor).ok_or_else(|| bad("a bad value"))?;
        let count = cursor.varint().and_then(|count| usize::try_from(count).ok()).ok_or_else(|| bad("a bad header count"))?;
        if count > cursor.remaining() / 2 {
            return Err(bad("more headers than bytes")); // each takes 2 at least
        }
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            let key = read_bytes(&mut cursor).flatten().ok_or_else(|| bad("a bad header key"))?;
            let value = read_bytes(&mut cursor).ok_or_else(|| bad("a bad header value"))?;
            headers.push((key, value));
        }
        if cursor.remaining() != 0 {
            return Err(bad("bytes remain after the headers"));
        }
        Ok(RecordView { offset: self.timed.offset, timestamp: self.timed.timestamp, key, value, headers })
    }
}

/// Finds the records of a section.
#[derive(Debug, Clone)]
pub(crate) struct Frames {
    header: BatchHeader,
    section: Bytes,
    at: usize,
    left: i32,
}

impl Frames {
    fn end(&mut self) {
        self.left = 0;
        self.at = self.section.len();
    }

    fn malformed(&self, why: &'static str) -> BatchError {
        BatchError::Record { at: self.at, why }
    }

    fn frame(&self) -> Result<Frame, BatchError> {
        let mut cursor = Cursor::new(self.section.get(self.at..).unwrap_or_default());
        let len = cursor.varint().ok_or_else(|| self.malformed("no length"))?;
        let len = usize::try_from(len).map_err(|_| self.malformed("a negative length"))?;
        let start = self.at.saturating_add(cursor.at());
        let bytes = cursor.take(len).ok_or_else(|| self.malformed("longer than the batch"))?;
        let mut cursor = Cursor::new(bytes);
        let (timestamp, offset) = read_deltas(&mut cursor).ok_or_else(|| self.malformed("cut in its fixed fields"))?;
        if !(0..=self.header.last_offset_delta).contains(&offset) {
            return Err(self.malformed("an offset outside the batch"));
        }
        let offset = self.header.base_offset.checked_add(i64::from(offset)).ok_or_else(|| self.malformed("an offset beyond 2^63"))?;
        let timestamp = match self.header.timestamp_type() {
            TimestampType::LogAppendTime => self.header.max_timestamp,
            TimestampType::CreateTime => {
                self.header.base_timestamp.checked_add(timestamp).ok_or_else(|| self.malformed("a timestamp beyond 2^63"))?
            }
        };
        let body = start.saturating_add(cursor.at())..start.saturating_add(len);
        let has_key = read_bytes(&mut cursor).ok_or_else(|| self.malformed("a bad key"))?.is_some();
        Ok(Frame { timed: TimedOffset { offset, timestamp }, has_key, body })
    }

    /// Key, and whether there is a value: nothing behind them is read.
    pub(crate) fn keyed(&self, frame: &Frame) -> Result<KeyedRecord, BatchError> {
        let mut cursor = Cursor::new(self.section.get(frame.body.clone()).unwrap_or_default());
        let bad = |why| BatchError::Record { at: frame.body.start, why };
        let key = read_bytes(&mut cursor).ok_or_else(|| bad("a bad key"))?.map(|key| self.section.slice_ref(key));
        let value = read_bytes(&mut cursor).ok_or_else(|| bad("a bad value"))?;
        Ok(KeyedRecord { offset: frame.timed.offset, is_tombstone: key.is_some() && value.is_none(), key })
    }

    fn record(&self, frame: &Frame) -> Result<Record, BatchError> {
        let RecordView { offset, timestamp, key, value, headers } = frame.view(&self.section)?;
        let slice = |bytes: &[u8]| self.section.slice_ref(bytes);
        let headers = headers.into_iter().map(|(key, value)| (slice(key), value.map(slice))).collect();
        Ok(Record { offset, timestamp, key: key.map(slice), value: value.map(slice), headers })
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = if self.left > 0 {
            self.frame()
        } else if self.at < self.section.len() {
            Err(self.malformed("bytes remain after the last record"))
        } else {
            return None;
        };
        match &frame {
            Ok(frame) => {
                self.at = frame.body.end;
                self.left = self.left.saturating_sub(1);
            }
            Err(_) => self.end(),
        }
        Some(frame)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // The count is the sender's word: each record takes 7 bytes at least, and an error may come in place of one.
        (0, Some((self.section.len().saturating_sub(self.at) / 7).saturating_add(1)))
    }
}

impl FusedIterator for Frames {}

/// Attributes (unused), timestamp delta, offset delta.
fn read_deltas(cursor: &mut Cursor<'_>) -> Option<(i64, i32)> {
    cursor.i8()?;
    Some((cursor.varlong()?, cursor.varint()?))
}

/// A length and as many bytes; length -1 is null, and any other negative one is an error.
fn read_bytes<'a>(cursor: &mut Cursor<'a>) -> Option<Option<&'a [u8]>> {
    match cursor.varint()? {
        -1 => Some(None),
        len => cursor.take(usize::try_from(len).ok()?).map(Some),
    }
}
