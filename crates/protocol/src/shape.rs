//! Where the arrays of a request lie, so that its elements can be counted before one of them is allocated (T41).
//!
//! `kafka-wire` bounds each array by itself and never reserves from a length, but arrays within arrays multiply: 100 MiB
//! of one-byte strings would become gigabytes of structs. So a body is walked first, without allocating, and refused if
//! all its arrays and tagged fields together hold more than [`MAX_ELEMENTS`]. A shape ends at the last array of its
//! message: what follows is not walked, since single fields cost no more than their bytes.
//!
//! This is not a decoder: it does not judge values, and a body that is malformed behind its arrays passes.

use kafka_wire_core::{BoundedCount, DecodeError as WireError, Decoder};

/// Most array elements and tagged fields in one request. A decoded element takes less than 200 bytes.
pub const MAX_ELEMENTS: usize = 100_000;

/// Most tagged fields that are not known in one struct. Kafka's own schemas have a handful.
pub(crate) const MAX_TAGGED_FIELDS: usize = 64;

/// Part of a message or struct, in wire order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    /// So many bytes.
    Skip(usize),
    /// A string, nullable or not.
    Text,
    /// Bytes, nullable or not: records.
    Blob,
    /// An array, nullable or not, of structs, which end with tagged fields in flexible versions.
    Structs(&'static Shape),
    /// An array, nullable or not, of bare values, which do not.
    Values(&'static Part),
    /// From this version on.
    From(i16, &'static Part),
    /// Up to and with this version.
    UpTo(i16, &'static Part),
}

/// A message or struct.
pub(crate) type Shape = [Part];

use Part::{Blob, From, Skip, Structs, Text, UpTo, Values};

/// No array at all.
pub(crate) static FLAT: [Part; 0] = [];
pub(crate) static PRODUCE: [Part; 3] = [Text, Skip(6), Structs(&[UpTo(12, &Text), From(13, &Skip(16)), Structs(&[Skip(4), Blob])])];
pub(crate) static FETCH: [Part; 5] = [
    UpTo(14, &Skip(4)),
    Skip(13),
    From(7, &Skip(8)),
    Structs(&[
        UpTo(12, &Text),
        From(13, &Skip(16)),
        Structs(&[Skip(4), From(9, &Skip(4)), Skip(8), From(12, &Skip(4)), From(5, &Skip(8)), Skip(4)]),
    ]),
    From(7, &Structs(&[UpTo(12, &Text), From(13, &Skip(16)), Values(&Skip(4))])),
];
pub(crate) static LIST_OFFSETS: [Part; 3] = [Skip(4), From(2, &Skip(1)), Structs(&[Text, Structs(&[Skip(4), From(4, &Skip(4)), Skip(8)])])];
pub(crate) static METADATA: [Part; 1] = [Structs(&[From(10, &Skip(16)), Text])];
pub(crate) static FIND_COORDINATOR: [Part; 3] = [UpTo(3, &Text), From(1, &Skip(1)), From(4, &Values(&Text))];
pub(crate) static CREATE_TOPICS: [Part; 1] = [Structs(&[Text, Skip(6), Structs(&[Skip(4), Values(&Skip(4))]), Structs(&[Text, Text])])];
pub(crate) static DELETE_TOPICS: [Part; 2] = [From(6, &Structs(&[Text, Skip(16)])), UpTo(5, &Values(&Text))];
pub(crate) static DELETE_RECORDS: [Part; 1] = [Structs(&[Text, Structs(&[Skip(12)])])];
pub(crate) static OFFSET_FOR_LEADER_EPOCH: [Part; 2] = [From(3, &Skip(4)), Structs(&[Text, Structs(&[Skip(12)])])];
pub(crate) static DESCRIBE_CONFIGS: [Part; 1] = [Structs(&[Skip(1), Text, Values(&Text)])];
pub(crate) static ALTER_CONFIGS: [Part; 1] = [Structs(&[Skip(1), Text, Structs(&[Text, Text])])];
pub(crate) static INCREMENTAL_ALTER_CONFIGS: [Part; 1] = [Structs(&[Skip(1), Text, Structs(&[Text, Skip(1), Text])])];
pub(crate) static LIST_CONFIG_RESOURCES: [Part; 1] = [From(1, &Values(&Skip(1)))];
pub(crate) static CREATE_PARTITIONS: [Part; 1] = [Structs(&[Text, Skip(4), Structs(&[Values(&Skip(4))])])];
pub(crate) static DESCRIBE_TOPIC_PARTITIONS: [Part; 1] = [Structs(&[Text])];
pub(crate) static DESCRIBE_PRODUCERS: [Part; 1] = [Structs(&[Text, Values(&Skip(4))])];
pub(crate) static CREATE_ACLS: [Part; 1] = [Structs(&[Skip(1), Text, Skip(1), Text, Text, Skip(2)])];
pub(crate) static DELETE_ACLS: [Part; 1] = [Structs(&[Skip(1), Text, Skip(1), Text, Text, Skip(2)])];
pub(crate) static DESCRIBE_LOG_DIRS: [Part; 1] = [Structs(&[Text, Values(&Skip(4))])];
pub(crate) static CREATE_DELEGATION_TOKEN: [Part; 3] = [From(3, &Text), From(3, &Text), Structs(&[Text, Text])];
pub(crate) static DESCRIBE_DELEGATION_TOKEN: [Part; 1] = [Structs(&[Text, Text])];
pub(crate) static ELECT_LEADERS: [Part; 2] = [From(1, &Skip(1)), Structs(&[Text, Values(&Skip(4))])];
pub(crate) static ALTER_PARTITION_REASSIGNMENTS: [Part; 3] =
    [Skip(4), From(1, &Skip(1)), Structs(&[Text, Structs(&[Skip(4), Values(&Skip(4))])])];
pub(crate) static LIST_PARTITION_REASSIGNMENTS: [Part; 2] = [Skip(4), Structs(&[Text, Values(&Skip(4))])];
pub(crate) static DESCRIBE_CLIENT_QUOTAS: [Part; 1] = [Structs(&[Text, Skip(1), Text])];
pub(crate) static ALTER_CLIENT_QUOTAS: [Part; 1] = [Structs(&[Structs(&[Text, Text]), Structs(&[Text, Skip(9)])])];
pub(crate) static DESCRIBE_USER_SCRAM_CREDENTIALS: [Part; 1] = [Structs(&[Text])];
pub(crate) static ALTER_USER_SCRAM_CREDENTIALS: [Part; 2] = [Structs(&[Text, Skip(1)]), Structs(&[Text, Skip(5), Blob, Blob])];
pub(crate) static DESCRIBE_QUORUM: [Part; 1] = [Structs(&[Text, Structs(&[Skip(4)])])];
pub(crate) static UPDATE_FEATURES: [Part; 2] = [Skip(4), Structs(&[Text, Skip(3)])];
/// Bare names and nothing before them.
pub(crate) static NAMES: [Part; 1] = [Values(&Text)];
pub(crate) static JOIN_GROUP: [Part; 7] = [Text, Skip(4), From(1, &Skip(4)), Text, From(5, &Text), Text, Structs(&[Text, Blob])];
pub(crate) static SYNC_GROUP: [Part; 7] = [Text, Skip(4), Text, From(3, &Text), From(5, &Text), From(5, &Text), Structs(&[Text, Blob])];
pub(crate) static LEAVE_GROUP: [Part; 3] = [Text, UpTo(2, &Text), From(3, &Structs(&[Text, Text, From(5, &Text)]))];
pub(crate) static LIST_GROUPS: [Part; 2] = [From(4, &Values(&Text)), From(5, &Values(&Text))];
pub(crate) static OFFSET_COMMIT: [Part; 6] =
    [Text, Skip(4), Text, From(7, &Text), From(2, &UpTo(4, &Skip(8))), Structs(&[Text, Structs(&[Skip(12), From(6, &Skip(4)), Text])])];
pub(crate) static OFFSET_FETCH: [Part; 3] = [
    UpTo(7, &Text),
    UpTo(7, &Structs(&[Text, Values(&Skip(4))])),
    From(8, &Structs(&[Text, From(9, &Text), From(9, &Skip(4)), Structs(&[Text, Values(&Skip(4))])])),
];
pub(crate) static OFFSET_DELETE: [Part; 2] = [Text, Structs(&[Text, Structs(&[Skip(4)])])];

/// A body's walk: its decoder, and how many elements are left of the budget.
struct Walk {
    decoder: Decoder,
    version: i16,
    flexible: bool,
    budget: usize,
}

/// Why a body was refused while its elements were counted.
#[derive(Debug)]
pub(crate) enum Refused {
    TooMany,
    Wire(WireError),
}

impl std::convert::From<WireError> for Refused {
    fn from(error: WireError) -> Self {
        Refused::Wire(error)
    }
}

/// Counts the array elements and tagged fields of a body, up to its last array.
///
/// # Errors
/// More than `budget` of them, or bytes that end early.
pub(crate) fn count(shape: &Shape, decoder: Decoder, version: i16, flexible: bool, budget: usize) -> Result<usize, Refused> {
    let mut walk = Walk { decoder, version, flexible, budget };
    walk.parts(shape)?;
    Ok(budget.saturating_sub(walk.budget))
}

impl Walk {
    fn parts(&mut self, shape: &Shape) -> Result<(), Refused> {
        shape.iter().try_for_each(|part| self.part(part))
    }

    fn part(&mut self, part: &Part) -> Result<(), Refused> {
        match part {
            Skip(bytes) => drop(self.decoder.take_bytes(*bytes)?),
            Text if self.flexible => drop(self.decoder.read_compact_nullable_string()?),
            Text => drop(self.decoder.read_nullable_string()?),
            Blob if self.flexible => drop(self.decoder.read_compact_nullable_bytes()?),
            Blob => drop(self.decoder.read_nullable_bytes()?),
            From(first, part) if self.version >= *first => self.part(part)?,
            UpTo(last, part) if self.version <= *last => self.part(part)?,
            From(..) | UpTo(..) => {}
            Values(value) => {
                for _ in 0..self.length()? {
                    self.part(value)?;
                }
            }
            Structs(shape) => {
                for _ in 0..self.length()? {
                    self.parts(shape)?;
                    self.tags()?;
                }
            }
        }
        Ok(())
    }

    /// An array's length, taken from the budget. Each element is at least a byte, so a length that is not there is
    /// found before the elements are walked.
    fn length(&mut self) -> Result<usize, Refused> {
        let read = if self.flexible { Decoder::read_compact_nullable_array_len } else { Decoder::read_nullable_array_len };
        let length = read(&mut self.decoder)?.map_or(0, BoundedCount::get);
        self.budget = self.budget.checked_sub(length).ok_or(Refused::TooMany)?;
        Ok(length)
    }

    fn tags(&mut self) -> Result<(), Refused> {
        if self.flexible {
            let count = self.decoder.read_unsigned_varint()?;
            for _ in 0..count {
                self.budget = self.budget.checked_sub(1).ok_or(Refused::TooMany)?;
                self.decoder.read_unsigned_varint()?;
                let size = self.decoder.read_unsigned_varint()?;
                self.decoder.take_bytes(usize::try_from(size).unwrap_or(usize::MAX))?;
            }
        }
        Ok(())
    }
}
