//! What nobody decides: PUTs land, processes die, machines lose power, bytes rot.
use super::state::{SLOTS, Set, Slot, members};
use super::{Life, Mutant, Step, Steps};

impl Steps<'_> {
    /// PUTs under way land, whether or not their sender lives; those that do not are never taken here.
    pub(super) fn store(&mut self) {
        let (model, s) = (self.model, self.state);
        for of in s.born() {
            let row = s.incarnations[of];
            for slot in (0..SLOTS).filter(|slot| row.packs[*slot] != 0) {
                if row.row[slot] == Slot::Free || model.is(Mutant::PlainPut) {
                    self.go(Step::Land { of, slot }, |n| n.incarnations[of].row[slot] = Slot::Pack);
                }
            }
            if let Some(sent) = row.sent_end {
                self.go(Step::LandEnd { by: of }, |n| {
                    let standing = &mut n.incarnations[sent.of as usize].end;
                    *standing = standing.filter(|_| !model.is(Mutant::EndOverwritten)).or(Some(sent.end));
                    n.incarnations[of].sent_end = None;
                });
            }
        }
    }

    pub(super) fn misfortunes(&mut self) {
        let (model, s) = (self.model, self.state);
        for by in s.born().filter(|i| s.incarnations[*i].runs()) {
            self.go(Step::Kill { by }, |n| n.incarnations[by].life = Life::Gone);
        }
        for disk in 0..model.bounds.disks {
            let here = s.on_disk(disk);
            let unsynced = here & s.held & !s.synced;
            if !model.bounds.power_loss || unsynced == 0 {
                continue; // no more than a kill
            }
            for lost in (1..=Set::MAX).filter(|lost| lost & !unsynced == 0) {
                self.go(Step::LosePower { disk, lost }, |n| {
                    n.held &= !lost;
                    n.synced |= n.held & here;
                    n.incarnations.iter_mut().filter(|i| i.runs() && i.disk == disk).for_each(|i| i.life = Life::Gone);
                });
            }
        }
        if model.bounds.damage && s.damaged == 0 {
            // only what can be told from an end: else a copy is lost unnoticed, which a quorum of one does not outlive
            for entry in members(s.synced) {
                let owner = s.incarnations[s.entries[entry].incarnation as usize];
                if owner.life == Life::Gone && owner.end.is_none() && (s.is_marked(entry, s.synced) || s.sealed >> entry & 1 == 1) {
                    self.go(Step::Rot { entry }, |n| n.damaged |= 1 << entry);
                }
            }
        }
    }
}
