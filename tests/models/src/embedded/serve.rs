//! What a serving broker does: claims a WAL, appends, fsyncs, flushes, acknowledges, trims, meets a stop, drains.
use super::state::{SLOTS, Set, Slot, State, Wal, members};
use super::{Embedded, Entry, Life, Mutant, Step, Steps};

impl Steps<'_> {
    pub(super) fn serve(&mut self, by: usize) {
        self.generations(by);
        self.append(by);
        self.flush(by);
        self.learn(by);
    }

    fn generations(&mut self, by: usize) {
        let own = self.state.incarnations[by];
        if own.life == Life::Serves && own.wal == Wal::Local && !own.closed && self.model.bounds.leave {
            self.go(Step::LeaveWal { by }, |n| n.incarnations[by].wal = Wal::Left);
        }
        if own.life == Life::Serves && self.model.bounds.drain {
            self.go(Step::Drain { by }, |n| {
                n.incarnations[by].life = Life::Drains;
                n.incarnations[by].closed = true;
            });
        }
    }

    fn append(&mut self, by: usize) {
        let (model, s) = (self.model, self.state);
        let own = s.incarnations[by];
        let has_wal = own.wal == Wal::Local || (model.is(Mutant::LocalBeforeClaim) && own.wal == Wal::None);
        if own.life == Life::Serves && s.appended < model.bounds.entries {
            let offset = s.end_of(s.of_incarnation(by), own.start);
            for local in [true, false] {
                if if local { has_wal } else { model.bounds.object } {
                    let proves = if local && model.bounds.damage { s.synced & s.local_of(by) } else { 0 };
                    self.go(Step::Append { by, local }, |n| {
                        n.entries[n.appended as usize] = Entry { incarnation: by as u8, offset, local, proves };
                        n.held |= Set::from(local) << n.appended;
                        n.appended += 1;
                    });
                }
            }
        }
        let unsynced = s.local_of(by) & s.held & !s.synced;
        self.go(Step::Fsync { by }, |n| n.synced |= unsynced);
        if model.bounds.failing_fsync && unsynced != 0 {
            self.go(Step::FsyncFails { by }, |n| {
                n.ghosts |= unsynced;
                n.incarnations[by].life = Life::Gone;
            });
        }
    }

    fn flush(&mut self, by: usize) {
        let (model, s) = (self.model, self.state);
        let own = s.incarnations[by];
        let Some(next) = own.packs.iter().position(|pack| *pack == 0).filter(|next| *next < model.bounds.slots) else { return };
        let in_flight = next - own.packs_in_row().min(next);
        let unsent = s.of_incarnation(by) & !own.in_packs();
        let may_flush = model.is(Mutant::SlotsBeforeEnd) || (s.unended(by).next().is_none() && model.serves_what_ends_say(s, by));
        if unsent != 0 && in_flight < 2 && !own.row.contains(&Slot::Stop) && may_flush {
            self.go(Step::Send { by }, |n| n.incarnations[by].packs[next] = unsent);
        }
    }

    fn learn(&mut self, by: usize) {
        let (model, s) = (self.model, self.state);
        let own = s.incarnations[by];
        if own.row.contains(&Slot::Stop) && own.life == Life::Serves {
            if model.is(Mutant::StopTakenForOwn) {
                let all = s.of_incarnation(by);
                self.go(Step::MeetStop { by }, |n| n.acked |= all);
            } else {
                self.go(Step::MeetStop { by }, |n| n.incarnations[by].life = Life::Gone);
            }
        }
        if s.unended(by).next().is_none() && !model.serves_what_ends_say(s, by) {
            self.go(Step::MeetOtherEnd { by }, |n| n.incarnations[by].life = Life::Gone);
        }
    }
}

impl Embedded {
    /// Whether the ends of the predecessors, which all stand, close the log where `by` began its own.
    pub(super) fn serves_what_ends_say(&self, s: &State, by: usize) -> bool {
        self.is(Mutant::OtherEndIgnored) || self.log_below(s, by, s.incarnations[by].disk).end == s.incarnations[by].start
    }

    /// Acknowledges whatever is committed: in offset order, what is in certain slots or fsynced in the own WAL.
    pub(super) fn acknowledge(&self, s: &mut State, by: usize) {
        let own = s.incarnations[by];
        let mut certain = own.in_row();
        if self.is(Mutant::SlotsAckedOutOfOrder) {
            certain = (0..SLOTS).filter(|slot| own.row[*slot] == Slot::Pack).fold(0, |all, slot| all | own.packs[slot]);
        }
        let durable = if self.is(Mutant::AckBeforeFsync) { s.held } else { s.synced } & s.local_of(by);
        let may_skip = |e: usize| {
            let sent = own.in_packs() >> e & 1 == 1;
            (self.is(Mutant::SlotsAckedOutOfOrder) && sent) || (self.is(Mutant::AckOverUncommitted) && !sent && !s.entries[e].local)
        };
        let mut acked = s.acked;
        for e in members(s.of_incarnation(by)) {
            if (certain | durable) >> e & 1 == 1 {
                acked |= 1 << e;
            } else if !may_skip(e) {
                break;
            }
        }
        s.acked = acked;
    }

    /// Trims the WAL behind certain slots, as far as it goes.
    pub(super) fn trim(&self, s: &mut State, by: usize) {
        let own = s.incarnations[by];
        s.held &= !if self.is(Mutant::TrimBeforeCertain) { own.in_packs() } else { own.in_row() };
    }
}
