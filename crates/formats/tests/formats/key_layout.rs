//! Keys: one spelling each, newest first where the newest is wanted, no key below another.

use crate::strategies;
use floe_formats::{Ulid, keys};
use floe_types::{Generation, Incarnation, PartitionId, SlotNumber, TopicId};
use keys::Key;
use proptest::prelude::*;

fn incarnation() -> impl Strategy<Value = Incarnation> {
    prop_oneof![0..4u64, any::<u64>()].prop_map(Incarnation)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..4u64, any::<u64>()]
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        Just(Key::Cluster),
        Just(Key::Adopted),
        number().prop_map(|version| Key::Catalog { version }),
        number().prop_map(|number| Key::Mark { number }),
        (incarnation(), any::<u32>()).prop_map(|(incarnation, g)| Key::Claim { incarnation, generation: Generation(g) }),
        (incarnation(), number()).prop_map(|(incarnation, n)| Key::Slot { incarnation, slot: SlotNumber(n) }),
        (incarnation(), incarnation(), any::<u32>()).prop_map(|(incarnation, by, number)| Key::Recovery { incarnation, by, number }),
        incarnation().prop_map(|incarnation| Key::End { incarnation }),
        (incarnation(), number()).prop_map(|(incarnation, number)| Key::Index { incarnation, number }),
        (strategies::partition(), number()).prop_map(|(partition, version)| Key::Manifest { partition, version }),
        (strategies::partition(), 0..=i32::MAX, any::<u128>()).prop_map(|(partition, epoch, id)| Key::OwnPack {
            partition,
            epoch,
            ulid: Ulid(id)
        }),
        (strategies::partition(), 0..=i32::MAX, any::<u128>()).prop_map(|(partition, epoch, id)| Key::Page {
            partition,
            epoch,
            ulid: Ulid(id)
        }),
    ]
}

#[test]
fn keys_look_as_documented() {
    let partition = PartitionId { topic: TopicId(0x0192_0000_0000_7000_8000_0000_0000_0001), index: 3 };
    let spelled = [
        (keys::cluster(), "cluster"),
        (keys::adopted(), "adopted"),
        (keys::catalog(1), "catalog/fffffffffffffffe"),
        (keys::mark(1), "mark/fffffffffffffffe"),
        (keys::claim(Incarnation(7), Generation(2)), "chain/fffffffffffffff8/claim/fffffffffffffffd"),
        (keys::slot(Incarnation(7), SlotNumber(26)), "chain/fffffffffffffff8/slot/000000000000001a"),
        (keys::recovery(Incarnation(7), Incarnation(8), 1), "chain/fffffffffffffff8/recovery/0000000000000008-0000000000000001"),
        (keys::end(Incarnation(7)), "chain/fffffffffffffff8/end"),
        (keys::index(Incarnation(7), 9), "chain/fffffffffffffff8/index/fffffffffffffff6"),
        (keys::manifest(partition, 5), "topic/01920000-0000-7000-8000-000000000001/0000000000000003/manifest/fffffffffffffffa"),
        (
            keys::own_pack(partition, 7, Ulid(0xabc)),
            "topic/01920000-0000-7000-8000-000000000001/0000000000000003/pack/0000000000000007-00000000000000000000000000000abc",
        ),
        (
            keys::page(partition, 7, Ulid(0xabc)),
            "topic/01920000-0000-7000-8000-000000000001/0000000000000003/page/0000000000000007-00000000000000000000000000000abc",
        ),
    ];
    for (key, expected) in spelled {
        assert_eq!(key, expected);
    }
}

#[test]
fn what_is_spelled_otherwise_is_no_key() {
    let bad = [
        "",
        "/",
        "cluster/",
        "clusters",
        "catalog/",
        "catalog/1",
        "catalog/FFFFFFFFFFFFFFFE",
        "catalog/+ffffffffffffffe",
        "catalog/fffffffffffffffe/",
        "chain/fffffffffffffff8",
        "chain/fffffffffffffff8/slot",
        "chain/fffffffffffffff8/slot/000000000000001a/x",
        "chain/fffffffffffffff8/claim/0000000000000000",
        "chain/fffffffffffffff8/recovery/0000000000000008",
        "chain/fffffffffffffff8/recovery/0000000000000008-1000000000000001",
        "topic/0192000000007000800000000000-0000-0001/0000000000000003/manifest/fffffffffffffffa",
        "topic/01920000-0000-7000-8000-000000000001/ffffffffffffffff/manifest/fffffffffffffffa",
        "topic/01920000-0000-7000-8000-000000000001/0000000000000003/pack/0000000000000007-0abc",
    ];
    for key in bad {
        let error = Key::parse(key).expect_err(key);
        assert_eq!(error.to_string(), format!("{key:?} is no key of Floe's"));
    }
}

#[test]
fn a_chain_is_named_by_its_folder() {
    let listed = keys::chain_prefix(Incarnation(7));
    let folder = listed.strip_prefix(&keys::chains_prefix()).expect("chains lie below it");
    assert_eq!(keys::parse_chain_folder(folder), Ok(Incarnation(7)));
    assert_eq!(keys::parse_chain_folder("fffffffffffffff8"), Ok(Incarnation(7)));
    assert!(keys::parse_chain_folder("claim").is_err());
}

#[test]
fn each_reader_takes_its_own_kind_of_key_only() {
    let (i, by) = (Incarnation(7), Incarnation(8));
    assert_eq!(keys::parse_catalog(&keys::catalog(3)), Ok(3));
    assert_eq!(keys::parse_claim(&keys::claim(i, Generation(2))), Ok((i, Generation(2))));
    assert_eq!(keys::parse_slot(&keys::slot(i, SlotNumber(4))), Ok((i, SlotNumber(4))));
    assert_eq!(keys::parse_index(&keys::index(i, 5)), Ok((i, 5)));
    assert_eq!(keys::parse_recovery(&keys::recovery(i, by, 6)), Ok((i, by, 6)));
    assert!(keys::parse_slot(&keys::index(i, 5)).is_err());
}

proptest! {
    #[test]
    fn keys_parse_back(key in any_key()) {
        prop_assert_eq!(Key::parse(&key.to_key()), Ok(key));
    }

    #[test]
    fn a_string_that_parses_is_the_key_that_it_parses_to(key in any_key(), at in any::<prop::sample::Index>(), byte in any::<char>()) {
        let mut text: Vec<char> = key.to_key().chars().collect();
        let at = at.index(text.len());
        text[at] = byte;
        let text: String = text.into_iter().collect();
        if let Ok(parsed) = Key::parse(&text) {
            prop_assert_eq!(parsed.to_key(), text);
        }
    }

    #[test]
    fn no_key_is_the_folder_of_another(a in any_key(), b in any_key()) {
        let folder = a.to_key() + "/";
        prop_assert!(!b.to_key().starts_with(&folder));
    }

    #[test]
    fn the_newest_lists_first_and_slots_in_order(a in number(), b in number(), i in incarnation(), partition in strategies::partition()) {
        let newest_first = a.cmp(&b).reverse();
        prop_assert_eq!(keys::catalog(a).cmp(&keys::catalog(b)), newest_first);
        prop_assert_eq!(keys::index(i, a).cmp(&keys::index(i, b)), newest_first);
        prop_assert_eq!(keys::manifest(partition, a).cmp(&keys::manifest(partition, b)), newest_first);
        prop_assert_eq!(keys::chain_prefix(Incarnation(a)).cmp(&keys::chain_prefix(Incarnation(b))), newest_first);
        prop_assert_eq!(keys::slot(i, SlotNumber(a)).cmp(&keys::slot(i, SlotNumber(b))), a.cmp(&b));
    }

    #[test]
    fn keys_lie_below_their_prefixes(i in incarnation(), n in number(), g in any::<u32>(), partition in strategies::partition()) {
        let below = [
            (keys::catalog(n), keys::catalog_prefix()),
            (keys::claim(i, Generation(g)), keys::claims_prefix(i)),
            (keys::slot(i, SlotNumber(n)), keys::slots_prefix(i)),
            (keys::recovery(i, Incarnation(n), g), keys::recoveries_prefix(i)),
            (keys::index(i, n), keys::indexes_prefix(i)),
            (keys::end(i), keys::chain_prefix(i)),
            (keys::chain_prefix(i), keys::chains_prefix()),
            (keys::manifest(partition, n), keys::manifests_prefix(partition)),
            (keys::own_pack(partition, 7, Ulid(n.into())), keys::own_packs_prefix(partition)),
            (keys::page(partition, 7, Ulid(n.into())), keys::pages_prefix(partition)),
            (keys::partition_prefix(partition), keys::topic_prefix(partition.topic)),
            (keys::topic_prefix(partition.topic), keys::topics_prefix()),
        ];
        for (key, prefix) in below {
            prop_assert!(key.starts_with(&prefix) && prefix.ends_with('/'), "{} below {}", key, prefix);
        }
    }
}
