//! What the clients of groups were told, and what that forbids from then on.
//!
//! Of a group and a partition, offsets are committed in rising order, each once; leader epochs say which coordinator came after which. Checked at every answer:
//! * a fetch shows an offset that somebody committed, with its note, and no earlier one than was acknowledged, or shown, before it began - by this coordinator, or ever by one before it.
//!   One that is not the coordinator any more knows less, and nothing else;
//! * what a coordinator acknowledges, every later one has, also one that answered before the acknowledgement was heard;
//! * who commits in a generation that was over when it asked is refused, whoever is asked;
//! * generations do not go back, and in one generation a partition is one member's.

use floe_coordinator::{ByPartition, CommittedOffset, GroupError, Name};
use std::collections::{BTreeMap, BTreeSet};

/// What groups consume.
pub(super) const TOPIC: &str = "orders";

/// The leader epoch of an answer, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epochs {
    least: i32,
    most: i32,
}

impl Epochs {
    /// Of what was done between two looks.
    pub(super) fn between(before: Option<i32>, after: Option<i32>) -> Self {
        match (before, after) {
            (Some(before), Some(after)) if before == after => Self { least: before, most: after },
            (before, _) => Self { least: before.unwrap_or(0), most: i32::MAX },
        }
    }
}

/// Offsets by partition, with their notes.
pub(super) type Fetched = BTreeMap<i32, (i64, Name)>;
/// The greatest of something, by leader epoch.
type ByEpoch<T> = BTreeMap<i32, T>;

/// What is known of a group's offsets at one moment.
pub(super) struct KnownOffsets(BTreeMap<i32, ByEpoch<i64>>);
/// The same of its generations.
pub(super) struct KnownGenerations(ByEpoch<i32>);

/// Offsets on their way to a coordinator.
pub(super) struct Sent {
    pub(super) offsets: BTreeMap<i32, i64>,
    generation: i32,
    /// The greatest generation that was known when they were sent.
    newest: i32,
}

pub(super) fn note(partition: i32, offset: i64, generation: i32) -> String {
    format!("{partition}: {offset} in {generation}")
}

pub(super) fn of_topic(topics: &ByPartition<Option<CommittedOffset>>) -> Fetched {
    let partitions = topics.iter().filter(|(topic, _)| **topic == *TOPIC).flat_map(|(_, partitions)| partitions);
    partitions.filter_map(|(partition, found)| found.as_ref().map(|found| (*partition, (found.offset, found.metadata.clone())))).collect()
}

fn up_to<T: Copy + Ord>(by_epoch: &ByEpoch<T>, epoch: i32) -> Option<T> {
    by_epoch.range(..=epoch).map(|(_, value)| *value).max()
}

fn raise<T: Copy + Ord>(by_epoch: &mut ByEpoch<T>, epoch: i32, value: T) {
    by_epoch.entry(epoch).and_modify(|known| *known = value.max(*known)).or_insert(value);
}

#[derive(Debug, Default)]
struct Offsets {
    /// Sent to be committed, and in which generation.
    sent: BTreeMap<i64, i32>,
    /// The greatest that was acknowledged or shown.
    known: ByEpoch<i64>,
    /// The least that was shown; 0 for none.
    shown: ByEpoch<i64>,
}

#[derive(Debug, Default)]
struct Group {
    partitions: BTreeMap<i32, Offsets>,
    /// The greatest that was stored.
    generations: ByEpoch<i32>,
    /// By generation and partition.
    owners: BTreeMap<(i32, i32), Name>,
    newest_epoch: i32,
}

/// What happened, by name, and a hash over it.
pub(in crate::cluster) struct Observed {
    pub(in crate::cluster) steps: BTreeMap<&'static str, u64>,
    pub(in crate::cluster) hash: u64,
}

/// All groups' histories.
#[derive(Debug, Default)]
pub(super) struct History {
    groups: BTreeMap<Name, Group>,
    steps: BTreeMap<&'static str, u64>,
    broken: Option<String>,
    hash: u64,
    clients: BTreeSet<(Name, usize)>,
    /// Who has committed, and who has fetched, since the end began.
    committed: BTreeSet<(Name, usize)>,
    fetched: BTreeSet<(Name, usize)>,
}

impl History {
    pub(super) fn expect_of(&mut self, group: &Name, client: usize) {
        self.clients.insert((group.clone(), client));
    }

    pub(super) fn broken(&self) -> Option<String> {
        self.broken.clone()
    }

    pub(super) fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    pub(super) fn observed(&self) -> Observed {
        Observed { steps: self.steps.clone(), hash: self.hash }
    }

    pub(super) fn groups(&self) -> Vec<Name> {
        self.groups.keys().cloned().collect()
    }

    pub(super) fn begin_to_end(&mut self) {
        self.committed.clear();
        self.fetched.clear();
    }

    pub(super) fn waiting(&self) -> Vec<String> {
        let is_done = |client: &&(Name, usize)| self.committed.contains(*client) && self.fetched.contains(*client);
        self.clients.iter().filter(|client| !is_done(client)).map(|(group, index)| format!("{group}/{index}")).collect()
    }

    fn note(&mut self, step: &'static str, what: i64) {
        *self.steps.entry(step).or_default() += 1;
        self.hash = (self.hash ^ what.unsigned_abs()).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }

    /// An answer under an epoch: whether it is the first of a new coordinator, or of one that is none any more.
    fn heard(&mut self, group: &Name, under: Epochs) {
        let newest = &mut self.groups.entry(group.clone()).or_default().newest_epoch;
        let before = std::mem::replace(newest, under.least.max(*newest));
        if under.least > before {
            self.note("group: coordinator changed", under.least.into());
        } else if under.most < before {
            self.note("group: answer of an old coordinator", under.most.into());
        }
    }

    /// The next offset of each partition: greater than all that were ever sent.
    pub(super) fn next_offsets(&mut self, group: &Name, partitions: &[i32], generation: i32) -> Sent {
        let group = self.groups.entry(group.clone()).or_default();
        let newest = up_to(&group.generations, i32::MAX).unwrap_or(-1);
        let mut next = |partition: i32| {
            let sent = &mut group.partitions.entry(partition).or_default().sent;
            let offset = sent.last_key_value().map_or(1, |(last, _)| last + 1);
            sent.insert(offset, generation);
            offset
        };
        Sent { offsets: partitions.iter().map(|partition| (*partition, next(*partition))).collect(), generation, newest }
    }

    pub(super) fn committed(&mut self, name: &Name, client: usize, sent: &Sent, under: Epochs) {
        self.heard(name, under);
        self.note("group: commit acknowledged", sent.offsets.values().sum());
        self.committed.insert((name.clone(), client));
        let Sent { generation, newest, .. } = sent;
        let mut broken = None;
        if generation >= &0 && generation < newest {
            broken =
                Some(format!("{name}: a commit of generation {generation} is acknowledged although {newest} was there when it was sent"));
        }
        let group = self.groups.entry(name.clone()).or_default();
        raise(&mut group.generations, under.most, *generation);
        for (partition, offset) in &sent.offsets {
            let offsets = group.partitions.entry(*partition).or_default();
            raise(&mut offsets.known, under.most, *offset);
            let later = under.most.saturating_add(1);
            if let Some((epoch, shown)) = offsets.shown.range(later..).find(|(_, shown)| *shown < offset).filter(|_| under.most < later) {
                broken =
                    Some(format!("{name}/{partition}: {offset} is acknowledged by epoch {}, and epoch {epoch} had {shown}", under.most));
            }
        }
        self.broken = self.broken.take().or(broken);
    }

    pub(super) fn refused(&mut self, error: GroupError) {
        match error {
            GroupError::IllegalGeneration | GroupError::UnknownMemberId => self.note("group: fenced commit refused", 1),
            GroupError::NotCoordinator => self.note("group: commit refused, no coordinator", 2),
            _ => {}
        }
    }

    pub(super) fn known_offsets(&self, group: &Name) -> KnownOffsets {
        let partitions = self.groups.get(group).map(|group| &group.partitions).into_iter().flatten();
        KnownOffsets(partitions.map(|(partition, offsets)| (*partition, offsets.known.clone())).collect())
    }

    pub(super) fn known_generations(&self, group: &Name) -> KnownGenerations {
        KnownGenerations(self.groups.get(group).map(|group| group.generations.clone()).unwrap_or_default())
    }

    /// A fetch that began when `known` was known.
    pub(super) fn fetched(&mut self, name: &Name, client: usize, (known, found): (&KnownOffsets, &Fetched), under: Epochs) {
        self.heard(name, under);
        self.note("group: offsets fetched", found.values().map(|(offset, _)| offset).sum());
        self.fetched.insert((name.clone(), client));
        let group = self.groups.entry(name.clone()).or_default();
        let mut broken = None;
        for (partition, offsets) in &mut group.partitions {
            let shown = found.get(partition).map_or(0, |(offset, _)| *offset);
            // What coordinators before this one acknowledged counts whenever that was heard.
            let then = known.0.get(partition).and_then(|known| up_to(known, under.least)).unwrap_or(0);
            let least = then.max(up_to(&offsets.known, under.least - 1).unwrap_or(0));
            if shown < least {
                broken = Some(format!("{name}/{partition}: {shown} is fetched in {under:?}, and {least} was committed"));
            }
            broken = broken.or(offsets.is_sent(name, *partition, found.get(partition)).err());
            offsets.shown.entry(under.least).and_modify(|least| *least = shown.min(*least)).or_insert(shown);
            raise(&mut offsets.known, under.most, shown);
        }
        self.broken = self.broken.take().or(broken);
    }

    /// What the store alone has, when all coordinators have ended: everything.
    pub(super) fn stored(&mut self, name: &Name, found: &Fetched) {
        self.note("group: whole in the store", found.values().map(|(offset, _)| offset).sum());
        let group = self.groups.entry(name.clone()).or_default();
        for (partition, offsets) in &group.partitions {
            let shown = found.get(partition).map_or(0, |(offset, _)| *offset);
            let least = up_to(&offsets.known, i32::MAX).unwrap_or(0);
            if shown < least {
                self.broken.get_or_insert(format!("{name}/{partition}: {shown} is there, and {least} was committed"));
            }
            if let Err(broken) = offsets.is_sent(name, *partition, found.get(partition)) {
                self.broken.get_or_insert(broken);
            }
        }
    }

    pub(super) fn joined(&mut self, group: &Name, known: &KnownGenerations, generation: i32, under: Epochs) {
        self.heard(group, under);
        self.note("group: joined", generation.into());
        self.check_generation(group, known, generation, under);
    }

    /// A member has a stored assignment.
    pub(super) fn assigned(&mut self, name: &Name, known: &KnownGenerations, place: (i32, &Name, &[i32]), under: Epochs) {
        let (generation, member, partitions) = place;
        self.heard(name, under);
        self.note("group: partitions assigned", generation.into());
        self.check_generation(name, known, generation, under);
        let group = self.groups.entry(name.clone()).or_default();
        raise(&mut group.generations, under.most, generation);
        for partition in partitions {
            let owner = group.owners.entry((generation, *partition)).or_insert_with(|| member.clone());
            if owner != member {
                let broken = format!("{name}/{partition}: in generation {generation} it is {owner}'s and {member}'s");
                self.broken.get_or_insert(broken);
            }
        }
    }

    fn check_generation(&mut self, group: &Name, known: &KnownGenerations, generation: i32, under: Epochs) {
        if let Some(stored) = up_to(&known.0, under.least).filter(|stored| generation < *stored) {
            self.broken.get_or_insert(format!("{group}: generation {generation} in {under:?}, and {stored} was there"));
        }
    }
}

impl Offsets {
    /// Nothing is shown that nobody committed.
    fn is_sent(&self, group: &Name, partition: i32, found: Option<&(i64, Name)>) -> Result<(), String> {
        let Some((offset, told)) = found else { return Ok(()) };
        match self.sent.get(offset) {
            Some(generation) if **told == *note(partition, *offset, *generation) => Ok(()),
            _ => Err(format!("{group}/{partition}: nobody has committed {offset} with note {told}")),
        }
    }
}
