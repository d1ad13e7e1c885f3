//! Which segments stay in the manifest, and how pages grow.

use super::{FAN_IN, Sizes, whole_packs};
use floe_formats::{ManifestPage, PackRef, PageRef, SegmentRef, Ulid};
use floe_types::{Offset, PartitionId, TopicId};

const P: PartitionId = PartitionId { topic: TopicId(1), index: 0 };

fn segment(pack: u128, base_offset: Offset) -> SegmentRef {
    let pack = PackRef::Own { partition: P, epoch: 2, ulid: Ulid(pack) };
    SegmentRef { pack, pack_len: 100, footer_len: 10, base_offset, end_offset: base_offset + 1, epoch: 2, max_timestamp: 5, bytes: 50 }
}

fn page(segments: usize) -> PageRef {
    let segments = (0..segments).map(|n| segment(n as u128, n as Offset)).collect();
    ManifestPage { partition: P, epoch: 2, ulid: Ulid(1), segments }.to_ref()
}

#[test]
fn no_pack_is_named_by_two_pages() {
    let of = |packs: &[u128]| packs.iter().zip(0..).map(|(pack, at)| segment(*pack, at)).collect::<Vec<_>>();
    assert_eq!(whole_packs(&of(&[1, 2, 3, 4]), 3), 3);
    assert_eq!(whole_packs(&of(&[1, 2, 2, 4]), 2), 1);
    assert_eq!(whole_packs(&of(&[1, 1, 1, 4]), 2), 3, "at least one pack");
    assert_eq!(whole_packs(&of(&[1, 2]), 9), 2);
}

#[test]
fn pages_are_few_and_each_segment_is_written_into_three_at_most() {
    let sizes = Sizes { smallest: 64 };
    let (mut pages, mut written) = (Vec::new(), 0_u64);
    for _ in 0..10_000 {
        if let Some(run) = sizes.run_to_merge(&pages) {
            let merged: u64 = pages[run.clone()].iter().map(|page| page.segments).sum();
            written += merged;
            let largest = sizes.largest() as u64;
            let sizes = (0..merged).step_by(sizes.largest()).map(|from| largest.min(merged - from));
            pages.splice(run, sizes.map(|size| page(usize::try_from(size).expect("few"))));
        }
        pages.push(page(64));
        written += 64;
    }
    assert!(written <= 3 * 640_000, "{written}");
    assert!(pages.len() <= 640_000 / 4096 + 2 * FAN_IN, "{}", pages.len());
    assert!(pages.iter().all(|page| page.segments <= sizes.largest() as u64));
    assert_eq!(sizes.largest(), 4096);
}
