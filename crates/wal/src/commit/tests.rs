//! A WAL that is copied: when its tap is called, and when its sinks are told.

use crate::{
    Begun, Durable, Entry, Tap, Wal, WalOptions,
    testing::{Told, batch, partition, simulate, small_options},
};
use bytes::Bytes;
use floe_env::{Disk, sim::SimDisk};
use floe_types::Lsn;
use parking_lot::Mutex;
use std::sync::Arc;

#[derive(Debug, PartialEq, Eq, Clone)]
enum Heard {
    Begun(Lsn, Lsn, Vec<u8>),
    Durable(Lsn),
}

#[derive(Debug, Default)]
struct Listener(Mutex<Vec<Heard>>);

impl Tap for Listener {
    fn begun(&self, group: Begun<'_>) {
        self.0.lock().push(Heard::Begun(group.start, group.end, group.parts.concat()));
    }

    fn durable(&self, upto: Lsn) {
        self.0.lock().push(Heard::Durable(upto));
    }
}

fn append(wal: &Wal, index: i32, bytes: usize, told: &Arc<Told>) -> (Lsn, Lsn) {
    let batch = batch(bytes, bytes as u64);
    let entry = Entry { partition: partition(index), epoch: 3, epoch_start: 0, base_offset: 0, batch: &batch };
    let sink: Arc<dyn Durable> = Arc::clone(told) as _;
    let appended = wal.append(&entry, &sink).unwrap();
    (appended.start, appended.end)
}

#[test]
fn copies_begin_with_the_local_write_and_have_the_very_bytes_that_the_files_get() {
    simulate(1, async |env| {
        let sim = SimDisk::new(&env);
        let (disk, tap, told): (Arc<dyn Disk>, _, _) = (Arc::new(sim.clone()), Arc::new(Listener::default()), Told::new());
        let wal = Wal::create_copied(env.clone(), disk, small_options(), Arc::clone(&tap) as _).await.unwrap();
        sim.hang_syncs();
        let (_, first) = append(&wal, 0, 100, &told);
        env.sleep(std::time::Duration::from_secs(1)).await;
        assert!(matches!(&tap.0.lock()[..], [Heard::Begun(Lsn(0), end, _)] if *end == first), "the copy does not wait for the local disk");
        sim.release_syncs();
        for n in 0..60 {
            append(&wal, 0, 300 + n, &told);
        }
        let end = wal.end();
        wal.wait_durable(end).await.unwrap();
        let heard = tap.0.lock().clone();
        let copied: Vec<u8> =
            heard.iter().filter_map(|h| if let Heard::Begun(.., bytes) = h { Some(bytes.clone()) } else { None }).flatten().collect();
        let mut kept: Vec<u8> = Vec::new();
        while let Some(run) = wal.read_run(Lsn(kept.len() as u64), 5_000).await.unwrap() {
            assert!(run.len() <= 5_000);
            kept.extend_from_slice(&run);
        }
        assert!(wal.stats().files > 1, "the runs end at the ends of files, too");
        assert!(copied == kept && copied.len() as u64 == end.0);
        let mut at = (Lsn(0), Lsn(0));
        for heard in heard {
            match heard {
                Heard::Begun(start, end, _) => {
                    assert_eq!(start, at.0);
                    at.0 = end;
                }
                Heard::Durable(upto) => {
                    assert!(upto > at.1 && upto <= at.0);
                    at.1 = upto;
                }
            }
        }
        assert!(told.0.lock().is_empty(), "nobody has said that enough copies have it");
        assert_eq!(wal.committed(), Lsn(0));
    });
}

#[test]
fn sinks_are_told_what_is_committed_each_once_in_order_and_whatever_the_local_disk_does() {
    simulate(2, async |env| {
        let sim = SimDisk::new(&env);
        let (disk, tap): (Arc<dyn Disk>, Arc<dyn Tap>) = (Arc::new(sim.clone()), Arc::new(Listener::default()));
        let options = WalOptions { max_group_bytes: 1 << 20, ..small_options() };
        let wal = Wal::create_copied(env.clone(), disk, options, tap).await.unwrap();
        let told: Vec<Arc<Told>> = (0..3).map(|_| Told::new()).collect();
        let (_, a) = append(&wal, 0, 100, &told[0]);
        wal.wait_durable(a).await.unwrap();
        sim.hang_syncs();
        let (_, b) = append(&wal, 1, 100, &told[1]);
        env.sleep(std::time::Duration::from_secs(1)).await;
        assert!(wal.durable() < b);
        // Two other disks have it.
        wal.commit(Lsn(b.0 - 10));
        assert_eq!((told[0].last(), told[1].last()), (Lsn(b.0 - 10), Lsn(b.0 - 10)), "within a group: told, and told again");
        wal.commit(a);
        wal.commit(b);
        wal.commit(b);
        assert_eq!(*told[0].0.lock(), [Lsn(b.0 - 10)]);
        assert_eq!(*told[1].0.lock(), [Lsn(b.0 - 10), b]);
        assert_eq!(wal.committed(), b);
        sim.release_syncs();
        let (_, c) = append(&wal, 2, 100, &told[2]);
        wal.wait_durable(c).await.unwrap();
        assert!(told[2].0.lock().is_empty(), "durable here is not committed");
        wal.commit(c);
        assert_eq!(*told[2].0.lock(), [c]);
    });
}

#[test]
#[should_panic(expected = "cannot be committed")]
fn what_was_never_begun_cannot_be_committed() {
    simulate(3, async |env| {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(&env));
        let wal = Wal::create_copied(env.clone(), disk, small_options(), Arc::new(Listener::default())).await.unwrap();
        wal.commit(Lsn(1));
    });
}

#[test]
fn a_run_begins_where_an_entry_does_and_has_at_least_one_however_large() {
    simulate(4, async |env| {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(&env));
        let told = Told::new();
        let wal = Wal::create(env.clone(), disk, small_options()).await.unwrap();
        let (_, small) = append(&wal, 0, 100, &told);
        let (_, large) = append(&wal, 0, 40_000, &told);
        wal.wait_durable(large).await.unwrap();
        assert_eq!(wal.read_run(Lsn(0), 1).await.unwrap().map(|run: Bytes| run.len() as u64), Some(small.0));
        assert_eq!(wal.read_run(small, 200).await.unwrap().map(|run| run.len() as u64), Some(large.0 - small.0));
        assert_eq!(wal.read_run(large, 200).await.unwrap(), None);
        assert!(wal.read_run(Lsn(7), 10_000).await.is_err());
        wal.trim(small).await.unwrap();
        assert!(matches!(wal.read_run(Lsn(0), 10_000).await, Err(crate::WalError::Trimmed { .. })));
    });
}
