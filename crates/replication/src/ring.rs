//! What of the WAL was begun and not every standby has: the WAL's own memory, nothing is copied.
//!
//! ```text
//!        start                        end           a standby that is at `start` or above is served from here,
//!   files  |  entry entry entry ...    |            one below from the WAL's files
//! ```
//! Bounded by bytes: beyond, the oldest go, and whoever had not got them is filled up from files.

use bytes::Bytes;
use floe_env::Watched;
use floe_types::Lsn;
use floe_wal::Begun;
use parking_lot::Mutex;
use std::collections::VecDeque;

#[derive(Debug)]
pub(crate) struct Ring {
    limit: u64,
    state: Mutex<State>,
    /// Everything below was begun.
    end: Watched<Lsn>,
}

#[derive(Debug, Default)]
struct State {
    /// Whole entries, and where they start.
    entries: VecDeque<(Lsn, Bytes)>,
    start: Lsn,
    end: Lsn,
}

/// What there is to be sent from some LSN on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Whole entries, in order.
    Entries(Vec<Bytes>),
    /// It is not here any more.
    Behind,
    /// Nothing was begun there yet.
    Nothing,
    /// The next entry does not fit.
    NoRoom,
}

impl Ring {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, state: Mutex::default(), end: Watched::default() }
    }

    pub(crate) fn end(&self) -> Lsn {
        self.end.get()
    }

    /// Waits until something was begun above `lsn`. Cancellation safe.
    pub(crate) async fn begun_beyond(&self, lsn: Lsn) {
        self.end.wait_for(|end| *end > lsn).await;
    }

    pub(crate) fn push(&self, begun: Begun<'_>) {
        let mut state = self.state.lock();
        let mut at = state.end;
        debug_assert_eq!(at, begun.start, "groups come without a gap");
        for part in begun.parts {
            state.entries.push_back((at, part.clone()));
            at = Lsn(at.0 + part.len() as u64);
        }
        state.end = at;
        while state.end.0 - state.start.0 > self.limit && !state.entries.is_empty() {
            state.drop_oldest();
        }
        drop(state);
        self.end.set(begun.end);
    }

    /// Every standby has what lies below.
    pub(crate) fn forget(&self, below: Lsn) {
        let mut state = self.state.lock();
        while state.entries.front().is_some_and(|(start, entry)| start.0 + entry.len() as u64 <= below.0) {
            state.drop_oldest();
        }
    }

    /// The entries from `from` on, of at most `most` bytes together, unless the first alone is larger and fits into `window`. `idle`: nothing else is
    /// under way, so that any entry fits.
    pub(crate) fn next(&self, from: Lsn, most: u64, window: u64, idle: bool) -> Next {
        let state = self.state.lock();
        if from >= state.end {
            return Next::Nothing;
        }
        if from < state.start {
            return Next::Behind;
        }
        let first = state.entries.partition_point(|(start, _)| *start < from);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for (_, entry) in state.entries.range(first..) {
            let more = bytes + entry.len() as u64;
            let fits = if entries.is_empty() { idle || more <= window } else { more <= window && more <= most };
            if !fits {
                break;
            }
            bytes = more;
            entries.push(entry.clone());
        }
        if entries.is_empty() { Next::NoRoom } else { Next::Entries(entries) }
    }
}

impl State {
    fn drop_oldest(&mut self) {
        self.entries.pop_front();
        self.start = self.entries.front().map_or(self.end, |(start, _)| *start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(ring: &Ring, lens: &[usize]) {
        let start = ring.end();
        let parts: Vec<Bytes> = lens.iter().map(|len| Bytes::from(vec![1; *len])).collect();
        let end = Lsn(start.0 + lens.iter().sum::<usize>() as u64);
        ring.push(Begun { start, end, parts: &parts });
    }

    fn lens(next: Next) -> Vec<usize> {
        match next {
            Next::Entries(entries) => entries.iter().map(Bytes::len).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn entries_come_whole_within_message_and_window_and_one_always_when_nothing_is_under_way() {
        let ring = Ring::new(1_000);
        assert_eq!(ring.next(Lsn(0), 100, 100, true), Next::Nothing);
        push(&ring, &[40, 40, 40, 300]);
        assert_eq!(lens(ring.next(Lsn(0), 100, 1_000, false)), [40, 40]);
        assert_eq!(lens(ring.next(Lsn(40), 1_000, 50, false)), [40]);
        assert_eq!(ring.next(Lsn(120), 100, 200, false), Next::NoRoom);
        assert_eq!(lens(ring.next(Lsn(120), 100, 200, true)), [300]);
        assert_eq!(lens(ring.next(Lsn(120), 100, 300, false)), [300]);
        assert_eq!(ring.next(Lsn(420), 100, 100, true), Next::Nothing);
    }

    #[test]
    fn beyond_its_bytes_the_oldest_go_and_what_all_have_goes_at_once() {
        let ring = Ring::new(100);
        push(&ring, &[40, 40]);
        push(&ring, &[40]);
        assert_eq!(ring.next(Lsn(0), 100, 100, true), Next::Behind);
        assert_eq!(lens(ring.next(Lsn(40), 100, 100, true)), [40, 40]);
        ring.forget(Lsn(79));
        assert_eq!(lens(ring.next(Lsn(40), 100, 100, true)), [40, 40], "only whole entries");
        ring.forget(Lsn(80));
        assert_eq!(ring.next(Lsn(40), 100, 100, true), Next::Behind);
        push(&ring, &[500]);
        assert_eq!(ring.next(Lsn(120), 100, 100, true), Next::Behind, "larger than all of the ring");
        assert_eq!(ring.next(Lsn(620), 100, 100, true), Next::Nothing);
        push(&ring, &[30]);
        assert_eq!(lens(ring.next(Lsn(620), 100, 100, true)), [30]);
    }
}
