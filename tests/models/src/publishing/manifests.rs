//! What an owner does with manifests: merge, send, count, rebase, be fenced - and the events that it needs before it may drop anything.
use super::state::{Cleaning, LastSlot, MERGES, Manifest, Owner, Pack, Page, Phase, Set, State, VERSIONS, members};
use super::{Mutant, Publishing, Step, Steps};

impl Steps<'_> {
    /// The create is under way.
    pub(super) fn sent(&mut self, by: usize) {
        let (model, s) = (self.model, self.state);
        let version = s.owners[by].at as usize + 1;
        if version >= VERSIONS {
            return;
        }
        if s.manifests[version].epoch == 0 || model.is(Mutant::PlainPut) {
            self.go(Step::Create { by }, |n| {
                n.manifests[version] = n.owners[by].put;
                n.owners[by].phase = Phase::Created;
            });
        } else {
            self.go(Step::FindTaken { by }, |n| n.owners[by].phase = Phase::Taken);
        }
        if s.given_up < model.bounds.late && s.owners[by].late_at == 0 {
            self.go(Step::GiveUp { by }, |n| {
                n.given_up += 1;
                let owner = &mut n.owners[by];
                (owner.late_at, owner.late, owner.put) = (version as u8, owner.put, Manifest::default());
                owner.phase = Phase::Free;
            });
        }
    }

    /// The create succeeded: a listing begun after it tells whether it counts.
    pub(super) fn created(&mut self, by: usize) {
        let model = self.model;
        let version = self.state.owners[by].at + 1;
        if self.newest == version as usize || model.is(Mutant::NoListAfterCreate) {
            self.go(Step::Count { by }, |n| {
                let owner = &mut n.owners[by];
                owner.deletes |= owner.view.packs & !owner.put.packs;
                owner.page_deletes |= owner.page_let_go();
                let named = owner.put.page == Some(by as u8);
                (owner.at, owner.view, owner.put) = (version, owner.put, Manifest::default());
                owner.forget_merge();
                owner.phase = Phase::Free;
                n.owners[by].page_waits &= !named && model.page_fits(n, &n.owners[by], by);
            });
        } else {
            self.go(Step::ListNewer { by }, |n| model.meet(n, by));
        }
        if model.is(Mutant::PageGoneBeforeCounted) {
            self.go(Step::DropBeforeCounted { by }, |n| n.owners[by].page_deletes |= n.owners[by].page_let_go());
        }
        if model.is(Mutant::DeleteBeforeCounted) {
            self.go(Step::DropBeforeCounted { by }, |n| n.owners[by].deletes |= n.owners[by].view.packs & !n.owners[by].put.packs);
        }
    }

    /// Nothing is under way: read, merge, publish.
    pub(super) fn free(&mut self, by: usize) {
        let (model, s, owner) = (self.model, self.state, self.state.owners[by]);
        if owner.at as usize != self.newest {
            self.go(Step::Read { by }, |n| model.meet(n, by));
        }
        if owner.at == 0 || owner.at >= model.bounds.versions {
            return;
        }
        if owner.pack.is_none() && owner.merges < model.bounds.merges {
            self.merge(by);
        }
        if model.bounds.pages && owner.view.packs != 0 && s.pages[by] == Page::default() && model.can_open(s, &owner.view) {
            self.go(Step::WritePage { by }, |n| {
                n.pages[by] = Page { is_there: true, packs: owner.view.packs };
                n.owners[by].page_waits = true;
            });
        }
        let log_start = model.start_to_publish(&owner).max(owner.view.log_start);
        if owner.pack.is_some() || owner.page_waits || log_start > owner.view.log_start || owner.view.epoch != by as u8 + 1 {
            self.go(Step::Send { by }, |n| {
                let merged = owner.pack.map_or(0, |pack| 1 << pack);
                let packs = members((owner.view.packs & !owner.replaces) | merged).filter(|pack| s.packs[*pack].to > log_start);
                let packs = packs.fold(0, |packs, pack| packs | 1 << pack);
                let page = if owner.page_waits { Some(by as u8) } else { owner.view.page };
                let holds = |page: &u8| s.pages[*page as usize].packs;
                let stays = |page: &u8| holds(page) & owner.replaces == 0 || model.is(Mutant::PageOutlivesItsPacks);
                let page = page.filter(stays).filter(|page| holds(page) & packs != 0);
                n.owners[by].put = Manifest { epoch: by as u8 + 1, packs, log_start, page };
                n.owners[by].phase = Phase::Sent;
            });
        }
    }

    /// Uploads a merge that begins where a named pack begins, or at the manifest's end, and ends at any later place.
    fn merge(&mut self, by: usize) {
        let (model, s, owner) = (self.model, self.state, self.state.owners[by]);
        let all = model.bounds.offsets;
        let until = match (by, s.last) {
            (0, LastSlot::There) => all,
            (0, _) if model.is(Mutant::MergeUncertain) => all,
            (0, _) => all - 1,
            _ => s.end,
        };
        let low = s.end_of(&owner.view);
        let starts = (0..until).filter(|from| *from == low || members(owner.view.packs).any(|pack| s.packs[pack].from == *from));
        for from in starts.collect::<Vec<u8>>() {
            for to in from + 1..=until {
                let range = Pack { is_there: true, from, to, dropped: 0 };
                if let Some(replaces) = model.sources(s, &owner, &range) {
                    for dropped in model.compactions(s, &owner, &range, replaces) {
                        let pack = 1 + by * MERGES + owner.merges as usize;
                        self.go(Step::Merge { by, from, to, dropped }, |n| {
                            n.packs[pack] = Pack { dropped, ..range };
                            let owner = &mut n.owners[by];
                            owner.merges += 1;
                            (owner.pack, owner.replaces) = (Some(pack as u8), replaces);
                        });
                    }
                }
            }
        }
    }

    /// Events of the partition's own log commit under the current epoch only; what commits in a WAL is certain later.
    pub(super) fn events(&mut self, by: usize) {
        let (model, s, owner) = (self.model, self.state, self.state.owners[by]);
        let is_current = s.epoch == by as u8 + 1;
        let waits_for_slot = model.bounds.wal_loss;
        let unasked = model.is(Mutant::DropBeforeEvent);
        let most = if waits_for_slot { s.end } else { model.bounds.offsets - 1 };
        if owner.log_start < most && (is_current || unasked) {
            self.go(Step::RaiseStart { by }, |n| {
                n.owners[by].log_start += 1;
                let raised = n.owners[by].log_start;
                if !unasked {
                    n.log_start = raised;
                }
                if !waits_for_slot {
                    n.owners[by].certain_start = raised;
                    n.certain_start = n.log_start;
                }
            });
        }
        if unasked && is_current && s.log_start < owner.log_start {
            self.go(Step::CommitStart { by }, |n| (n.log_start, n.certain_start) = (n.owners[by].log_start, n.owners[by].log_start));
        }
        let tombstone_committed = s.end == model.bounds.offsets && (waits_for_slot || s.last == LastSlot::There);
        let unasked = model.is(Mutant::RewriteBeforeEvent);
        if model.bounds.compaction && owner.cleaning == Cleaning::Unsaid && tombstone_committed && (is_current || unasked) {
            self.go(Step::AllowCleaning { by }, |n| {
                let reached = if waits_for_slot && !unasked { Cleaning::Committed } else { Cleaning::Certain };
                n.owners[by].cleaning = reached;
                if !unasked {
                    n.cleaning = n.cleaning.max(reached);
                }
            });
        }
        let beyond_slots = owner.log_start > s.certain_end() || (owner.cleaning == Cleaning::Committed && s.last != LastSlot::There);
        if waits_for_slot && is_current && !beyond_slots {
            self.go(Step::CertainEvents { by }, |n| {
                let owner = &mut n.owners[by];
                owner.certain_start = owner.log_start;
                n.certain_start = n.log_start;
                if owner.cleaning == Cleaning::Committed {
                    (owner.cleaning, n.cleaning) = (Cleaning::Certain, Cleaning::Certain);
                }
            });
        }
    }
}

impl Publishing {
    /// What an owner does with the newest manifest that it lists or reads.
    pub(super) fn meet(&self, n: &mut State, by: usize) {
        let version = n.newest();
        let manifest = n.manifests[version];
        let was = n.owners[by].phase;
        let goes_on = if was == Phase::Free { Mutant::PublishOnGreaterRead } else { Mutant::RebaseOnGreater };
        if manifest.epoch > by as u8 + 1 && !self.is(goes_on) {
            n.owners[by].fence();
            return;
        }
        n.owners[by].at = version as u8;
        if self.is(Mutant::RebaseKeepsOldContent) && matches!(was, Phase::Created | Phase::Taken) {
            n.owners[by].phase = Phase::Sent;
            return;
        }
        n.owners[by].view = manifest;
        n.owners[by].phase = Phase::Free;
        n.owners[by].put = Manifest::default();
        if let Some(pack) = n.owners[by].pack {
            if self.is(Mutant::RebaseByRange) {
                let range = n.packs[pack as usize].offsets();
                let inside = members(manifest.packs).filter(|other| n.packs[*other].offsets() & !range == 0);
                n.owners[by].replaces = inside.fold(0, |all, other| all | 1 << other);
            }
            if !self.fits(n, &n.owners[by], pack as usize) {
                n.owners[by].forget_merge();
            }
        }
        if n.owners[by].page_waits && !self.page_fits(n, &n.owners[by], by) {
            n.owners[by].page_waits = false;
        }
    }

    /// The log start that manifests, indexes and deletes may count on.
    pub(super) fn start_to_publish(&self, owner: &Owner) -> u8 {
        if self.is(Mutant::EventCommittedIsEnough) { owner.log_start } else { owner.certain_start }
    }

    /// The named packs that a merge of `range` would replace, if it may be made and everything that it needs can be read.
    fn sources(&self, s: &State, owner: &Owner, range: &Pack) -> Option<Set> {
        let reaches_in = |pack: &usize| s.packs[*pack].offsets() & range.offsets() != 0;
        let replaces = members(owner.view.packs).filter(reaches_in).fold(0, |all, pack| all | 1 << pack);
        let whole = members(replaces).all(|pack| s.packs[pack].offsets() & !range.offsets() == 0);
        let log_start = self.start_to_publish(owner);
        let opens = replaces & s.paged(&owner.view) == 0 || self.can_open(s, &owner.view);
        if !whole || !opens || range.to <= log_start.max(owner.view.log_start) {
            return None;
        }
        let careless = |offset: u8| self.is(Mutant::MergeUncertain) && offset == self.bounds.offsets - 1;
        let can_read = |offset: u8| match s.pack_of(replaces, offset) {
            Some(pack) => s.packs[pack].is_there,
            None => owner.index >> offset & 1 == 1 && (s.slots >> offset & 1 == 1 || careless(offset)),
        };
        (range.from.max(log_start)..range.to).all(can_read).then_some(replaces)
    }

    /// Whether everything that `view` names can be told.
    fn can_open(&self, s: &State, view: &Manifest) -> bool {
        view.page.is_none_or(|page| s.pages[page as usize].is_there)
    }

    /// What a merge may leave out, each set of offsets: what its sources lack, and what the events allow.
    fn compactions(&self, s: &State, owner: &Owner, range: &Pack, replaces: Set) -> Vec<Set> {
        let lacking = members(replaces).fold(0, |all, pack| all | s.packs[pack].dropped);
        let mut choices = vec![lacking];
        let needed = if self.is(Mutant::RewriteByUncertain) { Cleaning::Committed } else { Cleaning::Certain };
        if !self.bounds.compaction || owner.cleaning < needed {
            return choices;
        }
        let (value, tombstone) = (self.bounds.offsets - 2, self.bounds.offsets - 1);
        let has = |offset: u8| range.offsets() >> offset & 1 == 1;
        for dropped in [1 << value, 1 << tombstone, 1 << value | 1 << tombstone] {
            let inside = dropped & !range.offsets() == 0;
            let value_gone = (dropped | lacking) >> value & 1 == 1 || (!has(value) && s.lacks(&owner.view, value));
            let in_order = dropped >> tombstone & 1 == 0 || value_gone || self.is(Mutant::TombstoneFirst);
            if inside && in_order && !choices.contains(&(dropped | lacking)) {
                choices.push(dropped | lacking);
            }
        }
        choices
    }
}
