//! The decoded columns of a topic, as the target has them: versions that only add columns, each created only if absent. Whoever
//! loses takes what the winner wrote, and adds what is still missing; files of older versions have fewer columns, and stay.

use crate::ExportError;
use crate::committed::{Visible, visible_at_once};
use crate::decode::{Field, Sketch, Writer, add_all, at_top, behind_id, evolve, parse};
use crate::json;
use crate::memory::VALUE_AT_ONCE;
use crate::rows::{Layout, Mode};
use crate::target::Target;
use bytes::Bytes;
use floe_log::stored::Stretch;
use floe_objstore::Created;
use floe_records::BatchHeader;
use floe_types::{Offset, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A version of a topic's decoded columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchemaVersion {
    /// First, so that it stands in the first 64 bytes: which write made this.
    pub(crate) write_id: String,
    version: u32,
    pub(crate) number: u64,
    pub(crate) fields: Vec<Field>,
}

const VERSION: u32 = 1;
/// Bytes of values from which columns are inferred; the first is looked at whatever its size.
const LOOKED_AT: usize = 8 << 20;
/// Ids that a registry is asked for before a file is begun, and writers whose columns it gets.
const UNKNOWN_AT_ONCE: usize = 16;
const WRITERS_AT_ONCE: usize = 256;

impl SchemaVersion {
    pub(crate) fn encode(&self, write_id: u128) -> Bytes {
        let named = Self { write_id: json::named(write_id), version: VERSION, ..self.clone() };
        json::encode(&named)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        json::decode(bytes, VERSION)
    }
}

/// The columns as this process knows them; all partitions share them.
#[derive(Debug, Default)]
pub(crate) struct Schemas(tokio::sync::Mutex<SchemaVersion>);

impl Schemas {
    /// The columns for a file whose values look like this: those that there are, and new ones for what has none; and whether
    /// something of it gets none.
    ///
    /// # Errors
    /// The target's.
    pub(crate) async fn for_file(
        &self,
        target: &Target,
        topic: TopicId,
        (seen, of_writers): (&Sketch, &[Vec<Field>]),
    ) -> Result<(Arc<Vec<Field>>, bool), ExportError> {
        let (mut left_out, taken) = (false, at_top(target.folders().taken()));
        let grow = |fields: &mut Vec<Field>| {
            let mut added = false;
            for of_writer in of_writers {
                let mut more = fields.clone();
                match add_all(&mut more, of_writer, &taken) {
                    Ok(false) => {}
                    Ok(true) => (*fields, added) = (more, true),
                    Err(_) => left_out = true,
                }
            }
            let evolved = evolve(fields, seen, &taken);
            left_out |= evolved.left_out;
            Ok(added || evolved.added)
        };
        let fields = self.grow(target, topic, grow).await?;
        Ok((fields, left_out))
    }

    /// Adds columns, until what stands in the target has all of them. `add`: true if it had to add any.
    ///
    /// # Errors
    /// The target's, or `add`'s.
    pub(crate) async fn grow(
        &self,
        target: &Target,
        topic: TopicId,
        mut add: impl FnMut(&mut Vec<Field>) -> Result<bool, ExportError>,
    ) -> Result<Arc<Vec<Field>>, ExportError> {
        let mut known = self.0.lock().await;
        if known.number == 0 {
            *known = target.newest_schema(topic).await?.unwrap_or_default();
        }
        loop {
            let mut next = known.clone();
            if !add(&mut next.fields)? {
                return Ok(Arc::new(known.fields.clone()));
            }
            next.number += 1;
            *known = match target.create_schema(topic, &next).await? {
                Created::Won => next,
                Created::Lost => target.newest_schema(topic).await?.unwrap_or_default(),
            };
        }
    }
}

/// What was seen of values.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) sketch: Sketch,
    /// Who wrote them, and ids that are not known.
    pub(crate) writers: BTreeSet<Writer>,
    pub(crate) unknown: BTreeSet<u32>,
}

/// What the first values of some stretches have in common. None: that takes more memory than one file has, and is to be seen `in_turn`.
///
/// # Errors
/// Records that are broken or not to be judged.
pub(crate) fn look_through(
    stretches: &[Stretch],
    (from, until): (Offset, Offset),
    (layout, in_turn): (&Layout, bool),
) -> Result<Option<Seen>, ExportError> {
    let (mut seen, mut looked) = (Seen::default(), 0);
    for batch in stretches.iter().flat_map(|stretch| &stretch.batches) {
        let header = BatchHeader::parse(batch).map_err(|source| ExportError::Records { offset: from, source })?;
        if header.end_offset() <= from || header.base_offset >= until {
            continue;
        }
        let Some(found) = visible_at_once(batch, &header, in_turn)? else { return Ok(None) };
        let Visible::Records(mut records) = found else { continue };
        while let Some(record) = records.next_view() {
            let record = record.map_err(|source| ExportError::Records { offset: header.base_offset, source })?;
            let is_in_it = record.offset >= from && record.offset < until;
            let Some(value) = record.value.filter(|_| is_in_it) else { continue };
            looked += value.len();
            if looked > LOOKED_AT && looked > value.len() {
                return Ok(Some(seen));
            }
            if !in_turn && value.len() > VALUE_AT_ONCE {
                return Ok(None);
            }
            seen.see(value, layout);
        }
    }
    Ok(Some(seen))
}

impl Seen {
    fn see(&mut self, value: &[u8], layout: &Layout) {
        if let Some(readers) = &layout.readers {
            // As many as a file should wait for; others have their turn when they come.
            if self.unknown.len() < UNKNOWN_AT_ONCE {
                self.unknown.extend(readers.unknown(value));
            }
            if self.writers.len() < WRITERS_AT_ONCE {
                self.writers.extend(readers.writer(value));
            }
        }
        if layout.mode != Mode::Json {
            return;
        }
        let value = if layout.readers.is_some() { behind_id(value) } else { value };
        // What is no object has no columns, and says nothing of those that others have.
        let text = std::str::from_utf8(value).ok().filter(|text| text.trim_start().starts_with('{'));
        if let Some(Ok(node)) = text.map(parse) {
            self.sketch.see(&node);
        }
    }
}
