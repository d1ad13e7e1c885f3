//! What owners, and those who believe to be, do; and what etcd does with their transactions.
use super::state::{INCARNATIONS, Life, Mode, NO_BASE, Record, State, members};
use super::{Mutant, Step, Steps};

impl State {
    /// Whether nothing ever happened to `x`, so that it is like every other of its kind.
    fn is_untouched(&self, x: usize) -> bool {
        let i = &self.incarnations[x];
        let never_owned = self.records[..self.epoch as usize].iter().all(|record| record.owner as usize != x);
        let never_asked = self.incarnations.iter().all(|i| i.asked >> x & 1 == 0);
        let never_recovered = self.recoverers.iter().all(|recoverer| recoverer.of() != Some(x));
        i.life == Life::Open && never_owned && never_asked && i.index.is_none() && never_recovered
    }

    /// B and C are alike until one of them is touched: B is taken first.
    pub(super) fn is_usable(&self, x: usize) -> bool {
        x != 2 || !self.is_untouched(2) || !self.is_untouched(1)
    }

    fn give(&mut self, to: usize, base: u8) {
        self.records[self.epoch as usize] = Record { owner: to as u8, base };
        self.epoch += 1;
    }
}

impl Steps<'_> {
    /// The owner, which may be deposed and not know it: appends, replicates, flushes.
    pub(super) fn owner(&mut self, x: usize) {
        let (model, s) = (self.model, self.state);
        let (i, all) = (s.incarnations[x], s.of_incarnation(x));
        let stops_late = model.is(Mutant::NoStop) || model.is(Mutant::NoSeal) || model.is(Mutant::AppendsAfterDrain) && i.drained;
        let is_drained = matches!(i.drain, super::state::Drain::Read { .. });
        let appends = i.mode == Mode::Appends || model.is(Mutant::AppendsAfterFlush) && i.mode == Mode::Published;
        if appends && !is_drained && s.count < model.bounds.entries && (!i.stopped || stops_late) {
            for is_object in [false, true] {
                if is_object || !i.own_sealed {
                    self.append(x, is_object);
                }
            }
        }
        if !i.sealed
            && let Some(entry) = members(all & !i.durable).find(|entry| !s.entries[*entry].is_object)
        {
            self.go(Step::Fsync { by: x }, |n| n.incarnations[x].durable |= 1 << entry);
        }
        if i.sent == 0 && all & !i.row != 0 && !i.stopped {
            self.go(Step::Send { by: x }, |n| n.incarnations[x].sent = all & !i.row);
        }
        if i.sent != 0 {
            self.go(Step::Land { by: x }, |n| {
                n.incarnations[x].row |= i.sent;
                n.incarnations[x].sent = 0;
            });
        }
    }

    fn append(&mut self, x: usize, is_object: bool) {
        self.go(Step::Append { by: x, is_object }, |n| {
            let i = &mut n.incarnations[x];
            n.entries[n.count as usize] = super::Entry { incarnation: x as u8, epoch: i.epoch, start: i.start, offset: i.end, is_object };
            i.end += 1;
            n.count += 1;
        });
    }

    /// R13: stop appending, all in certain slots, the manifest published; then ask etcd; then append again only after a swap.
    pub(super) fn hand_over(&mut self, x: usize) {
        let (model, s) = (self.model, self.state);
        let (i, all) = (s.incarnations[x], s.of_incarnation(x));
        if i.mode == Mode::Published {
            self.go(Step::Resume { by: x }, |n| n.incarnations[x].mode = Mode::Appends); // it has asked nothing yet in this epoch
        }
        if i.mode == Mode::Appends && (all & !i.row == 0 || model.is(Mutant::MovesUnflushed)) {
            self.go(Step::Publish { by: x }, |n| {
                n.incarnations[x].mode = Mode::Published;
                n.manifest |= i.view | i.row & s.of_epoch(x, i.epoch);
            });
        }
        if matches!(i.mode, Mode::Published | Mode::Sent) && (s.epoch == i.epoch || model.is(Mutant::ComparesOwnerOnly)) {
            for to in (0..INCARNATIONS).filter(|to| s.is_usable(*to)) {
                let may_ask = if to == x { i.mode == Mode::Sent } else { i.asked & !(1 << x) == 0 };
                if may_ask {
                    self.go(Step::Ask { by: x, to }, |n| {
                        n.incarnations[x].mode = Mode::Sent;
                        n.incarnations[x].asked |= 1 << to;
                    });
                }
            }
        }
        if i.mode == Mode::Sent && model.is(Mutant::AppendsAfterLostAnswer) {
            self.go(Step::Resume { by: x }, |n| n.incarnations[x].mode = Mode::Appends);
        }
        if i.mode == Mode::Sent && model.is(Mutant::ComparesWithoutSwap) && s.epoch == i.epoch {
            self.go(Step::Reopen { by: x }, |n| n.incarnations[x].mode = Mode::Appends);
        }
        let newest = (i.epoch + 1..=s.epoch).rev().find(|epoch| s.records[*epoch as usize - 1].owner as usize == x && !i.stopped);
        if let Some(epoch) = newest {
            let (view, end) = model.below(s, epoch);
            self.go(Step::Open { by: x }, |n| {
                let i = &mut n.incarnations[x];
                (i.epoch, i.start, i.end, i.view, i.mode) = (epoch, end, end, view, Mode::Appends);
            });
        }
    }

    /// What etcd does with transactions in flight, and with those of survivors.
    pub(super) fn etcd(&mut self, x: usize) {
        let (model, s) = (self.model, self.state);
        let (i, owner) = (s.incarnations[x], s.owner());
        let may_own = |x: usize| s.incarnations[x].life == Life::Open || model.is(Mutant::NewOwnerMayBeClosed);
        let has_room = s.epoch < model.bounds.epochs;
        for to in 0..INCARNATIONS {
            if i.asked >> to & 1 == 1 && owner == x && may_own(to) && has_room {
                self.go(Step::Change { by: x, to }, |n| {
                    n.incarnations[x].asked &= !(1 << to);
                    n.give(to, NO_BASE);
                });
            }
        }
        let life = s.incarnations[owner].life;
        let is_ready = life == Life::Closed || model.is(Mutant::OwnedBeforeClosed) && life == Life::Sealing;
        if x != owner && is_ready && may_own(x) && has_room && s.is_usable(x) {
            self.go(Step::Own { by: x }, |n| n.give(x, owner as u8));
        }
        if x != owner && model.is(Mutant::SomeoneElseMoves) && life == Life::Open && has_room && s.is_usable(x) {
            self.go(Step::Steal { by: x }, |n| n.give(x, NO_BASE));
        }
        if i.index.is_some() && i.life != Life::Closed {
            self.go(Step::Close { of: x }, |n| n.incarnations[x].life = Life::Closed);
        }
    }
}
