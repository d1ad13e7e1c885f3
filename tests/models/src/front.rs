//! The moving front (rules R6's last sentence, R18, R19, traps T09, T63): an owner deletes from its row while it is recovered.
//!
//! World: one row of create-only slots, each with new data (a unit) or a merge of units that lie in earlier certain slots. PUTs land late, never, or again
//! after the slot was deleted (a retry); a DELETE of what lies before the front arrives at any time, long after its sender ended, and takes whatever stands
//! there by then, a stop, too. The owner may be late at any step: it goes on merging, writing indexes and deleting after its row was stopped and ended, until
//! it meets a stop. A unit may be settled: a manifest holds it, or the log start passed it. Two recoverers race; each reads the newest index, walks the row
//! from its front one slot at a time, stops the first free slot and up to one behind it, lists the indexes, creates `end`.
//!
//! Checked in every state: every unit that was ever certain to the owner and is not settled is in a slot that exists, where the newest
//! index (before `end`) or `end` says; `end` reaches as far as everything that was ever certain, before it or after it.
//!
//! Assumed beyond the text of the rules: where two slots of a row hold the same offsets, the later one counts, whatever an index said
//! (mutant `IndexPlaceWins` is the other reading); an index names certain slots only (`PlacesUncertain`).
//!
//! Bounds: two units and three slots quick, four slots full, two in flight. Left out: what `publishing` and `cleaning` show: where a settled unit is, who deletes
//! from a closed chain, several partitions in a slot.
use crate::engine::Model;

/// A rule that is broken on purpose; the search must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// A stop counts although an index shows a front behind it (T63).
    NoFrontCheck,
    /// The indexes are listed before the stop stands.
    ListBeforeStop,
    /// A slot is deleted before an index names the new front.
    DeleteBeforeIndex,
    /// A slot behind the front is deleted.
    DeleteNotFrontFirst,
    /// The front passes a slot that holds what is nowhere else.
    FrontOverUnplaced,
    /// An index names slots that are not certain.
    PlacesUncertain,
    /// The newest index is deleted (R18).
    NewestIndexLost,
    /// What an index says counts over a later slot.
    IndexPlaceWins,
    /// A stop behind a free slot counts.
    StopBehindHole,
}

/// Every mutant, in the order of the enum.
pub const MUTANTS: [Mutant; 9] = [
    Mutant::NoFrontCheck,
    Mutant::ListBeforeStop,
    Mutant::DeleteBeforeIndex,
    Mutant::DeleteNotFrontFirst,
    Mutant::FrontOverUnplaced,
    Mutant::PlacesUncertain,
    Mutant::NewestIndexLost,
    Mutant::IndexPlaceWins,
    Mutant::StopBehindHole,
];

/// How much of the world is searched.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Units of data, at most 3.
    pub units: u8,
    /// Slots of the row, at most 5.
    pub slots: usize,
}

impl Bounds {
    /// A second or two; every mutant is found here.
    pub const QUICK: [Self; 1] = [Self { units: 2, slots: 3 }];
    /// A minute.
    pub const FULL: [Self; 1] = [Self { units: 2, slots: 4 }];
}

/// The model.
#[derive(Debug)]
pub struct Front {
    /// How far it is searched.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

const SLOTS: usize = 5;
const UNITS: usize = 3;

/// Units by number, one bit each.
type Set = u8;
/// The slot that holds each unit, as far as whoever says so lists it.
type Places = [Option<u8>; UNITS];

const NOWHERE: Places = [None; UNITS];

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Slot {
    Free,
    Pack,
    Stop,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Index {
    front: u8,
    places: Places,
}

const FIRST_INDEX: Index = Index { front: 0, places: NOWHERE };

/// `listed` is the front that a listing showed before the stop stood; one mutant only looks at it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Recoverer {
    Idle,
    Walks { at: u8, seen: Places, listed: u8 },
    Stopped { at: u8, seen: Places, listed: u8 },
    KnowsTheRow { seen: Places },
    Done,
}

/// The store, the owner and who recovers it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    slots: [Slot; SLOTS],
    /// Units in the owner's PUT to each slot.
    sent: [Set; SLOTS],
    next_slot: u8,
    /// Units that the owner has sent at all.
    units: u8,
    /// Slots that the owner knows as certain: all below this one.
    certain: u8,
    /// Units once certain.
    promised: Set,
    settled: Set,
    owner_ended: bool,
    index: Index,
    /// Somebody deleted the newest index; one mutant only.
    index_lost: bool,
    recoverers: [Recoverer; 2],
    end: Option<Places>,
}

/// One indivisible step; slots, units and recoverers by number.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Send { units: u8 },
    Merge { units: u8 },
    LearnCertain,
    MeetStop,
    Settle { unit: u8 },
    WriteIndex { front: u8 },
    DeleteBehindFront { slot: usize },
    DeleteBeforeIndex { slot: usize },
    LoseIndex,
    Land { slot: usize },
    Delete { slot: usize },
    ReadIndex { by: usize },
    ReadSlot { by: usize, slot: u8 },
    ListEarly { by: usize },
    Stop { by: usize, slot: usize },
    SeeStop { by: usize, slot: u8 },
    StartAgain { by: usize },
    StopCounts { by: usize, slot: u8 },
    CreateEnd { by: usize },
}

impl State {
    fn is_settled(&self, unit: usize) -> bool {
        self.settled >> unit & 1 == 1
    }

    fn holds(&self, slot: usize, unit: usize) -> bool {
        self.sent[slot] >> unit & 1 == 1
    }

    /// What a reader of the newest index finds.
    fn read_index(&self) -> Index {
        if self.index_lost { FIRST_INDEX } else { self.index }
    }
}

/// Collects the steps possible in one state.
struct Steps<'a> {
    model: &'a Front,
    state: &'a State,
    out: &'a mut Vec<(Step, State)>,
}

impl Steps<'_> {
    fn go(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut after = *self.state;
        change(&mut after);
        if after != *self.state {
            self.out.push((step, after));
        }
    }

    fn owner(&mut self) {
        let (model, s) = (self.model, self.state);
        let next = s.next_slot as usize;
        if next < model.bounds.slots && s.next_slot < s.certain + 2 {
            self.send(next);
        }
        let certain = s.certain as usize;
        if certain < next && s.slots[certain] == Slot::Pack {
            self.go(Step::LearnCertain, |n| {
                n.certain += 1;
                n.promised |= n.sent[certain];
            });
        }
        if certain < next && s.slots[certain] == Slot::Stop {
            self.go(Step::MeetStop, |n| n.owner_ended = true);
        }
        for unit in (0..model.bounds.units).filter(|unit| s.promised >> unit & 1 == 1) {
            self.go(Step::Settle { unit }, |n| n.settled |= 1 << unit);
        }
        self.write_indexes();
        self.delete_wrongly();
    }

    fn send(&mut self, slot: usize) {
        let (model, s) = (self.model, self.state);
        if s.units < model.bounds.units {
            self.go(Step::Send { units: 1 << s.units }, |n| {
                n.sent[slot] = 1 << n.units;
                n.units += 1;
                n.next_slot += 1;
            });
        }
        let live = s.promised & !s.settled;
        for units in (1..1_u8 << model.bounds.units).filter(|units| units & !live == 0) {
            self.go(Step::Merge { units }, |n| {
                n.sent[slot] = units;
                n.next_slot += 1;
            });
        }
    }

    /// An index with each front that nothing forbids.
    fn write_indexes(&mut self) {
        let (model, s) = (self.model, self.state);
        let places = model.places(s);
        let mut front = s.index.front;
        loop {
            self.go(Step::WriteIndex { front }, |n| n.index = Index { front, places });
            let passed = front as usize;
            let is_needed = |unit: usize| s.holds(passed, unit) && !s.is_settled(unit) && places[unit] == Some(front);
            if front >= s.certain || ((0..UNITS).any(is_needed) && !model.is(Mutant::FrontOverUnplaced)) {
                return;
            }
            front += 1;
        }
    }

    fn delete_wrongly(&mut self) {
        let (model, s) = (self.model, self.state);
        let is_elsewhere = |slot: usize, unit: usize| s.index.places[unit].is_some_and(|place| place as usize > slot);
        let is_free_to_go = |slot: usize| {
            slot < s.certain as usize && (0..UNITS).all(|unit| !s.holds(slot, unit) || s.is_settled(unit) || is_elsewhere(slot, unit))
        };
        if model.is(Mutant::DeleteNotFrontFirst) {
            for slot in (0..model.bounds.slots).filter(|slot| s.slots[*slot] == Slot::Pack && is_free_to_go(*slot)) {
                self.go(Step::DeleteBehindFront { slot }, |n| n.slots[slot] = Slot::Free);
            }
        }
        if model.is(Mutant::DeleteBeforeIndex) {
            let first = (s.index.front as usize..model.bounds.slots).find(|slot| s.slots[*slot] != Slot::Free);
            if let Some(slot) = first.filter(|slot| s.slots[*slot] == Slot::Pack && is_free_to_go(*slot)) {
                self.go(Step::DeleteBeforeIndex { slot }, |n| n.slots[slot] = Slot::Free);
            }
        }
        if model.is(Mutant::NewestIndexLost) {
            self.go(Step::LoseIndex, |n| n.index_lost = true);
        }
    }

    /// What was sent arrives: PUTs, also once more, and DELETEs.
    fn store(&mut self) {
        let s = self.state;
        for slot in (0..s.next_slot as usize).filter(|slot| s.slots[*slot] == Slot::Free) {
            self.go(Step::Land { slot }, |n| n.slots[slot] = Slot::Pack);
        }
        for slot in (0..s.index.front as usize).filter(|slot| s.slots[*slot] != Slot::Free) {
            self.go(Step::Delete { slot }, |n| n.slots[slot] = Slot::Free);
        }
    }

    fn recoverer(&mut self, by: usize) {
        let (model, s) = (self.model, self.state);
        let index = s.read_index();
        let begins = Recoverer::Walks { at: index.front, seen: index.places, listed: index.front };
        match s.recoverers[by] {
            Recoverer::Idle => self.go(Step::ReadIndex { by }, |n| n.recoverers[by] = begins),
            Recoverer::Walks { at, seen, listed } => self.walk(by, at, (seen, listed)),
            Recoverer::Stopped { at, seen, listed } => {
                let front = if model.is(Mutant::ListBeforeStop) { listed } else { index.front };
                if front > at && !model.is(Mutant::NoFrontCheck) {
                    self.go(Step::StartAgain { by }, |n| n.recoverers[by] = begins);
                } else {
                    self.go(Step::StopCounts { by, slot: at }, |n| n.recoverers[by] = Recoverer::KnowsTheRow { seen });
                }
            }
            Recoverer::KnowsTheRow { seen } => self.go(Step::CreateEnd { by }, |n| {
                n.end = n.end.or(Some(seen));
                n.recoverers[by] = Recoverer::Done;
            }),
            Recoverer::Done => {}
        }
    }

    fn walk(&mut self, by: usize, at: u8, (mut seen, listed): (Places, u8)) {
        let (model, s) = (self.model, self.state);
        let slot = at as usize;
        if slot >= model.bounds.slots {
            return; // one more slot than the owner can use is not modelled: another order stops the row earlier
        }
        if model.is(Mutant::ListBeforeStop) {
            let listed = s.read_index().front;
            self.go(Step::ListEarly { by }, |n| n.recoverers[by] = Recoverer::Walks { at, seen, listed });
        }
        match s.slots[slot] {
            Slot::Pack => {
                for unit in (0..UNITS).filter(|unit| s.holds(slot, *unit)) {
                    if !model.is(Mutant::IndexPlaceWins) || seen[unit].is_none() {
                        seen[unit] = Some(at);
                    }
                }
                self.go(Step::ReadSlot { by, slot: at }, |n| n.recoverers[by] = Recoverer::Walks { at: at + 1, seen, listed });
            }
            Slot::Free => {
                self.go(Step::Stop { by, slot }, |n| n.slots[slot] = Slot::Stop);
                if slot + 1 >= model.bounds.slots {
                    return;
                }
                if s.slots[slot + 1] == Slot::Free {
                    self.go(Step::Stop { by, slot: slot + 1 }, |n| n.slots[slot + 1] = Slot::Stop);
                }
                if model.is(Mutant::StopBehindHole) && s.slots[slot + 1] == Slot::Stop {
                    self.go(Step::SeeStop { by, slot: at + 1 }, |n| n.recoverers[by] = Recoverer::Stopped { at: at + 1, seen, listed });
                }
            }
            Slot::Stop => self.go(Step::SeeStop { by, slot: at }, |n| n.recoverers[by] = Recoverer::Stopped { at, seen, listed }),
        }
    }
}

impl Front {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Where the owner places each unit: the last certain slot that holds it.
    fn places(&self, s: &State) -> Places {
        let careless = self.is(Mutant::PlacesUncertain);
        let is_named = |slot: usize| slot < s.certain as usize || (careless && s.slots[slot] == Slot::Pack);
        let mut places = NOWHERE;
        for slot in (0..s.next_slot as usize).filter(|slot| is_named(*slot)) {
            for (_, place) in places.iter_mut().enumerate().filter(|(unit, _)| s.holds(slot, *unit)) {
                *place = Some(slot as u8);
            }
        }
        places
    }
}

impl Model for Front {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        State {
            slots: [Slot::Free; SLOTS],
            sent: [0; SLOTS],
            next_slot: 0,
            units: 0,
            certain: 0,
            promised: 0,
            settled: 0,
            owner_ended: false,
            index: FIRST_INDEX,
            index_lost: false,
            recoverers: [Recoverer::Idle; 2],
            end: None,
        }
    }

    fn steps(&self, state: &State, out: &mut Vec<(Step, State)>) {
        let mut steps = Steps { model: self, state, out };
        if !state.owner_ended {
            steps.owner();
        }
        steps.store();
        for by in 0..2 {
            steps.recoverer(by);
        }
    }

    fn violation(&self, s: &State, _: &[(Step, State)]) -> Option<String> {
        for unit in (0..UNITS).filter(|unit| s.promised >> unit & 1 == 1 && !s.is_settled(*unit)) {
            let is_in = |slot: u8| s.slots[slot as usize] == Slot::Pack && s.holds(slot as usize, unit);
            match (s.end, s.end.unwrap_or(s.index.places)[unit]) {
                (Some(_), None) => return Some(format!("unit {unit} was certain, end does not have it")),
                (_, Some(place)) if !is_in(place) => {
                    return Some(format!("unit {unit} should be in slot {place}, which does not hold it"));
                }
                (None, None) if !(0..SLOTS as u8).any(is_in) => return Some(format!("unit {unit} is in no slot")),
                _ => {}
            }
        }
        None
    }

    fn describe(&self, s: &State, step: Step) -> String {
        match step {
            Step::Send { units } => format!("the owner sends unit {} to slot {}", units.trailing_zeros(), s.next_slot),
            Step::Merge { units } => format!("the owner sends a merge of units {units:02b} (bits) to slot {}", s.next_slot),
            Step::LearnCertain => format!("the owner learns that slot {} is certain", s.certain),
            Step::MeetStop => format!("the owner meets the stop in slot {}", s.certain),
            Step::Settle { unit } => format!("unit {unit} is settled"),
            Step::WriteIndex { front } => format!("the owner writes an index: front {front}, units in slots {:?}", self.places(s)),
            Step::DeleteBehindFront { slot } => format!("slot {slot} is deleted, behind the front"),
            Step::DeleteBeforeIndex { slot } => format!("slot {slot} is deleted before an index says so"),
            Step::LoseIndex => "the newest index is deleted".into(),
            Step::Land { slot } => format!("the PUT of slot {slot} lands"),
            Step::Delete { slot } => format!("a DELETE of slot {slot}, before the front, arrives"),
            Step::ReadIndex { by } => format!("recoverer {by} reads the newest index: front {}", s.read_index().front),
            Step::ReadSlot { by, slot } => format!("recoverer {by} reads slot {slot}"),
            Step::ListEarly { by } => format!("recoverer {by} lists the indexes early: front {}", s.read_index().front),
            Step::Stop { by, slot } => format!("recoverer {by} stops slot {slot}"),
            Step::SeeStop { by, slot } => format!("recoverer {by} takes the stop in slot {slot} for the first"),
            Step::StartAgain { by } => format!("recoverer {by} lists the indexes: front {}, so it starts again", s.read_index().front),
            Step::StopCounts { by, slot } => format!("recoverer {by} lists the indexes: the stop in slot {slot} counts"),
            Step::CreateEnd { by } => format!("recoverer {by} creates end, or finds it"),
        }
    }

    fn landmarks(&self) -> &'static [&'static str] {
        &[
            "end keeps a unit in a slot to which it was merged",
            "a recoverer starts again from a front behind its stop",
            "a stop before the front stands when end does",
            "a PUT landed again in a slot before the front",
            "the owner goes on deleting after end stands",
        ]
    }

    fn landmarks_in(&self, s: &State) -> u64 {
        let before_front = |slot: Slot| s.slots[..s.index.front as usize].contains(&slot);
        let merged = |(unit, place): (usize, &Option<u8>)| place.is_some_and(|slot| (0..slot as usize).any(|before| s.holds(before, unit)));
        let again = |r: &Recoverer| matches!(*r, Recoverer::Stopped { at, .. } if s.read_index().front > at);
        let shown = [
            s.end.is_some_and(|end| end.iter().enumerate().any(merged)),
            s.recoverers.iter().any(again),
            s.end.is_some() && before_front(Slot::Stop),
            before_front(Slot::Pack) && before_front(Slot::Free),
            s.end.is_some() && !s.owner_ended && s.index.front > 0 && !before_front(Slot::Pack),
        ];
        shown.iter().enumerate().fold(0, |bits, (bit, shown)| bits | u64::from(*shown) << bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORLD: Bounds = Bounds::QUICK[0];

    crate::rules_hold_and_mutants_are_found! { Front
        t63_a_deleted_slot_that_looks_free_is_found: NoFrontCheck in WORLD,
        t63_indexes_listed_before_the_stop_stands_are_found: ListBeforeStop in WORLD,
        t63_a_slot_deleted_before_an_index_names_the_front_is_found: DeleteBeforeIndex in WORLD,
        a_slot_deleted_behind_the_front_is_found: DeleteNotFrontFirst in WORLD,
        a_front_over_what_is_nowhere_else_is_found: FrontOverUnplaced in WORLD,
        an_index_of_uncertain_slots_is_found: PlacesUncertain in WORLD,
        the_newest_index_deleted_is_found: NewestIndexLost in WORLD,
        an_index_that_counts_over_a_later_slot_is_found: IndexPlaceWins in WORLD,
        t49_a_stop_behind_a_hole_is_found: StopBehindHole in WORLD,
    }
}
