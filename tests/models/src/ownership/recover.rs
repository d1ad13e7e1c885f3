//! Recovery by others (R4-R9), and draining, which is the same done to oneself: mark, read the records, stop, `end` and index, closed.
use super::state::{Drain, Life, Mode, Recoverer, State, pick};
use super::{Mutant, Step, Steps};

impl State {
    fn other_is_open(&self) -> bool {
        self.incarnations.iter().filter(|i| i.life == Life::Open).count() > 1
    }
}

impl Steps<'_> {
    pub(super) fn drain(&mut self, x: usize) {
        let (model, s) = (self.model, self.state);
        let (i, all) = (s.incarnations[x], s.of_incarnation(x));
        let is_flushed = all & !i.row == 0;
        if model.is(Mutant::DrainsWhileOpen)
            && i.life == Life::Open
            && i.index.is_none()
            && i.mode != Mode::Appends
            && is_flushed
            && s.is_usable(x)
        {
            self.go(Step::DrainEnd { by: x }, |n| {
                n.incarnations[x].stopped = true;
                n.incarnations[x].index = Some(model.index(s, x, i.epoch.max(1), 0));
            });
        }
        if !model.bounds.drains || i.stopped {
            return; // who meets another's stop ends (R10)
        }
        let begins = i.drain == Drain::No && !i.marked_itself && i.life == Life::Open && s.is_usable(x) && s.other_is_open();
        if begins && model.is(Mutant::DrainReadsBeforeMark) {
            self.go(Step::DrainRead { by: x }, |n| n.incarnations[x].drain = Drain::Read { epoch: s.epoch });
        } else if begins {
            self.drain_mark(x, Drain::Marked);
        }
        match i.drain {
            Drain::No => {}
            Drain::Marked => self.go(Step::DrainRead { by: x }, |n| n.incarnations[x].drain = Drain::Read { epoch: s.epoch }),
            Drain::Read { .. } if !i.marked_itself => self.drain_mark(x, i.drain),
            Drain::Read { epoch } if is_flushed || model.is(Mutant::DrainEndsUnflushed) => {
                self.go(Step::DrainEnd { by: x }, |n| {
                    let i = &mut n.incarnations[x];
                    (i.stopped, i.drained, i.life) = (true, true, Life::Closed);
                    i.index = Some(model.index(s, x, epoch, 0));
                });
            }
            Drain::Read { .. } => {}
        }
    }

    fn drain_mark(&mut self, x: usize, then: Drain) {
        self.go(Step::DrainMark { by: x }, |n| {
            let i = &mut n.incarnations[x];
            (i.life, i.drain, i.marked_itself) = (Life::Sealing, then, true);
        });
    }

    pub(super) fn recovery_of(&mut self, x: usize) {
        let (model, s) = (self.model, self.state);
        let alone = model.bounds.recoverers == 1;
        for r in 0..2 {
            let is_next = r + model.bounds.recoverers >= 2 && (r == 0 || s.recoverers[0] != Recoverer::Idle || alone);
            if s.recoverers[r] == Recoverer::Idle && is_next {
                self.begin(r, x);
            }
            if s.recoverers[r].of() != Some(x) {
                continue;
            }
            self.go_on(r, x);
            if alone {
                self.go(Step::GiveUp { r }, |n| n.recoverers[r] = Recoverer::Idle);
            }
        }
    }

    fn begin(&mut self, r: usize, x: usize) {
        let (model, s) = (self.model, self.state);
        let i = s.incarnations[x];
        let is_needed = i.life != Life::Closed && i.index.is_none() && s.is_usable(x) && (i.life == Life::Sealing || s.other_is_open());
        if is_needed && model.is(Mutant::RecordReadBeforeSealing) {
            self.go(Step::ReadRecord { r }, |n| n.recoverers[r] = Recoverer::Read { of: x as u8, epoch: s.epoch });
        } else if is_needed {
            self.go(Step::Mark { of: x }, |n| {
                n.incarnations[x].life = Life::Sealing;
                n.recoverers[r] = Recoverer::Marked { of: x as u8 };
            });
        }
    }

    fn go_on(&mut self, r: usize, x: usize) {
        let (model, s) = (self.model, self.state);
        let i = s.incarnations[x];
        match s.recoverers[r] {
            Recoverer::Idle => {}
            Recoverer::Marked { of } => self.go(Step::ReadRecord { r }, |n| n.recoverers[r] = Recoverer::Read { of, epoch: s.epoch }),
            // Only the mutant that reads before it marks gets here.
            Recoverer::Read { .. } if i.life == Life::Open => self.go(Step::Mark { of: x }, |n| n.incarnations[x].life = Life::Sealing),
            Recoverer::Read { of, epoch } => {
                for own_disk in [false, true] {
                    self.go(Step::Seal { r, own_disk }, |n| {
                        let seals = !model.is(Mutant::NoSeal);
                        n.incarnations[x].own_sealed |= seals && own_disk;
                        n.incarnations[x].sealed |= seals && !own_disk;
                        n.recoverers[r] = Recoverer::Sealed { of, epoch, own_disk };
                    });
                }
            }
            Recoverer::Sealed { epoch, own_disk, .. } => {
                let copy = if own_disk { pick(s, |e| e.incarnation as usize == x && !e.is_object) } else { i.durable };
                self.go(Step::CreateEnd { r }, |n| {
                    let i = &mut n.incarnations[x];
                    i.stopped = !model.is(Mutant::NoStop);
                    i.index = Some(model.index(s, x, epoch, copy));
                    i.life = Life::Closed;
                    n.recoverers[r] = Recoverer::Idle;
                });
            }
        }
    }
}
