//! Tests of pages: what a crash may and may not do to a file.

use super::*;
use proptest::prelude::*;

fn filled(len: usize, value: u8) -> Inode {
    let mut inode = Inode::default();
    inode.write(0, &vec![value; len]);
    let point = inode.begin_sync();
    inode.end_sync(point);
    inode
}

fn bytes(inode: &Inode) -> Vec<u8> {
    inode.read(0, usize::try_from(inode.len()).unwrap())
}

#[test]
fn a_sync_covers_what_was_written_before_it_began() {
    for seed in 0..50 {
        let mut inode = filled(PAGE, b'a');
        inode.write(0, b"before");
        let point = inode.begin_sync();
        inode.write(100, b"during");
        inode.end_sync(point);
        inode.crash(&Env::simulated(seed), 0);
        assert_eq!(inode.read(0, 6), b"before", "seed {seed}");
    }
}

#[test]
fn of_two_syncs_the_one_that_began_later_counts_whichever_ends_first() {
    for seed in 0..50 {
        let mut inode = filled(PAGE, 0);
        inode.write(0, b"1");
        let first = inode.begin_sync();
        inode.write(1, b"2");
        let second = inode.begin_sync();
        inode.write(2, b"3");
        inode.end_sync(second);
        inode.end_sync(first);
        inode.crash(&Env::simulated(seed), 0);
        assert_eq!(inode.read(0, 2), b"12", "seed {seed}");
    }
}

#[test]
fn what_was_written_during_a_sync_is_not_covered_by_it() {
    let lost = (0..50).any(|seed| {
        let mut inode = filled(PAGE, 0);
        let point = inode.begin_sync();
        inode.write(0, b"late");
        inode.end_sync(point);
        inode.crash(&Env::simulated(seed), 0);
        inode.read(0, 4) == [0; 4]
    });
    assert!(lost);
}

#[test]
fn after_a_failed_sync_the_next_one_succeeds_and_stores_nothing() {
    let lost = (0..50).any(|seed| {
        let mut inode = filled(PAGE, 0);
        inode.write(0, b"gone");
        let failed = inode.begin_sync();
        inode.fail_sync(&failed);
        assert_eq!(inode.read(0, 4), b"gone", "readers do not notice");
        let retried = inode.begin_sync();
        inode.end_sync(retried);
        inode.crash(&Env::simulated(seed), 0);
        inode.read(0, 4) == [0; 4]
    });
    assert!(lost);
}

#[test]
fn a_page_that_is_written_again_after_a_failed_sync_is_stored_by_the_next() {
    let mut inode = filled(PAGE, 0);
    inode.write(0, b"gone");
    let failed = inode.begin_sync();
    inode.fail_sync(&failed);
    inode.write(4, b"!");
    let next = inode.begin_sync();
    inode.end_sync(next);
    inode.crash(&Env::simulated(1), 0);
    assert_eq!(inode.read(0, 5), b"gone!");
}

#[test]
fn an_unsynced_length_may_be_lost_and_the_bytes_with_it() {
    let lens: std::collections::BTreeSet<u64> = (0..50)
        .map(|seed| {
            let mut inode = filled(10, 1);
            inode.write(10, &[2; 10_000]);
            inode.crash(&Env::simulated(seed), 2);
            inode.extend(10_010);
            let after = inode.read(10, 10_000);
            assert!(after.iter().all(|b| [0, 2].contains(b)));
            after.iter().filter(|b| **b == 2).count() as u64
        })
        .collect();
    assert!(lens.contains(&0) && lens.iter().any(|n| *n > 0), "{lens:?}");
}

proptest! {
    /// A file is a row of bytes, whatever the pages.
    #[test]
    fn reads_see_every_write(writes in prop::collection::vec((0_usize..20_000, prop::collection::vec(any::<u8>(), 0..6_000)), 0..20)) {
        let (mut inode, mut model) = (Inode::default(), Vec::new());
        for (offset, data) in writes.iter().filter(|(_, data)| !data.is_empty()) {
            inode.write(*offset as u64, data);
            model.resize(model.len().max(offset + data.len()), 0);
            model[*offset..offset + data.len()].copy_from_slice(data);
        }
        prop_assert_eq!(bytes(&inode), model);
    }

    /// Each sector comes out of a crash as it was stored or as it was written last; a page that was synced as it was written.
    #[test]
    fn a_crash_leaves_old_or_new_sectors(
        seed in any::<u64>(), keep in 0_u64..=4, synced in 0_usize..10, writes in prop::collection::vec((0_usize..10, 0_usize..8), 0..30),
    ) {
        let mut inode = filled(10 * PAGE, 0);
        let mut sectors = vec![[0_u8; 8]; 10];
        let mut value = 0;
        let mut put = |inode: &mut Inode, page: usize, sector: usize, sectors: &mut Vec<[u8; 8]>| {
            value += 1;
            sectors[page][sector] = value;
            inode.write((page * PAGE + sector * SECTOR) as u64, &[value; SECTOR]);
        };
        let (before, after) = writes.split_at(writes.len() / 2);
        for (page, sector) in before {
            put(&mut inode, *page, *sector, &mut sectors);
        }
        let stored = sectors.clone();
        let point = inode.begin_sync();
        inode.end_sync(point);
        for (page, sector) in after.iter().filter(|(page, _)| *page != synced) {
            put(&mut inode, *page, *sector, &mut sectors);
        }
        inode.crash(&Env::simulated(seed), keep);
        for page in 0..10 {
            for sector in 0..8 {
                let found = inode.read((page * PAGE + sector * SECTOR) as u64, SECTOR);
                prop_assert!(found.iter().all(|b| *b == found[0]));
                prop_assert!(found[0] == stored[page][sector] || found[0] == sectors[page][sector]);
                if keep == 4 {
                    prop_assert_eq!(found[0], sectors[page][sector]);
                }
            }
        }
    }
}
