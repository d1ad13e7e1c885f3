//! In a table laid out by date: of which day a file is, decided before it is created, once, by whoever is first.
//!
//! A file holds records of one day, and its name has the day in it. Two exporters that begin a file at the same offset need not see
//! the same first record there - retention or compaction may take it away between one's look and the other's - and would then
//! create two files under two names for the same offsets. So the name is decided by an object of its own, whose key is the offset:
//!
//! * The claim says the day, and the offset of the record that it is the day of: the first that its maker saw.
//! * What lies before that record its maker knew to be gone: whoever still sees it in an older view leaves it out.
//! * From that record on, the file holds records until one of another day, and ends before it. Whoever does not see that record any
//!   more may have none at all: the file is created all the same, and covers its offsets without a row.

use crate::day::Day;
use crate::json;
use bytes::Bytes;
use floe_types::Offset;
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    /// First, so that it stands in the first 64 bytes: which write made this.
    write_id: String,
    version: u32,
    pub(crate) day: Day,
    pub(crate) first: Offset,
}

impl Claim {
    pub(crate) fn new(day: Day, first: Offset) -> Self {
        Self { write_id: String::new(), version: VERSION, day, first }
    }

    pub(crate) fn encode(&self, write_id: u128) -> Bytes {
        let named = Self { write_id: json::named(write_id), ..self.clone() };
        json::encode(&named)
    }

    /// `start`: where its file begins.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn decode(bytes: &[u8], start: Offset) -> Result<Self, String> {
        let read: Self = json::decode(bytes, VERSION)?;
        if read.first < start {
            return Err(format!("its first record lies at {}, before its file", read.first));
        }
        Ok(Self { write_id: String::new(), ..read })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = "{\"write_id\":\"00000000000000000000000000000007\",\"version\":1,\"day\":20787,\"first\":12}\n";

    #[test]
    fn the_first_version_stays_readable_byte_for_byte() {
        let claim = Claim::new(Day::of(1_796_083_199_999), 12);
        assert_eq!(claim.encode(7), GOLDEN);
        assert_eq!(Claim::decode(GOLDEN.as_bytes(), 12), Ok(claim));
        let without = Claim::new(Day::of(-1), 0);
        assert_eq!(Claim::decode(&without.encode(7), 0), Ok(without));
    }

    #[test]
    fn what_is_newer_or_contradicts_itself_is_refused() {
        let refused = |text: String, start| Claim::decode(text.as_bytes(), start).unwrap_err();
        assert!(refused(GOLDEN.replace("\"version\":1", "\"version\":2"), 0).contains("version 2"));
        assert!(refused(GOLDEN.replace("}", ",\"more\":1}"), 0).contains("more"));
        assert!(refused(GOLDEN.to_owned(), 13).contains("before its file"));
    }
}
