//! How a broker starts and recovers its predecessors: claim, close, seal, stop, serve from the replay where that is safe, `end` oldest first.
use super::state::{End, Incarnation, SLOTS, SentEnd, Slot, State, Wal};
use super::{Embedded, Life, Mutant, Step, Steps};

impl Steps<'_> {
    /// New incarnations: on a disk whose lock is free; without `--take-over` only if nothing on other disks can be missing, as far as claims say before.
    pub(super) fn start(&mut self) {
        let (model, s) = (self.model, self.state);
        let number = s.born as usize;
        if s.born >= model.bounds.incarnations {
            return;
        }
        for disk in 0..model.bounds.disks {
            let in_use = s.born().any(|i| s.incarnations[i].runs() && s.incarnations[i].disk == disk);
            if in_use && !model.is(Mutant::NoLock) {
                continue;
            }
            for take_over in [false, true] {
                if if take_over { !model.bounds.take_over } else { model.refuses_to_start(s, disk) } {
                    continue;
                }
                let newest = s.incarnations[number - 1];
                let mut knows_below = vec![s.born];
                if model.is(Mutant::ListedBeforeClaim) && newest.disk != disk {
                    knows_below.push(s.born - 1); // the newest claimed between this one's look and its claim
                }
                for knows_below in knows_below {
                    self.go(Step::Start { disk, take_over, knows_below }, |n| {
                        n.incarnations[number] = Incarnation { life: Life::Recovers, disk, take_over, knows_below, ..Incarnation::UNBORN };
                        n.born += 1;
                    });
                }
            }
        }
    }

    /// What `by` does for its predecessors, and while it drains for itself.
    pub(super) fn recover(&mut self, by: usize) {
        let (model, s) = (self.model, self.state);
        let own = s.incarnations[by];
        if own.life != Life::Drains && own.wal == Wal::None && !own.closed {
            self.go(Step::ClaimWal { by }, |n| n.incarnations[by].wal = Wal::Local);
        }
        for of in s.unended(by) {
            if !model.has_closed(s, by, of) {
                self.close(by, of);
            }
        }
        if !model.has_closed_all(s, by) || model.refuses(s, by) {
            return;
        }
        let itself = (own.life == Life::Drains).then_some(by);
        for of in s.unended(by).chain(itself) {
            self.seal(by, of);
            self.stop(by, of);
        }
        if own.life == Life::Recovers && model.may_serve(s, by) {
            self.begin_to_serve(by);
        }
        let next = if model.is(Mutant::NewestFirst) { s.unended(by).last() } else { s.unended(by).next() };
        if let Some(of) = next.or(itself) {
            self.send_end(by, of);
        }
    }

    fn close(&mut self, by: usize, of: usize) {
        let (model, s) = (self.model, self.state);
        if !model.is(Mutant::ClaimsNotClosed) {
            self.go(Step::Close { by, of }, |n| n.incarnations[of].closed = true);
        } else if !model.is_lost_to(s, by, of) || s.incarnations[by].take_over {
            self.go(Step::Close { by, of }, |n| n.incarnations[by].checked |= 1 << of);
        }
    }

    /// Makes durable what replay is about to read, and says where it ends.
    fn seal(&mut self, by: usize, of: usize) {
        let (model, s) = (self.model, self.state);
        if !model.is_sealed(s, by, of) {
            let found = model.found_in_wal(s, of);
            let ghosts = if model.is(Mutant::SealOnlyFsyncs) { s.ghosts } else { 0 };
            self.go(Step::Seal { by, of }, |n| {
                n.synced |= found & !ghosts;
                n.sealed |= found;
            });
        }
    }

    fn stop(&mut self, by: usize, of: usize) {
        let row = self.state.incarnations[of];
        if row.is_stopped() {
            return;
        }
        let first_free = row.packs_in_row();
        for slot in (first_free..SLOTS.min(first_free + 2)).filter(|slot| row.row[*slot] == Slot::Free && *slot <= self.model.bounds.slots)
        {
            self.go(Step::Stop { by, of, slot }, |n| n.incarnations[of].row[slot] = Slot::Stop);
        }
    }

    fn begin_to_serve(&mut self, by: usize) {
        let (model, s) = (self.model, self.state);
        let log = model.log_below(s, by, s.incarnations[by].disk);
        self.go(Step::Serve { by }, |n| {
            (n.incarnations[by].life, n.incarnations[by].start, n.incarnations[by].view) = (Life::Serves, log.end, log.entries);
            if model.is(Mutant::WalDeletedBeforeEnd) {
                s.unended(by).for_each(|of| n.held &= !s.local_of(of));
            }
        });
    }

    /// Recovery packs and `end`: one step, as nothing refers to the packs before `end` stands.
    fn send_end(&mut self, by: usize, of: usize) {
        let (model, s) = (self.model, self.state);
        let row = s.incarnations[of];
        if !model.is_stopped(&row) || !model.is_sealed(s, by, of) || s.incarnations[by].sent_end.is_some() {
            return;
        }
        let lost = model.is_lost_to(s, by, of);
        if s.incarnations[by].serves() && lost && row.disk == s.incarnations[by].disk && !model.is(Mutant::GivesUpWhatItServes) {
            return; // what was served from the replay is not there any more: all that is left is to end
        }
        let below = model.log_below(s, of, s.incarnations[by].disk).end;
        let kept = if row.disk == s.incarnations[by].disk { model.replay(s, of, below).kept } else { 0 };
        let end = End { by: by as u8, kept, gave_up: lost && !model.is(Mutant::TakeOverUnrecorded) };
        self.go(Step::SendEnd { by, of }, |n| {
            if model.bounds.late_end {
                n.incarnations[by].sent_end = Some(SentEnd { of: of as u8, end });
            } else {
                n.incarnations[of].end = Some(end);
            }
        });
    }
}

impl Embedded {
    /// What the disk of `of` holds is out of reach of `by`, or known to be incomplete.
    pub(super) fn is_lost_to(&self, s: &State, by: usize, of: usize) -> bool {
        if s.incarnations[of].disk == s.incarnations[by].disk {
            return self.is_damaged(s, of);
        }
        self.is_endangered(s, of) && !self.is(Mutant::LocalClaimIgnored)
    }

    /// Before anything is claimed: what a broker on `disk` without `--take-over` refuses.
    pub(super) fn refuses_to_start(&self, s: &State, disk: u8) -> bool {
        let unended = || s.born().filter(|i| s.incarnations[*i].end.is_none());
        let foreign = |i: usize| s.incarnations[i].disk != disk && self.is_endangered(s, i);
        !self.is(Mutant::LocalClaimIgnored) && unended().any(foreign)
    }

    fn has_closed(&self, s: &State, by: usize, of: usize) -> bool {
        if self.is(Mutant::ClaimsNotClosed) { s.incarnations[by].checked >> of & 1 == 1 } else { s.incarnations[of].closed }
    }

    fn has_closed_all(&self, s: &State, by: usize) -> bool {
        s.unended(by).all(|of| self.has_closed(s, by, of))
    }

    /// With all claims closed, what they say is final: whether `by` has to end here.
    pub(super) fn refuses(&self, s: &State, by: usize) -> bool {
        let found_harmless = |of: usize| self.is(Mutant::ClaimsNotClosed) && s.incarnations[by].checked >> of & 1 == 1;
        let harmful = |of| self.is_lost_to(s, by, of) && !found_harmless(of);
        !s.incarnations[by].take_over && s.unended(by).any(harmful)
    }

    /// Whether what replay reads of `of` is there to stay; only the own disk can be sealed.
    fn is_sealed(&self, s: &State, by: usize, of: usize) -> bool {
        let found = self.found_in_wal(s, of);
        let ghosts = if self.is(Mutant::SealOnlyFsyncs) { s.ghosts } else { 0 };
        let sealed = found & !(s.sealed & (s.synced | ghosts)) == 0;
        sealed || self.is(Mutant::NoSeal) || s.incarnations[of].disk != s.incarnations[by].disk
    }

    fn is_stopped(&self, row: &Incarnation) -> bool {
        row.is_stopped() || (self.is(Mutant::StopBehindHole) && row.row.contains(&Slot::Stop))
    }

    /// When all predecessors have ended; or early, when their rows are stopped, all of them ran on this disk, which nobody else can use now, and nothing of
    /// theirs is given up.
    fn may_serve(&self, s: &State, by: usize) -> bool {
        s.unended(by).all(|of| {
            if !self.bounds.early {
                return false;
            }
            let row = &s.incarnations[of];
            let stopped = self.is_stopped(row) || self.is(Mutant::ServedBeforeStop);
            let here = row.disk == s.incarnations[by].disk || self.is(Mutant::EarlyBesideForeign);
            let whole = !self.is_lost_to(s, by, of) || self.is(Mutant::ServedBeforeDeclared);
            stopped && here && whole && self.is_sealed(s, by, of)
        })
    }
}
