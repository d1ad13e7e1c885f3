//! What happens in the set-back model.
use super::state::{Entry, Etcd, INCARNATIONS, Life, Manifest, Mark, Phase, Put, Record, Recoverer, State};
use super::{Mutant, Setback, Step};

/// Collects the steps possible in one state.
pub(super) struct Steps<'a> {
    pub(super) model: &'a Setback,
    pub(super) state: &'a State,
    pub(super) out: &'a mut Vec<(Step, State)>,
}

impl Steps<'_> {
    fn go(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut after = *self.state;
        change(&mut after);
        if after.was_set_back {
            after.snapshot = None;
        }
        if !self.model.is(Mutant::RevisionOnly) {
            (after.etcd.revision, after.seen) = (0, 0);
            after.snapshot = after.snapshot.map(|snapshot| Etcd { revision: 0, ..snapshot });
        }
        if after != *self.state {
            self.out.push((step, after));
        }
    }

    fn phase(&mut self, step: Step, x: usize, phase: Phase) {
        self.go(step, |n| n.incarnations[x].phase = phase);
    }

    pub(super) fn world(&mut self) {
        let s = self.state;
        if s.snapshot.is_none() && !s.was_set_back {
            self.go(Step::Snapshot, |n| n.snapshot = Some(n.etcd));
        }
        if let Some(snapshot) = s.snapshot.filter(|snapshot| *snapshot != s.etcd) {
            self.go(Step::SetBack, |n| {
                n.etcd = snapshot;
                n.was_set_back = true;
            });
        }
    }

    /// Marks for the sake of other partitions: whoever puts one has made sure of the one before, and may die before its own stands.
    pub(super) fn others(&mut self) {
        let (model, s) = (self.model, self.state);
        let mark = s.etcd.mark;
        let may_put = s.marks[mark.number as usize] == Some(mark.nonce) || model.is(Mutant::ChainBroken);
        if !model.bounds.moves || !may_put || s.nonces >= model.bounds.marks || model.is(Mutant::RevisionOnly) {
            return;
        }
        for stands in [false, true] {
            self.go(Step::OtherMarks { stands }, |n| {
                let mark = Self::next_mark(n, mark);
                if stands {
                    let _ = model.put(n, mark);
                }
            });
        }
    }

    fn give(&mut self, step: Step, to: usize, base: Option<u8>, by: Option<usize>) {
        self.go(step, |n| {
            n.etcd.record = Record { owner: to as u8, epoch: n.etcd.record.epoch + 1, base };
            n.etcd.revision += 1;
            if let Some(by) = by {
                n.incarnations[by].asked &= !(1 << to);
            }
        });
    }

    /// Transactions: survivors take over from the closed, hand-overs in flight land.
    pub(super) fn etcd(&mut self, x: usize) {
        let s = self.state;
        let (i, record) = (s.incarnations[x], s.etcd.record);
        if record.epoch >= self.model.bounds.epochs {
            return;
        }
        let owner = record.owner as usize;
        for to in 0..INCARNATIONS {
            if i.asked >> to & 1 == 1 && owner == x && record.epoch == i.epoch && s.etcd.life[to] == Life::Open {
                self.give(Step::Change { by: x, to }, to, None, Some(x));
            }
        }
        let may_act = !self.is_frozen(x) && !i.sealed && s.etcd.life[x] == Life::Open;
        if owner != x && may_act && s.etcd.life[owner] == Life::Closed && s.is_usable(x) {
            self.give(Step::Own { by: x }, x, Some(record.owner), None);
        }
    }

    fn is_frozen(&self, x: usize) -> bool {
        self.state.incarnations[x].phase == Phase::Frozen && !self.model.is(Mutant::FrozenGoesOn)
    }

    /// From reading that it owns the partition to relying on it.
    pub(super) fn relying(&mut self, x: usize) {
        let (model, s) = (self.model, self.state);
        let i = s.incarnations[x];
        let (record, life) = (s.etcd.record, s.etcd.life[x]);
        let is_new = record.owner as usize == x && record.epoch > i.epoch && life == Life::Open;
        if matches!(i.phase, Phase::Follows | Phase::Published | Phase::Sent) || i.phase == Phase::Frozen && !self.is_frozen(x) {
            if is_new && !i.sealed {
                self.look(x);
            }
            return;
        }
        match i.phase {
            Phase::Looked { record, mark } => self.go(Step::PutBefore { by: x }, |n| {
                let stands = if model.is(Mutant::ChainBroken) { Put::Stands } else { model.put(n, mark) };
                n.incarnations[x].phase = match stands {
                    Put::Stands => Phase::Confirmed { record, mark },
                    Put::AnothersStands if model.is(Mutant::FrozenGoesOn) => Phase::Confirmed { record, mark },
                    Put::AnothersStands => Phase::Frozen,
                };
            }),
            Phase::Confirmed { record: known, mark } => {
                let record = if model.is(Mutant::RecordOfBefore) { known } else { record };
                let is_its = record.owner as usize == x && record.epoch > i.epoch;
                if mark != s.etcd.mark && !model.is(Mutant::MarkNotCompared) {
                    self.phase(Step::Mark { by: x }, x, Phase::Follows); // the transaction fails: read again
                } else if s.nonces < model.bounds.marks {
                    self.go(Step::Mark { by: x }, |n| {
                        let mark = Self::next_mark(n, mark);
                        n.incarnations[x].phase = if is_its { Phase::Marked { record, mark } } else { Phase::Follows };
                        if is_its && model.is(Mutant::ReliesBeforeMark) {
                            Self::open(n, x, record);
                        }
                    });
                }
            }
            Phase::Marked { record, mark } => self.go(Step::PutMark { by: x }, |n| match model.put(n, mark) {
                Put::Stands => Self::open(n, x, record),
                Put::AnothersStands if model.is(Mutant::FrozenGoesOn) => Self::open(n, x, record),
                Put::AnothersStands => n.incarnations[x].phase = Phase::Frozen,
            }),
            _ => {}
        }
    }

    fn look(&mut self, x: usize) {
        let (model, s) = (self.model, self.state);
        let record = s.etcd.record;
        if !model.is(Mutant::RevisionOnly) {
            self.phase(Step::Look { by: x }, x, Phase::Looked { record, mark: s.etcd.mark });
            return;
        }
        self.go(Step::Look { by: x }, |n| {
            if n.etcd.revision < n.seen {
                n.incarnations[x].phase = Phase::Frozen;
            } else {
                n.seen = n.etcd.revision;
                Self::open(n, x, record);
            }
        });
    }

    fn next_mark(n: &mut State, before: Mark) -> Mark {
        n.nonces += 1;
        n.etcd.mark = Mark { number: before.number + 1, nonce: n.nonces };
        n.etcd.mark
    }

    fn open(n: &mut State, x: usize, record: Record) {
        let view = n.below(record);
        let i = &mut n.incarnations[x];
        (i.phase, i.epoch, i.view, i.asked) = (Phase::Serves, record.epoch, view, 0);
    }

    /// An owner: appends; stops, publishes, asks for a hand-over, or for the partition back.
    pub(super) fn owner(&mut self, x: usize) {
        let (model, s) = (self.model, self.state);
        let i = s.incarnations[x];
        if i.sealed {
            return;
        }
        if i.phase == Phase::Serves {
            if s.count < model.bounds.entries {
                self.go(Step::Append { by: x }, |n| {
                    let offset = n.end_below(i.view | n.own(x));
                    n.entries[n.count as usize] = Entry { incarnation: x as u8, epoch: i.epoch, offset };
                    n.count += 1;
                });
            }
            if s.manifest.epoch <= i.epoch && model.bounds.moves {
                self.go(Step::Publish { by: x }, |n| {
                    n.manifest = Manifest { set: i.view | n.own(x), epoch: i.epoch };
                    n.incarnations[x].phase = Phase::Published;
                });
            }
        }
        if matches!(i.phase, Phase::Published | Phase::Sent) {
            for to in (0..INCARNATIONS).filter(|to| s.is_usable(*to)) {
                let may_ask = if to == x { i.phase == Phase::Sent } else { i.asked & !(1 << x) == 0 };
                if may_ask {
                    self.go(Step::Ask { by: x, to }, |n| {
                        n.incarnations[x].phase = Phase::Sent;
                        n.incarnations[x].asked |= 1 << to;
                    });
                }
            }
        }
    }

    pub(super) fn recoverer(&mut self) {
        let (model, s) = (self.model, self.state);
        if !model.bounds.recovery {
            return;
        }
        if s.recoverer == Recoverer::Idle {
            for of in (0..INCARNATIONS).filter(|of| s.etcd.life[*of] != Life::Closed && s.is_usable(*of)) {
                self.go(Step::Seal { of }, |n| {
                    n.etcd.life[of] = Life::Sealing;
                    n.etcd.revision += 1;
                    n.recoverer = Recoverer::Sealing { of: of as u8 };
                });
            }
            return;
        }
        self.recoverer_relies();
        match s.recoverer {
            Recoverer::Relies { of, record } => self.go(Step::CreateEnd, |n| {
                n.incarnations[of as usize].sealed = true;
                let line = n.line(of as usize, record);
                n.ends[of as usize].get_or_insert(line);
                n.recoverer = Recoverer::Ended { of };
            }),
            Recoverer::Ended { of } => self.go(Step::Close, |n| {
                // compares that it is sealing: a set-back etcd may say open again, then it begins anew
                if n.etcd.life[of as usize] == Life::Sealing {
                    n.etcd.life[of as usize] = Life::Closed;
                    n.etcd.revision += 1;
                }
                n.recoverer = Recoverer::Idle;
            }),
            _ => {}
        }
        self.go(Step::GiveUp, |n| n.recoverer = Recoverer::Idle);
    }

    fn recoverer_relies(&mut self) {
        let (model, s) = (self.model, self.state);
        let careless = model.is(Mutant::EndWithoutMark) || model.is(Mutant::RevisionOnly);
        match s.recoverer {
            Recoverer::Sealing { of } if careless => {
                self.go(Step::RecoverLook, |n| n.recoverer = Recoverer::Relies { of, record: n.etcd.record })
            }
            Recoverer::Sealing { of } => self.go(Step::RecoverLook, |n| n.recoverer = Recoverer::Looked { of, mark: n.etcd.mark }),
            Recoverer::Looked { of, mark } => self.go(Step::RecoverPutBefore, |n| {
                let stands = if model.is(Mutant::ChainBroken) { Put::Stands } else { model.put(n, mark) };
                Self::recoverer_put(n, &stands, Recoverer::Confirmed { of, mark });
            }),
            Recoverer::Confirmed { of, mark } if mark != s.etcd.mark || s.etcd.life[of as usize] == Life::Open => {
                self.go(Step::RecoverMark, |n| n.recoverer = Recoverer::Idle); // the transaction fails
            }
            Recoverer::Confirmed { of, mark } if s.nonces < model.bounds.marks => self.go(Step::RecoverMark, |n| {
                let mark = Self::next_mark(n, mark);
                n.recoverer = Recoverer::Marked { of, mark, record: n.etcd.record };
            }),
            Recoverer::Marked { of, mark, record } => self.go(Step::RecoverPutMark, |n| {
                let stands = model.put(n, mark);
                Self::recoverer_put(n, &stands, Recoverer::Relies { of, record });
            }),
            _ => {}
        }
    }

    fn recoverer_put(n: &mut State, stands: &Put, then: Recoverer) {
        match stands {
            Put::Stands => n.recoverer = then,
            Put::AnothersStands => {
                n.recoverer = Recoverer::Idle;
                n.recoverer_froze = true;
            }
        }
    }
}
