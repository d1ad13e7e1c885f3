//! One Parquet file, built in memory: rows in offset order, one row group after another, and at the end what it covers and
//! what is missing in it.

mod gaps;

use crate::ExportError;
use crate::claim::Claim;
use crate::committed::{Visible, visible_at_once};
use crate::day::Day;
use crate::header::FileHeader;
use crate::memory::VALUE_AT_ONCE;
use crate::rows::{Layout, Pushed, Rows};
use crate::writer::TableWriter;
use bytes::Bytes;
use floe_log::stored::Stretch;
use floe_objstore::Payload;
use floe_records::{BatchHeader, RecordView, TimestampType};
use floe_types::{Offset, PartitionId};
pub(crate) use gaps::MOST as MOST_GAPS;
use gaps::{Gaps, Why};

/// Rows, and memory of them, that become columns at a time.
const ROWS_AT_ONCE: usize = 16 << 10;
const BYTES_AT_ONCE: usize = 2 << 20;
/// Most rows of a file.
const FILE_ROWS: u64 = 16 << 20;

/// How files are made.
#[derive(Debug, Clone)]
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
    /// Of which day it is.
    claim: Option<Claim>,
    /// A record of another day follows.
    is_whole: bool,
    writer: TableWriter,
    rows: Rows,
    count: u64,
    gaps: Gaps,
}

/// What became of records that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    All,
    /// The file is full, or covers all that it may.
    Full,
    /// The next one takes more memory than there is for one file: it is to be added again in its turn.
    Large,
}

/// A file that is ready to be created.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) header: FileHeader,
    pub(crate) day: Option<Day>,
    pub(crate) body: Payload,
    pub(crate) rows: u64,
}

impl FileBuilder {
    /// A file of the records from `start` on, none of them at or behind `until`; of one day, where there are days.
    pub(crate) fn new(
        options: FileOptions,
        (partition, topic): (PartitionId, &str),
        (start, until): (Offset, Offset),
        claim: Option<Claim>,
    ) -> Self {
        let writer = TableWriter::new(&options);
        let rows = Rows::new(&options.layout, partition.index);
        let topic = topic.to_owned();
        Self { options, partition, topic, start, next: start, until, claim, is_whole: false, writer, rows, count: 0, gaps: Gaps::default() }
    }

    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    pub(crate) fn rows(&self) -> u64 {
        self.count
    }

    /// Whether there is anything to create. A file of a day may have no row, where its records were gone before they were read.
    pub(crate) fn is_something(&self) -> bool {
        self.count > 0 || (self.is_whole && self.next > self.start)
    }

    /// Takes in what was read, and stops where the file is full. `in_turn`: however much memory that takes.
    ///
    /// # Errors
    /// Records that are broken or not to be judged; the writer's.
    pub(crate) fn add(&mut self, stretch: &Stretch, in_turn: bool) -> Result<Added, ExportError> {
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
            match self.add_batch(batch, &header, in_turn)? {
                Added::All if !self.is_full() => {}
                Added::All | Added::Full => return Ok(Added::Full),
                Added::Large => return Ok(Added::Large),
            }
        }
        self.pass(stretch.next, Why::Compacted);
        Ok(if self.next >= self.until { Added::Full } else { Added::All })
    }

    /// `Full` if the next record needs a file with other columns.
    fn add_batch(&mut self, batch: &Bytes, header: &BatchHeader, in_turn: bool) -> Result<Added, ExportError> {
        let Some(found) = visible_at_once(batch, header, in_turn)? else { return Ok(Added::Large) };
        match found {
            Visible::Control => {
                self.pass(header.base_offset, Why::Compacted);
                self.pass(header.end_offset(), Why::Control);
            }
            Visible::Records(mut records) => {
                while let Some(record) = records.next_view() {
                    let record = record.map_err(|source| ExportError::Records { offset: header.base_offset, source })?;
                    if record.offset < self.next || record.offset >= self.until {
                        continue;
                    }
                    match self.is_of_its_day(&record)? {
                        Some(true) => {}
                        Some(false) => return Ok(Added::Full),
                        None => continue,
                    }
                    if !in_turn && self.is_large(&record) {
                        return Ok(Added::Large);
                    }
                    if !self.add_record(&record, header.timestamp_type())? {
                        return Ok(Added::Full);
                    }
                }
                self.pass(header.end_offset(), Why::Compacted);
            }
        }
        Ok(Added::All)
    }

    /// Whether a record is of this file's day; if not, the file ends before it. None: whoever decided the day knew it to be gone.
    ///
    /// # Errors
    /// What decided the day contradicts the record that it was decided by.
    fn is_of_its_day(&mut self, record: &RecordView<'_>) -> Result<Option<bool>, ExportError> {
        let Some(claim) = &self.claim else { return Ok(Some(true)) };
        if record.offset < claim.first {
            return Ok(None);
        }
        let is_of_it = Day::of(record.timestamp) == claim.day;
        if !is_of_it && record.offset == claim.first {
            let key = crate::target::claim_key(self.partition, self.start);
            return Err(ExportError::Foreign { key, why: format!("the record at {} is of another day than it says", record.offset) });
        }
        if !is_of_it {
            self.is_whole = true;
            self.pass(record.offset, Why::Compacted);
        }
        Ok(Some(is_of_it))
    }

    /// Whether taking its value apart takes more memory than there is for one file.
    fn is_large(&self, record: &RecordView<'_>) -> bool {
        self.options.layout.mode.takes_apart() && record.value.is_some_and(|value| value.len() > VALUE_AT_ONCE)
    }

    /// False if it needs a file with other columns.
    fn add_record(&mut self, record: &RecordView<'_>, timestamp_type: TimestampType) -> Result<bool, ExportError> {
        // The first one was looked at when the columns were decided: what it has no column for, it never gets.
        if self.rows.push(record, timestamp_type, self.count == 0 || self.options.layout.is_closed) == Pushed::NewField {
            return Ok(false);
        }
        self.pass(record.offset, Why::Compacted);
        (self.next, self.count) = (record.offset + 1, self.count + 1);
        if self.rows.len() >= ROWS_AT_ONCE || self.rows.held() >= BYTES_AT_ONCE {
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
        let bytes = self.rows.bytes();
        self.writer.write(&self.rows.take()?, bytes)
    }

    fn is_full(&self) -> bool {
        let bytes = self.writer.bytes() + self.rows.bytes();
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
        let mut say = |key: &str, value: String| self.writer.say(key, value);
        say("format", "1".to_owned());
        say("topic", self.topic.clone());
        say("topic_id", self.partition.topic.to_string());
        say("partition", self.partition.index.to_string());
        say("start", header.start.to_string());
        say("end", header.end.to_string());
        say("rows", self.count.to_string());
        self.gaps.tell(say);
        let body = self.writer.finish(&header)?;
        Ok(Built { header, day: self.claim.map(|claim| claim.day), body, rows: self.count })
    }
}
