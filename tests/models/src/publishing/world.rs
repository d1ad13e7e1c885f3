//! What happens around owners: recovery and the change of owner, what was sent long ago, the reader.
use super::state::{Broken, Cleaning, LastSlot, Manifest, Owner, Phase, Place, Reader, Reading, below, members};
use super::{Mutant, Step, Steps};

impl Steps<'_> {
    pub(super) fn recovery(&mut self) {
        let (model, s) = (self.model, self.state);
        if s.last == LastSlot::InFlight {
            self.go(Step::LandLastSlot, |n| {
                n.last = LastSlot::There;
                n.slots |= 1 << (model.bounds.offsets - 1);
            });
        }
        if s.epoch >= model.bounds.owners {
            return;
        }
        let current = s.epoch as usize - 1;
        let Some(base) = s.base else {
            let forgets = model.is(Mutant::EndForgetsBase) && current > 0 && !s.owners[current].wrote_index;
            self.go(Step::ReadBase, |n| n.base = Some(if forgets { 0 } else { n.owners[current].index }));
            return;
        };
        let needs_wal = s.last == LastSlot::InFlight && (s.log_start == s.end || s.cleaning == Cleaning::Committed);
        for wal_lost in [false, true] {
            if if wal_lost { !model.bounds.wal_loss } else { needs_wal } {
                continue;
            }
            self.go(Step::ChangeOwner { wal_lost }, |n| {
                if n.last == LastSlot::InFlight {
                    (n.last, n.end) = (LastSlot::Stopped, model.bounds.offsets - 1);
                }
                if wal_lost {
                    n.log_start = n.certain_start.max(n.manifests[n.newest()].log_start);
                    n.cleaning = if n.cleaning == Cleaning::Certain { Cleaning::Certain } else { Cleaning::Unsaid };
                }
                n.certain_start = n.log_start; // `end` holds what is left
                n.cleaning = if n.cleaning == Cleaning::Unsaid { Cleaning::Unsaid } else { Cleaning::Certain };
                let only_manifest = model.is(Mutant::LogStartOfManifestOnly);
                let log_start = if only_manifest { n.manifests[n.newest()].log_start } else { n.log_start };
                let index = base & below(n.end);
                let certain_start = log_start;
                n.owners[current + 1] =
                    Owner { phase: Phase::Free, index, log_start, certain_start, cleaning: n.cleaning, ..Owner::UNBORN };
                (n.epoch, n.base) = (n.epoch + 1, None);
            });
        }
    }

    /// What an owner sent, or decided to delete, arrives whatever became of it.
    pub(super) fn late(&mut self, by: usize) {
        let (model, s, owner) = (self.model, self.state, self.state.owners[by]);
        let version = owner.late_at as usize;
        if version > 0 && (s.manifests[version].epoch == 0 || model.is(Mutant::PlainPut)) {
            self.go(Step::LandLate { by }, |n| {
                n.manifests[version] = owner.late;
                (n.owners[by].late_at, n.owners[by].late) = (0, Manifest::default());
            });
        }
        for page in members(owner.page_deletes).filter(|page| s.pages[*page].is_there) {
            self.go(Step::DeletePage { by, page }, |n| {
                n.pages[page].is_there = false;
                n.owners[by].page_deletes &= !(1 << page);
            });
        }
        for pack in members(owner.deletes).filter(|pack| s.packs[*pack].is_there) {
            self.go(Step::Delete { by, pack }, |n| {
                n.packs[pack].is_there = false;
                n.owners[by].deletes &= !(1 << pack);
            });
        }
    }

    pub(super) fn reader(&mut self) {
        let s = self.state;
        let reader = s.reader;
        if reader.at == Reading::Done {
            return;
        }
        let offsets = reader.offset.map_or(s.log_start..s.certain_end(), |offset| offset..offset + 1);
        for offset in offsets {
            self.read(offset);
        }
    }

    fn read(&mut self, offset: u8) {
        let (model, s, newest) = (self.model, self.state, self.newest);
        let reader = Reader { offset: Some(offset), ..s.reader };
        let after = match reader.at {
            Reading::First => Reading::Second,
            Reading::Second => Reading::HasView,
            Reading::HasView | Reading::Done => return self.get(offset),
        };
        if (reader.at == Reading::First) == model.is(Mutant::ManifestFirst) {
            self.go(Step::ReadManifestAt { offset }, |n| n.reader = Reader { at: after, view: n.manifests[newest], ..reader });
        } else {
            let index = s.owners[s.epoch as usize - 1].index;
            self.go(Step::ReadIndexAt { offset }, |n| n.reader = Reader { at: after, index, ..reader });
        }
    }

    /// With index and manifest at hand: an object that is gone means an old view, once.
    fn get(&mut self, offset: u8) {
        let (model, s) = (self.model, self.state);
        let reader = s.reader;
        let place: Option<Place> = model.place(s, reader.index, &reader.view, offset);
        self.go(Step::Get { offset }, |n| {
            let passed = offset < n.log_start.max(reader.view.log_start);
            match place {
                _ if passed => n.reader = Reader::DONE,
                Some(place) if n.is_there(place) => n.reader = Reader::DONE,
                None => n.broken = Broken::Gap,
                _ if reader.missing == place || model.is(Mutant::NoRefresh) => n.broken = Broken::FalseDamage,
                _ => n.reader = Reader { offset: Some(offset), missing: place, ..Reader::NEW },
            }
        });
    }
}
