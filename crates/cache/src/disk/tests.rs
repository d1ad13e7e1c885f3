//! The cache on a simulated disk that crashes, fills up, fails, hangs and flips bits; a block that comes back is always the
//! one that was put there.

use super::*;
use floe_env::sim::{Latency, SimDisk};

const BLOCK: usize = 10_000;
const BUDGET: u64 = 1_600_000;

struct Machine {
    env: Env,
    disk: SimDisk,
}

impl Machine {
    fn new(seed: u64) -> Self {
        let env = Env::simulated(seed);
        Self { disk: SimDisk::new(&env), env }
    }

    fn start(&self, budget: u64) -> (Env, DiskCache) {
        let env = self.env.process();
        let options = DiskCacheOptions { dir: "cache".into(), budget, write_bytes_per_second: 1 << 30 };
        let cache = DiskCache::start(&env, Arc::new(self.disk.clone()), options);
        (env, cache)
    }

    /// Kill -9.
    async fn kill(&self, env: Env, cache: DiskCache) {
        env.abort_all();
        env.tasks_ended().await;
        drop(cache);
        self.disk.process_died();
    }

    async fn pass(&self, seconds: u64) {
        self.env.sleep(Duration::from_secs(seconds)).await;
    }

    /// Offers blocks `0..count`, no faster than they are taken.
    async fn fill(&self, cache: &DiskCache, blocks: std::ops::Range<u32>) {
        for n in blocks {
            cache.offer(&key(n), &block(n));
            self.env.sleep(Duration::from_millis(1)).await;
        }
        self.pass(1).await;
    }
}

fn key(n: u32) -> String {
    format!("chain/~01/slot/{n:08}@64")
}

fn block(n: u32) -> Bytes {
    Bytes::from(n.to_le_bytes().repeat(BLOCK / 4))
}

/// Which of the blocks are there; each is the one that was put there.
async fn found(cache: &DiskCache, blocks: std::ops::Range<u32>) -> Vec<u32> {
    let mut found = Vec::new();
    for n in blocks {
        if let Some(bytes) = cache.get(&key(n)).await {
            assert_eq!(bytes, block(n));
            found.push(n);
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_is_there_after_a_restart() {
    let machine = Machine::new(1);
    let (env, cache) = machine.start(BUDGET);
    assert_eq!(cache.get(&key(1)).await, None);
    machine.fill(&cache, 0..50).await;
    assert_eq!(found(&cache, 0..50).await.len(), 50);
    machine.kill(env, cache).await;
    let (_env, cache) = machine.start(BUDGET);
    machine.pass(1).await;
    assert_eq!(found(&cache, 0..50).await.len(), 50);
    machine.fill(&cache, 50..60).await;
    assert_eq!(found(&cache, 0..60).await.len(), 60);
    assert_eq!((cache.stats().hits, cache.stats().misses), (110, 0));
}

#[tokio::test(start_paused = true)]
async fn a_crash_and_flipped_bits_cost_blocks_and_never_give_wrong_ones() {
    let mut survived = 0;
    for seed in 0..20 {
        let machine = Machine::new(seed);
        let (env, cache) = machine.start(BUDGET);
        machine.fill(&cache, 0..50).await;
        env.abort_all();
        env.tasks_ended().await;
        drop(cache);
        machine.disk.crash();
        let (_env, cache) = machine.start(BUDGET);
        machine.pass(1).await;
        survived += found(&cache, 0..50).await.len();
        for _ in 0..5 {
            machine.disk.flip_random_bit("cache");
        }
        found(&cache, 0..50).await;
        machine.fill(&cache, 0..50).await;
        assert_eq!(found(&cache, 0..50).await.len(), 50, "what is not sound is taken anew");
    }
    assert!(survived > 0, "something survives a power loss");
}

#[tokio::test(start_paused = true)]
async fn t34_a_full_cache_removes_its_oldest_file_and_no_reader_waits_for_it() {
    let machine = Machine::new(1);
    let (_env, cache) = machine.start(BUDGET);
    machine.fill(&cache, 0..150).await;
    machine.disk.set_latency(Latency { write: Duration::from_secs(30), sync: Duration::from_secs(30), ..Latency::default() });
    (150..190).for_each(|n| cache.offer(&key(n), &block(n)));
    for _ in 0..100 {
        machine.pass(7).await;
        let began = machine.env.monotonic();
        found(&cache, 0..190).await;
        assert!(machine.env.monotonic() - began < Duration::from_millis(500), "190 reads behind a slow removal");
    }
    machine.disk.set_latency(Latency::default());
    // One call under way may take that long still.
    machine.pass(1000).await;
    machine.fill(&cache, 200..400).await;
    assert!(cache.stats().bytes <= BUDGET && machine.disk.used_bytes() <= BUDGET, "{:?}", cache.stats());
    let left = found(&cache, 0..400).await;
    assert!(left.len() > 100 && left.contains(&399) && !left.contains(&0), "the newest are there: {left:?}, {:?}", cache.stats());
}

#[tokio::test(start_paused = true)]
async fn another_size_keeps_what_fits_and_no_budget_is_passed() {
    let machine = Machine::new(1);
    let (env, cache) = machine.start(BUDGET);
    machine.fill(&cache, 0..140).await;
    machine.kill(env, cache).await;
    for (budget, least) in [(BUDGET / 4, 20), (BUDGET / 100, 0), (BUDGET * 4, 0)] {
        let (env, cache) = machine.start(budget);
        machine.pass(1).await;
        let left = found(&cache, 0..140).await;
        assert!(left.len() >= least && left.last().is_none_or(|last| *last == 139), "{budget}: {left:?}");
        assert!(machine.disk.used_bytes() <= budget, "{budget}");
        machine.fill(&cache, 1000..1100).await;
        assert!(machine.disk.used_bytes() <= budget, "{budget}");
        machine.kill(env, cache).await;
    }
}

#[tokio::test(start_paused = true)]
async fn its_files_may_be_deleted_at_any_time() {
    let machine = Machine::new(1);
    let delete = async || {
        for file in machine.disk.list("cache").await.expect("it is there") {
            machine.disk.remove(&format!("cache/{}", file.name)).await.expect("removed");
        }
        machine.disk.remove("cache").await.expect("removed");
    };
    let (env, cache) = machine.start(BUDGET);
    machine.fill(&cache, 0..50).await;
    delete().await;
    machine.fill(&cache, 50..100).await;
    found(&cache, 0..100).await;
    assert!(cache.get(&key(99)).await.is_some(), "it goes on");
    delete().await;
    machine.kill(env, cache).await;
    let (_env, cache) = machine.start(BUDGET);
    machine.pass(1).await;
    assert_eq!(found(&cache, 0..100).await, [] as [u32; 0]);
    machine.fill(&cache, 0..10).await;
    assert_eq!(found(&cache, 0..10).await.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_is_full_or_hangs_is_left_alone_for_a_while() {
    let machine = Machine::new(1);
    let (_env, cache) = machine.start(BUDGET);
    machine.fill(&cache, 0..10).await;
    machine.disk.fail_writes("cache", 1);
    machine.fill(&cache, 10..20).await;
    machine.pass(11).await;
    machine.fill(&cache, 20..30).await;
    assert!(found(&cache, 0..30).await.len() >= 20, "{:?}", cache.stats());
    machine.disk.set_capacity(Some(machine.disk.used_bytes() + 15_000));
    machine.fill(&cache, 30..40).await;
    machine.disk.set_capacity(None);
    machine.pass(11).await;
    machine.fill(&cache, 30..40).await;
    assert_eq!(found(&cache, 30..40).await.len(), 10);
    machine.disk.set_latency(Latency { read: Duration::from_secs(3600), ..Latency::default() });
    let began = machine.env.monotonic();
    for n in 0..40 {
        cache.get(&key(n)).await;
    }
    assert!(machine.env.monotonic() - began < Duration::from_secs(5), "the first read was waited for, the others were not made");
}

#[tokio::test(start_paused = true)]
async fn more_than_it_can_take_is_dropped_and_the_offer_never_waits() {
    let machine = Machine::new(1);
    let env = machine.env.process();
    let options = DiskCacheOptions { dir: "cache".into(), budget: 1 << 30, write_bytes_per_second: 1_000_000 };
    let cache = DiskCache::start(&env, Arc::new(machine.disk.clone()), options);
    (0..5000).for_each(|n| cache.offer(&key(n), &block(n)));
    machine.pass(1).await;
    let stats = cache.stats();
    assert!(stats.entries >= 100 && stats.entries <= 110, "a second's worth: {stats:?}");
    assert_eq!(stats.dropped, 5000 - stats.entries as u64);
    let (tiny_env, tiny) = machine.start(1000);
    tiny.offer(&key(1), &block(1));
    machine.pass(1).await;
    assert_eq!((tiny.get(&key(1)).await, tiny.stats().bytes), (None, 0), "it does not fit");
    drop(tiny_env);
}
