//! WAL generations (rules R2, R4-R8, R12, footers, T65) for one incarnation, one partition, one leader epoch.
//!
//! World: the owner on disk 0 and generations {0,1,2}, {0,1,3}, {0,3,4} (quorum 2 of 3), claimed one after the other by create-only claims; recoverers
//! close the row of claims, seal disks, stop the row of slots and create `end`. Disks die for good, the owner's too, but of every generation that is going on
//! or holds what the slots do not, at most one: that is all P1 asks for. PUTs of two slots may be in flight, and land late or never. What the owner
//! hears, it hears at once, and acknowledges at once: later is a case of it having taken no step.
//!
//! Where the text of the rules was open, this is modelled: a claim names where the generation before ended, which with the slots' end shows a flushed or
//! empty one (mutant `ClaimNamesNoEnd`: only footers do); a sealed disk that dies before it was read is no answer (mutant `AnswerOutlivesDisk`); a claim
//! names disks of which at most one is dead. An owner that finds its next claim closed goes on in the generation it has.
//!
//! Checked in every state: once `end` exists, the log it closes is contiguous, fixed, and reaches as far as anything ever acknowledged, before `end` or
//! after; and before it exists, a recoverer that starts now finds enough disks to finish (no dead end).
//!
//! Bounds: quick 1 entry, 2 slots, one recoverer; full 2 entries and 2 slots, one recoverer and two. Left out: object records
//! (`recovery`), a single broker's one disk (`embedded`), several partitions.
use crate::engine::Model;

/// A rule that is broken on purpose; the search must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// A recoverer lets further generations follow.
    GenerationsNotClosed,
    /// Only the last generation is sealed.
    OnlyLastGenerationSealed,
    /// Flushed generations have to be sealed, too: a lost disk blocks recovery for ever (T65).
    FlushedGenerationsSealedToo,
    /// Claims do not say where the generation before ended.
    ClaimNamesNoEnd,
    /// A footer behind a free slot counts.
    FooterBehindHole,
    /// A footer names a generation later than what its pack covers.
    FooterAheadOfSlots,
    /// One seal of three disks is enough.
    OneSealIsEnough,
    /// A disk that holds no replica gives no seal.
    SealNeedsReplica,
    /// A disk that was wiped answers as if it had never held anything (T56).
    WipedDiskAnswers,
    /// An entry is acknowledged before all of earlier generations are.
    AckBeforeEarlierGeneration,
    /// The owner appends to the generation before the one it claimed.
    GoesOnInGenerationBefore,
    /// Recovery does not wait for seals.
    EndBeforeSeal,
    /// A disk that died after its seal and before it was read counts.
    AnswerOutlivesDisk,
}

/// Every mutant, in the order of the enum.
pub const MUTANTS: [Mutant; 13] = [
    Mutant::GenerationsNotClosed,
    Mutant::OnlyLastGenerationSealed,
    Mutant::FlushedGenerationsSealedToo,
    Mutant::ClaimNamesNoEnd,
    Mutant::FooterBehindHole,
    Mutant::FooterAheadOfSlots,
    Mutant::OneSealIsEnough,
    Mutant::SealNeedsReplica,
    Mutant::WipedDiskAnswers,
    Mutant::AckBeforeEarlierGeneration,
    Mutant::GoesOnInGenerationBefore,
    Mutant::EndBeforeSeal,
    Mutant::AnswerOutlivesDisk,
];

/// How much of the world is searched.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Entries appended, at most 4.
    pub entries: u8,
    /// Slots of the row, at most 4.
    pub slots: usize,
    /// Recoverers at the same time, 1 or 2.
    pub recoverers: usize,
}

impl Bounds {
    /// Seconds.
    pub const QUICK: [Self; 1] = [Self { entries: 1, slots: 2, recoverers: 1 }];
    /// A minute and more each; every mutant is found within the last, long before its end.
    pub const FULL: [Self; 3] = [
        Self { entries: 2, slots: 1, recoverers: 1 },
        Self { entries: 2, slots: 2, recoverers: 2 },
        Self { entries: 2, slots: 2, recoverers: 1 },
    ];
}

/// The model.
#[derive(Debug)]
pub struct Generations {
    /// How far it is searched.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

const DISKS: usize = 5;
const GENERATIONS: usize = 3;
const SLOTS: usize = 4;
const ENTRIES: usize = 4;
/// The disks of each generation, one bit each; generations count from 1.
const REPLICAS: [u8; GENERATIONS] = [0b00111, 0b01011, 0b11001];

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Slot {
    Free,
    Pack,
    Stop,
}

/// What the owner sent to a slot: entries `from..to`, and in the footer the oldest generation that slots up to this one do not cover.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Pack {
    from: u8,
    to: u8,
    oldest: u8,
}

/// `top` is the last generation when it closed the claims; `answers` are the sealed disks, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Recoverer {
    Idle,
    Sealing { top: u8, answers: u8 },
    Stopping { top: u8, answers: u8 },
}

/// The whole world; entries are known by their offsets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    appended: u8,
    generation_of: [u8; ENTRIES],
    /// Generations claimed so far.
    generation: u8,
    /// Where generation g ended, as the claim of g + 1 says, at g.
    ends: [u8; GENERATIONS],
    /// A recoverer closed the row of claims.
    closed: bool,
    /// Entries on each disk, one bit each.
    held: [u8; DISKS],
    sealed: u8,
    dead: u8,
    slots: [Slot; SLOTS],
    sent: [Pack; SLOTS],
    next_slot: u8,
    acked: u8,
    recoverers: [Recoverer; 2],
    end: Option<u8>,
}

/// One indivisible step; disks, entries, slots by number.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Append { generation: u8 },
    Claim,
    Fsync { disk: usize, entry: u8 },
    Send,
    Land { slot: usize },
    Die { disk: usize },
    Start,
    Seal { disk: usize },
    AllSealed,
    SealAnother,
    Stop { slot: usize },
    CreateEnd,
    GiveUp,
}

/// What a reader of the row sees before the first free slot or stop.
struct Row {
    packs: usize,
    end: u8,
    stopped: bool,
}

/// The generations that have `disk` as a replica.
fn has_replica(generation: u8, disk: usize) -> bool {
    REPLICAS[generation as usize - 1] >> disk & 1 == 1
}

impl State {
    fn row(&self, slots: usize) -> Row {
        let packs = self.slots[..slots].iter().position(|slot| *slot != Slot::Pack).unwrap_or(slots);
        let end = packs.checked_sub(1).map_or(0, |last| self.sent[last].to);
        Row { packs, end, stopped: packs < slots && self.slots[packs] == Slot::Stop }
    }

    fn is_dead(&self, disk: usize) -> bool {
        self.dead >> disk & 1 == 1
    }

    fn holds(&self, disk: usize, entry: u8) -> bool {
        self.held[disk] >> entry & 1 == 1
    }

    fn has_quorum(&self, entry: u8) -> bool {
        let generation = self.generation_of[entry as usize];
        self.holds(0, entry) && (0..DISKS).filter(|disk| has_replica(generation, *disk) && self.holds(*disk, entry)).count() >= 2
    }
}

/// Collects the steps possible in one state.
struct Steps<'a> {
    model: &'a Generations,
    state: &'a State,
    out: &'a mut Vec<(Step, State)>,
}

impl Steps<'_> {
    fn go(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut after = *self.state;
        change(&mut after);
        self.model.acknowledge(&mut after);
        if after.end.is_some() {
            after.recoverers = [Recoverer::Idle; 2]; // whoever races finds it
        }
        after.recoverers.sort_unstable();
        if after != *self.state {
            self.out.push((step, after));
        }
    }

    fn append(&mut self, generation: u8) {
        self.go(Step::Append { generation }, |n| {
            n.generation_of[n.appended as usize] = generation;
            n.held[0] |= 1 << n.appended;
            n.appended += 1;
        });
    }

    fn owner(&mut self, row: &Row) {
        let (model, s) = (self.model, self.state);
        if s.appended < model.bounds.entries && s.sealed & 1 == 0 && !row.stopped {
            self.append(s.generation);
            if model.is(Mutant::GoesOnInGenerationBefore) && s.generation > 1 {
                self.append(s.generation - 1);
            }
        }
        let claimed = s.generation as usize;
        if claimed < GENERATIONS && !s.closed && (s.dead & REPLICAS[claimed]).count_ones() <= 1 {
            self.go(Step::Claim, |n| {
                n.ends[claimed] = n.appended;
                n.generation += 1;
            });
        }
        let next = s.next_slot as usize;
        let from = next.checked_sub(1).map_or(0, |last| s.sent[last].to);
        if next < model.bounds.slots && next <= row.packs + 1 && from < s.appended && !row.stopped && s.end.is_none() {
            // all older generations are over, and this pack reaches behind their last entry
            let ahead = u8::from(model.is(Mutant::FooterAheadOfSlots));
            let oldest = (s.generation + ahead).min(GENERATIONS as u8 + 1);
            self.go(Step::Send, |n| {
                n.sent[next] = Pack { from, to: n.appended, oldest };
                n.next_slot += 1;
            });
        }
        for disk in (1..DISKS).filter(|disk| !s.is_dead(*disk) && s.sealed >> disk & 1 == 0) {
            for generation in (1..=s.generation).filter(|generation| has_replica(*generation, disk)) {
                // each generation's entries arrive in order
                let missing = (0..s.appended).find(|entry| s.generation_of[*entry as usize] == generation && !s.holds(disk, *entry));
                if let Some(entry) = missing {
                    self.go(Step::Fsync { disk, entry }, |n| n.held[disk] |= 1 << entry);
                }
            }
        }
    }

    fn world(&mut self, row: &Row) {
        let s = self.state;
        for slot in (0..s.next_slot as usize).filter(|slot| s.slots[*slot] == Slot::Free) {
            self.go(Step::Land { slot }, |n| n.slots[slot] = Slot::Pack);
        }
        for disk in (0..DISKS).filter(|disk| !s.is_dead(*disk) && s.end.is_none()) {
            let dead = s.dead | 1 << disk;
            let is_needed = |generation: u8| {
                generation == s.generation || (row.end..s.appended).any(|entry| s.generation_of[entry as usize] == generation)
            };
            let survives = |generation: u8| (dead & REPLICAS[generation as usize - 1]).count_ones() <= 1;
            if (1..=s.generation).all(|generation| !is_needed(generation) || survives(generation)) {
                self.go(Step::Die { disk }, |n| {
                    n.dead = dead;
                    n.held[disk] = 0;
                });
            }
        }
    }

    fn recoverer(&mut self, r: usize, row: &Row) {
        let (model, s) = (self.model, self.state);
        let alone = model.bounds.recoverers == 1;
        match s.recoverers[r] {
            Recoverer::Idle => {
                let may_start = r + model.bounds.recoverers >= 2 && (r == 0 || s.recoverers[0] != Recoverer::Idle || alone);
                if s.end.is_none() && may_start {
                    self.go(Step::Start, |n| {
                        n.closed = !model.is(Mutant::GenerationsNotClosed);
                        n.recoverers[r] = Recoverer::Sealing { top: n.generation, answers: 0 };
                    });
                }
                return;
            }
            Recoverer::Sealing { top, answers } => self.sealing(r, top, answers),
            Recoverer::Stopping { top, answers } => self.stopping(r, (top, answers), row),
        }
        if alone {
            self.go(Step::GiveUp, |n| n.recoverers[r] = Recoverer::Idle);
        }
    }

    fn sealing(&mut self, r: usize, top: u8, answers: u8) {
        let (model, s) = (self.model, self.state);
        for disk in (0..DISKS).filter(|disk| answers >> disk & 1 == 0) {
            let is_named = (1..=top).any(|generation| has_replica(generation, disk));
            let answers_though_dead = model.is(Mutant::WipedDiskAnswers) && disk != 0;
            if !is_named || (s.is_dead(disk) && !answers_though_dead) {
                continue;
            }
            self.go(Step::Seal { disk }, |n| {
                if !model.is(Mutant::SealNeedsReplica) || n.held[disk] != 0 {
                    n.sealed |= 1 << disk;
                }
                n.recoverers[r] = Recoverer::Sealing { top, answers: answers | 1 << disk };
            });
        }
        if model.enough(s, answers, top) || model.is(Mutant::EndBeforeSeal) {
            self.go(Step::AllSealed, |n| n.recoverers[r] = Recoverer::Stopping { top, answers });
        }
    }

    fn stopping(&mut self, r: usize, (top, answers): (u8, u8), row: &Row) {
        let (model, s) = (self.model, self.state);
        let careless = [Mutant::AnswerOutlivesDisk, Mutant::EndBeforeSeal, Mutant::WipedDiskAnswers].iter().any(|mutant| model.is(*mutant));
        let answers_last = careless || model.enough(s, answers & !s.dead, top); // a disk that died before it was read is no answer
        if !answers_last {
            self.go(Step::SealAnother, |n| n.recoverers[r] = Recoverer::Sealing { top, answers: answers & !n.dead });
        }
        for slot in (row.packs..model.bounds.slots).filter(|slot| s.slots[*slot] == Slot::Free) {
            self.go(Step::Stop { slot }, |n| n.slots[slot] = Slot::Stop);
        }
        if answers_last && (row.stopped || row.packs == model.bounds.slots) {
            // all slots written: the stop is the one behind them
            let kept = (0..DISKS).filter(|disk| answers >> disk & 1 == 1).fold(0, |kept, disk| kept | s.held[disk]);
            let to = (row.end..s.appended).find(|entry| kept >> entry & 1 == 0).unwrap_or(s.appended.max(row.end));
            self.go(Step::CreateEnd, |n| {
                n.end = n.end.or(Some(to));
                n.recoverers[r] = Recoverer::Idle;
            });
        }
    }
}

impl Generations {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// R5: whether the row shows generation `g` as wholly flushed: by a footer that names a later one, or reaching where the claims say that it ended.
    fn is_shown_flushed(&self, s: &State, g: u8) -> bool {
        let row = s.row(self.bounds.slots);
        if self.is(Mutant::FlushedGenerationsSealedToo) {
            return false;
        }
        let upto = if self.is(Mutant::FooterBehindHole) { self.bounds.slots } else { row.packs };
        if (0..upto).any(|slot| s.slots[slot] == Slot::Pack && s.sent[slot].oldest > g) {
            return true;
        }
        let (ended, began) = (s.ends[g as usize % GENERATIONS], s.ends[g as usize - 1]);
        !self.is(Mutant::ClaimNamesNoEnd) && g < s.generation && (ended <= row.end || ended == began) // an empty one has nothing to seal
    }

    /// Whether the sealed disks leave no quorum in any generation that is not flushed.
    fn enough(&self, s: &State, answers: u8, top: u8) -> bool {
        let needed = if self.is(Mutant::OneSealIsEnough) { 1 } else { 2 };
        (1..=top).all(|g| {
            let skipped = self.is(Mutant::OnlyLastGenerationSealed) && g < top;
            skipped || self.is_shown_flushed(s, g) || (answers & REPLICAS[g as usize - 1]).count_ones() >= needed
        })
    }

    fn acknowledge(&self, s: &mut State) {
        let committed_in_row = s.row(self.bounds.slots).end;
        let committed = (committed_in_row..s.appended).find(|entry| !s.has_quorum(*entry)).unwrap_or(s.appended.max(committed_in_row));
        s.acked = s.acked.max(committed);
        if self.is(Mutant::AckBeforeEarlierGeneration) {
            let is_later = |before: u8, entry: u8| s.generation_of[before as usize] < s.generation_of[entry as usize];
            let acked = |entry: &u8| s.has_quorum(*entry) && (0..*entry).all(|before| s.has_quorum(before) || is_later(before, *entry));
            let last = (0..s.appended).filter(acked).max();
            s.acked = s.acked.max(last.map_or(0, |last| last + 1));
        }
    }
}

impl Model for Generations {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        State {
            appended: 0,
            generation_of: [0; ENTRIES],
            generation: 1,
            ends: [0; GENERATIONS],
            closed: false,
            held: [0; DISKS],
            sealed: 0,
            dead: 0,
            slots: [Slot::Free; SLOTS],
            sent: [Pack::default(); SLOTS],
            next_slot: 0,
            acked: 0,
            recoverers: [Recoverer::Idle; 2],
            end: None,
        }
    }

    fn steps(&self, state: &State, out: &mut Vec<(Step, State)>) {
        let row = state.row(self.bounds.slots);
        let mut steps = Steps { model: self, state, out };
        if !state.is_dead(0) {
            steps.owner(&row);
        }
        steps.world(&row);
        for r in 0..2 {
            steps.recoverer(r, &row);
        }
    }

    fn violation(&self, s: &State, _: &[(Step, State)]) -> Option<String> {
        let row = s.row(self.bounds.slots);
        let Some(to) = s.end else {
            let can_be_recovered = self.enough(s, !s.dead, s.generation) || self.is(Mutant::WipedDiskAnswers);
            let dead = s.dead;
            return (!can_be_recovered)
                .then(|| format!("dead end: disks {dead:05b} (4..0) are dead, and a generation not shown as flushed cannot be sealed"));
        };
        if !row.stopped && row.packs < self.bounds.slots {
            return Some("ended, but a slot before the stop is free".into());
        }
        if row.end > to {
            return Some(format!("the slots end at {}, the closed log at {to}", row.end));
        }
        (s.acked > to).then(|| format!("{} entries acknowledged, the closed log has {to}", s.acked))
    }

    fn describe(&self, s: &State, step: Step) -> String {
        match step {
            Step::Append { generation } => format!("the owner appends {} in generation {generation}", s.appended),
            Step::Claim => format!("the owner claims generation {}", s.generation + 1),
            Step::Fsync { disk, entry } => format!("disk {disk} fsyncs entry {entry}"),
            Step::Send => format!("the owner sends a pack of all below {} to slot {}", s.appended, s.next_slot),
            Step::Land { slot } => format!("the PUT of slot {slot} lands"),
            Step::Die { disk } => format!("disk {disk} dies"),
            Step::Start => format!("a recoverer starts: it closes the claims behind generation {}", s.generation),
            Step::Seal { disk } => format!("a recoverer seals disk {disk}, which holds entries {:b} (bits)", s.held[disk]),
            Step::AllSealed => "a recoverer has the seals that it needs".into(),
            Step::SealAnother => "a recoverer cannot read a sealed disk, and seals another".into(),
            Step::Stop { slot } => format!("a recoverer stops slot {slot}"),
            Step::CreateEnd => "a recoverer creates end".into(),
            Step::GiveUp => "the recoverer gives up".into(),
        }
    }

    fn landmarks(&self) -> &'static [&'static str] {
        &[
            "an incarnation of three generations is recovered",
            "recovery does without a flushed generation's disks",
            "the owner's disk is dead when end is created",
            "end keeps an entry that is in no slot",
        ]
    }

    fn landmarks_in(&self, s: &State) -> u64 {
        let flushed = (1..=s.generation).any(|g| (s.sealed & REPLICAS[g as usize - 1]).count_ones() < 2);
        let shown = [
            s.end.is_some() && s.generation == 3,
            s.end.is_some() && flushed,
            s.end.is_some() && s.is_dead(0),
            s.end.is_some_and(|to| to > s.row(self.bounds.slots).end),
        ];
        shown.iter().enumerate().fold(0, |bits, (bit, shown)| bits | u64::from(*shown) << bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORLD: Bounds = Bounds::FULL[2];

    crate::rules_hold_and_mutants_are_found! { Generations
        generations_that_follow_a_recovery_are_found: GenerationsNotClosed in WORLD,
        a_seal_of_the_last_generation_only_is_found: OnlyLastGenerationSealed in WORLD,
        t65_a_lost_disk_of_a_flushed_generation_that_blocks_is_found: FlushedGenerationsSealedToo in WORLD,
        a_claim_that_names_no_end_is_found: ClaimNamesNoEnd in WORLD,
        t49_a_footer_behind_a_hole_is_found: FooterBehindHole in WORLD,
        a_footer_ahead_of_its_slots_is_found: FooterAheadOfSlots in WORLD,
        too_few_seals_are_found: OneSealIsEnough in WORLD,
        t64_a_seal_that_needs_a_replica_is_found: SealNeedsReplica in WORLD,
        t56_a_wiped_disk_that_answers_is_found: WipedDiskAnswers in WORLD,
        an_ack_before_an_earlier_generation_is_found: AckBeforeEarlierGeneration in WORLD,
        an_owner_that_goes_on_in_the_generation_before_is_found: GoesOnInGenerationBefore in WORLD,
        an_end_before_its_seals_is_found: EndBeforeSeal in WORLD,
        an_answer_that_outlives_its_disk_is_found: AnswerOutlivesDisk in WORLD,
    }
}
