//! An export holds no more than its budget, whatever it exports: every byte that it has allocated is counted, so that neither the
//! allocator's habits nor the machine's load say anything. What zstd allocates by itself, some MiB, is not seen here.

#[path = "exports/world.rs"]
#[expect(dead_code, reason = "the other test program uses all of it")]
mod world;

use async_trait::async_trait;
use bytes::Bytes;
use floe_env::Env;
use floe_export::{Export, ExportError, ExportOptions, Merged, Mode, Report};
use floe_objstore::{Backend, BackendError, ObjectInfo, Payload, Store, StoreOptions};
use floe_records::{Codec, Record};
use floe_types::TopicId;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use world::{World, record, run};

const MIB: usize = 1 << 20;

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that is ending has no counters any more, and nobody who reads them.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

fn signed(size: usize) -> isize {
    isize::try_from(size).expect("layouts are no larger")
}

#[expect(unsafe_code, reason = "a global allocator cannot be written without")]
// SAFETY: every call is passed on to `System` unchanged; counting touches thread-local cells only and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: as above; `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size) - signed(layout.size()));
        // SAFETY: as above; `at` came from `System`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A target that keeps of a file what an export reads again, so that only what the exporter holds is counted.
#[derive(Debug)]
struct Forgetful(Arc<dyn Backend>, Env);

#[async_trait]
impl Backend for Forgetful {
    async fn create(&self, key: &str, body: Payload) -> Result<(), BackendError> {
        // Long enough for every other partition that has room to build a file.
        self.1.sleep(Duration::from_secs(2)).await;
        let is_table = key.ends_with(".parquet") || key.ends_with(".pq");
        let kept = if is_table { Payload::from(Bytes::copy_from_slice(&body.start(64))) } else { body.clone() };
        // As long as the request takes, the body is held.
        let created = self.0.create(key, kept).await;
        drop(body);
        created
    }
    async fn get(&self, key: &str) -> Result<Bytes, BackendError> {
        // As over a network: the store's own bytes are nobody's memory here.
        Ok(Bytes::copy_from_slice(&self.0.get(key).await?))
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BackendError> {
        self.0.get_range(key, range).await
    }
    async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        self.0.get_start(key, len).await
    }
    async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        self.0.get_tail(key, len).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>, BackendError> {
        self.0.list(prefix, after, limit).await
    }
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BackendError> {
        self.0.list_folders(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<(), BackendError> {
        self.0.delete(key).await
    }
}

/// Exports the topic, and the most bytes that this held at once.
async fn peak_of(world: &World, options: ExportOptions) -> (Report, usize) {
    peak(world, options, async |export| export.run(|_| {}).await.expect("exported")).await
}

/// The same of a merge of what was exported.
async fn peak_of_merge(world: &World, options: ExportOptions) -> (Merged, usize) {
    peak(world, options, async |export| export.merge().await.expect("merged")).await
}

async fn peak<T>(world: &World, options: ExportOptions, work: impl AsyncFnOnce(&Export) -> T) -> (T, usize) {
    let env = world.env.process();
    let source = Store::new(env.clone(), world.source.backend(), StoreOptions::default());
    let target = Store::new(env.clone(), Arc::new(Forgetful(world.target.backend(), env.clone())), StoreOptions::default());
    let before = LIVE.get();
    PEAK.set(before);
    let export = Export::open(env.clone(), &source, "t", target, options).await.expect("opened");
    let done = work(&export).await;
    (done, usize::try_from(PEAK.get() - before).unwrap_or(0))
}

/// Text that compresses to half of it.
fn hex(seed: &mut u64, len: usize) -> Bytes {
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        *seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        text.extend_from_slice(format!("{:016x}", *seed ^ (*seed >> 29)).as_bytes());
    }
    text.truncate(len);
    text.into()
}

async fn produce(world: &mut World, topic: TopicId, (index, codec): (i32, Codec), values: impl IntoIterator<Item = Bytes>) {
    let records: Vec<Record> = values.into_iter().map(|value| Record { value: Some(value), ..record(Some("k"), None) }).collect();
    world.produce(topic, index, codec, &records).await;
    // Its copy would be all of the memory that this test takes.
    world.acknowledged.clear();
}

fn options(memory: usize, file: usize) -> ExportOptions {
    ExportOptions { memory_bytes: memory as u64, file_bytes: file as u64, parallel: 16, ..ExportOptions::default() }
}

fn check(what: &str, peak: usize, allowed: usize) {
    assert!(peak <= allowed, "{what}: {} MiB were held, {} are allowed", peak / MIB, allowed / MIB);
}

#[test]
fn many_partitions_of_plain_records_share_the_budget_and_without_one_they_do_not() {
    run(async {
        let (mut world, mut seed) = (World::new(1).await, 1);
        let topic = world.topic("t", 8, &[]).await;
        for _ in 0..20 {
            for index in 0..8 {
                let values: Vec<Bytes> = (0..800).map(|_| hex(&mut seed, 1000)).collect();
                produce(&mut world, topic, (index, Codec::None), values).await;
            }
        }
        let (report, peak) = peak_of(&world, options(64 * MIB, 8 * MIB)).await;
        assert_eq!(report.rows, 8 * 20 * 800);
        check("8 partitions of 16 MB", peak, 64 * MIB);
        world.target = floe_testkit::sim_store::SimStore::new(&world.env, floe_testkit::sim_store::SimFaults::none());
        let (_, peak) = peak_of(&world, options(4096 * MIB, 8 * MIB)).await;
        assert!(peak > 64 * MIB, "with enough memory all are at work at once, and it shows: {} MiB", peak / MIB);
    });
}

#[test]
fn large_values_are_held_within_the_budget() {
    run(async {
        let (mut world, mut seed) = (World::new(2).await, 2);
        let topic = world.topic("t", 2, &[]).await;
        for _ in 0..6 {
            for index in 0..2 {
                let value = hex(&mut seed, 10 * MIB);
                produce(&mut world, topic, (index, Codec::None), [value]).await;
            }
        }
        let (report, peak) = peak_of(&world, options(128 * MIB, 16 * MIB)).await;
        assert_eq!(report.rows, 12);
        check("values of 10 MiB", peak, 128 * MIB);
    });
}

#[test]
fn tiny_records_are_held_within_the_budget() {
    run(async {
        let mut world = World::new(3).await;
        let topic = world.topic("t", 2, &[]).await;
        for batch in 0..40 {
            let values: Vec<Bytes> = (0..5_000).map(|n| Bytes::from(format!("{}", batch * 5_000 + n))).collect();
            produce(&mut world, topic, (batch % 2, Codec::Zstd), values).await;
        }
        let (report, peak) = peak_of(&world, options(64 * MIB, 4 * MIB)).await;
        assert_eq!(report.rows, 200_000);
        check("200,000 tiny records", peak, 64 * MIB);
    });
}

#[test]
fn a_thousand_columns_are_held_within_the_budget() {
    run(async {
        let mut world = World::new(4).await;
        let topic = world.topic("t", 2, &[]).await;
        for batch in 0..20 {
            let values: Vec<Bytes> = (0..100)
                .map(|row| {
                    let fields: Vec<String> = (0..1000).map(|at| format!("\"field{at}\":{}", at * row + batch)).collect();
                    Bytes::from(format!("{{{}}}", fields.join(",")))
                })
                .collect();
            produce(&mut world, topic, (batch % 2, Codec::Lz4), values).await;
        }
        // A few fields of very many: rows that are short, and wide all the same.
        let short = (0..20_000).map(|row| Bytes::from(format!("{{\"field{}\":1}}", row % 1000)));
        produce(&mut world, topic, (0, Codec::Lz4), short).await;
        let (report, peak) = peak_of(&world, ExportOptions { mode: Some(Mode::Json), ..options(192 * MIB, 16 * MIB) }).await;
        assert_eq!(report.rows, 22_000);
        check("1,000 columns", peak, 192 * MIB);
    });
}

#[test]
fn few_bytes_that_become_very_much_take_turns() {
    run(async {
        let mut world = World::new(5).await;
        let topic = world.topic("t", 4, &[]).await;
        let numbers = Bytes::from(format!("{{\"list\":[{}0]}}", "0,".repeat(400_000)));
        let small = Bytes::from(format!("{{\"list\":[{}0]}}", "0,".repeat(100_000)));
        for _ in 0..2 {
            for index in 0..4 {
                produce(&mut world, topic, (index, Codec::Zstd), vec![numbers.clone(); 5]).await;
                produce(&mut world, topic, (index, Codec::Zstd), vec![small.clone(); 5]).await;
                produce(&mut world, topic, (index, Codec::Zstd), [Bytes::from(vec![b' '; 48 * MIB])]).await;
            }
        }
        let mode = |mode, memory| ExportOptions { mode: Some(mode), ..options(memory, 4 * MIB) };
        let (report, peak) = peak_of(&world, mode(Mode::Raw, 128 * MIB)).await;
        assert_eq!(report.rows, 4 * 2 * 11);
        // A value of 48 MiB four times: decompressed, as a row, as a page, and compressed.
        check("48 MiB in some KiB", peak, (128 + 4 * 48) * MIB);
        world.target = floe_testkit::sim_store::SimStore::new(&world.env, floe_testkit::sim_store::SimFaults::none());
        let (_, peak) = peak_of(&world, mode(Mode::Json, 128 * MIB)).await;
        check("lists of very many numbers", peak, (128 + 5 * 48) * MIB);
    });
}

#[test]
fn small_files_are_merged_within_the_budget_and_without_one_they_are_not() {
    run(async {
        let (mut world, mut seed) = (World::new(6).await, 6);
        let topic = world.topic("t", 1, &[]).await;
        for round in 0..60 {
            let values: Vec<Bytes> = (0..1_000).map(|_| hex(&mut seed, 1_000)).collect();
            produce(&mut world, topic, (0, Codec::None), values).await;
            if round % 20 == 7 {
                // Among many small ones some that are large, and some that are only once they are read.
                let large = hex(&mut seed, 2 * MIB);
                produce(&mut world, topic, (0, Codec::Zstd), [large, Bytes::from(vec![b' '; 6 * MIB]), Bytes::from(vec![b'x'; 6 * MIB])])
                    .await;
            }
        }
        // Some KiB that are 60 MiB.
        for _ in 0..12 {
            produce(&mut world, topic, (0, Codec::Zstd), vec![Bytes::from(vec![b' '; MIB]); 5]).await;
        }
        assert!(world.export(options(256 * MIB, MIB)).await.expect("exported").files > 30);
        let (merged, peak) = peak_of_merge(&world, options(64 * MIB, 64 * MIB)).await;
        assert!(merged.sources > 30 && merged.merged < 5, "{merged:?}");
        check("60 MB in small files", peak, 64 * MIB);
        for key in world.target.peek_keys("_floe").into_iter().filter(|key| key.contains("/list/") || key.contains("/merged/")) {
            world.target.uproot(&key);
        }
        let (merged, peak) = peak_of_merge(&world, options(1024 * MIB, 256 * MIB)).await;
        assert_eq!(merged.merged, 1);
        assert!(peak > 40 * MIB, "with enough memory it is one file, and it shows: {} MiB", peak / MIB);
    });
}

#[test]
fn a_thousand_columns_are_merged_within_the_budget() {
    run(async {
        let mut world = World::new(7).await;
        let topic = world.topic("t", 1, &[]).await;
        let json = |memory, file| ExportOptions { mode: Some(Mode::Json), ..options(memory, file) };
        for batch in 0..10 {
            let values: Vec<Bytes> = (0..40)
                .map(|row| {
                    let fields: Vec<String> = (0..1000).map(|at| format!("\"field{at}\":{}", at * row + batch)).collect();
                    Bytes::from(format!("{{{}}}", fields.join(",")))
                })
                .collect();
            produce(&mut world, topic, (0, Codec::Lz4), values).await;
            let short = (0..1_000).map(|row| Bytes::from(format!("{{\"field{}\":1}}", row % 1000)));
            produce(&mut world, topic, (0, Codec::Lz4), short).await;
            world.export(json(256 * MIB, 4 * MIB)).await.expect("exported");
        }
        let (merged, peak) = peak_of_merge(&world, json(192 * MIB, 64 * MIB)).await;
        assert!(merged.sources >= 10 && merged.merged == 1, "{merged:?}");
        check("1,000 columns in small files", peak, 192 * MIB);
    });
}

#[test]
fn columns_that_most_files_have_not_are_merged_within_the_budget() {
    run(async {
        let mut world = World::new(8).await;
        let topic = world.topic("t", 1, &[]).await;
        let json = |memory, file| ExportOptions { mode: Some(Mode::Json), ..options(memory, file) };
        for round in 0..10 {
            // A hundred columns that no other file has values for, in very many rows that are short, and a field that is null or a text.
            let values = (0..3_000).map(|row| match row % 100 {
                0 => Bytes::from(format!("{{\"field{}\":{row},\"text\":\"{}\"}}", round * 100 + row / 100, "x".repeat(2_000))),
                _ => Bytes::from(format!("{{\"field{}\":{row},\"text\":null}}", round * 100 + row % 100)),
            });
            produce(&mut world, topic, (0, Codec::Lz4), values).await;
            world.export(json(256 * MIB, 16 * MIB)).await.expect("exported");
        }
        let (merged, peak) = peak_of_merge(&world, json(192 * MIB, 64 * MIB)).await;
        assert!(merged.sources >= 10 && merged.merged == 1, "{merged:?}");
        check("30,000 rows of 1,000 columns, nearly all of them null", peak, 192 * MIB);
    });
}

#[test]
fn five_thousand_columns_and_two_hundred_levels_are_refused_within_the_budget() {
    run(async {
        let mut world = World::new(9).await;
        let topic = world.topic("t", 1, &[]).await;
        produce(&mut world, topic, (0, Codec::Lz4), [Bytes::from_static(b"{}")]).await;
        let all = |each: fn(usize) -> String, between: &str| (0..5_000).map(each).collect::<Vec<_>>().join(between);
        let avro = format!(r#"{{"type":"record","name":"W","fields":[{}]}}"#, all(|n| format!(r#"{{"name":"f{n}","type":"int"}}"#), ","));
        let deep_avro = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(200), "}".repeat(200));
        let proto = format!("message W {{ {} }}", all(|n| format!("int32 f{n} = {};", n + 1), " "));
        let deep_proto = (0..200).map(|n| format!("message M{n} {{ M{} a = 1; }}\n", n + 1)).collect::<String>();
        let deep_proto = deep_proto + "message M200 { int32 a = 1; }";
        let json = format!("{{\"properties\": {{{}}}}}", all(|n| format!("\"f{n}\": {{\"type\": \"integer\"}}"), ","));
        for (mode, schema, whys) in [
            (Mode::Avro, avro, &["columns"][..]),
            (Mode::Avro, deep_avro, &["levels", "recursion"]),
            (Mode::Protobuf, proto, &["columns"]),
            (Mode::Protobuf, deep_proto, &["levels"]),
            (Mode::Json, json, &["columns"]),
        ] {
            let options = ExportOptions { mode: Some(mode), schemas: vec![(None, schema.into_bytes())], ..options(64 * MIB, 4 * MIB) };
            let (refused, peak) = peak(&world, options, async |export| export.run(|_| {}).await.expect_err("refused")).await;
            let is_told = matches!(&refused, ExportError::Refused(why) if whys.iter().any(|part| why.contains(part)));
            assert!(is_told, "{mode:?}: {refused}");
            check("a schema that is refused", peak, 64 * MIB);
        }
        assert!(world.target.peek_keys("").is_empty(), "nothing is decided yet");
        // As values they are errors of their rows.
        for batch in 0..4 {
            let wide = |row: usize| (0..5_000).map(|at| format!("\"f{at}_{row}\":{at}")).collect::<Vec<_>>().join(",");
            let values = (0..10).map(|row| Bytes::from(format!("{{{}}}", wide(batch * 10 + row))));
            produce(&mut world, topic, (0, Codec::Lz4), values).await;
            let deep = Bytes::from(format!("{{\"deep\":{}{}}}", "[".repeat(200), "]".repeat(200)));
            produce(&mut world, topic, (0, Codec::Lz4), vec![deep; 10]).await;
        }
        let (report, peak) = peak_of(&world, ExportOptions { mode: Some(Mode::Json), ..options(192 * MIB, 16 * MIB) }).await;
        assert_eq!(report.rows, 81);
        check("values of 5,000 fields and of 200 levels", peak, 192 * MIB);
    });
}

/// `depth` levels of something within itself.
fn nested(open: impl Fn(usize) -> String, inner: &str, close: &str, depth: usize) -> String {
    (0..depth).map(open).collect::<String>() + inner + &close.repeat(depth)
}

#[test]
fn schemas_of_5000_columns_or_200_levels_are_refused_with_the_reason_and_take_little_memory() {
    let many = |field: &dyn Fn(usize) -> String, between: &str| (0..5_000).map(field).collect::<Vec<_>>().join(between);
    let avro = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let deep_avro = |n| format!(r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":"#);
    let deep_proto: String = (0..200).map(|n| format!("message M{n} {{ M{} a = 1; }}\n", n + 1)).collect();
    let schemas = [
        (Mode::Avro, avro(&many(&|n| format!(r#"{{"name":"f{n}","type":"int"}}"#), ",")), "5000 columns"),
        (Mode::Avro, nested(deep_avro, r#""int""#, "}]}", 200), "levels"),
        (Mode::Json, format!(r#"{{"properties":{{{}}}}}"#, many(&|n| format!(r#""f{n}":{{"type":"integer"}}"#), ",")), "5000 columns"),
        (Mode::Protobuf, format!("message M {{ {} }}", many(&|n| format!("int32 f{n} = {};", n + 1), " ")), "5000 columns"),
        (Mode::Protobuf, format!("{deep_proto} message M200 {{ int32 a = 1; }}"), "levels"),
    ];
    run(async {
        let world = World::new(8).await;
        world.topic("t", 1, &[]).await;
        for (mode, schema, why) in schemas {
            let options = ExportOptions { mode: Some(mode), schemas: vec![(None, schema.into_bytes())], ..options(64 * MIB, 4 * MIB) };
            let before = LIVE.get();
            PEAK.set(before);
            let refused = world.export(options).await.expect_err("refused");
            assert!(matches!(&refused, ExportError::Refused(said) if said.contains(why)), "{mode:?}: {refused} does not say {why}");
            check(why, usize::try_from(PEAK.get() - before).unwrap_or(0), 16 * MIB);
        }
    });
}

#[test]
fn values_of_5000_columns_or_200_levels_are_kept_and_take_little_memory() {
    run(async {
        let mut world = World::new(9).await;
        let topic = world.topic("t", 1, &[]).await;
        let wide = format!("{{{}}}", (0..5_000).map(|n| format!("\"f{n}\":{n}")).collect::<Vec<_>>().join(","));
        let levels = |depth| nested(|_| "{\"a\":".to_owned(), "1", "}", depth);
        let values = [wide, levels(200), levels(20_000), "{\"f0\":1}".to_owned()];
        produce(&mut world, topic, (0, Codec::None), values.map(Bytes::from)).await;
        let (report, peak) = peak_of(&world, ExportOptions { mode: Some(Mode::Json), ..options(192 * MIB, 16 * MIB) }).await;
        assert_eq!(report.rows, 4);
        // As much as a thousand columns take, which is what the wide one becomes.
        check("wide and deep values", peak, 192 * MIB);
    });
}
