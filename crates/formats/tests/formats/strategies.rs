//! Any value of every persisted struct, within what its format allows.

use crate::samples;
use bytes::Bytes;
use floe_formats::{
    BatchSlice, BlockCodec, CatalogBody, CatalogChange, CatalogState, CatalogVersion, Claim, ClaimState, Cluster, DiskIdentity, End,
    EntryHeader, EpochStart, Index, Manifest, ManifestPage, Mode, PackRef, PageRef, PartitionEvent, PartitionIndex, ProducerBatch,
    ProducerUpdate, Replica, Seal, SegmentMeta, SegmentRef, Stop, Topic, Ulid, WalFileHeader, WalKind, WalPosition, Writer,
};
use floe_types::{BrokerId, ClusterId, DiskId, Generation, Incarnation, Lsn, Offset, PartitionId, SlotNumber, TopicId, WriteId};
use proptest::{collection::btree_map, collection::vec, option, prelude::*};

fn incarnation() -> impl Strategy<Value = Incarnation> {
    any::<u64>().prop_map(Incarnation)
}

fn slot() -> impl Strategy<Value = SlotNumber> {
    any::<u64>().prop_map(SlotNumber)
}

fn disk() -> impl Strategy<Value = DiskId> {
    any::<u128>().prop_map(DiskId)
}

pub(crate) fn partition() -> impl Strategy<Value = PartitionId> {
    (any::<u128>(), 0..=i32::MAX).prop_map(|(topic, index)| PartitionId { topic: TopicId(topic), index })
}

/// Two offsets, the first not behind the second.
fn offsets() -> impl Strategy<Value = (Offset, Offset)> {
    (any::<Offset>(), any::<Offset>()).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

pub(crate) fn writer() -> impl Strategy<Value = Writer> {
    (any::<u128>(), incarnation(), any::<u64>()).prop_map(|(id, incarnation, revision)| Writer {
        write_id: WriteId(id),
        incarnation,
        revision,
    })
}

pub(crate) fn cluster() -> impl Strategy<Value = Cluster> {
    (any::<u128>(), prop_oneof![Just(Mode::Single), Just(Mode::Cluster)], any::<i64>()).prop_map(|(id, mode, created_ms)| Cluster {
        cluster: ClusterId(id),
        mode,
        created_ms,
    })
}

pub(crate) fn claim() -> impl Strategy<Value = Claim> {
    let who = (incarnation(), any::<u32>(), prop_oneof![Just(ClaimState::Open), Just(ClaimState::Closed)], any::<i32>());
    let wal = prop_oneof![Just(WalKind::None), Just(WalKind::Local), Just(WalKind::Replicated)];
    let replicas = (option::of(disk()), vec(disk(), 0..4), any::<u8>(), any::<u32>(), wal);
    let before = (option::of(any::<u64>()), option::of(incarnation()), any::<i64>());
    (who, replicas, before).prop_map(|(who, replicas, before)| Claim {
        incarnation: who.0,
        generation: Generation(who.1),
        state: who.2,
        broker: BrokerId(who.3),
        disk: replicas.0,
        replicas: replicas.1,
        quorum: replicas.2,
        window: replicas.3,
        wal: replicas.4,
        previous_end: before.0.map(Lsn),
        base: before.1,
        created_ms: before.2,
    })
}

pub(crate) fn stop() -> impl Strategy<Value = Stop> {
    incarnation().prop_map(|by| Stop { by })
}

pub(crate) fn seal() -> impl Strategy<Value = Seal> {
    (incarnation(), incarnation()).prop_map(|(incarnation, by)| Seal { incarnation, by })
}

pub(crate) fn replica() -> impl Strategy<Value = Replica> {
    (incarnation(), any::<u32>(), any::<u64>(), any::<u64>()).prop_map(|(incarnation, generation, trimmed, acknowledged)| Replica {
        incarnation,
        generation: Generation(generation),
        trimmed: Lsn(trimmed),
        acknowledged: Lsn(acknowledged),
    })
}

pub(crate) fn disk_identity() -> impl Strategy<Value = DiskIdentity> {
    (disk(), option::of(any::<u128>()), option::of(any::<i32>())).prop_map(|(disk, cluster, broker)| DiskIdentity {
        disk,
        cluster: cluster.map(ClusterId),
        broker: broker.map(BrokerId),
    })
}

pub(crate) fn pack_ref() -> impl Strategy<Value = PackRef> {
    prop_oneof![
        (incarnation(), slot()).prop_map(|(incarnation, slot)| PackRef::Slot { incarnation, slot }),
        (incarnation(), incarnation(), any::<u32>()).prop_map(|(incarnation, by, number)| PackRef::Recovery { incarnation, by, number }),
        (partition(), 0..=i32::MAX, any::<u128>()).prop_map(|(partition, epoch, id)| PackRef::Own { partition, epoch, ulid: Ulid(id) }),
    ]
}

fn segment_ref() -> impl Strategy<Value = SegmentRef> {
    (pack_ref(), any::<u64>(), any::<u32>(), offsets(), (any::<i32>(), any::<i64>(), any::<u64>())).prop_map(
        |(pack, pack_len, footer_len, offsets, rest)| SegmentRef {
            pack,
            pack_len,
            footer_len,
            base_offset: offsets.0,
            end_offset: offsets.1,
            epoch: rest.0,
            max_timestamp: rest.1,
            bytes: rest.2,
        },
    )
}

fn producer() -> impl Strategy<Value = ProducerUpdate> {
    let batch = (any::<i32>(), any::<i32>(), offsets().prop_filter("a batch has records", |(base, end)| base < end), any::<i64>())
        .prop_map(|(base_sequence, last_sequence, (base_offset, end_offset), timestamp)| ProducerBatch {
            base_sequence,
            last_sequence,
            base_offset,
            end_offset,
            timestamp,
        });
    (any::<i64>(), any::<i16>(), any::<i64>(), vec(batch, 0..=5)).prop_map(|(producer_id, epoch, last_timestamp, batches)| ProducerUpdate {
        producer_id,
        epoch,
        last_timestamp,
        batches,
    })
}

fn event() -> impl Strategy<Value = PartitionEvent> {
    prop_oneof![
        (any::<i32>(), any::<i64>()).prop_map(|(epoch, start)| PartitionEvent::EpochStart { epoch, start }),
        any::<i64>().prop_map(|offset| PartitionEvent::LogStart { offset }),
        any::<i64>().prop_map(|before| PartitionEvent::Compaction { before }),
    ]
}

fn partition_index() -> impl Strategy<Value = PartitionIndex> {
    let epochs = vec((any::<i32>(), any::<i64>()).prop_map(|(epoch, start)| EpochStart { epoch, start }), 0..4);
    (partition(), any::<i32>(), epochs, offsets(), vec(segment_ref(), 0..4), (vec(producer(), 0..3), option::of(any::<u64>()))).prop_map(
        |(partition, epoch, epochs, (log_start, end), segments, (producers, manifest))| PartitionIndex {
            partition,
            epoch,
            epochs,
            log_start,
            end,
            segments,
            producers,
            manifest,
        },
    )
}

pub(crate) fn index() -> impl Strategy<Value = Index> {
    let slots = (any::<u64>(), any::<u64>()).prop_map(|(a, b)| (SlotNumber(a.min(b)), SlotNumber(a.max(b))));
    (incarnation(), any::<u64>(), slots, option::of(incarnation()), vec(partition_index(), 0..4))
        .prop_map(|(incarnation, number, (front, covers), base, partitions)| Index { incarnation, number, front, covers, base, partitions })
}

pub(crate) fn end() -> impl Strategy<Value = End> {
    (incarnation(), slot(), vec(pack_ref(), 0..4), vec(disk(), 0..3), index()).prop_map(|(by, stop, recovery, gave_up, index)| End {
        incarnation: index.incarnation,
        by,
        stop,
        recovery,
        gave_up,
        index,
    })
}

/// Segments that follow one another.
fn run_of_segments(least: usize) -> impl Strategy<Value = Vec<SegmentRef>> {
    vec((segment_ref(), any::<Offset>()), least..7).prop_map(|mut segments| {
        segments.sort_by_key(|(_, end)| *end);
        let mut base_offset = Offset::MIN;
        segments
            .into_iter()
            .map(|(segment, end_offset)| {
                let segment = SegmentRef { base_offset, end_offset, ..segment };
                base_offset = end_offset;
                segment
            })
            .collect()
    })
}

pub(crate) fn manifest_page() -> impl Strategy<Value = ManifestPage> {
    (partition(), 0..=i32::MAX, any::<u128>(), run_of_segments(1)).prop_map(|(partition, epoch, ulid, segments)| ManifestPage {
        partition,
        epoch,
        ulid: Ulid(ulid),
        segments,
    })
}

/// A page of each of these segments that holds something.
fn pages(segments: Vec<SegmentRef>, epoch: i32) -> Vec<PageRef> {
    let page = |segment: SegmentRef| {
        let ulid = Ulid(u128::from(segment.bytes));
        ManifestPage { partition: samples::partition(0), epoch, ulid, segments: vec![segment] }.to_ref()
    };
    segments.into_iter().filter(|segment| segment.base_offset < segment.end_offset).map(page).collect()
}

pub(crate) fn manifest() -> impl Strategy<Value = Manifest> {
    let placed = (run_of_segments(0), any::<prop::sample::Index>()).prop_map(|(mut segments, at)| {
        let inline = segments.split_off(at.index(segments.len() + 1));
        (segments, inline)
    });
    (partition(), any::<u64>(), any::<i32>(), incarnation(), any::<i64>(), (placed, partition_index(), any::<i64>())).prop_map(
        |(partition, version, epoch, by, log_start, ((older, segments), snapshot, compacted))| Manifest {
            partition,
            version,
            epoch,
            by,
            log_start,
            segments,
            snapshot,
            compacted,
            pages: pages(older, epoch),
        },
    )
}

fn topic() -> impl Strategy<Value = Topic> {
    let text = "[a-z.\u{e4}\u{1f30a}]{0,12}";
    (any::<u128>(), text, any::<i32>(), btree_map(text, text, 0..4), any::<i64>())
        .prop_map(|(id, name, partitions, configs, created_ms)| Topic { id: TopicId(id), name, partitions, configs, created_ms })
}

fn change() -> impl Strategy<Value = CatalogChange> {
    let id = || any::<u128>().prop_map(TopicId);
    prop_oneof![
        topic().prop_map(CatalogChange::CreateTopic),
        (id(), any::<i64>()).prop_map(|(id, deleted_ms)| CatalogChange::DeleteTopic { id, deleted_ms }),
        (id(), ".{0,8}", option::of(".{0,8}")).prop_map(|(id, key, value)| CatalogChange::SetTopicConfig { id, key, value }),
        (id(), any::<i32>()).prop_map(|(id, count)| CatalogChange::SetPartitions { id, count }),
        (broker(), ".{0,8}", option::of(".{0,8}")).prop_map(|(broker, key, value)| CatalogChange::SetBrokerConfig { broker, key, value }),
    ]
}

fn broker() -> impl Strategy<Value = Option<BrokerId>> {
    option::of(any::<i32>().prop_map(BrokerId))
}

pub(crate) fn catalog_version() -> impl Strategy<Value = CatalogVersion> {
    let deleted = btree_map(any::<u128>().prop_map(TopicId), any::<i64>(), 0..4);
    let configs = || btree_map(".{0,8}", ".{0,8}", 0..3);
    let brokers = btree_map(any::<i32>().prop_map(BrokerId), configs(), 0..3);
    let state = (vec(topic(), 0..4), deleted, configs(), brokers).prop_map(|(topics, deleted, all_brokers, brokers)| {
        let topics = topics.into_iter().map(|topic| (topic.id, topic)).collect();
        CatalogState { topics, deleted, all_brokers, brokers }
    });
    let body = prop_oneof![vec(change(), 0..5).prop_map(CatalogBody::Delta), state.prop_map(CatalogBody::Checkpoint)];
    (any::<u64>(), body).prop_map(|(version, body)| CatalogVersion { version, body })
}

/// What to put into a pack.
#[derive(Debug, Clone)]
pub(crate) struct PackPlan {
    pub(crate) block_target: usize,
    pub(crate) codec: BlockCodec,
    pub(crate) segments: Vec<(SegmentMeta, Vec<BatchSlice>)>,
    pub(crate) wal_from: Option<WalPosition>,
    pub(crate) front: SlotNumber,
}

fn segment() -> impl Strategy<Value = (SegmentMeta, Vec<BatchSlice>)> {
    let batches =
        vec((0i64..3, 1u32..5, prop_oneof![vec(any::<u8>(), 0..200), (any::<u8>(), 0usize..400).prop_map(|(b, n)| vec![b; n])]), 0..6);
    let state = (vec(event(), 0..3), vec(producer(), 0..3));
    (partition(), 0i64..1 << 40, any::<i64>(), batches, state).prop_map(
        |(partition, base_offset, log_start, batches, (events, producers))| {
            let mut offset = base_offset;
            let batches = batches.into_iter().map(|(gap, records, payload)| {
                let slice = samples::slice(offset + gap, 7, records, &payload);
                offset = slice.end_offset;
                slice
            });
            (SegmentMeta { partition, epoch: 7, base_offset, log_start, events, producers }, batches.collect())
        },
    )
}

pub(crate) fn pack_plan() -> impl Strategy<Value = PackPlan> {
    let wal_from = option::of(
        (any::<u32>(), any::<u64>()).prop_map(|(generation, lsn)| WalPosition { generation: Generation(generation), lsn: Lsn(lsn) }),
    );
    let codec = prop_oneof![Just(BlockCodec::None), Just(BlockCodec::Lz4), Just(BlockCodec::Zstd)];
    (0usize..600, codec, vec(segment(), 0..5), wal_from, slot()).prop_map(|(block_target, codec, segments, wal_from, front)| PackPlan {
        block_target,
        codec,
        segments,
        wal_from,
        front,
    })
}

pub(crate) fn entry() -> impl Strategy<Value = (EntryHeader, Bytes)> {
    let wal = (any::<u64>(), incarnation(), any::<u32>(), any::<u64>());
    let place = (partition(), any::<i32>(), any::<i64>(), 0i64..1 << 60);
    (wal, place, vec(any::<u8>(), 0..300)).prop_map(|(wal, (partition, epoch, epoch_start, base_offset), payload)| {
        let batch = samples::batch(base_offset, epoch, 1, &payload);
        let header = EntryHeader {
            lsn: Lsn(wal.0),
            incarnation: wal.1,
            generation: Generation(wal.2),
            payload_len: u32::try_from(batch.len()).expect("a small payload"),
            synced: Lsn(wal.3),
            partition,
            epoch,
            epoch_start,
            base_offset,
        };
        (header, batch)
    })
}

pub(crate) fn wal_file_header() -> impl Strategy<Value = WalFileHeader> {
    (incarnation(), any::<u64>(), any::<u32>()).prop_map(|(incarnation, start, generation)| WalFileHeader {
        incarnation,
        start: Lsn(start),
        generation: Generation(generation),
    })
}
