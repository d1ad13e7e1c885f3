//! Commit, seal, stop and `end` (rules R5-R10, T49, T50) for one partition, one leader epoch, one generation of one incarnation.
//!
//! World: an owner that may stop or be late at any step; two standbys (three copies with the owner's own, quorum two); a row of create-only slots whose
//! PUTs land late or never; two recoverers that may race. Entries are `replicated` (they go through the WAL to the standbys) or `object` (in memory only,
//! until their pack is in a slot), mixed freely: that is what switching durability while producing means. Every interleaving of the steps is visited.
//!
//! Checked in every state: once `end` exists, the log that it closes is contiguous and fixed, holds no entry that nobody kept, and reaches at least as far
//! as everything ever acknowledged, before `end` or after it.
//!
//! Bounds: quick 2 entries and 3 slots, full 3 and 3, two recoverers in both. Left out: generations and disks that die
//! (`generations`), the owner's own disk, restarts and take-over of a single broker (`embedded`), deletion of slots.
use crate::engine::Model;

/// A rule that is broken on purpose; the search must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// The owner acknowledges before a standby has the entry.
    AckBeforeQuorum,
    /// Recovery reads the standbys without sealing them.
    NoSeal,
    /// Recovery goes on with one sealed standby of two.
    OneSealIsEnough,
    /// Slots are written without "only if absent".
    PlainPut,
    /// Recovery creates `end` when any stop stands.
    EndBeforeStopIsFirst,
    /// Recovery puts its stop behind the last slot that it sees, over holes.
    StopIgnoresHoles,
    /// A slot counts as certain while one before it is not.
    AckSlotsOutOfOrder,
    /// Recovery keeps WAL entries behind a hole (T50).
    RecoverAcrossHole,
    /// A sealed standby takes more entries.
    StandbyAcceptsAfterSeal,
    /// The owner takes a stop for its own pack.
    AckForeignSlot,
}

/// Every mutant, in the order of the enum.
pub const MUTANTS: [Mutant; 10] = [
    Mutant::AckBeforeQuorum,
    Mutant::NoSeal,
    Mutant::OneSealIsEnough,
    Mutant::PlainPut,
    Mutant::EndBeforeStopIsFirst,
    Mutant::StopIgnoresHoles,
    Mutant::AckSlotsOutOfOrder,
    Mutant::RecoverAcrossHole,
    Mutant::StandbyAcceptsAfterSeal,
    Mutant::AckForeignSlot,
];

/// How much of the world is searched.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Entries appended, at most 8.
    pub entries: u8,
    /// Slots of the row, at most 4.
    pub slots: usize,
}

impl Bounds {
    /// Seconds; every mutant is found within them.
    pub const QUICK: [Self; 1] = [Self { entries: 2, slots: 3 }];
    /// Minutes.
    pub const FULL: [Self; 1] = [Self { entries: 3, slots: 3 }];
}

/// The model.
#[derive(Debug)]
pub struct Recovery {
    /// How far it is searched.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

const SLOTS: usize = 4;
const STANDBYS: usize = 2;
const RECOVERERS: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Slot {
    Free,
    Pack { from: u8, to: u8 },
    Stop,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Recoverer {
    Idle,
    /// Standbys that answered (bits), and how far the longest of them reaches.
    Sealing {
        answered: u8,
        wal_end: u8,
    },
    Stopping {
        wal_end: u8,
        first_free: u8,
    },
    Final {
        wal_end: u8,
        row_end: u8,
    },
    Done,
}

/// The whole world; entries are known by their offsets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    appended: u8,
    /// Bit e: entry e is `object`.
    object: u8,
    /// A standby holds every replicated entry below this.
    durable: [u8; STANDBYS],
    sealed: [bool; STANDBYS],
    /// What the owner has heard of `durable`.
    heard: [u8; STANDBYS],
    slots: [Slot; SLOTS],
    /// What the owner sent to each slot, from..to.
    sent: [(u8, u8); SLOTS],
    /// Slots that the owner knows it has won, one bit each.
    won: u8,
    next_slot: u8,
    planned: u8,
    acked: u8,
    owner_ended: bool,
    recoverers: [Recoverer; RECOVERERS],
    /// What `end` recovers, from..to.
    end: Option<(u8, u8)>,
    /// Where the log ended when `end` was first created: it must never end elsewhere again.
    first_end: Option<u8>,
}

/// One indivisible step; recoverers, standbys and slots by number.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    AppendReplicated,
    AppendObject,
    Send,
    LearnWon(usize),
    MeetStop(usize),
    TakeStopForOwn(usize),
    Hear(usize),
    Acknowledge,
    Fsync(usize),
    Land(usize),
    Start(usize),
    Seal(usize, usize),
    ReadRow(usize),
    Stop(usize, usize),
    SeeStopped(usize),
    CreateEnd(usize),
    FindEnd(usize),
}

/// What a reader of the row sees before the first free slot or stop.
struct Row {
    packs: usize,
    end: u8,
    stopped: bool,
}

type Steps = Vec<(Step, State)>;

fn go(state: &State, out: &mut Steps, step: Step, change: impl FnOnce(&mut State)) {
    let mut after = *state;
    change(&mut after);
    if after != *state {
        out.push((step, after));
    }
}

impl State {
    fn is_object(&self, entry: u8) -> bool {
        self.object >> entry & 1 == 1
    }

    fn row(&self, slots: usize) -> Row {
        let mut end = 0;
        for (packs, slot) in self.slots[..slots].iter().enumerate() {
            match slot {
                Slot::Free => return Row { packs, end, stopped: false },
                Slot::Pack { to, .. } => end = *to,
                Slot::Stop => return Row { packs, end, stopped: true },
            }
        }
        Row { packs: slots, end, stopped: false }
    }
}

impl Recovery {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// How far the owner may acknowledge: certain slots, then what a quorum holds, without a gap.
    fn committed(&self, s: &State) -> u8 {
        let mut end = 0;
        for slot in 0..self.bounds.slots {
            if s.won >> slot & 1 == 1 {
                end = s.sent[slot].1;
            } else if !self.is(Mutant::AckSlotsOutOfOrder) {
                break;
            }
        }
        let standbys_needed = if self.is(Mutant::AckBeforeQuorum) { 0 } else { 1 };
        while end < s.appended && !s.is_object(end) && s.heard.iter().filter(|heard| **heard > end).count() >= standbys_needed {
            end += 1;
        }
        end
    }

    fn owner(&self, s: &State, out: &mut Steps) {
        if s.appended < self.bounds.entries {
            go(s, out, Step::AppendReplicated, |n| n.appended += 1);
            go(s, out, Step::AppendObject, |n| {
                n.object |= 1 << n.appended;
                n.appended += 1;
            });
        }
        let next = s.next_slot as usize;
        if next < self.bounds.slots && s.planned < s.appended {
            go(s, out, Step::Send, |n| {
                n.sent[next] = (n.planned, n.appended);
                n.planned = n.appended;
                n.next_slot += 1;
            });
        }
        for slot in 0..next {
            let (from, to) = s.sent[slot];
            match s.slots[slot] {
                pack if pack == (Slot::Pack { from, to }) => go(s, out, Step::LearnWon(slot), |n| n.won |= 1 << slot),
                Slot::Stop if self.is(Mutant::AckForeignSlot) => go(s, out, Step::TakeStopForOwn(slot), |n| n.won |= 1 << slot),
                Slot::Stop if s.won >> slot & 1 == 0 => go(s, out, Step::MeetStop(slot), |n| n.owner_ended = true),
                _ => {}
            }
        }
        for standby in 0..STANDBYS {
            go(s, out, Step::Hear(standby), |n| n.heard[standby] = n.durable[standby]);
        }
        go(s, out, Step::Acknowledge, |n| n.acked = n.acked.max(self.committed(n)));
    }

    fn standbys_and_store(&self, s: &State, out: &mut Steps) {
        for standby in 0..STANDBYS {
            let accepts = !s.sealed[standby] || self.is(Mutant::StandbyAcceptsAfterSeal);
            if accepts && s.durable[standby] < s.appended {
                go(s, out, Step::Fsync(standby), |n| n.durable[standby] += 1);
            }
        }
        for slot in 0..s.next_slot as usize {
            let (from, to) = s.sent[slot];
            if s.slots[slot] == Slot::Free || self.is(Mutant::PlainPut) {
                go(s, out, Step::Land(slot), |n| n.slots[slot] = Slot::Pack { from, to });
            }
        }
    }

    fn recoverer(&self, s: &State, r: usize, out: &mut Steps) {
        let slots = self.bounds.slots;
        match s.recoverers[r] {
            Recoverer::Idle => go(s, out, Step::Start(r), |n| n.recoverers[r] = Recoverer::Sealing { answered: 0, wal_end: 0 }),
            Recoverer::Sealing { answered, wal_end } => {
                for standby in (0..STANDBYS).filter(|standby| answered >> standby & 1 == 0) {
                    go(s, out, Step::Seal(r, standby), |n| {
                        n.sealed[standby] |= !self.is(Mutant::NoSeal);
                        n.recoverers[r] =
                            Recoverer::Sealing { answered: answered | 1 << standby, wal_end: wal_end.max(n.durable[standby]) };
                    });
                }
                let needed = if self.is(Mutant::OneSealIsEnough) { 1 } else { 2 };
                if answered.count_ones() >= needed {
                    let first_free = s.row(slots).packs as u8;
                    go(s, out, Step::ReadRow(r), |n| n.recoverers[r] = Recoverer::Stopping { wal_end, first_free });
                }
            }
            Recoverer::Stopping { wal_end, first_free } => {
                let behind_last = (0..slots).rev().find(|slot| s.slots[*slot] != Slot::Free).map_or(0, |slot| slot + 1);
                let first = if self.is(Mutant::StopIgnoresHoles) { behind_last } else { first_free as usize };
                for slot in (first..slots).filter(|slot| s.slots[*slot] == Slot::Free) {
                    go(s, out, Step::Stop(r, slot), |n| n.slots[slot] = Slot::Stop);
                }
                let row = s.row(slots);
                let any_stop_counts = self.is(Mutant::EndBeforeStopIsFirst) || self.is(Mutant::StopIgnoresHoles);
                if row.stopped || (any_stop_counts && s.slots.contains(&Slot::Stop)) {
                    go(s, out, Step::SeeStopped(r), |n| n.recoverers[r] = Recoverer::Final { wal_end, row_end: row.end });
                }
            }
            Recoverer::Final { wal_end, row_end } => {
                if s.end.is_some() {
                    return go(s, out, Step::FindEnd(r), |n| n.recoverers[r] = Recoverer::Done);
                }
                let mut to = row_end;
                while to < wal_end && (!s.is_object(to) || self.is(Mutant::RecoverAcrossHole)) {
                    to += 1; // an object entry is in no WAL: a hole
                }
                go(s, out, Step::CreateEnd(r), |n| {
                    n.end = Some((row_end, to));
                    n.first_end = n.first_end.or(Some(to));
                    n.recoverers[r] = Recoverer::Done;
                });
            }
            Recoverer::Done => {}
        }
    }
}

impl Model for Recovery {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        State {
            appended: 0,
            object: 0,
            durable: [0; STANDBYS],
            sealed: [false; STANDBYS],
            heard: [0; STANDBYS],
            slots: [Slot::Free; SLOTS],
            sent: [(0, 0); SLOTS],
            won: 0,
            next_slot: 0,
            planned: 0,
            acked: 0,
            owner_ended: false,
            recoverers: [Recoverer::Idle; RECOVERERS],
            end: None,
            first_end: None,
        }
    }

    fn steps(&self, state: &State, out: &mut Steps) {
        if !state.owner_ended {
            self.owner(state, out);
        }
        self.standbys_and_store(state, out);
        for r in 0..RECOVERERS {
            self.recoverer(state, r, out);
        }
    }

    fn violation(&self, s: &State, _: &[(Step, State)]) -> Option<String> {
        let (from, to) = s.end?;
        let mut end = 0;
        let mut stopped = false;
        for (number, slot) in s.slots[..self.bounds.slots].iter().enumerate() {
            match *slot {
                Slot::Free => return Some(format!("ended, but slot {number} before the stop is free: a late PUT may fill it")),
                Slot::Pack { from, .. } if from != end => return Some(format!("slot {number} starts at {from}, the log ends at {end}")),
                Slot::Pack { to, .. } => end = to,
                Slot::Stop => {
                    stopped = true;
                    break;
                }
            }
        }
        if !stopped {
            return Some("the stop is gone".into());
        }
        if from != end {
            return Some(format!("end recovers from {from}, the slots end at {end}"));
        }
        if (from..to).any(|entry| s.is_object(entry)) {
            return Some("end names an entry that nobody kept".into());
        }
        if s.first_end != Some(to) {
            return Some(format!("the log was closed at {:?} and now ends at {to}", s.first_end));
        }
        (s.acked > to).then(|| format!("{} entries acknowledged, the closed log has {to}", s.acked))
    }

    fn describe(&self, s: &State, step: Step) -> String {
        let row = s.row(self.bounds.slots);
        match step {
            Step::AppendReplicated => format!("the owner appends {} (replicated)", s.appended),
            Step::AppendObject => format!("the owner appends {} (object)", s.appended),
            Step::Send => format!("the owner sends a pack of {}..{} to slot {}", s.planned, s.appended, s.next_slot),
            Step::LearnWon(slot) => format!("the owner learns that slot {slot} is written"),
            Step::MeetStop(slot) => format!("the owner meets the stop in slot {slot} and ends"),
            Step::TakeStopForOwn(slot) => format!("the owner takes the stop in slot {slot} for its own pack"),
            Step::Hear(standby) => format!("the owner hears that standby {standby} has all below {}", s.durable[standby]),
            Step::Acknowledge => format!("the owner acknowledges all below {}", self.committed(s)),
            Step::Fsync(standby) => format!("standby {standby} fsyncs {}", s.durable[standby]),
            Step::Land(slot) => format!("the PUT of slot {slot} lands"),
            Step::Start(r) => format!("recoverer {r} starts"),
            Step::Seal(r, standby) => format!("recoverer {r} seals standby {standby}, which has all below {}", s.durable[standby]),
            Step::ReadRow(r) => format!("recoverer {r} reads the row: slot {} is free", row.packs),
            Step::Stop(r, slot) => format!("recoverer {r} stops slot {slot}"),
            Step::SeeStopped(r) => format!("recoverer {r} sees the row stopped at slot {}, its log ends at {}", row.packs, row.end),
            Step::CreateEnd(r) => format!("recoverer {r} creates end"),
            Step::FindEnd(r) => format!("recoverer {r} finds that end exists"),
        }
    }

    fn landmarks(&self) -> &'static [&'static str] {
        &[
            "an entry is acknowledged after end stands",
            "a late PUT lies behind the stop",
            "end recovers entries from the WAL",
            "the owner meets the stop",
        ]
    }

    fn landmarks_in(&self, s: &State) -> u64 {
        let row = s.row(self.bounds.slots);
        let behind = row.stopped && s.slots[row.packs..].iter().any(|slot| matches!(slot, Slot::Pack { .. }));
        let recovered = s.end.is_some_and(|(from, to)| from < to);
        let late_ack = s.end.is_some() && !s.owner_ended && s.acked < self.committed(s);
        u64::from(late_ack) | u64::from(behind) << 1 | u64::from(recovered) << 2 | u64::from(s.owner_ended) << 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORLD: Bounds = Bounds::QUICK[0];

    crate::rules_hold_and_mutants_are_found! { Recovery
        an_ack_before_the_quorum_is_found: AckBeforeQuorum in WORLD,
        reading_without_a_seal_is_found: NoSeal in WORLD,
        too_few_seals_are_found: OneSealIsEnough in WORLD,
        a_plain_put_is_found: PlainPut in WORLD,
        an_end_before_its_stop_is_first_is_found: EndBeforeStopIsFirst in WORLD,
        t49_a_stop_behind_a_hole_is_found: StopIgnoresHoles in WORLD,
        slots_acknowledged_out_of_order_are_found: AckSlotsOutOfOrder in WORLD,
        t50_recovery_across_a_hole_is_found: RecoverAcrossHole in WORLD,
        a_standby_that_takes_more_after_its_seal_is_found: StandbyAcceptsAfterSeal in WORLD,
        a_foreign_slot_taken_for_own_is_found: AckForeignSlot in WORLD,
    }
}
