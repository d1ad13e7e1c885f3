//! One fixed value of every persisted thing, every enum variant among them: what goldens, damage and mutations start from.

use bytes::{Bytes, BytesMut};
use floe_formats::{
    BatchSlice, BlockCodec, BuiltPack, CatalogBody, CatalogChange, CatalogState, CatalogVersion, Claim, ClaimState, Cluster, DiskIdentity,
    End, EntryHeader, EpochStart, FormatError, Index, Manifest, ManifestPage, Mark, Mode, Object, PackBuilder, PackKind, PackRef,
    PartitionEvent, PartitionIndex, ProducerBatch, ProducerUpdate, Replica, Seal, SegmentMeta, SegmentRef, Stop, Topic, Ulid,
    WalFileHeader, WalKind, WalPosition, Writer, decode, encode, verify_pack, wal_entry,
};
use floe_records::BatchHeader;
use floe_types::{
    BrokerId, ClusterId, DiskId, Generation, Incarnation, LeaderEpoch, Lsn, Offset, PartitionId, SlotNumber, TopicId, WriteId,
};
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// A persisted thing with a name of its own, as bytes.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) bytes: Bytes,
    /// Reads bytes as what the sample is, and tells whether they say what the sample says.
    pub(crate) read: Box<Read>,
}

type Read = dyn Fn(&Bytes) -> Result<bool, FormatError>;

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

pub(crate) const WRITER: Writer =
    Writer { write_id: WriteId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff), incarnation: Incarnation(7), revision: 42 };
const TOPIC: TopicId = TopicId(0x0192_0000_0000_7000_8000_0000_0000_0001);
pub(crate) const NOW: i64 = 1_790_000_000_000;

pub(crate) fn partition(index: i32) -> PartitionId {
    PartitionId { topic: TOPIC, index }
}

fn from_hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex digits");
    digits.chunks(2).map(byte).collect()
}

/// What is stored under a sample's name.
pub(crate) fn stored(name: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("goldens").join(format!("{name}.hex"));
    from_hex(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn object<T: Object + PartialEq + 'static>(name: &'static str, value: T) -> Sample {
    let bytes = encode(&WRITER, &value);
    let read = move |bytes: &Bytes| decode::<T>(bytes).map(|(header, read)| header.writer == WRITER && read == value);
    Sample { name, bytes, read: Box::new(read) }
}

/// What an earlier version wrote, and nobody writes any more: the golden is its only source.
fn earlier<T: Object + PartialEq + 'static>(name: &'static str, value: T) -> Sample {
    let read = move |bytes: &Bytes| decode::<T>(bytes).map(|(header, read)| header.version < T::VERSION && read == value);
    Sample { name, bytes: stored(name), read: Box::new(read) }
}

/// Every sample. A name ends in the version that wrote it.
pub(crate) fn all() -> Vec<Sample> {
    vec![
        object("cluster-v1", cluster()),
        object("claim-open-v1", claim()),
        object(
            "claim-closed-v1",
            Claim { state: ClaimState::Closed, wal: WalKind::None, disk: None, replicas: vec![], quorum: 0, ..claim() },
        ),
        object("claim-local-v1", Claim { wal: WalKind::Local, previous_end: None, generation: Generation(0), ..claim() }),
        object("stop-v1", Stop { by: Incarnation(8) }),
        object("end-v1", end()),
        object("mark-v1", Mark { number: 3, nonce: WriteId(0xab) }),
        object("index-v1", index()),
        earlier("catalog-delta-v1", CatalogVersion { version: 12, body: CatalogBody::Delta(changes()) }),
        earlier("catalog-checkpoint-v1", CatalogVersion { version: 13, body: CatalogBody::Checkpoint(catalog_state()) }),
        object("catalog-delta-v2", CatalogVersion { version: 12, body: CatalogBody::Delta([changes(), broker_changes()].concat()) }),
        object("catalog-checkpoint-v2", CatalogVersion { version: 13, body: CatalogBody::Checkpoint(altered_state()) }),
        earlier("manifest-v1", Manifest { compacted: 0, ..manifest() }),
        earlier("manifest-v2", manifest()),
        object("manifest-v3", paged_manifest()),
        object("manifest-page-v1", page()),
        earlier("disk-identity-v1", DiskIdentity { disk: DiskId(0xd1), cluster: Some(ClusterId(0xc1)), broker: None }),
        object("disk-identity-v2", DiskIdentity { disk: DiskId(0xd1), cluster: Some(ClusterId(0xc1)), broker: Some(BrokerId(3)) }),
        object("seal-v1", Seal { incarnation: Incarnation(7), by: Incarnation(8) }),
        object(
            "replica-v1",
            Replica { incarnation: Incarnation(7), generation: Generation(2), trimmed: Lsn(0x4000), acknowledged: Lsn(0x1_2345) },
        ),
        earlier_pack("pack-shared-v1", shared_pack_of(vec![])),
        earlier_pack("pack-own-v1", small_pack(PackKind::Own, None)),
        earlier_pack("pack-recovery-v1", small_pack(PackKind::Recovery, None)),
        earlier_pack("pack-lz4-v1", compressed_pack(BlockCodec::Lz4)),
        earlier_pack("pack-zstd-v1", compressed_pack(BlockCodec::Zstd)),
        pack_sample("pack-shared-v2", shared_pack()),
        pack_sample("pack-own-v2", small_pack(PackKind::Own, None)),
        pack_sample("pack-recovery-v2", small_pack(PackKind::Recovery, None)),
        pack_sample("pack-lz4-v2", compressed_pack(BlockCodec::Lz4)),
        pack_sample("pack-zstd-v2", compressed_pack(BlockCodec::Zstd)),
        wal_sample("wal-file-v1"),
    ]
}

pub(crate) fn cluster() -> Cluster {
    Cluster { cluster: ClusterId(0xc1), mode: Mode::Single, created_ms: NOW }
}

pub(crate) fn claim() -> Claim {
    Claim {
        incarnation: Incarnation(7),
        generation: Generation(2),
        state: ClaimState::Open,
        broker: BrokerId(1),
        disk: Some(DiskId(0xd1)),
        replicas: vec![DiskId(0xd1), DiskId(0xd2), DiskId(0xd3)],
        quorum: 2,
        window: 4,
        wal: WalKind::Replicated,
        previous_end: Some(Lsn(123_456)),
        base: Some(Incarnation(6)),
        created_ms: NOW,
    }
}

fn producers() -> Vec<ProducerUpdate> {
    let batch = |n: i32| ProducerBatch {
        base_sequence: n * 10,
        last_sequence: n * 10 + 9,
        base_offset: i64::from(n) * 10,
        end_offset: i64::from(n) * 10 + 10,
        timestamp: NOW + i64::from(n),
    };
    vec![ProducerUpdate { producer_id: 7 << 40, epoch: 1, last_timestamp: NOW + 4, batches: (0..5).map(batch).collect() }]
}

fn segment_ref(pack: PackRef, offsets: std::ops::Range<Offset>) -> SegmentRef {
    SegmentRef {
        pack,
        pack_len: 1_048_576,
        footer_len: 900,
        base_offset: offsets.start,
        end_offset: offsets.end,
        epoch: 7,
        max_timestamp: NOW,
        bytes: 65_536,
    }
}

fn partition_index(n: i32) -> PartitionIndex {
    PartitionIndex {
        partition: partition(n),
        epoch: 7,
        epochs: vec![EpochStart { epoch: 3, start: 0 }, EpochStart { epoch: 7, start: 40 }],
        log_start: 10,
        end: 60,
        segments: vec![
            segment_ref(PackRef::Slot { incarnation: Incarnation(7), slot: SlotNumber(3) }, 20..40),
            segment_ref(PackRef::Recovery { incarnation: Incarnation(6), by: Incarnation(7), number: 1 }, 40..60),
        ],
        producers: producers(),
        manifest: (n == 0).then_some(5),
    }
}

pub(crate) fn index() -> Index {
    Index {
        incarnation: Incarnation(7),
        number: 9,
        front: SlotNumber(2),
        covers: SlotNumber(12),
        base: Some(Incarnation(6)),
        partitions: vec![partition_index(0), partition_index(1)],
    }
}

pub(crate) fn end() -> End {
    End {
        incarnation: Incarnation(7),
        by: Incarnation(8),
        stop: SlotNumber(12),
        recovery: vec![PackRef::Recovery { incarnation: Incarnation(7), by: Incarnation(8), number: 0 }],
        gave_up: vec![DiskId(0xd3)],
        index: index(),
    }
}

fn topic() -> Topic {
    let configs = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned()), ("floe.durability".to_owned(), "object".to_owned())]);
    Topic { id: TOPIC, name: "orders".to_owned(), partitions: 8, configs, created_ms: NOW }
}

fn changes() -> Vec<CatalogChange> {
    vec![
        CatalogChange::CreateTopic(topic()),
        CatalogChange::SetTopicConfig { id: TOPIC, key: "retention.ms".to_owned(), value: None },
        CatalogChange::SetTopicConfig { id: TOPIC, key: "cleanup.policy".to_owned(), value: Some("compact".to_owned()) },
        CatalogChange::SetPartitions { id: TOPIC, count: 16 },
        CatalogChange::DeleteTopic { id: TopicId(2), deleted_ms: NOW },
    ]
}

fn broker_changes() -> Vec<CatalogChange> {
    let (key, value) = ("num.partitions".to_owned(), Some("3".to_owned()));
    vec![
        CatalogChange::SetBrokerConfig { broker: None, key: key.clone(), value },
        CatalogChange::SetBrokerConfig { broker: Some(BrokerId(1)), key, value: None },
    ]
}

fn altered_state() -> CatalogState {
    let one = |value: &str| BTreeMap::from([("num.partitions".to_owned(), value.to_owned())]);
    CatalogState { all_brokers: one("3"), brokers: BTreeMap::from([(BrokerId(1), one("5"))]), ..catalog_state() }
}

fn catalog_state() -> CatalogState {
    CatalogState { topics: BTreeMap::from([(TOPIC, topic())]), deleted: BTreeMap::from([(TopicId(2), NOW)]), ..CatalogState::default() }
}

pub(crate) fn manifest() -> Manifest {
    let own = |n: u128| PackRef::Own { partition: partition(0), epoch: 7, ulid: Ulid(0x0192_0000_0000_0000_0000_0000_0000_0000 + n) };
    Manifest {
        partition: partition(0),
        version: 5,
        epoch: 7,
        by: Incarnation(7),
        log_start: 10,
        segments: vec![segment_ref(own(1), 0..12), segment_ref(own(2), 12..20)],
        snapshot: PartitionIndex { segments: vec![], end: 20, ..partition_index(0) },
        compacted: 15,
        pages: vec![],
    }
}

pub(crate) fn paged_manifest() -> Manifest {
    let mut manifest = manifest();
    manifest.segments.remove(0);
    Manifest { pages: vec![page().to_ref()], ..manifest }
}

pub(crate) fn page() -> ManifestPage {
    let own = |n: u128| PackRef::Own { partition: partition(0), epoch: 6, ulid: Ulid(0x0191_0000_0000_0000_0000_0000_0000_0000 + n) };
    let segments = vec![segment_ref(own(1), 0..5), SegmentRef { max_timestamp: NOW - 5, ..segment_ref(own(2), 5..12) }];
    ManifestPage { partition: partition(0), epoch: 6, ulid: Ulid(0x0191_0000_0000_0000_0000_0000_0000_0003), segments }
}

/// A v2 batch of `records` records whose bytes are `payload`: stamped, with the right CRC.
pub(crate) fn batch(base_offset: Offset, epoch: LeaderEpoch, records: i32, payload: &[u8]) -> Bytes {
    let header = BatchHeader {
        base_offset,
        batch_length: i32::try_from(payload.len() + 49).expect("payloads of tests are small"),
        leader_epoch: epoch,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: records - 1,
        base_timestamp: NOW,
        max_timestamp: NOW + base_offset,
        producer_id: 7 << 40,
        producer_epoch: 1,
        base_sequence: 0,
        record_count: records,
    };
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(payload);
    let crc = floe_formats::checksum::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

pub(crate) fn slice(base_offset: Offset, epoch: LeaderEpoch, records: u32, payload: &[u8]) -> BatchSlice {
    BatchSlice {
        bytes: batch(base_offset, epoch, i32::try_from(records).expect("few records"), payload),
        base_offset,
        end_offset: base_offset + i64::from(records),
        max_timestamp: NOW + base_offset,
        records,
    }
}

pub(crate) fn meta(index: i32, base_offset: Offset) -> SegmentMeta {
    SegmentMeta { partition: partition(index), epoch: 7, base_offset, log_start: 0, events: vec![], producers: vec![] }
}

/// Two partitions, one of three batches in two blocks, one of events only.
pub(crate) fn shared_pack() -> BuiltPack {
    shared_pack_of(vec![PartitionEvent::Compaction { before: 98 }])
}

/// As [`shared_pack`], with these events behind those that version 1 knew.
fn shared_pack_of(more: Vec<PartitionEvent>) -> BuiltPack {
    let mut pack = PackBuilder::new(WRITER, PackKind::Shared, Incarnation(7), Some(SlotNumber(3))).block_target(150);
    let events = vec![PartitionEvent::EpochStart { epoch: 7, start: 100 }, PartitionEvent::LogStart { offset: 90 }];
    let events = [events, more].concat();
    let first = SegmentMeta { producers: producers(), events: events.clone(), log_start: 90, ..meta(0, 100) };
    let batches = vec![slice(100, 7, 2, b"aaaa"), slice(102, 7, 1, b"bbbb"), slice(103, 7, 5, b"cccc")];
    pack.add_segment(first, batches).expect("batches in order");
    pack.add_segment(SegmentMeta { events, ..meta(1, 55) }, vec![]).expect("events only");
    pack.finish(Some(WalPosition { generation: Generation(2), lsn: Lsn(4096) }), SlotNumber(2)).expect("a small footer")
}

pub(crate) fn small_pack(kind: PackKind, slot: Option<SlotNumber>) -> BuiltPack {
    let mut pack = PackBuilder::new(WRITER, kind, Incarnation(7), slot);
    pack.add_segment(meta(0, 10), vec![slice(10, 7, 3, b"some records")]).expect("one batch");
    pack.finish(None, SlotNumber(0)).expect("a small footer")
}

/// One segment in a compressed block.
pub(crate) fn compressed_pack(codec: BlockCodec) -> BuiltPack {
    let mut pack = PackBuilder::new(WRITER, PackKind::Own, Incarnation(7), Some(SlotNumber(4))).compression(codec);
    let batches = vec![slice(10, 7, 3, &[b'a'; 300]), slice(13, 7, 1, &[b'b'; 200])];
    pack.add_segment(meta(0, 10), batches).expect("in order");
    pack.finish(None, SlotNumber(0)).expect("a small footer")
}

/// A pack's payload in one piece, as the store gives it back.
pub(crate) fn whole(pack: &BuiltPack) -> Bytes {
    pack.payload.concat().into()
}

fn pack_sample(name: &'static str, pack: BuiltPack) -> Sample {
    let bytes = whole(&pack);
    let read = move |bytes: &Bytes| verify_pack(bytes).map(|(header, footer)| header.writer == WRITER && footer == pack.footer);
    Sample { name, bytes, read: Box::new(read) }
}

/// What an earlier version wrote of the same contents.
fn earlier_pack(name: &'static str, pack: BuiltPack) -> Sample {
    let read = move |bytes: &Bytes| {
        let is_earlier = |version| version < floe_formats::PACK_VERSION;
        verify_pack(bytes).map(|(header, footer)| is_earlier(header.version) && footer == pack.footer)
    };
    Sample { name, bytes: stored(name), read: Box::new(read) }
}

pub(crate) fn entry(lsn: u64, base_offset: Offset, payload: &[u8]) -> (EntryHeader, Bytes) {
    let batch = batch(base_offset, 7, 2, payload);
    let header = EntryHeader {
        lsn: Lsn(lsn),
        incarnation: Incarnation(7),
        generation: Generation(2),
        payload_len: u32::try_from(batch.len()).expect("payloads of tests are small"),
        synced: Lsn(lsn / 2),
        partition: partition(3),
        epoch: 7,
        epoch_start: 90,
        base_offset,
    };
    (header, batch)
}

pub(crate) const WAL_FILE: WalFileHeader = WalFileHeader { incarnation: Incarnation(7), start: Lsn(4096), generation: Generation(2) };

/// A file header and two entries.
pub(crate) fn wal_file() -> (Vec<(EntryHeader, Bytes)>, Bytes) {
    let first = entry(4096, 100, b"aaaa");
    let second = entry(first.0.end().0, 102, b"bbbbbbbb");
    let mut out = BytesMut::from(WAL_FILE.to_bytes().as_slice());
    for (header, batch) in [&first, &second] {
        wal_entry::append_entry(&mut out, header, batch).expect("a whole batch");
    }
    (vec![first, second], out.freeze())
}

fn wal_sample(name: &'static str) -> Sample {
    let (entries, bytes) = wal_file();
    let read = move |bytes: &Bytes| {
        let header = WalFileHeader::parse(bytes)?;
        let mut rest = &bytes[floe_formats::WAL_FILE_HEADER_LEN..];
        let mut same = header == WAL_FILE;
        for (expected, expected_batch) in &entries {
            let (entry, batch) = wal_entry::decode_entry(rest)?;
            same &= entry == *expected && batch == expected_batch;
            rest = &rest[usize::try_from(entry.total_len()).expect("small")..];
        }
        Ok(same && rest.is_empty())
    };
    Sample { name, bytes, read: Box::new(read) }
}
