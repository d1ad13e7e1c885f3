//! What happens in a run, and when: decided by the seed alone.
//!
//! A round has one fault, often with a second one that overlaps it, and all is healed at its end. At most one disk of three is lost at a
//! time: records that two disks have acknowledged survive that, and no more was promised.

use floe_e2e::proxy::Trouble;
use rand::RngExt as _;
use rand::rngs::StdRng;
use std::time::Duration;

pub(crate) const BROKERS: usize = 3;
/// The most topics' partitions have.
pub(crate) const PARTITIONS: i32 = 4;

/// What a broker's host is cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    All,
    Etcd,
    Store,
    Peers,
    /// What it sends to one other broker gets lost; what that one sends arrives.
    OneWay(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Kill(usize),
    LoseDisk(usize),
    Freeze(usize),
    Thaw(usize),
    Drain(usize),
    /// Drained, and begun again with an empty disk.
    DrainForGood(usize),
    /// It was killed or drained: started.
    Start(usize),
    KillAll,
    KillEtcd,
    StartEtcd,
    FreezeEtcd,
    ThawEtcd,
    Store(Trouble, u32),
    StoreIsFine,
    Cut(usize, From),
    Heal(usize, From),
    /// The topic that changes becomes `replicated`, or `object`.
    Durability(bool),
    Move(i32, usize),
}

/// One fault, for the table at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Kill,
    LoseDisk,
    Freeze,
    Drain,
    DrainForGood,
    KillAll,
    KillEtcd,
    FreezeEtcd,
    StoreRefuses,
    StoreSlow,
    StoreSilent,
    StoreUnanswered,
    StoreFailsAfter,
    CutAll,
    CutEtcd,
    CutStore,
    CutPeers,
    CutOneWay,
}

pub(crate) const KINDS: [Kind; 18] = [
    Kind::Kill,
    Kind::LoseDisk,
    Kind::Freeze,
    Kind::Drain,
    Kind::DrainForGood,
    Kind::KillAll,
    Kind::KillEtcd,
    Kind::FreezeEtcd,
    Kind::StoreRefuses,
    Kind::StoreSlow,
    Kind::StoreSilent,
    Kind::StoreUnanswered,
    Kind::StoreFailsAfter,
    Kind::CutAll,
    Kind::CutEtcd,
    Kind::CutStore,
    Kind::CutPeers,
    Kind::CutOneWay,
];

impl Kind {
    /// Whose it is: two faults of one party do not overlap.
    fn party(self) -> u8 {
        match self {
            Self::KillEtcd | Self::FreezeEtcd => 1,
            Self::StoreRefuses | Self::StoreSlow | Self::StoreSilent | Self::StoreUnanswered | Self::StoreFailsAfter => 2,
            Self::KillAll => 3,
            _ => 0,
        }
    }

    fn loses_disk(self) -> bool {
        matches!(self, Self::LoseDisk | Self::DrainForGood)
    }

    fn is_cut(self) -> bool {
        matches!(self, Self::CutAll | Self::CutEtcd | Self::CutStore | Self::CutPeers | Self::CutOneWay)
    }

    /// May both be there at once?
    fn goes_with(self, other: Self) -> bool {
        let all = self == Self::KillAll || other == Self::KillAll;
        let of_brokers = self.party() == 0 && other.party() == 0;
        match (self.party(), other.party()) {
            (1, 1) | (2, 2) | (3, 3) => false,
            // One disk of three, and nothing else that could keep the others from having two copies.
            _ if self.loses_disk() || other.loses_disk() => !of_brokers && !all,
            _ => !all || !(self.party() == 0 || other.party() == 0),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) kinds: Vec<Kind>,
    /// In the order of their time since the round began.
    pub(crate) acts: Vec<(Duration, Act)>,
    /// The producers' pause.
    pub(crate) pace: Duration,
}

impl Round {
    pub(crate) fn loses_disk(&self) -> bool {
        self.kinds.iter().any(|kind| kind.loses_disk())
    }
}

fn within(random: &mut StdRng, milliseconds: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(milliseconds))
}

/// The next round; `has_network`: brokers are on hosts of their own.
pub(crate) fn round(random: &mut StdRng, has_network: bool) -> Round {
    let kinds: Vec<Kind> = KINDS.into_iter().filter(|kind| has_network || !kind.is_cut()).collect();
    let first = kinds[random.random_range(0..kinds.len())];
    let broker = random.random_range(0..BROKERS);
    let mut acts = fault(random, first, broker);
    let mut of_round = vec![first];
    if random.random_bool(0.5) {
        let fitting: Vec<Kind> = kinds.into_iter().filter(|kind| first.goes_with(*kind)).collect();
        let second = fitting[random.random_range(0..fitting.len())];
        let other = (broker + random.random_range(1..BROKERS)) % BROKERS;
        let end = acts.iter().map(|(at, _)| *at).max().unwrap_or_default() + Duration::from_secs(2);
        let offset = within(random, 0..end.as_millis() as u64);
        acts.extend(fault(random, second, other).into_iter().map(|(at, act)| (at + offset, act)));
        of_round.push(second);
    }
    let end = acts.iter().map(|(at, _)| *at).max().unwrap_or_default() + Duration::from_secs(1);
    let somewhen = |random: &mut StdRng| within(random, 0..end.as_millis() as u64);
    if random.random_bool(0.3) {
        acts.push((somewhen(random), Act::Durability(random.random_bool(0.5))));
    }
    for _ in 0..random.random_range(0..3) {
        acts.push((somewhen(random), Act::Move(random.random_range(0..PARTITIONS), random.random_range(0..BROKERS))));
    }
    acts.sort_by_key(|(at, _)| *at);
    let pace = Duration::from_millis([20, 50, 50, 100][random.random_range(0..4)]);
    Round { kinds: of_round, acts, pace }
}

/// A fault from its begin to its end.
fn fault(random: &mut StdRng, kind: Kind, at: usize) -> Vec<(Duration, Act)> {
    let zero = Duration::ZERO;
    let lasting = |random: &mut StdRng, most: u64, begin: Act, end: Act| vec![(zero, begin), (within(random, 1_000..most), end)];
    let store = |random: &mut StdRng, trouble: Trouble| {
        let share = [100, 100, 50, 20][random.random_range(0..4)];
        lasting(random, 8_000, Act::Store(trouble, share), Act::StoreIsFine)
    };
    match kind {
        Kind::Kill => vec![(zero, Act::Kill(at)), (within(random, 0..5_000), Act::Start(at))],
        Kind::LoseDisk => vec![(zero, Act::LoseDisk(at)), (within(random, 0..5_000), Act::Start(at))],
        // Mostly beyond its lease and the others' patience; sometimes only nearly.
        Kind::Freeze => vec![(zero, Act::Freeze(at)), (within(random, 1_500..9_000), Act::Thaw(at))],
        Kind::Drain => vec![(zero, Act::Drain(at)), (within(random, 100..6_000), Act::Start(at))],
        Kind::DrainForGood => vec![(zero, Act::DrainForGood(at)), (within(random, 100..6_000), Act::Start(at))],
        Kind::KillAll => {
            let mut acts = vec![(zero, Act::KillAll)];
            acts.extend((0..BROKERS).map(|broker| (within(random, 10..4_000), Act::Start(broker))));
            acts
        }
        Kind::KillEtcd => lasting(random, 12_000, Act::KillEtcd, Act::StartEtcd),
        Kind::FreezeEtcd => lasting(random, 12_000, Act::FreezeEtcd, Act::ThawEtcd),
        Kind::StoreRefuses => store(random, Trouble::Refused),
        Kind::StoreSlow => {
            let by = within(random, 200..3_000);
            store(random, Trouble::Slow(by))
        }
        Kind::StoreSilent => store(random, Trouble::Silent),
        Kind::StoreUnanswered => store(random, Trouble::Unanswered),
        Kind::StoreFailsAfter => store(random, Trouble::FailedAfter),
        Kind::CutAll => lasting(random, 9_000, Act::Cut(at, From::All), Act::Heal(at, From::All)),
        Kind::CutEtcd => lasting(random, 9_000, Act::Cut(at, From::Etcd), Act::Heal(at, From::Etcd)),
        Kind::CutStore => lasting(random, 9_000, Act::Cut(at, From::Store), Act::Heal(at, From::Store)),
        Kind::CutPeers => lasting(random, 9_000, Act::Cut(at, From::Peers), Act::Heal(at, From::Peers)),
        Kind::CutOneWay => {
            let from = From::OneWay((at + random.random_range(1..BROKERS)) % BROKERS);
            lasting(random, 9_000, Act::Cut(at, from), Act::Heal(at, from))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_is_a_plan_and_plans_have_every_fault() {
        let of = |seed| {
            let mut random = StdRng::seed_from_u64(seed);
            (0..200).map(|_| round(&mut random, true)).collect::<Vec<_>>()
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let kinds: BTreeSet<Kind> = of(1).into_iter().flat_map(|round| round.kinds).collect();
        assert_eq!(kinds.len(), KINDS.len());
    }

    #[test]
    fn one_disk_is_lost_at_a_time_and_nothing_else_happens_to_brokers_then() {
        let mut random = StdRng::seed_from_u64(3);
        for round in (0..2_000).map(|_| round(&mut random, true)).filter(Round::loses_disk) {
            let of_brokers = |kind: &&Kind| matches!(kind.party(), 0 | 3);
            assert_eq!(round.kinds.iter().filter(of_brokers).count(), 1, "{round:?}");
        }
    }

    #[test]
    fn what_begins_in_a_round_ends_in_it() {
        let mut random = StdRng::seed_from_u64(4);
        for round in (0..2_000).map(|_| round(&mut random, true)) {
            let count = |what: fn(&Act) -> bool| round.acts.iter().filter(|(_, act)| what(act)).count();
            assert_eq!(count(|act| matches!(act, Act::Cut(..))), count(|act| matches!(act, Act::Heal(..))));
            assert_eq!(count(|act| matches!(act, Act::Freeze(_))), count(|act| matches!(act, Act::Thaw(_))));
            assert_eq!(count(|act| matches!(act, Act::KillEtcd)), count(|act| matches!(act, Act::StartEtcd)));
            assert_eq!(count(|act| matches!(act, Act::Store(..))), count(|act| matches!(act, Act::StoreIsFine)));
        }
    }
}
