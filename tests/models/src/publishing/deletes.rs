//! What an owner lets go: slots out of its index and out of the store, old manifests, packs that nothing names.
use super::state::{Manifest, OWNERS, PACKS, Phase, VERSIONS, below, epoch_of, members};
use super::{Mutant, Step, Steps};

impl Steps<'_> {
    pub(super) fn index_and_slots(&mut self, by: usize) {
        let (model, s, owner) = (self.model, self.state, self.state.owners[by]);
        let published = s.offsets_in(owner.view.packs);
        let uploaded = owner.pack.map_or(0, |pack| s.packs[pack as usize].offsets());
        let created = if owner.pack.is_some() && owner.phase == Phase::Created { s.offsets_in(owner.put.packs) } else { 0 };
        let certain = if model.is(Mutant::GoneByUncertainEvent) { owner.log_start } else { model.start_to_publish(&owner) };
        let passed = below(certain.max(owner.view.log_start));
        let settled = published | passed;
        let dropped = settled | if model.is(Mutant::IndexDropsBeforeCounted) { uploaded } else { 0 };
        if owner.index & dropped != 0 {
            self.go(Step::WriteIndex { by }, |n| {
                n.owners[by].index &= !dropped;
                n.owners[by].wrote_index = true;
            });
        }
        let may_go = match model.mutant {
            Some(Mutant::SlotGoneAfterUpload) if uploaded != 0 => settled | uploaded,
            Some(Mutant::SlotGoneBeforeCounted) if created != 0 => settled | created,
            Some(Mutant::SlotUnnamedIsEnough) if owner.wrote_index => !owner.index,
            Some(Mutant::SlotUnnamedIsEnough) => !0,
            _ => settled & !owner.index,
        };
        for offset in members(s.slots & may_go) {
            self.go(Step::DeleteSlot { by, offset }, |n| n.slots &= !(1 << offset));
        }
    }

    pub(super) fn prune(&mut self, by: usize) {
        let (model, s, at) = (self.model, self.state, self.state.owners[by].at as usize);
        let careless = model.is(Mutant::PruneAllButOwn);
        let may_go = |version: &usize| s.manifests[*version].epoch > 0 && (*version < at || (careless && *version != at));
        for version in (1..VERSIONS).filter(|version| at > 0 && may_go(version)) {
            self.go(Step::Prune { by, version }, |n| n.manifests[version] = Manifest::default());
        }
    }

    /// Of lower epochs what the own counted version does not name.
    pub(super) fn sweep(&mut self, by: usize) {
        let (model, s, owner) = (self.model, self.state, self.state.owners[by]);
        let own = by as u8 + 1;
        let published = owner.view.epoch == own || (model.is(Mutant::SweepBeforePublishing) && owner.at > 0);
        let created = model.is(Mutant::SweepBeforeCounted) && owner.phase == Phase::Created;
        for pack in (0..PACKS).filter(|pack| s.packs[*pack].is_there) {
            if published && owner.listed >> pack & 1 == 1 {
                self.go(Step::SweepListed { by, pack }, |n| n.packs[pack].is_there = false);
            }
            let epoch = epoch_of(pack);
            let is_swept =
                epoch < own || (model.is(Mutant::SweepOwnEpoch) && epoch == own) || (model.is(Mutant::SweepHigherEpoch) && epoch > own);
            if !is_swept {
                continue;
            }
            if created && (owner.view.packs | owner.put.packs) >> pack & 1 == 0 {
                self.go(Step::Sweep { by, pack }, |n| n.packs[pack].is_there = false);
            }
            let paged = if model.is(Mutant::SweepForgetsPages) { s.paged(&owner.view) } else { 0 };
            if (owner.view.packs & !paged | owner.deletes) >> pack & 1 == 1 {
                continue;
            }
            if published {
                self.go(Step::Sweep { by, pack }, |n| n.packs[pack].is_there = false);
            } else if model.is(Mutant::SweepListedBeforePublishing) && owner.at > 0 {
                self.go(Step::ListForSweep { by, pack }, |n| n.owners[by].listed |= 1 << pack);
            }
        }
    }

    /// Pages of lower epochs that the own counted version does not name.
    pub(super) fn sweep_pages(&mut self, by: usize) {
        let (model, s, owner) = (self.model, self.state, self.state.owners[by]);
        if owner.view.epoch != by as u8 + 1 {
            return;
        }
        for page in (0..OWNERS).filter(|page| s.pages[*page].is_there) {
            let is_swept = page < by || (model.is(Mutant::SweepOwnPages) && page == by);
            if is_swept && owner.view.page != Some(page as u8) && owner.page_deletes >> page & 1 == 0 {
                self.go(Step::SweepPage { by, page }, |n| n.pages[page].is_there = false);
            }
        }
    }
}
