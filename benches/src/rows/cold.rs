//! H5: the first record of a cold offset, and of a cold time, in a partition with a hundred thousand segments.

use super::Bench;
use super::history::store_of;
use crate::candidate::{self, Broker};
use crate::http;
use crate::load::{self, Load};
use crate::requests::{self, Connection};
use anyhow::Context;
use bytes::Bytes;
use floe_formats::{
    BatchSlice, End, EpochStart, Manifest, ManifestPage, PackBuilder, PackKind, PackRef, PartitionIndex, SegmentMeta, SegmentRef, Ulid,
    Writer, keys,
};
use floe_objstore::{Backend, Payload, S3Backend};
use floe_records::{BatchBuilder, Codec};
use floe_types::{Incarnation, SlotNumber, WriteId};
use std::time::{Duration, Instant};

const TOPIC: &str = "cold";
/// Each in a broker of its own: nothing is warm but the store.
const PROBES: u32 = 8;
/// Time of the first segment's record; one a second.
const FIRST_MS: i64 = 1_000_000;
const RAW: u32 = 40;
/// Segments that a page names, and those that the manifest names itself.
const OF_A_PAGE: usize = 4096;
const NEWEST: usize = 100;

/// Milliseconds from the request to the record, and those of a plain small GET of the same store.
pub(crate) fn lookups(bench: &mut Bench) -> anyhow::Result<()> {
    let data = bench.fresh("floe")?;
    let (store, url) = candidate::start_store(&bench.programs, true)?;
    http::post(&url, "/_control", r#"{"shaped": false}"#)?;
    let mut settings = candidate::store_settings(&url);
    settings.push("floe.disk.cache.bytes=0".to_owned());
    let broker = candidate::start_floe(&bench.programs, &data, &settings)?;
    load::create_topic(&broker.bootstrap(), TOPIC, 1, &[])?;
    let segments = bench.sized(100_000, 10_000);
    load::produce(&broker.bootstrap(), &Load { topic: TOPIC, partitions: 1, records: segments, codec: "none", settings: &[] })?;
    broker.process.terminate()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let probes = runtime.block_on(settle_each(&url, i64::try_from(segments)?))?;
    http::post(&url, "/_control", r#"{"shaped": true}"#)?;
    for offset in probes {
        for by_time in [false, true] {
            let broker = candidate::start_floe(&bench.programs, &data, &settings)?;
            let ms = look_up(&broker, offset, by_time)?;
            bench.add("H5", if by_time { "by time" } else { "by offset" }, "ms", ms);
            broker.process.terminate()?;
        }
    }
    bench.add("H5", "small GET", "ms", runtime.block_on(small_get(&url))?);
    drop(store);
    std::fs::remove_dir_all(data)?;
    Ok(())
}

fn look_up(broker: &Broker, offset: i64, by_time: bool) -> anyhow::Result<f64> {
    let mut connection = Connection::open(broker.address)?;
    // What a start does beside serving is not part of it.
    std::thread::sleep(Duration::from_secs(1));
    let began = Instant::now();
    let found = if by_time {
        requests::found_offset(&connection.call(&requests::offset_for_time(TOPIC, 0, FIRST_MS + 1_000 * offset - 500)?)?)?
    } else {
        requests::first_batch(&connection.call(&requests::fetch(TOPIC, 0, offset, 100_000)?)?)?
    };
    let took = began.elapsed();
    anyhow::ensure!(found == offset, "{offset} was asked for, {found} found");
    Ok(took.as_secs_f64() * 1e3)
}

/// As if an owner had settled every record by itself: a manifest of so many segments, by pages as brokers write them, the
/// packs that will be looked at, and an `end` that lists none of it any more.
async fn settle_each(url: &str, count: i64) -> anyhow::Result<Vec<i64>> {
    let store = store_of(url).await?;
    let mut end = end_of_first(&store).await?;
    let line = end.index.partitions.iter_mut().find(|line| line.end == count).context("no partition has so many records")?;
    (line.segments, line.manifest) = (vec![], Some(1));
    let id = line.partition;
    let step = count / i64::from(PROBES + 1);
    let probes: Vec<i64> = (1..=i64::from(PROBES)).map(|n| n * step).collect();
    let writer = Writer { write_id: WriteId(7), incarnation: Incarnation(1), revision: 0 };
    let mut segments: Vec<SegmentRef> = Vec::new();
    for offset in 0..count {
        let mut pack = PackBuilder::new(writer, PackKind::Own, Incarnation(1), None);
        let meta = SegmentMeta { partition: id, epoch: 1, base_offset: offset, log_start: 0, events: vec![], producers: vec![] };
        pack.add_segment(meta, vec![batch(offset)?])?;
        let built = pack.finish(None, SlotNumber(0))?;
        let stored = PackRef::Own { partition: id, epoch: 1, ulid: Ulid(u128::from(offset.unsigned_abs())) };
        if probes.contains(&offset) {
            put(&store, &stored.key(), Payload::from(built.payload.clone())).await?;
        }
        segments.extend(built.segment_refs(stored).map(|(_, segment)| segment));
    }
    let snapshot = PartitionIndex {
        partition: id,
        epoch: 1,
        epochs: vec![EpochStart { epoch: 1, start: 0 }],
        log_start: 0,
        end: count,
        segments: vec![],
        producers: vec![],
        manifest: None,
    };
    let newest = segments.split_off(segments.len().saturating_sub(NEWEST));
    let mut pages = Vec::new();
    for (run, name) in segments.chunks(OF_A_PAGE).zip(1_u128 << 64..) {
        let page = ManifestPage { partition: id, epoch: 1, ulid: Ulid(name), segments: run.to_vec() };
        put(&store, &page.to_ref().key(id), Payload::from(floe_formats::encode(&writer, &page))).await?;
        pages.push(page.to_ref());
    }
    let (by, compacted) = (Incarnation(1), 0);
    let manifest = Manifest { partition: id, version: 1, epoch: 1, by, log_start: 0, segments: newest, snapshot, compacted, pages };
    put(&store, &keys::manifest(id, 1), Payload::from(floe_formats::encode(&writer, &manifest))).await?;
    store.delete(&keys::end(Incarnation(1))).await?;
    put(&store, &keys::end(Incarnation(1)), Payload::from(floe_formats::encode(&writer, &end))).await?;
    Ok(probes)
}

fn batch(offset: i64) -> anyhow::Result<BatchSlice> {
    let timestamp = FIRST_MS + 1_000 * offset;
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(timestamp, None, Some(b"settled"))?;
    let mut bytes = builder.build().to_vec();
    floe_records::stamp(&mut bytes, offset, 1);
    Ok(BatchSlice { bytes: Bytes::from(bytes), base_offset: offset, end_offset: offset + 1, max_timestamp: timestamp, records: 1 })
}

/// The `end` of the first chain.
async fn end_of_first(store: &S3Backend) -> anyhow::Result<End> {
    let end = store.get(&keys::end(Incarnation(1))).await?;
    Ok(floe_formats::decode::<End>(&end)?.1)
}

async fn put(store: &S3Backend, key: &str, body: Payload) -> anyhow::Result<()> {
    store.create(key, body).await.with_context(|| key.to_owned())
}

/// The median of small GETs, one after the other.
async fn small_get(url: &str) -> anyhow::Result<f64> {
    let store = store_of(url).await?;
    let key = keys::end(Incarnation(1));
    let mut took = Vec::new();
    for _ in 0..RAW {
        let began = Instant::now();
        store.get_range(&key, 0..64).await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    took.get(took.len() / 2).copied().context("nothing was measured")
}
