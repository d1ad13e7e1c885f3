//! What there is to be done about the set of copies: from how its standbys stand, and for how long.

use crate::copies::{StandbyState, StandbyStatus};
use floe_types::{DiskId, ErrorKind, Lsn};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long a disk that was damaged, full or slow is not chosen again.
const AVOIDED: Duration = Duration::from_secs(60);
/// The least time between two changes that cannot wait.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Changes within this time make the next one wait longer.
const RECENT: Duration = Duration::from_secs(600);
/// So many of them are free; each one more doubles the wait, up to 2^[`DOUBLED`].
const FREE: usize = 4;
const DOUBLED: usize = 6;

/// What there is to be done about the set; the last of them outweighs the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    Nothing,
    /// A standby takes nothing more, and would still be an answer: worth a change only if another can be had for it.
    Roomier,
    /// A standby is lost, or one more can be had.
    Better,
    /// What a disk has told cannot be relied on: recovery may ask it.
    AtOnce,
}

/// The set in use, as it looks now.
#[derive(Debug, Clone, Copy)]
pub(super) struct InUse<'a> {
    pub(super) standbys: &'a [StandbyStatus],
    /// Where the WAL ends.
    pub(super) end: Lsn,
    /// Brokers that may keep a copy.
    pub(super) others: usize,
}

/// What is remembered of disks and changes. Times are those of the monotonic clock.
#[derive(Debug)]
pub(super) struct Remembered {
    /// How long a standby may be of no use before another is looked for, and the least time between two such changes.
    patience: Duration,
    /// Since when standbys have been away.
    away: BTreeMap<DiskId, Duration>,
    /// How far a standby was, and since when it has not got on although there was more.
    got: BTreeMap<DiskId, (Lsn, Duration)>,
    /// Until when.
    avoided: BTreeMap<DiskId, Duration>,
    /// The newest last.
    changes: VecDeque<Duration>,
}

impl Remembered {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, away: BTreeMap::new(), got: BTreeMap::new(), avoided: BTreeMap::new(), changes: VecDeque::new() }
    }

    pub(super) fn need(&mut self, set: InUse<'_>, now: Duration) -> Need {
        let mut need = if set.standbys.len() < set.others.min(2) { Need::Better } else { Need::Nothing };
        for standby in set.standbys {
            need = need.max(self.need_of(standby, set.end, now));
        }
        need
    }

    fn need_of(&mut self, standby: &StandbyStatus, end: Lsn, now: Duration) -> Need {
        let disk = standby.disk;
        match &standby.state {
            StandbyState::Away { kind: ErrorKind::Corrupt | ErrorKind::Closed, error } => {
                if self.avoid(disk, now) {
                    tracing::warn!(%disk, error, "a copy of the WAL is lost");
                }
                Need::AtOnce
            }
            StandbyState::Away { kind, error } => {
                self.got.remove(&disk);
                let since = *self.away.entry(disk).or_insert(now);
                match kind {
                    _ if now.saturating_sub(since) < self.patience => Need::Nothing,
                    ErrorKind::Overloaded => {
                        if self.avoid(disk, now) {
                            tracing::warn!(%disk, error, "a standby takes nothing more");
                        }
                        Need::Roomier
                    }
                    _ => Need::Better,
                }
            }
            StandbyState::Filling { durable } | StandbyState::Counting { durable } => {
                self.away.remove(&disk);
                let got = self.got.entry(disk).or_insert((*durable, now));
                if *durable >= end || *durable != got.0 {
                    *got = (*durable, now);
                }
                if now.saturating_sub(got.1) < self.patience {
                    return Need::Nothing;
                }
                if self.avoid(disk, now) {
                    tracing::warn!(%disk, %durable, %end, "a standby does not get on");
                }
                Need::Better
            }
            StandbyState::Forgotten => Need::Nothing,
        }
    }

    /// Not to be chosen for a while from now on. Whether that is news, to be told once.
    fn avoid(&mut self, disk: DiskId, now: Duration) -> bool {
        self.avoided.insert(disk, now + AVOIDED).is_none_or(|until| until <= now)
    }

    /// Whether it is too early for another change: who comes and goes all the time is not followed at that pace, since each change is a claim to be read
    /// by recovery.
    pub(super) fn is_paced(&mut self, need: Need, now: Duration) -> bool {
        self.changes.retain(|at| now.saturating_sub(*at) < RECENT);
        let Some(last) = self.changes.back() else { return false };
        let pause = if need == Need::AtOnce { AT_ONCE } else { self.patience };
        let doubled = self.changes.len().saturating_sub(FREE).min(DOUBLED);
        now.saturating_sub(*last) < pause * (1 << doubled)
    }

    pub(super) fn is_avoided(&self, disk: DiskId, now: Duration) -> bool {
        self.avoided.get(&disk).is_some_and(|until| *until > now)
    }

    /// The set is being changed.
    pub(super) fn changed(&mut self, now: Duration) {
        self.avoided.retain(|_, until| *until > now);
        // More than these wait as long.
        if self.changes.len() > FREE + DOUBLED {
            self.changes.pop_front();
        }
        self.changes.push_back(now);
        self.away.clear();
        self.got.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: DiskId = DiskId(7);
    const PATIENCE: Duration = Duration::from_secs(10);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn away(kind: ErrorKind) -> StandbyState {
        StandbyState::Away { error: "a test says so".into(), kind }
    }

    /// What one standby in this state, beside a good one, asks for at second `at`, in a set of two that could not be larger.
    fn asks(remembered: &mut Remembered, state: StandbyState, at: u64) -> Need {
        let good = StandbyStatus { disk: DiskId(1), state: StandbyState::Counting { durable: Lsn(100) } };
        let standbys = [good, StandbyStatus { disk: DISK, state }];
        remembered.need(InUse { standbys: &standbys, end: Lsn(100), others: 2 }, secs(at))
    }

    #[test]
    fn a_standby_that_is_away_is_waited_for_and_then_replaced() {
        let mut remembered = Remembered::new(PATIENCE);
        assert_eq!(asks(&mut remembered, away(ErrorKind::Retry), 0), Need::Nothing);
        assert_eq!(asks(&mut remembered, away(ErrorKind::Retry), 9), Need::Nothing);
        // It was there in between.
        assert_eq!(asks(&mut remembered, StandbyState::Filling { durable: Lsn(50) }, 9), Need::Nothing);
        assert_eq!(asks(&mut remembered, away(ErrorKind::Retry), 10), Need::Nothing);
        assert_eq!(asks(&mut remembered, away(ErrorKind::Retry), 20), Need::Better);
        assert!(!remembered.is_avoided(DISK, secs(20)), "it may come back at any time");
    }

    #[test]
    fn a_damaged_copy_is_replaced_at_once_and_not_chosen_for_a_while() {
        let mut remembered = Remembered::new(PATIENCE);
        assert_eq!(asks(&mut remembered, away(ErrorKind::Corrupt), 5), Need::AtOnce);
        assert!(remembered.is_avoided(DISK, secs(64)));
        assert!(!remembered.is_avoided(DISK, secs(65)));
    }

    #[test]
    fn a_full_standby_gives_way_only_to_another() {
        let mut remembered = Remembered::new(PATIENCE);
        assert_eq!(asks(&mut remembered, away(ErrorKind::Overloaded), 0), Need::Nothing);
        assert_eq!(asks(&mut remembered, away(ErrorKind::Overloaded), 10), Need::Roomier);
        assert!(remembered.is_avoided(DISK, secs(10)));
    }

    #[test]
    fn t69_a_standby_whose_disk_hangs_is_replaced_although_it_is_attached() {
        let mut remembered = Remembered::new(PATIENCE);
        for at in 0..10 {
            assert_eq!(asks(&mut remembered, StandbyState::Counting { durable: Lsn(50) }, at), Need::Nothing);
        }
        assert_eq!(asks(&mut remembered, StandbyState::Counting { durable: Lsn(50) }, 10), Need::Better);
        // It gets on, if slowly; and has all that there is.
        assert_eq!(asks(&mut remembered, StandbyState::Counting { durable: Lsn(51) }, 21), Need::Nothing);
        assert_eq!(asks(&mut remembered, StandbyState::Counting { durable: Lsn(100) }, 22), Need::Nothing);
        assert_eq!(asks(&mut remembered, StandbyState::Counting { durable: Lsn(100) }, 90), Need::Nothing);
    }

    #[test]
    fn one_more_is_wanted_where_it_can_be_had() {
        let mut remembered = Remembered::new(PATIENCE);
        let standbys = [StandbyStatus { disk: DISK, state: StandbyState::Counting { durable: Lsn(0) } }];
        let set = InUse { standbys: &standbys, end: Lsn(0), others: 1 };
        assert_eq!(remembered.need(set, secs(0)), Need::Nothing);
        assert_eq!(remembered.need(InUse { others: 5, ..set }, secs(0)), Need::Better);
    }

    #[test]
    fn changes_that_do_not_end_come_ever_more_rarely() {
        let mut remembered = Remembered::new(PATIENCE);
        let (mut now, mut changes) = (secs(0), Vec::new());
        while now < secs(3600) {
            if !remembered.is_paced(Need::AtOnce, now) {
                remembered.changed(now);
                changes.push(now);
            }
            now += Duration::from_millis(250);
        }
        assert_eq!(changes[..4], [secs(0), secs(1), secs(2), secs(3)]);
        assert!(changes.len() < 80, "{} changes in an hour", changes.len());
        assert!(!remembered.is_paced(Need::Better, now + RECENT), "quiet for long: the first is free again");
    }
}
