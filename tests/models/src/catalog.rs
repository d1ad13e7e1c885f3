//! The catalog, deletion and re-creation of a topic, sweeping (rules R16, R18, R21, traps T15, T28, T29, T51, T60, T70).
//!
//! World: one topic name. Two brokers, asked by clients to create and to delete it, change the catalog by create-only versions, each the whole catalog: the id that
//! the name stands for, if any, and the ids that were deleted. A PUT may be given up, or its sender crash, and land much later; old versions are pruned. In a
//! cluster (`etcd`) a version is announced before its client is answered, and brokers serve what is announced. Without etcd the brokers are two incarnations, the
//! second takes over from the first, and only the second's acks count from then on; but the first may be late, for ever, and be asked by clients all the
//! same. Records are produced to the id that a broker takes the name for. Brokers sweep the objects of deleted ids; DELETEs are as late as they like.
//!
//! Checked in every state: a create or delete that was answered is in the newest catalog; so is every id that has acknowledged records; what is announced is a
//! version of the catalog, never goes back, and can always catch up (no dead end); acknowledged records of a live id are there; an id begins without records;
//! the broker that owns everything does not acknowledge records of an id whose deletion was answered before.
//!
//! Assumed beyond the text of the rules (the mutant named is what the text allows): a catalog create counts only when a listing begun after it shows nothing
//! newer, or what is newer has the change (`CountsWithoutListing`); etcd takes an announcement only over an older one (`AnnouncesOverNewer`); without etcd an incarnation begins with a
//! version of its own, and who meets a version of a greater incarnation is fenced (`DeposedStillChanges`).
//!
//! Bounds: see [`Bounds::QUICK`] and [`Bounds::FULL`]. Left out: settings, credentials, checkpoints (each version is one), owners and their rows, a watch that is
//! behind etcd (a producer that names the topic, not its id, may meet a broker that has not heard of the deletion: as in Kafka).
use crate::engine::Model;

/// A rule that is broken on purpose; the search must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// A create counts without a listing after it (T51).
    CountsWithoutListing,
    /// Versions are overwritten.
    PlainPut,
    /// A taken version is tried again with what was planned on an older one.
    TakenKeepsContent,
    /// etcd announces before the version is created (T60).
    AnnouncesFirst,
    /// A client is answered before the version is created.
    AnswersFirst,
    /// Only who created a version announces it (T70).
    OnlyCreatorAnnounces,
    /// An announcement replaces a newer one.
    AnnouncesOverNewer,
    /// The newest version is pruned, if it is not the pruner's own (R18).
    PrunesNewest,
    /// Topics are keyed by name: a re-created one has the same id (T29).
    IdIsName,
    /// Objects go when a deletion is planned.
    SweepsWhatItPlans,
    /// Objects of ids go that the sweeper's catalog does not list as live (R21).
    SweepsUnlisted,
    /// Without etcd a deposed incarnation changes the catalog, rebasing always.
    DeposedStillChanges,
}

/// Every mutant, in the order of the enum.
pub const MUTANTS: [Mutant; 12] = [
    Mutant::CountsWithoutListing,
    Mutant::PlainPut,
    Mutant::TakenKeepsContent,
    Mutant::AnnouncesFirst,
    Mutant::AnswersFirst,
    Mutant::OnlyCreatorAnnounces,
    Mutant::AnnouncesOverNewer,
    Mutant::PrunesNewest,
    Mutant::IdIsName,
    Mutant::SweepsWhatItPlans,
    Mutant::SweepsUnlisted,
    Mutant::DeposedStillChanges,
];

/// How much of the world is searched.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What this world is for.
    pub name: &'static str,
    /// A cluster; otherwise two incarnations of a single broker.
    pub etcd: bool,
    /// Ids that may be given, at most 3.
    pub ids: u8,
    /// Versions, at most 6.
    pub versions: u8,
    /// PUTs that are given up, or outlive their sender.
    pub late: u8,
}

impl Bounds {
    /// Two brokers that are announced by etcd.
    pub const CLUSTER: Self = Self { name: "cluster", etcd: true, ids: 2, versions: 3, late: 1 };
    /// Two incarnations, the second deposes the first.
    pub const SINGLE: Self = Self { name: "single broker", etcd: false, ids: 2, versions: 5, late: 1 };

    /// Seconds each; every mutant is found in one of them.
    pub const QUICK: [Self; 2] = [Self::CLUSTER, Self::SINGLE];
    /// A minute or a few each.
    pub const FULL: [Self; 2] = [Self { versions: 4, ..Self::CLUSTER }, Self { ids: 3, versions: 6, late: 2, ..Self::SINGLE }];
}

/// The model.
#[derive(Debug)]
pub struct Catalog {
    /// How far it is searched.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

const BROKERS: usize = 2;
const VERSIONS: usize = 7;

/// Topic ids from 1 on, one bit each.
type Set = u8;

fn members(set: Set) -> impl Iterator<Item = u8> {
    (1..8).filter(move |id| set >> id & 1 == 1)
}

/// One version of the catalog: `live` is the id that the name stands for, 0 for none; `by` the incarnation that wrote it, where there is no etcd. Version 0
/// stands for an empty catalog.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
struct Version {
    live: u8,
    deleted: Set,
    by: u8,
}

impl Version {
    fn knows(&self, id: u8) -> bool {
        self.live == id || self.deleted >> id & 1 == 1
    }

    fn has(&self, change: Change) -> bool {
        match change {
            Change::Create(id) => self.knows(id),
            Change::Delete(id) => self.deleted >> id & 1 == 1,
            Change::Fence(by) => self.by >= by,
        }
    }

    fn with(self, change: Change, by: u8) -> Self {
        match change {
            Change::Create(id) => Self { live: id, deleted: self.deleted & !(1 << id), by },
            Change::Delete(id) => Self { live: 0, deleted: self.deleted | 1 << id, by },
            Change::Fence(_) => Self { by, ..self },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Change {
    Create(u8),
    Delete(u8),
    /// A new incarnation's first version, which changes nothing.
    Fence(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Phase {
    /// Not started yet, or ended for good; without etcd only.
    Off,
    /// Runs; has not read the catalog.
    New,
    Free,
    /// The PUT of version `at + 1` is under way.
    Sent(Change),
    Created(Change),
    Taken(Change),
    /// Not announced, not answered.
    Counted(Change),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Broker {
    phase: Phase,
    at: u8,
    view: Version,
    put: Version,
    /// A PUT given up and still under way, and its version; 0: none.
    late_at: u8,
    late: Version,
    /// Ids whose objects it decided to delete: its DELETEs arrive whenever they like, even when it is gone.
    sweeps: Set,
}

const FIRST: Version = Version { live: 0, deleted: 0, by: 0 };

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Broken {
    Nothing,
    AnnouncedWentBack,
    NewestDeleted,
    OldDataRises,
    AckAfterDeletion,
}

/// The store, etcd, the brokers, and what clients were told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    /// Which versions there are, and what they hold; a pruned one keeps nothing.
    there: u8,
    versions: [Version; VERSIONS],
    announced_at: u8,
    announced: Version,
    brokers: [Broker; BROKERS],
    given: u8,
    given_up: u8,
    created: Set,
    deleted: Set,
    /// Ids that have objects, and ids that have acknowledged records.
    objects: Set,
    acked: Set,
    broken: Broken,
}

/// One indivisible step; brokers, versions and ids by number.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Read { by: usize },
    Plan { by: usize, id: u8, create: bool },
    Create { by: usize },
    FindTaken { by: usize },
    ReadToRebase { by: usize },
    Count { by: usize },
    ListNewer { by: usize },
    AnnounceFirst { by: usize },
    AnswerFirst { by: usize },
    Announce { by: usize },
    Answer { by: usize },
    GiveUp { by: usize },
    Crash { by: usize },
    LandLate { by: usize },
    Start,
    Prune { by: usize, version: u8 },
    Produce { by: usize, id: u8 },
    DecideToSweep { by: usize, id: u8 },
    Delete { by: usize, id: u8 },
}

impl State {
    fn has(&self, version: u8) -> bool {
        self.there >> version & 1 == 1
    }

    fn newest_at(&self) -> u8 {
        7 - self.there.leading_zeros() as u8
    }

    fn newest(&self) -> Version {
        self.versions[self.newest_at() as usize]
    }

    fn put(&mut self, at: u8, version: Version) {
        self.there |= 1 << at;
        self.versions[at as usize] = version;
    }

    /// Whether the broker is the one whose acks count.
    fn owns(&self, by: usize, etcd: bool) -> bool {
        etcd || by == 1 || self.brokers[1].phase == Phase::Off
    }
}

/// Collects the steps possible in one state.
struct Steps<'a> {
    model: &'a Catalog,
    state: &'a State,
    out: &'a mut Vec<(Step, State)>,
}

impl Steps<'_> {
    fn go(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let before = *self.state;
        let mut after = before;
        change(&mut after);
        if after.newest_at() < before.newest_at() {
            after.broken = Broken::NewestDeleted;
        }
        if after.announced_at < before.announced_at {
            after.broken = Broken::AnnouncedWentBack;
        }
        if self.model.bounds.etcd {
            after.brokers.sort_unstable();
        }
        if after != before {
            self.out.push((step, after));
        }
    }

    fn broker(&mut self, by: usize) {
        let (model, s, broker) = (self.model, self.state, self.state.brokers[by]);
        match broker.phase {
            Phase::Off => return,
            Phase::New => self.go(Step::Read { by }, |n| model.read(n, by)),
            Phase::Free => self.free(by),
            Phase::Sent(change) => self.sent(by, change),
            Phase::Created(change) => {
                if s.newest_at() == broker.at + 1 || model.is(Mutant::CountsWithoutListing) {
                    self.go(Step::Count { by }, |n| {
                        let broker = &mut n.brokers[by];
                        (broker.at, broker.view, broker.put) = (broker.at + 1, broker.put, FIRST);
                        broker.phase = Phase::Counted(change);
                    });
                } else {
                    self.go(Step::ListNewer { by }, |n| model.rebase(n, by, change));
                }
            }
            Phase::Taken(change) => self.go(Step::ReadToRebase { by }, |n| model.rebase(n, by, change)),
            Phase::Counted(change) => self.counted(by, change),
        }
        if model.bounds.etcd {
            self.go(Step::Crash { by }, |n| model.leave(n, by, Phase::New));
        }
        self.data(by);
    }

    fn free(&mut self, by: usize) {
        let (model, s, broker) = (self.model, self.state, self.state.brokers[by]);
        if broker.at != s.newest_at() {
            self.go(Step::Read { by }, |n| model.read(n, by));
        }
        let behind = model.bounds.etcd && broker.at > s.announced_at && !model.is(Mutant::OnlyCreatorAnnounces);
        if behind {
            self.go(Step::Announce { by }, |n| (n.announced_at, n.announced) = (broker.at, broker.view));
        }
        let next = if model.is(Mutant::IdIsName) { 1 } else { s.given + 1 };
        if broker.at >= model.bounds.versions || behind {
            return;
        }
        if broker.view.live == 0 && s.given < model.bounds.ids {
            self.go(Step::Plan { by, id: next, create: true }, |n| {
                n.given += 1;
                model.send(n, by, Change::Create(next));
            });
        }
        if broker.view.live != 0 {
            let id = broker.view.live;
            self.go(Step::Plan { by, id, create: false }, |n| {
                model.send(n, by, Change::Delete(id));
                if model.is(Mutant::SweepsWhatItPlans) {
                    n.brokers[by].sweeps |= 1 << id;
                }
            });
        }
    }

    fn sent(&mut self, by: usize, change: Change) {
        let (model, s, broker) = (self.model, self.state, self.state.brokers[by]);
        let at = broker.at + 1;
        if at as usize >= VERSIONS {
            return;
        }
        if !s.has(at) || model.is(Mutant::PlainPut) {
            self.go(Step::Create { by }, |n| {
                n.put(at, broker.put);
                n.brokers[by].phase = Phase::Created(change);
            });
        } else {
            self.go(Step::FindTaken { by }, |n| n.brokers[by].phase = Phase::Taken(change));
        }
        if s.given_up < model.bounds.late && broker.late_at == 0 && !matches!(change, Change::Fence(_)) {
            self.go(Step::GiveUp { by }, |n| model.leave(n, by, Phase::New));
        }
        if model.is(Mutant::AnnouncesFirst) && model.bounds.etcd && at > s.announced_at {
            self.go(Step::AnnounceFirst { by }, |n| (n.announced_at, n.announced) = (at, broker.put));
        }
        if model.is(Mutant::AnswersFirst) {
            self.go(Step::AnswerFirst { by }, |n| model.answer(n, change));
        }
    }

    /// The change is in the catalog: announce it, answer the client.
    fn counted(&mut self, by: usize, change: Change) {
        let (model, s, broker) = (self.model, self.state, self.state.brokers[by]);
        let announces = if model.is(Mutant::AnnouncesOverNewer) { broker.at != s.announced_at } else { broker.at > s.announced_at };
        if model.bounds.etcd && announces {
            self.go(Step::Announce { by }, |n| (n.announced_at, n.announced) = (broker.at, broker.view));
        } else {
            self.go(Step::Answer { by }, |n| {
                model.answer(n, change);
                n.brokers[by].phase = Phase::Free;
            });
        }
    }

    /// Records and objects.
    fn data(&mut self, by: usize) {
        let (model, s, broker) = (self.model, self.state, self.state.brokers[by]);
        let serves = !matches!(broker.phase, Phase::New) && (by == 0 || model.bounds.etcd || broker.view.by == 1);
        let id = if model.bounds.etcd { s.announced.live } else { broker.view.live };
        let is_told = !matches!(broker.phase, Phase::Sent(_) | Phase::Created(_) | Phase::Taken(_) | Phase::Counted(Change::Create(_)));
        if serves && id != 0 && s.owns(by, model.bounds.etcd) && (model.bounds.etcd || is_told) {
            self.go(Step::Produce { by, id }, |n| {
                n.acked |= 1 << id;
                n.objects |= 1 << id;
                if !model.bounds.etcd && n.deleted >> id & 1 == 1 && n.brokers[by].view.live == id {
                    n.broken = Broken::AckAfterDeletion;
                }
            });
        }
        let may_sweep = |id: &u8| {
            let unlisted = model.is(Mutant::SweepsUnlisted) && broker.phase != Phase::New && broker.view.live != *id;
            broker.view.deleted >> id & 1 == 1 || unlisted
        };
        for id in members(s.objects & !broker.sweeps).filter(may_sweep) {
            self.go(Step::DecideToSweep { by, id }, |n| n.brokers[by].sweeps |= 1 << id);
        }
    }

    /// What was sent arrives, whatever became of its sender; pruning; the second incarnation.
    fn store(&mut self, by: usize) {
        let (model, s, broker) = (self.model, self.state, self.state.brokers[by]);
        if broker.late_at > 0 && (!s.has(broker.late_at) || model.is(Mutant::PlainPut)) {
            self.go(Step::LandLate { by }, |n| {
                n.put(broker.late_at, broker.late);
                (n.brokers[by].late_at, n.brokers[by].late) = (0, FIRST);
            });
        }
        for id in members(broker.sweeps) {
            self.go(Step::Delete { by, id }, |n| {
                n.objects &= !(1 << id);
                n.brokers[by].sweeps &= !(1 << id);
            });
        }
        let careless = model.is(Mutant::PrunesNewest);
        let may_prune = |version: &u8| *version < broker.at || (careless && *version != broker.at && broker.at > 0);
        for version in (1..VERSIONS as u8).filter(|version| s.has(*version) && may_prune(version)) {
            self.go(Step::Prune { by, version }, |n| {
                n.there &= !(1 << version);
                n.versions[version as usize] = FIRST;
            });
        }
    }
}

impl Catalog {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn fences(&self) -> bool {
        !self.bounds.etcd && !self.is(Mutant::DeposedStillChanges)
    }

    fn send(&self, n: &mut State, by: usize, change: Change) {
        let broker = &mut n.brokers[by];
        broker.put = broker.view.with(change, if self.bounds.etcd { 0 } else { by as u8 });
        broker.phase = Phase::Sent(change);
    }

    /// Forgets what it was at; a PUT may be under way still.
    fn leave(&self, n: &mut State, by: usize, phase: Phase) {
        let broker = &mut n.brokers[by];
        if matches!(broker.phase, Phase::Sent(_)) && broker.late_at == 0 && n.given_up < self.bounds.late {
            n.given_up += 1;
            (broker.late_at, broker.late) = (broker.at + 1, broker.put);
        }
        *broker = Broker { phase, at: 0, view: FIRST, put: FIRST, ..*broker };
    }

    /// Reads the newest version, when nothing is under way.
    fn read(&self, n: &mut State, by: usize) {
        let (at, newest) = (n.newest_at(), n.newest());
        if self.fences() && newest.by > by as u8 {
            self.leave(n, by, Phase::Off);
            return;
        }
        let begins = n.brokers[by].phase == Phase::New && !self.bounds.etcd && by == 1 && newest.by == 0;
        let broker = &mut n.brokers[by];
        (broker.at, broker.view, broker.phase) = (at, newest, Phase::Free);
        if begins && self.fences() {
            self.send(n, by, Change::Fence(1));
        } else if begins {
            n.brokers[by].view.by = 1;
        }
    }

    /// A version was taken, or something newer is there: look again, and plan again.
    fn rebase(&self, n: &mut State, by: usize, change: Change) {
        let (at, newest) = (n.newest_at(), n.newest());
        if self.fences() && newest.by > by as u8 {
            self.leave(n, by, Phase::Off);
            return;
        }
        let broker = &mut n.brokers[by];
        broker.at = at;
        if self.is(Mutant::TakenKeepsContent) {
            broker.phase = Phase::Sent(change);
            return;
        }
        (broker.view, broker.put, broker.phase) = (newest, FIRST, Phase::Free);
        if newest.has(change) {
            broker.phase = Phase::Counted(change);
        } else if match change {
            Change::Create(_) => newest.live == 0,
            Change::Delete(id) => newest.live == id,
            Change::Fence(_) => true,
        } {
            self.send(n, by, change);
        }
    }

    fn answer(&self, n: &mut State, change: Change) {
        match change {
            Change::Create(id) => {
                if n.objects >> id & 1 == 1 && n.created >> id & 1 == 0 && n.acked >> id & 1 == 0
                    || (self.is(Mutant::IdIsName) && n.objects >> id & 1 == 1 && n.deleted >> id & 1 == 1)
                {
                    n.broken = Broken::OldDataRises;
                }
                n.created |= 1 << id;
            }
            Change::Delete(id) => n.deleted |= 1 << id,
            Change::Fence(_) => {}
        }
    }
}

impl Model for Catalog {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        let broker = Broker { phase: Phase::New, at: 0, view: FIRST, put: FIRST, late_at: 0, late: FIRST, sweeps: 0 };
        let second = Broker { phase: if self.bounds.etcd { Phase::New } else { Phase::Off }, ..broker };
        State {
            there: 1,
            versions: [FIRST; VERSIONS],
            announced_at: 0,
            announced: FIRST,
            brokers: [broker, second],
            given: 0,
            given_up: 0,
            created: 0,
            deleted: 0,
            objects: 0,
            acked: 0,
            broken: Broken::Nothing,
        }
    }

    fn steps(&self, state: &State, out: &mut Vec<(Step, State)>) {
        let mut steps = Steps { model: self, state, out };
        for by in 0..BROKERS {
            steps.broker(by);
            steps.store(by);
        }
        if !self.bounds.etcd && state.brokers[1].phase == Phase::Off {
            steps.go(Step::Start, |n| n.brokers[1].phase = Phase::New);
        }
    }

    fn violation(&self, s: &State, steps: &[(Step, State)]) -> Option<String> {
        match s.broken {
            Broken::Nothing => {}
            Broken::AnnouncedWentBack => return Some("etcd announces an older catalog than before".into()),
            Broken::NewestDeleted => return Some("the newest catalog was deleted".into()),
            Broken::OldDataRises => return Some("a new topic begins with the objects of an old one".into()),
            Broken::AckAfterDeletion => return Some("records were acknowledged to a topic whose deletion had been answered".into()),
        }
        let newest = s.newest();
        if let Some(id) = members(s.created).find(|id| !newest.knows(*id)) {
            return Some(format!("the creation of topic {id} was answered, the catalog does not know it"));
        }
        if let Some(id) = members(s.deleted).find(|id| newest.deleted >> id & 1 == 0 && !self.is(Mutant::IdIsName)) {
            return Some(format!("the deletion of topic {id} was answered, the catalog does not list it"));
        }
        if let Some(id) = members(s.acked).find(|id| !newest.knows(*id)) {
            return Some(format!("topic {id} has acknowledged records, the catalog does not know it"));
        }
        if s.acked >> newest.live & 1 == 1 && s.objects >> newest.live & 1 == 0 {
            return Some(format!("topic {} is live, its acknowledged records were swept", newest.live));
        }
        if s.announced_at > s.newest_at() {
            return Some("etcd announces a version that the catalog does not have".into());
        }
        let waits = self.bounds.etcd && s.announced_at < s.newest_at();
        let all_know = s.brokers.iter().all(|broker| broker.phase == Phase::Free && broker.at == s.newest_at());
        let announces = steps.iter().any(|(step, _)| matches!(step, Step::Announce { .. }));
        (waits && all_know && !announces).then(|| "the catalog is ahead of etcd, and nobody announces it".into())
    }

    fn describe(&self, s: &State, step: Step) -> String {
        let next = |by: usize| s.brokers[by].at + 1;
        let newest = format!("catalog {}: topic {}", s.newest_at(), s.newest().live);
        match step {
            Step::Read { by } => format!("broker {by} reads {newest}"),
            Step::Plan { by, id, create: true } => format!("a client asks broker {by} to create the topic, with id {id}"),
            Step::Plan { by, id, create: false } => format!("a client asks broker {by} to delete the topic, id {id}"),
            Step::Create { by } => format!("broker {by} creates catalog version {}", next(by)),
            Step::FindTaken { by } => format!("broker {by} finds catalog version {} taken", next(by)),
            Step::ReadToRebase { by } => format!("broker {by} reads {newest}, to rebase"),
            Step::Count { by } => format!("broker {by} lists: its catalog version {} counts", next(by)),
            Step::ListNewer { by } => format!("broker {by} lists after its create of {}: {newest}", next(by)),
            Step::AnnounceFirst { by } => format!("broker {by} announces version {} before it is created", next(by)),
            Step::AnswerFirst { by } => format!("broker {by} answers before version {} is created", next(by)),
            Step::Announce { by } => format!("broker {by} announces catalog version {}", s.brokers[by].at),
            Step::Answer { by } => format!("broker {by} answers its client: {:?}", s.brokers[by].phase),
            Step::GiveUp { by } => format!("broker {by} gives up its PUT of version {}, which is still under way", next(by)),
            Step::Crash { by } => format!("broker {by} crashes and starts again"),
            Step::LandLate { by } => format!("broker {by}'s old PUT of version {} lands", s.brokers[by].late_at),
            Step::Start => "the second incarnation starts".into(),
            Step::Prune { by, version } => format!("broker {by} prunes version {version}"),
            Step::Produce { by, id } => format!("broker {by} acknowledges records of topic {id}"),
            Step::DecideToSweep { by, id } => format!("broker {by} sends DELETEs for the objects of topic {id}"),
            Step::Delete { by, id } => format!("broker {by}'s DELETEs for topic {id} arrive"),
        }
    }

    fn landmarks(&self) -> &'static [&'static str] {
        &[
            "a topic is live again under another id, and the old one's objects are still there",
            "DELETEs for a deleted topic are under way while its name is live again",
            "a catalog version that was pruned is there again",
            "who did not create a version announces it",
            "a deposed incarnation meets a version of its successor's and ends",
        ]
    }

    fn landmarks_in(&self, s: &State) -> u64 {
        let newest = s.newest();
        let hole = |version: u8| s.has(version) && !s.has(version + 1) && s.newest_at() > version;
        let counted = |by: usize| matches!(s.brokers[by].phase, Phase::Counted(_));
        let shown = [
            newest.live > 1 && s.objects >> 1 & 1 == 1 && newest.deleted >> 1 & 1 == 1,
            newest.live > 1 && s.brokers.iter().any(|broker| broker.sweeps >> 1 & 1 == 1),
            (1..VERSIONS as u8 - 1).any(hole),
            self.bounds.etcd
                && s.announced_at > 0
                && s.announced_at == s.newest_at()
                && s.created & s.acked == 0
                && !counted(0)
                && !counted(1),
            !self.bounds.etcd && s.brokers[0].phase == Phase::Off,
        ];
        shown.iter().enumerate().fold(0, |bits, (bit, shown)| bits | u64::from(*shown) << bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: Bounds = Bounds::CLUSTER;
    const SINGLE: Bounds = Bounds::SINGLE;

    crate::rules_hold_and_mutants_are_found! { Catalog
        t51_a_catalog_create_that_counts_without_a_listing_is_found: CountsWithoutListing in CLUSTER,
        a_plain_put_of_a_catalog_version_is_found: PlainPut in CLUSTER,
        a_taken_version_tried_again_unchanged_is_found: TakenKeepsContent in CLUSTER,
        t60_an_announcement_before_the_catalog_is_found: AnnouncesFirst in CLUSTER,
        an_answer_before_the_catalog_is_found: AnswersFirst in CLUSTER,
        t70_a_version_that_only_its_creator_announces_is_found: OnlyCreatorAnnounces in CLUSTER,
        an_announcement_over_a_newer_one_is_found: AnnouncesOverNewer in CLUSTER,
        the_newest_catalog_pruned_is_found: PrunesNewest in CLUSTER,
        t29_a_topic_keyed_by_its_name_is_found: IdIsName in CLUSTER,
        t28_a_sweep_of_what_is_only_planned_to_go_is_found: SweepsWhatItPlans in CLUSTER,
        t28_a_sweep_of_what_the_catalog_does_not_list_as_deleted_is_found: SweepsUnlisted in CLUSTER,
        a_deposed_incarnation_that_changes_the_catalog_is_found: DeposedStillChanges in SINGLE,
    }
}
