//! Which disks keep the copies of a WAL (R3): n = min(3, live brokers), two of which must have an entry.
//!
//! Of all pairs of standbys that one counts whose racks differ most - from the owner's, and from one another -, then the one that keeps most of the set that is in use, since
//! a change is a new generation, then the one that carries least, then the one that chance names: its lot is drawn by the disks' ids, so that owners spread
//! over the standbys, and each chooses the same again.
//!
//! Is not: a promise that these disks answer. Whoever makes a claim of it has asked them first (R2).

use floe_log::copies::{Candidate, CopySet};
use floe_types::DiskId;
use std::cmp::Reverse;

/// How many disks must have an entry.
const QUORUM: usize = 2;

/// How good a choice is: less is better.
type Rank = (usize, Reverse<usize>, u64, u64);

/// The copies of `own`'s WAL among the `live` brokers, of which `own` may be one; none where there is no other, and nothing can be `replicated`.
#[must_use]
pub fn choose(own: &Candidate, live: &[Candidate], in_use: Option<&CopySet>) -> Option<CopySet> {
    let others: Vec<&Candidate> = live.iter().filter(|other| other.disk != own.disk).collect();
    let keeps = |chosen: &[&Candidate]| {
        let is_kept = |candidate: &&&Candidate| in_use.is_some_and(|set| set.standbys.contains(&candidate.disk));
        chosen.iter().filter(is_kept).count()
    };
    let rank = |chosen: &[&Candidate]| -> Rank {
        let racks = chosen.iter().map(|candidate| &candidate.rack).chain([&own.rack]);
        let distinct: std::collections::BTreeSet<&String> = racks.collect();
        let load = chosen.iter().map(|candidate| candidate.load).fold(0, u64::saturating_add);
        let lot = chosen.iter().map(|candidate| lot(own.disk, candidate.disk)).fold(0, u64::wrapping_add);
        (1 + chosen.len() - distinct.len(), Reverse(keeps(chosen)), load, lot)
    };
    let pairs = others.iter().enumerate().flat_map(|(n, one)| others[n + 1..].iter().map(move |other| [*one, *other]));
    let pair = pairs.filter(|[one, other]| one.disk != other.disk).min_by_key(|pair| rank(pair));
    let mut standbys: Vec<DiskId> = match pair {
        Some(pair) => pair.iter().map(|candidate| candidate.disk).collect(),
        None => vec![others.first()?.disk],
    };
    standbys.sort_unstable();
    Some(CopySet { standbys, quorum: QUORUM })
}

/// The same for the same two disks, and as if by chance for any others.
fn lot(own: DiskId, other: DiskId) -> u64 {
    let mut state = own.0.rotate_left(64) ^ other.0.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    for _ in 0..3 {
        state ^= state >> 59;
        state = state.wrapping_mul(0xda94_2042_e4dd_58b5_9e37_79b9_7f4a_7c15);
    }
    (state >> 72) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn candidate(disk: u128, rack: &str, load: u64) -> Candidate {
        Candidate { disk: DiskId(disk), rack: rack.into(), load }
    }

    fn chosen(own: &Candidate, live: &[Candidate], in_use: Option<&CopySet>) -> Vec<u128> {
        let set = choose(own, live, in_use).expect("there is another");
        assert_eq!(set.quorum, 2);
        set.standbys.iter().map(|disk| disk.0).collect()
    }

    #[test]
    fn t48_one_broker_alone_has_no_copies_two_have_both_and_more_have_three() {
        let own = candidate(1, "a", 0);
        assert!(choose(&own, &[], None).is_none());
        assert!(choose(&own, std::slice::from_ref(&own), None).is_none());
        let mut live = vec![own.clone(), candidate(2, "a", 0)];
        assert_eq!(chosen(&own, &live, None), [2]);
        live.extend((3..9).map(|disk| candidate(disk, "a", 0)));
        assert_eq!(chosen(&own, &live, None).len(), 2);
        // One that is listed twice is one disk all the same.
        assert_eq!(chosen(&own, &[candidate(2, "a", 0), candidate(2, "b", 0)], None), [2]);
    }

    #[test]
    fn racks_come_first_then_what_is_in_use_then_load() {
        let own = candidate(1, "a", 0);
        let live = [
            own.clone(),
            candidate(2, "a", 0),
            candidate(3, "b", 900),
            candidate(4, "b", 500),
            candidate(5, "c", 700),
            candidate(6, "c", 800),
        ];
        assert_eq!(chosen(&own, &live, None), [4, 5], "a rack each, the least loaded of each");
        let in_use = |standbys: &[u128]| CopySet { standbys: standbys.iter().map(|disk| DiskId(*disk)).collect(), quorum: 2 };
        assert_eq!(chosen(&own, &live, Some(&in_use(&[3, 6]))), [3, 6], "nothing is better by more than load");
        assert_eq!(chosen(&own, &live, Some(&in_use(&[3, 9]))), [3, 5], "one of them is gone");
        assert_eq!(chosen(&own, &live, Some(&in_use(&[2, 3]))), [3, 5], "two in racks of their own are better");
        assert_eq!(chosen(&own, &live[..4], None), [2, 4], "two racks are all there are: one other, and whoever carries least");
    }

    #[test]
    fn owners_spread_over_standbys_and_choose_the_same_again() {
        let live: Vec<Candidate> = (1..=60).map(|disk| candidate(disk, ["a", "b", "c"][(disk % 3) as usize], 0)).collect();
        let mut carried: BTreeMap<u128, usize> = BTreeMap::new();
        for own in &live {
            let standbys = chosen(own, &live, None);
            let mut backwards = live.clone();
            backwards.reverse();
            assert_eq!(chosen(own, &backwards, None), standbys, "in whatever order they are listed");
            let racks: std::collections::BTreeSet<u128> = standbys.iter().chain([&own.disk.0]).map(|disk| disk % 3).collect();
            assert_eq!(racks.len(), 3);
            standbys.into_iter().for_each(|disk| *carried.entry(disk).or_default() += 1);
        }
        let most = carried.values().max().copied().unwrap_or_default();
        assert!(carried.len() >= 40 && most <= 9, "{} carry, one of them {most} of 120 copies", carried.len());
    }
}
