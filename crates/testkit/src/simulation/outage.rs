//! The store is gone for a simulated hour while clients go on producing.
//!
//! `local` records are acknowledged until the WAL's budget is full, `object` records not at all; then there is
//! back-pressure and nothing grows: not the disk, not what the engine counts, not the memory of the process, although
//! every client gives up on its requests after a second and sends them again. When the store is back everything drains.
//! A seed decides whether requests are turned away or never answered, and whether the broker loses its power in the last minute.
//! What it leaves out: sockets and Kafka's protocol; `tests/e2e` takes a store away from a whole process.

use super::world::World;
use crate::sim_store::SimFaults;
use floe_log::{Durability, EngineOptions, EngineStatus};
use floe_types::{Offset, PartitionId};
use std::collections::BTreeMap;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
/// What was on its way when the store went has arrived, or never will.
const SETTLED: Duration = Duration::from_secs(10);
/// Between two attempts of each client.
const TICK_MS: u64 = 400;
/// After so long clients give up on their requests, connect anew and send everything again: impatient ones, so that what each
/// of them leaves behind adds up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
const WAL_BUDGET: u64 = 16 << 20;
const WAL_FILE: u64 = 1 << 20;
/// Files beside the budget: the one that is written and the next, and spares of up to a quarter of the budget.
const DISK_BUDGET: u64 = WAL_BUDGET + 2 * WAL_FILE + WAL_BUDGET / 4 + (64 << 10);
const TAIL: u64 = 2 << 20;
const OBJECT_UNFLUSHED: u64 = 1 << 20;

/// What an hour without the store came to. Bytes are those of the process, as the caller's `memory` counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hour {
    /// Until the WAL took nothing more.
    pub full_after: Duration,
    /// Acknowledged within the hour, on the disk's word.
    pub acknowledged: u64,
    /// Appends that were told to come back later.
    pub refused: u64,
    /// At the moment when the WAL was full, and the most from then on.
    pub memory_when_full: u64,
    pub memory_at_most: u64,
}

/// Lives through the hour from a seed; `memory` tells how many bytes are allocated now.
///
/// # Errors
/// The promise that was broken.
///
/// # Panics
/// The runtime cannot be made.
pub fn hour_without_store(seed: u64, memory: fn() -> u64) -> Result<Hour, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O");
    runtime.block_on(async {
        let mut world = World::new(seed);
        world.options = options();
        Box::pin(world.hour(seed, memory)).await
    })
}

fn options() -> EngineOptions {
    EngineOptions {
        wal_budget: WAL_BUDGET,
        wal_file_bytes: WAL_FILE,
        tail_bytes: TAIL,
        object_unflushed_bytes: OBJECT_UNFLUSHED,
        flush_bytes: 256 << 10,
        pack_bytes: 512 << 10,
        own_pack_bytes: 256 << 10,
        cache_bytes: 1 << 20,
        ..EngineOptions::default()
    }
}

impl World {
    async fn hour(&mut self, seed: u64, memory: fn() -> u64) -> Result<Hour, String> {
        self.store.set_faults(SimFaults { way_ms: 1..20, ..SimFaults::none() });
        self.start().await?;
        self.create_topic_with(Durability::Local, 2).await?;
        self.create_topic_with(Durability::Object, 1).await?;
        for _ in 0..50 {
            self.everybody_sends().await?;
        }
        if self.acknowledged_by_store == 0 || self.acknowledged_by_disk == 0 {
            return Err("nothing was acknowledged while the store was there".into());
        }
        self.store.set_available(false);
        if seed.is_multiple_of(2) {
            self.store.set_faults(SimFaults { way_ms: 10_000_000..10_000_001, ..SimFaults::none() });
        }
        self.env.sleep(SETTLED).await;
        self.hear_answers().await?;
        let hour = self.without_store(memory).await?;
        if seed % 4 >= 2 {
            self.kill(true).await;
        }
        self.store.set_faults(SimFaults { way_ms: 1..20, ..SimFaults::none() });
        self.store.set_available(true);
        if self.broker.is_none() {
            self.start().await?;
        }
        self.backlog_drains().await?;
        self.finish().await?;
        Ok(hour)
    }

    async fn without_store(&mut self, memory: fn() -> u64) -> Result<Hour, String> {
        let (began, mut next_timeout) = (self.env.monotonic(), self.env.monotonic() + REQUEST_TIMEOUT);
        let (by_store, by_disk) = (self.acknowledged_by_store, self.acknowledged_by_disk);
        let from = self.committed_now();
        let mut hour = Hour::default();
        while self.env.monotonic() < began + HOUR {
            self.everybody_sends().await?;
            if self.env.monotonic() < next_timeout {
                continue;
            }
            next_timeout = self.env.monotonic() + REQUEST_TIMEOUT;
            self.disconnect();
            let status = self.status()?;
            check_budgets(&status, self.machines[self.current].disk.used_bytes())?;
            // The last room is too small for the larger batches, and has to be used up by the smaller ones.
            if hour.full_after.is_zero() && status.wal_bytes + 64_000 > WAL_BUDGET {
                self.check_readable(&from).await?;
                hour.full_after = self.env.monotonic() - began;
                hour.memory_when_full = memory();
            }
            if !hour.full_after.is_zero() {
                hour.memory_at_most = hour.memory_at_most.max(memory());
            }
        }
        if hour.full_after.is_zero() {
            return Err(format!("the WAL's budget did not fill in an hour: {:?}", self.status()?));
        }
        if self.acknowledged_by_store != by_store {
            return Err("object records were acknowledged without a store".into());
        }
        self.check_readable(&from).await?;
        hour.acknowledged = self.acknowledged_by_disk - by_disk;
        hour.refused = self.coverage.steps.get("append: refused for room").copied().unwrap_or(0);
        Ok(hour)
    }

    /// One round of all clients: each sends what it has, and hears what has come.
    async fn everybody_sends(&mut self) -> Result<(), String> {
        for at in 0..self.producers.len() {
            self.send(at)?;
        }
        self.env.sleep(Duration::from_millis(TICK_MS)).await;
        self.hear_answers().await?;
        match self.check_ended()? {
            true => Err("the broker ended".into()),
            false => Ok(()),
        }
    }

    fn status(&self) -> Result<EngineStatus, String> {
        self.broker.as_ref().map(|broker| broker.engine.status()).ok_or_else(|| "there is no broker".into())
    }

    fn committed_now(&self) -> BTreeMap<PartitionId, Offset> {
        let local = self.topics.iter().filter(|(_, durability)| **durability == Durability::Local);
        local.filter_map(|(id, _)| Some((*id, self.partition(*id)?.offsets().committed))).collect()
    }

    /// What was committed without the store is served without it, from memory or from the WAL.
    async fn check_readable(&mut self, from: &BTreeMap<PartitionId, Offset>) -> Result<(), String> {
        for (id, from) in from {
            let partition = self.partition(*id).ok_or("a partition is gone")?;
            let reading = self.read(&partition, *from).await?;
            let values = reading.ok_or_else(|| format!("{id}: its tail cannot be read without the store"))?.values;
            if values.len() as Offset != partition.offsets().committed - from {
                return Err(format!("{id}: {} records from {from} on", values.len()));
            }
            self.history.read(*id, *from, &values)?;
        }
        Ok(())
    }

    /// Clients go on for a minute; then they wait for their answers, and the engine for nothing any more.
    async fn backlog_drains(&mut self) -> Result<(), String> {
        let by_store = self.acknowledged_by_store;
        for _ in 0..150 {
            self.everybody_sends().await?;
        }
        if self.acknowledged_by_store == by_store {
            return Err("object records are still not acknowledged with the store back".into());
        }
        self.env.sleep(Duration::from_secs(60)).await;
        let status = self.status()?;
        if status.unflushed_batches > 0 || status.unplanned_bytes > 0 || status.wal_bytes > 0 {
            return Err(format!("a minute after the last record something is not flushed: {status:?}"));
        }
        Ok(())
    }
}

/// What the engine counts stays within what it was told, and so does its disk.
fn check_budgets(status: &EngineStatus, disk_bytes: u64) -> Result<(), String> {
    if status.wal_bytes > WAL_BUDGET || disk_bytes > DISK_BUDGET {
        return Err(format!("the WAL takes {} bytes, the disk {disk_bytes}", status.wal_bytes));
    }
    // What memory alone holds may not leave it: object records, and what waits for its fdatasync.
    if status.tail_bytes > TAIL + OBJECT_UNFLUSHED + (256 << 10) {
        return Err(format!("the tail takes {} bytes of memory", status.tail_bytes));
    }
    Ok(())
}
