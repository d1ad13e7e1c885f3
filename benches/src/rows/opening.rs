//! Row E6 of the cluster's list: a thousand partitions with long histories are opened from the shaped store (C6).

use super::Bench;
use super::failover::write_once;
use super::history::store_of;
use crate::candidate::Candidate;
use crate::cluster::{Cluster, Store};
use crate::http;
use crate::requests::{self, Connection};
use anyhow::{Context, bail};
use floe_formats::{End, EpochStart, Manifest, ManifestPage, PackRef, PartitionIndex, SegmentRef, Ulid, Writer, keys};
use floe_objstore::{Backend, Payload, S3Backend};
use floe_types::{Incarnation, PartitionId, WriteId};
use futures::stream::{StreamExt, TryStreamExt};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const TOPIC: &str = "opened";
/// Segments that a page names, and those that the manifest names itself.
const OF_A_PAGE: usize = 4096;
const NEWEST: usize = 100;
const EPOCH: i32 = 1;
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(120);

/// Seconds from the start of the broker until it leads all of them, and what the store was asked meanwhile.
pub(crate) fn opening(bench: &mut Bench) -> anyhow::Result<()> {
    let (partitions, segments) = (i32::try_from(bench.sized(1_000, 100))?, i64::try_from(bench.sized(10_000, 1_000))?);
    let mut cluster = Cluster::start_some(bench, (Candidate::Floe, 1), Store::Shaped, &["floe.disk.cache.bytes=0"])?;
    let url = cluster.store_url()?.to_owned();
    http::post(&url, "/_control", r#"{"shaped": false}"#)?;
    cluster.create_topic(TOPIC, partitions, &[])?;
    write_once(&cluster.bootstrap(), &[TOPIC.to_owned()], partitions)?;
    let node = cluster.nodes.first_mut().context("there is one")?;
    node.process()?.ask_to_end()?;
    node.wait()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(settle(&url, segments))?;
    http::post(&url, "/_control", r#"{"shaped": true}"#)?;
    http::post(&url, "/_control", "\"reset_stats\"")?;
    let began = Instant::now();
    node.spawn()?;
    until_led(node.address, partitions, began)?;
    let seconds = began.elapsed().as_secs_f64();
    let stats: serde_json::Value = serde_json::from_str(&http::get(&url, "/_stats")?)?;
    let requests = stats["requests"].as_object().context("no requests in the stats")?;
    let all: u64 = requests.values().filter_map(serde_json::Value::as_u64).sum();
    bench.add("C6", "floe", "s", seconds);
    bench.add("C6", "floe: requests for each partition", "", all as f64 / f64::from(partitions));
    for (operation, count) in requests {
        bench.add("C6", &format!("floe: {operation}"), "requests", count.as_f64().unwrap_or(0.0));
    }
    cluster.end()
}

fn until_led(address: std::net::SocketAddr, partitions: i32, began: Instant) -> anyhow::Result<()> {
    let mut missing: BTreeSet<i32> = (0..partitions).collect();
    let mut connection = None;
    while !missing.is_empty() {
        if began.elapsed() > PATIENCE {
            bail!("{} partitions are not led", missing.len());
        }
        std::thread::sleep(Duration::from_millis(5));
        let Some(open) = connection.as_mut() else {
            connection = Connection::open(address).ok();
            continue;
        };
        let wanted: Vec<i32> = missing.iter().copied().collect();
        for partition in requests::told_ends(&open.call(&requests::ends(TOPIC, &wanted)?)?)? {
            missing.remove(&partition);
        }
    }
    Ok(())
}

/// As if an owner had settled so many segments of each partition: manifests with pages as brokers write them, and an `end` that lists none of it any more.
async fn settle(url: &str, segments: i64) -> anyhow::Result<()> {
    let store = store_of(url).await?;
    let chain = Incarnation(1);
    let mut end = floe_formats::decode::<End>(&store.get(&keys::end(chain)).await?)?.1;
    for line in end.index.partitions.iter_mut().filter(|line| line.end == 1) {
        (line.segments, line.manifest, line.end) = (vec![], Some(1), segments);
    }
    let ids: Vec<PartitionId> = end.index.partitions.iter().filter(|line| line.end == segments).map(|line| line.partition).collect();
    anyhow::ensure!(!ids.is_empty(), "nothing was written");
    let writer = Writer { write_id: WriteId(7), incarnation: chain, revision: 0 };
    futures::stream::iter(ids)
        .map(|id| {
            let store = &store;
            async move { write_manifest(store, &writer, id, segments).await }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    store.delete(&keys::end(chain)).await?;
    put(&store, &keys::end(chain), Payload::from(floe_formats::encode(&writer, &end))).await
}

async fn write_manifest(store: &S3Backend, writer: &Writer, id: PartitionId, count: i64) -> anyhow::Result<()> {
    let segment = |offset: i64| SegmentRef {
        pack: PackRef::Own { partition: id, epoch: EPOCH, ulid: Ulid(u128::from(offset.unsigned_abs())) },
        pack_len: 1_000,
        footer_len: 200,
        base_offset: offset,
        end_offset: offset + 1,
        epoch: EPOCH,
        max_timestamp: 1_000_000 + offset,
        bytes: 100,
    };
    let mut segments: Vec<SegmentRef> = (0..count).map(segment).collect();
    let newest = segments.split_off(segments.len().saturating_sub(NEWEST));
    let mut pages = Vec::new();
    for (run, name) in segments.chunks(OF_A_PAGE).zip(1_u128 << 64..) {
        let page = ManifestPage { partition: id, epoch: EPOCH, ulid: Ulid(name), segments: run.to_vec() };
        put(store, &page.to_ref().key(id), Payload::from(floe_formats::encode(writer, &page))).await?;
        pages.push(page.to_ref());
    }
    let snapshot = PartitionIndex {
        partition: id,
        epoch: EPOCH,
        epochs: vec![EpochStart { epoch: EPOCH, start: 0 }],
        log_start: 0,
        end: count,
        segments: vec![],
        producers: vec![],
        manifest: None,
    };
    let by = writer.incarnation;
    let manifest = Manifest { partition: id, version: 1, epoch: EPOCH, by, log_start: 0, segments: newest, snapshot, compacted: 0, pages };
    put(store, &keys::manifest(id, 1), Payload::from(floe_formats::encode(writer, &manifest))).await
}

async fn put(store: &S3Backend, key: &str, body: Payload) -> anyhow::Result<()> {
    store.create(key, body).await.with_context(|| key.to_owned())
}
