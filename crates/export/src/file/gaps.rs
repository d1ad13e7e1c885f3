//! Offsets within a file's range that have no row, and why: kept as ranges, as many as a file's metadata should carry.

use floe_types::Offset;
use std::ops::Range;

/// Ranges told one by one; of more only how many, and how many offsets in all.
pub(crate) const MOST: usize = 1000;

/// Why an offset has no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It lay below the log start: retention, or DeleteRecords.
    Deleted,
    /// Compaction has left it out.
    Compacted,
    /// It is a marker of a transaction.
    Control,
}

impl Why {
    const ALL: [Self; 3] = [Self::Deleted, Self::Compacted, Self::Control];

    fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Compacted => "compacted",
            Self::Control => "control",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Gaps {
    ranges: Vec<(Range<Offset>, Why)>,
    left_out: u64,
    offsets: [u64; Why::ALL.len()],
}

impl Gaps {
    pub(super) fn add(&mut self, range: Range<Offset>, why: Why) {
        self.offsets[why as usize] += range.end.abs_diff(range.start);
        let room = self.ranges.len() < MOST;
        match self.ranges.last_mut() {
            Some((last, same)) if last.end == range.start && *same == why => last.end = range.end,
            _ if room => self.ranges.push((range, why)),
            _ => self.left_out += 1,
        }
    }

    /// As entries of a file's metadata.
    pub(super) fn tell(&self, mut say: impl FnMut(&str, String)) {
        for (why, offsets) in Why::ALL.iter().zip(self.offsets) {
            say(&format!("gaps.{}", why.name()), offsets.to_string());
        }
        let ranges: Vec<_> = self.ranges.iter().map(|(range, why)| (range.start, range.end, why.name())).collect();
        say("gaps", serde_json::to_string(&ranges).expect("numbers and texts have a JSON form"));
        say("gaps.left_out", self.left_out.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn told(gaps: &Gaps) -> BTreeMap<String, String> {
        let mut told = BTreeMap::new();
        gaps.tell(|key, value| drop(told.insert(key.to_owned(), value)));
        told
    }

    #[test]
    fn neighbours_of_one_kind_are_one_range() {
        let mut gaps = Gaps::default();
        for (range, why) in [(0..5, Why::Deleted), (5..6, Why::Compacted), (6..9, Why::Compacted), (20..21, Why::Control)] {
            gaps.add(range, why);
        }
        let told = told(&gaps);
        assert_eq!(told["gaps"], r#"[[0,5,"deleted"],[5,9,"compacted"],[20,21,"control"]]"#);
        assert_eq!([&told["gaps.deleted"], &told["gaps.compacted"], &told["gaps.control"], &told["gaps.left_out"]], ["5", "4", "1", "0"]);
    }

    #[test]
    fn what_is_too_much_to_tell_is_counted() {
        let mut gaps = Gaps::default();
        for at in 0..3000 {
            gaps.add(2 * at..2 * at + 1, Why::Compacted);
        }
        let told = told(&gaps);
        assert_eq!([&told["gaps.compacted"], &told["gaps.left_out"]], ["3000", "2000"]);
        assert_eq!(told["gaps"].matches("compacted").count(), MOST);
    }
}
