//! The steps in words, for counterexamples. Owners by number; the epoch of owner 0 is 1.
use super::state::{Manifest, Set, State, members};
use super::{Publishing, Step};

fn manifest(s: &State, manifest: &Manifest) -> String {
    let packs: Vec<String> = members(manifest.packs)
        .map(|pack| {
            let Pack { from, to, dropped, .. } = s.packs[pack];
            let without = if dropped == 0 { String::new() } else { format!(" without {}", offsets(dropped)) };
            format!("{from}..{to}{without} in pack {pack}")
        })
        .collect();
    format!(
        "of epoch {}, log start {}, {}",
        manifest.epoch,
        manifest.log_start,
        if packs.is_empty() { "no packs".into() } else { packs.join(", ") }
    )
}

use super::state::Pack;

fn offsets(set: Set) -> String {
    let numbers: Vec<String> = members(set).map(|offset| offset.to_string()).collect();
    numbers.join(", ")
}

impl Publishing {
    pub(super) fn words(&self, s: &State, step: Step) -> String {
        let newest = s.newest();
        match step {
            Step::LandLastSlot => "the last slot's PUT lands".into(),
            Step::ReadBase => format!("a recoverer reads the index of owner {}", s.epoch - 1),
            Step::ChangeOwner { wal_lost } => {
                format!("the owner is now {}{}", s.epoch, if wal_lost { ", all copies of the WAL before it are lost" } else { "" })
            }
            Step::LandLate { by } => format!("the create of version {} that owner {by} gave up lands", s.owners[by].late_at),
            Step::Delete { by, pack } => format!("owner {by}'s DELETE of pack {pack} arrives"),
            Step::ReadIndexAt { offset } => format!("a reader of offset {offset} reads the index of owner {}", s.epoch - 1),
            Step::ReadManifestAt { offset } => format!("a reader of offset {offset} reads manifest {newest}"),
            Step::Get { offset } => match self.place(s, s.reader.index, &s.reader.view, offset) {
                Some(place) => format!("the reader of offset {offset} asks for {place}"),
                None => format!("the reader of offset {offset} finds no place for it"),
            },
            _ => self.manifest_words(s, step),
        }
    }

    fn manifest_words(&self, s: &State, step: Step) -> String {
        let newest = s.newest();
        let next = |by: usize| s.owners[by].at + 1;
        match step {
            Step::Create { by } => format!("owner {by} creates manifest {}: {}", next(by), manifest(s, &s.owners[by].put)),
            Step::FindTaken { by } => format!("owner {by}'s create finds version {} taken", next(by)),
            Step::GiveUp { by } => format!("owner {by} gives up its create of version {}, which is still under way", next(by)),
            Step::Count { by } => format!("owner {by} lists: its version {} counts", next(by)),
            Step::ListNewer { by } => format!("owner {by} lists after its create: version {newest}, {}", manifest(s, &s.manifests[newest])),
            Step::DropBeforeCounted { by } => format!("owner {by} deletes what it replaces before its create counts"),
            Step::ReadToRebase { by } | Step::Read { by } => {
                format!("owner {by} reads manifest {newest}, {}", manifest(s, &s.manifests[newest]))
            }
            Step::Merge { by, from, to, dropped } => {
                let without = if dropped == 0 { String::new() } else { format!(", without the records of {}", offsets(dropped)) };
                format!("owner {by} uploads a merge of offsets {from}..{to}{without}")
            }
            Step::WritePage { by } => format!("owner {by} uploads page {by} of all packs that it knows"),
            Step::Send { by } => format!("owner {by} sends a create of version {}", next(by)),
            Step::RaiseStart { by } => format!("owner {by} raises its log start to {}", s.owners[by].log_start + 1),
            Step::CommitStart { by } => format!("owner {by}'s log start commits"),
            Step::AllowCleaning { by } => format!("owner {by}'s event that allows compaction commits"),
            Step::CertainEvents { by } => format!("owner {by} learns that its events are in certain slots"),
            _ => self.delete_words(s, step),
        }
    }

    fn delete_words(&self, s: &State, step: Step) -> String {
        match step {
            Step::WriteIndex { by } => format!("owner {by} writes an index without what its manifest or log start settles"),
            Step::DeleteSlot { by, offset } => format!("owner {by} deletes the slot of offset {offset}"),
            Step::Prune { by, version } => format!("owner {by} prunes manifest {version}"),
            Step::Sweep { by, pack } => format!("owner {by} sweeps pack {pack}, of epoch {}", super::state::epoch_of(pack)),
            Step::DeletePage { by, page } => format!("owner {by}'s DELETE of page {page} arrives"),
            Step::SweepPage { by, page } => format!("owner {by} sweeps page {page}"),
            Step::SweepListed { by, pack } => format!("owner {by} sweeps pack {pack}, which it listed before it published"),
            Step::ListForSweep { by, pack } => format!("owner {by} lists pack {pack} for its sweep"),
            other => format!("{other:?} of {} owners", s.epoch),
        }
    }
}
