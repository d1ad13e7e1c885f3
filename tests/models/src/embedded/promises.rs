//! What must be true in every state, and the situations that a search must have met.
use super::state::{Set, Slot, State, Wal, members};
use super::{Embedded, Life, Step};

/// In the order of the bits of [`Embedded::landmarks_shown`].
pub(super) const LANDMARKS: &[&str] = &[
    "a broker acknowledges in its WAL before its predecessor's end stands",
    "two incarnations without end wait for a third",
    "recovery keeps entries from a WAL",
    "an entry that was acknowledged is lost, and declared so",
    "a woken owner acknowledges after its end stands",
    "a replayed WAL has a hole that drops what is behind it",
    "a broker meets an end that is not what it serves",
    "a pack is in a row although its sender died before it landed",
];

impl Embedded {
    pub(super) fn broken_promise(&self, s: &State) -> Option<String> {
        let mut log = Log::default();
        for i in s.born() {
            if s.incarnations[i].end.is_none() {
                break;
            }
            if let Err(broken) = log.add(s, i) {
                return Some(broken);
            }
        }
        for e in members(self.promised(s)) {
            let entry = s.entries[e];
            let (i, offset) = (entry.incarnation, entry.offset);
            if i < log.incarnations && log.entries >> e & 1 == 0 && !is_declared_lost(s, e) {
                return Some(format!(
                    "incarnation {i} acknowledged or showed offset {offset} (entry {e}), the closed logs do not have it and nobody gave it up"
                ));
            }
            let twin = members(self.promised(s)).find(|o| *o < e && s.entries[*o].offset == offset && !is_declared_lost(s, *o));
            if let Some(twin) = twin.filter(|_| !is_declared_lost(s, e)) {
                return Some(format!("offset {offset} was acknowledged or shown twice: entries {twin} and {e}"));
            }
        }
        None
    }

    /// Acknowledged, or shown by a broker that began to serve.
    fn promised(&self, s: &State) -> Set {
        s.born().fold(s.acked, |all, i| all | s.incarnations[i].view)
    }

    /// Nobody who has nothing to wait for is without a next step, and no start is refused where nothing can be missing.
    pub(super) fn stuck(&self, s: &State, steps: &[(Step, State)]) -> Option<String> {
        let waits = |by: usize| s.incarnations[by].life == Life::Recovers && !self.refuses(s, by);
        let goes_on = |by: usize| steps.iter().any(|(step, _)| step.is_recovery_by(by));
        if let Some(by) = s.born().find(|by| waits(*by) && !goes_on(*by)) {
            return Some(format!("incarnation {by} can neither go on nor has it a reason to refuse"));
        }
        let refused = |by: usize| s.incarnations[by].life == Life::Recovers && !s.incarnations[by].take_over;
        let here = |by: usize, of: usize| s.incarnations[by].disk == s.incarnations[of].disk;
        if let Some(by) =
            s.born().find(|by| s.damaged == 0 && refused(*by) && s.unended(*by).any(|of| here(*by, of) && self.is_damaged(s, of)))
        {
            return Some(format!("incarnation {by} misses entries on its own disk, of which nothing rotted"));
        }
        let flushed = |i: usize| match s.incarnations[i].wal {
            Wal::None => true,
            Wal::Local => false,
            Wal::Left => s.local_of(i) & !s.incarnations[i].in_row() == 0,
        };
        let nothing_missing = s.born().all(|i| s.incarnations[i].end.is_some() || flushed(i));
        (nothing_missing && self.refuses_to_start(s, self.bounds.disks))
            .then(|| "a start is refused although nothing can be missing".into())
    }

    pub(super) fn landmarks_shown(&self, s: &State) -> u64 {
        let own_acked = |i: usize| s.acked & s.of_incarnation(i);
        let declared = members(self.promised(s)).any(|e| is_declared_lost(s, e));
        let dropped = |i: usize| s.synced & s.local_of(i) & !s.incarnations[i].in_row() & !self.replay(s, i, s.incarnations[i].start).kept;
        let holes = s.born().any(|i| {
            s.incarnations[i].life == Life::Gone && s.incarnations[i].end.is_none() && s.incarnations[i].is_stopped() && dropped(i) != 0
        });
        let shown = [
            s.born().any(|i| s.incarnations[i].serves() && own_acked(i) != 0 && s.unended(i).next().is_some()),
            s.born().any(|i| s.incarnations[i].life == Life::Recovers && s.unended(i).filter(|of| own_acked(*of) != 0).count() >= 2),
            s.born().any(|i| s.incarnations[i].end.is_some_and(|end| end.kept != 0)),
            declared,
            s.born().any(|i| {
                s.incarnations[i].serves()
                    && s.incarnations[i].end.is_some_and(|end| own_acked(i) & !end.kept & !s.incarnations[i].in_row() != 0)
            }),
            holes,
            s.born().any(|i| s.incarnations[i].life == Life::Serves && s.unended(i).next().is_none() && !self.serves_what_ends_say(s, i)),
            s.born().any(|i| s.incarnations[i].in_row() & !s.acked != 0),
        ];
        shown.iter().enumerate().fold(0, |bits, (bit, shown)| bits | u64::from(*shown) << bit)
    }
}

impl Step {
    fn is_recovery_by(&self, process: usize) -> bool {
        match *self {
            Self::Close { by, .. }
            | Self::Seal { by, .. }
            | Self::Stop { by, .. }
            | Self::SendEnd { by, .. }
            | Self::LandEnd { by }
            | Self::Serve { by } => by == process,
            _ => false,
        }
    }
}

/// The closed logs so far.
#[derive(Default)]
struct Log {
    incarnations: u8,
    entries: Set,
    end: u8,
}

impl Log {
    /// Appends what the row and the `end` of incarnation `i` hold, which must follow without a gap.
    fn add(&mut self, s: &State, i: usize) -> Result<(), String> {
        let closed = &s.incarnations[i];
        let Some(end) = closed.end else { return Ok(()) };
        if !closed.is_stopped() {
            let slot = closed.packs_in_row();
            return Err(match closed.row.get(slot) {
                Some(Slot::Free) => {
                    format!("incarnation {i} has an end, but its slot {slot} is free and no stop is before it: a late PUT may fill it")
                }
                _ => format!("incarnation {i} has an end, but no stop ends its row"),
            });
        }
        for e in members(closed.in_row()).chain(members(end.kept)) {
            let entry = s.entries[e];
            if entry.incarnation as usize != i {
                return Err(format!("the end of incarnation {i} holds entry {e}, which is incarnation {}'s", entry.incarnation));
            }
            if entry.offset != self.end {
                return Err(format!(
                    "the log of incarnation {i} goes on with offset {} (entry {e}) where {} is next",
                    entry.offset, self.end
                ));
            }
            self.entries |= 1 << e;
            self.end += 1;
        }
        self.incarnations += 1;
        Ok(())
    }
}

/// An `end`, the entry's own incarnation's or one's that it built on, gave up its disk - on the word of a broker newer than all that acknowledged or showed it.
fn is_declared_lost(s: &State, e: usize) -> bool {
    let owner = s.entries[e].incarnation as usize;
    let showed_by = s.born().filter(|i| s.incarnations[*i].view >> e & 1 == 1).max().unwrap_or(owner);
    let gave_up = |i: usize| {
        s.incarnations[i].disk == s.incarnations[owner].disk
            && s.incarnations[i].end.is_some_and(|end| end.gave_up && end.by as usize > showed_by)
    };
    (0..=owner).any(gave_up)
}
