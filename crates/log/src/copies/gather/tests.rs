//! Copies in memory, some of which are away, shorter, or damaged.

use super::*;
use crate::copies::{Copies, CopyError, CopyReader};
use async_trait::async_trait;
use bytes::Bytes;
use floe_formats::EntryHeader;
use floe_types::{BrokerId, Lsn, PartitionId, TopicId};
use floe_wal::Replayed;
use parking_lot::Mutex;

const DEAD: Incarnation = Incarnation(7);
const BY: Incarnation = Incarnation(9);
const A: DiskId = DiskId(1);
const B: DiskId = DiskId(2);
const C: DiskId = DiskId(3);

/// How a disk answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    /// Entries from one LSN to another, each one long.
    Holds(u64, u64),
    /// The same, and then it turns out to be no answer.
    Damaged(u64, u64),
    /// It was never a replica.
    Empty,
    /// It says that it has a copy, and none is there.
    Missing,
    Away,
}

#[derive(Debug)]
struct Disks {
    disks: BTreeMap<DiskId, Disk>,
    asked: Mutex<Vec<String>>,
}

impl Disks {
    fn new<const N: usize>(disks: [(DiskId, Disk); N]) -> Self {
        Self { disks: disks.into(), asked: Mutex::default() }
    }
}

#[async_trait]
impl Copies for Disks {
    async fn seal(&self, disk: DiskId, incarnation: Incarnation, by: Incarnation) -> Result<Vec<HeldWal>, CopyError> {
        assert_eq!((incarnation, by), (DEAD, BY));
        self.asked.lock().push(format!("seal {disk:?}"));
        match self.disks[&disk] {
            Disk::Away => Err(CopyError::Unreachable { disk, reason: "no route".into() }),
            Disk::Empty => Ok(vec![]),
            Disk::Holds(..) | Disk::Damaged(..) | Disk::Missing => {
                Ok((0..3).map(|n| HeldWal { generation: Generation(n), trimmed: Lsn(0), acknowledged: Lsn(0) }).collect())
            }
        }
    }

    async fn read(&self, disk: DiskId, _: Incarnation, generation: Generation) -> Result<Option<Box<dyn CopyReader>>, CopyError> {
        self.asked.lock().push(format!("read {disk:?} {}", generation.0));
        let (from, to, damaged) = match self.disks[&disk] {
            Disk::Holds(from, to) => (from, to, false),
            Disk::Damaged(from, to) => (from, to, true),
            Disk::Empty | Disk::Missing => return Ok(None),
            Disk::Away => return Err(CopyError::Unreachable { disk, reason: "no route".into() }),
        };
        Ok(Some(Box::new(Reader { disk, generation, start: from, at: from, to, damaged })))
    }
}

#[derive(Debug)]
struct Reader {
    disk: DiskId,
    generation: Generation,
    start: u64,
    at: u64,
    to: u64,
    damaged: bool,
}

#[async_trait]
impl CopyReader for Reader {
    async fn next(&mut self) -> Result<Option<Vec<ReplayedEntry>>, CopyError> {
        if self.at == self.to {
            let wrong = CopyError::NoAnswer { disk: self.disk, reason: "damaged".into() };
            return if self.damaged { Err(wrong) } else { Ok(None) };
        }
        self.at += 1;
        Ok(Some(vec![entry(self.generation, self.at - 1)]))
    }

    fn replayed(&self) -> Replayed {
        Replayed { entries: self.at - self.start, start: Lsn(self.start), end: Lsn(self.at), torn: false }
    }

    fn trimmed(&self) -> Lsn {
        Lsn(self.start)
    }
}

fn entry(generation: Generation, lsn: u64) -> ReplayedEntry {
    let header = EntryHeader {
        lsn: Lsn(lsn),
        synced: Lsn(0),
        incarnation: DEAD,
        generation,
        partition: PartitionId { topic: TopicId(1), index: 0 },
        epoch: 1,
        epoch_start: 0,
        base_offset: i64::try_from(lsn).unwrap(),
        payload_len: 0,
    };
    ReplayedEntry { header, batch: Bytes::new() }
}

fn claim(generation: u32, replicas: &[DiskId], previous_end: Option<u64>) -> Claim {
    Claim {
        incarnation: DEAD,
        generation: Generation(generation),
        state: ClaimState::Open,
        broker: BrokerId(1),
        disk: Some(A),
        replicas: replicas.to_vec(),
        quorum: 2,
        window: 4,
        wal: WalKind::Replicated,
        previous_end: previous_end.map(Lsn),
        base: None,
        created_ms: 0,
    }
}

/// What all copies together gave, by generation and LSN, where no slot ever was certain.
fn gathered(disks: &Disks, claims: &[Claim]) -> Result<BTreeSet<(u32, u64)>, TooFew> {
    gathered_behind(disks, claims, None)
}

fn gathered_behind(disks: &Disks, claims: &[Claim], covered: Option<WalPosition>) -> Result<BTreeSet<(u32, u64)>, TooFew> {
    gathered_without(&BTreeSet::new(), disks, claims, covered)
}

fn gathered_without(
    lost: &BTreeSet<DiskId>,
    disks: &Disks,
    claims: &[Claim],
    covered: Option<WalPosition>,
) -> Result<BTreeSet<(u32, u64)>, TooFew> {
    futures::executor::block_on(async {
        let mut gather = Sealed::of((disks, lost), DEAD, BY, claims).await?.read(covered);
        let mut found = BTreeSet::new();
        while let Some(entries) = gather.next().await? {
            found.extend(entries.iter().map(|entry| (entry.header.generation.0, entry.header.lsn.0)));
        }
        Ok(found)
    })
}

fn lsns(range: std::ops::Range<u64>) -> BTreeSet<(u32, u64)> {
    range.map(|lsn| (0, lsn)).collect()
}

#[test]
fn r12_nobody_waits_for_what_was_declared_lost_and_everything_else_is_read() {
    let claims = [claim(0, &[A, B, C], None)];
    let without = |lost: &[DiskId], disks: Disks| gathered_without(&lost.iter().copied().collect(), &disks, &claims, None);
    let one_left = || Disks::new([(A, Disk::Away), (B, Disk::Away), (C, Disk::Holds(0, 7))]);
    assert!(without(&[], one_left()).is_err());
    assert!(without(&[A], one_left()).is_err(), "B may have what C has not");
    assert_eq!(without(&[A, B], one_left()).unwrap(), lsns(0..7));
    // What is declared lost although it is there, costs none of the others.
    let all = || Disks::new([(A, Disk::Holds(0, 5)), (B, Disk::Holds(0, 9)), (C, Disk::Holds(0, 7))]);
    assert_eq!(without(&[A], all()).unwrap(), lsns(0..9));
    assert_eq!(without(&[A, B, C], all()).unwrap(), lsns(0..0));
}

#[test]
fn two_of_three_that_are_read_to_their_end_are_enough_whichever_they_are() {
    for away in [A, B, C] {
        let held = [(A, 9), (B, 5), (C, 7)].map(|(disk, end)| (disk, if disk == away { Disk::Away } else { Disk::Holds(0, end) }));
        let most = [(A, 9), (B, 5), (C, 7)].into_iter().filter(|(disk, _)| *disk != away).map(|(_, end)| end).max().unwrap();
        assert_eq!(gathered(&Disks::new(held), &[claim(0, &[A, B, C], None)]).unwrap(), lsns(0..most));
    }
}

#[test]
fn one_of_three_is_too_few_and_of_two_enough() {
    let disks = Disks::new([(A, Disk::Away), (B, Disk::Holds(0, 5)), (C, Disk::Away)]);
    let few = gathered(&disks, &[claim(0, &[A, B, C], None)]).unwrap_err();
    assert_eq!((few.answered, few.needed, few.kind()), (1, 2, ErrorKind::Retry), "{few}");
    assert!(disks.asked.lock().iter().all(|asked| asked.starts_with("seal")), "nothing is read before the seals stand");
    assert_eq!(gathered(&disks, &[claim(0, &[A, B], None)]).unwrap(), lsns(0..5));
}

#[test]
fn t67_a_copy_that_turns_out_to_be_no_answer_is_replaced_and_what_it_gave_stays() {
    let disks = Disks::new([(A, Disk::Damaged(0, 8)), (B, Disk::Holds(0, 5)), (C, Disk::Holds(0, 6))]);
    assert_eq!(gathered(&disks, &[claim(0, &[A, B, C], None)]).unwrap(), lsns(0..8));
    assert!(disks.asked.lock().contains(&format!("read {C:?} 0")));
    let disks = Disks::new([(A, Disk::Damaged(0, 8)), (B, Disk::Missing), (C, Disk::Holds(0, 6))]);
    let few = gathered(&disks, &[claim(0, &[A, B, C], None)]).unwrap_err();
    assert_eq!((few.answered, few.needed), (1, 2), "{few}");
}

#[test]
fn a_disk_that_was_never_a_replica_gives_its_word_all_the_same() {
    let disks = Disks::new([(A, Disk::Away), (B, Disk::Empty), (C, Disk::Holds(2, 6))]);
    let covered = WalPosition { generation: Generation(0), lsn: Lsn(2) };
    assert_eq!(gathered_behind(&disks, &[claim(0, &[A, B, C], None)], Some(covered)).unwrap(), lsns(2..6));
}

#[test]
fn a_copy_that_has_lost_its_front_is_no_answer_however_long_it_is() {
    let covered = |generation, lsn| Some(WalPosition { generation: Generation(generation), lsn: Lsn(lsn) });
    let claims = [claim(0, &[A, B, C], None), claim(1, &[A, B, C], Some(9))];
    for (generation, asked) in [(0, &claims[..1]), (1, &claims[1..])] {
        // The owner, A, has acknowledged up to 9 with B; C is behind.
        let disks = Disks::new([(A, Disk::Holds(5, 9)), (B, Disk::Holds(3, 9)), (C, Disk::Holds(3, 4))]);
        let found = gathered_behind(&disks, asked, covered(generation, 3)).unwrap();
        assert_eq!(found, (3..9).map(|lsn| (generation, lsn)).collect());
        assert!(disks.asked.lock().iter().any(|asked| asked.starts_with(&format!("read {B:?}"))), "instead of the first");
        for earlier in [None, covered(0, 2).filter(|_| generation == 1)] {
            let few = gathered_behind(&disks, asked, earlier).unwrap_err();
            assert_eq!((few.answered, few.needed), (0, 2), "nothing of it is in a slot: {few}");
        }
        assert!(gathered_behind(&disks, asked, covered(generation, 5)).is_ok(), "what the slots cover may have gone");
    }
}

#[test]
fn each_generation_needs_disks_of_its_own_and_a_disk_is_sealed_once() {
    let d = DiskId(4);
    let disks = Disks::new([(A, Disk::Away), (B, Disk::Holds(0, 3)), (C, Disk::Holds(0, 3)), (d, Disk::Holds(0, 2))]);
    let claims = [claim(0, &[A, B, C], None), claim(1, &[A, C, d], Some(3))];
    let found = gathered(&disks, &claims).unwrap();
    assert_eq!(found, (0..2).flat_map(|generation| (0..3).map(move |lsn| (generation, lsn))).collect());
    assert_eq!(disks.asked.lock().iter().filter(|asked| asked.starts_with("seal")).count(), 4);
    let disks = Disks::new([(A, Disk::Away), (B, Disk::Holds(0, 3)), (C, Disk::Holds(0, 3)), (d, Disk::Away)]);
    let few = gathered(&disks, &claims).unwrap_err();
    assert_eq!(few.generation, Generation(1));
}

#[test]
fn t65_a_generation_that_the_slots_cover_or_that_ended_empty_is_not_asked_for() {
    let numbers = |claims: &[Claim], covered: Option<(u32, u64)>| -> Vec<u32> {
        let covered = covered.map(|(generation, lsn)| WalPosition { generation: Generation(generation), lsn: Lsn(lsn) });
        unflushed(claims, covered).iter().map(|claim| claim.generation.0).collect()
    };
    let claims = [claim(0, &[A, B, C], None), claim(1, &[A, C], Some(50)), claim(2, &[A, B], Some(0))];
    assert_eq!(numbers(&claims, None), [0, 2], "the second ended empty");
    assert_eq!(numbers(&claims, Some((0, 49))), [0, 2]);
    assert_eq!(numbers(&claims, Some((0, 50))), [2]);
    assert_eq!(numbers(&claims, Some((2, 0))), [2], "a later one is named");
    let closed = Claim { state: ClaimState::Closed, ..claim(3, &[A, B], Some(0)) };
    let all = [&claims[..], &[closed]].concat();
    assert_eq!(numbers(&all, Some((2, 7))), [2], "whoever closed the row does not know where the last one ended");
    let local = Claim { wal: WalKind::Local, ..claim(0, &[A], None) };
    assert!(numbers(&[local], None).is_empty());
}
