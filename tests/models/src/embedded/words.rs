//! The steps in words, for counterexamples.
use super::state::{Life, Set, State, members};
use super::{Embedded, Mutant, Step};

fn list(set: Set) -> String {
    let numbers: Vec<String> = members(set).map(|e| e.to_string()).collect();
    if numbers.is_empty() { "nothing".into() } else { format!("entries {}", numbers.join(", ")) }
}

impl Embedded {
    pub(super) fn words(&self, s: &State, step: Step) -> String {
        match step {
            Step::Start { disk, take_over, .. } => {
                format!(
                    "incarnation {} is claimed by a broker that starts on disk {disk}{}",
                    s.born,
                    if take_over { " with --take-over" } else { "" }
                )
            }
            Step::Close { .. } | Step::Seal { .. } | Step::Stop { .. } | Step::SendEnd { .. } | Step::LandEnd { .. } => {
                self.recovery_words(s, step)
            }
            Step::Serve { by } => {
                let log = self.log_below(s, by, s.incarnations[by].disk);
                let early = s.unended(by).next().map_or(String::new(), |of| format!(", before the end of {of} stands"));
                format!("{by} begins to serve at offset {} and shows {}{early}", log.end, list(log.entries))
            }
            Step::LosePower { disk, lost } => format!("the machine of disk {disk} loses power, and of its page cache {}", list(lost)),
            Step::Rot { entry } => format!("entry {entry} rots on its disk"),
            Step::Land { of, slot } => format!("{of}'s pack of {} lands in its slot {slot}", list(s.incarnations[of].packs[slot])),
            _ => self.owner_words(s, step),
        }
    }

    fn owner_words(&self, s: &State, step: Step) -> String {
        match step {
            Step::ClaimWal { by } => format!("{by} claims a generation with a local WAL"),
            Step::LeaveWal { by } => format!("{by} claims a generation without a WAL"),
            Step::Append { by, local } => {
                let offset = s.end_of(s.of_incarnation(by), s.incarnations[by].start);
                format!("{by} appends entry {} at offset {offset} ({})", s.appended, if local { "local" } else { "object" })
            }
            Step::Fsync { by } => format!("{by} fsyncs {}", list(s.local_of(by) & s.held & !s.synced)),
            Step::FsyncFails { by } => format!("{by}'s fsync of {} fails; it ends", list(s.local_of(by) & s.held & !s.synced)),
            Step::Send { by } => format!("{by} sends a pack of {}", list(s.of_incarnation(by) & !s.incarnations[by].in_packs())),
            Step::MeetStop { by } if self.is(Mutant::StopTakenForOwn) => format!("{by} takes a stop for its own pack and acknowledges"),
            Step::MeetStop { by } => format!("{by} meets a stop in its row and ends"),
            Step::MeetOtherEnd { by } => format!("{by} finds that the log below it was closed elsewhere than where it began, and ends"),
            Step::Drain { by } => format!("{by} is told to end: it appends nothing more and closes its claims"),
            Step::Kill { by } if s.incarnations[by].life == Life::Recovers => format!("{by}, still recovering, is killed"),
            Step::Kill { by } => format!("{by} is killed"),
            _ => format!("{step:?}"),
        }
    }

    fn recovery_words(&self, s: &State, step: Step) -> String {
        match step {
            Step::Close { by, of } if self.is(Mutant::ClaimsNotClosed) => format!("{by} reads the claims of {of}"),
            Step::Close { by, of } => format!("{by} closes the claims of {of}"),
            Step::Seal { by, of } => {
                format!("{by} seals {of} on its disk, and so makes {} durable", list(self.found_in_wal(s, of)))
            }
            Step::Stop { by, of, slot } => format!("{by} stops slot {slot} of {of}"),
            Step::SendEnd { by, of } => {
                let (own, below) = (s.incarnations[by], self.log_below(s, of, s.incarnations[by].disk).end);
                let kept = if s.incarnations[of].disk == own.disk { self.replay(s, of, below).kept } else { 0 };
                let gave_up =
                    if self.is_lost_to(s, by, of) { format!(", gives disk {} up", s.incarnations[of].disk) } else { String::new() };
                format!(
                    "{by} {} end of {of}: {} from the WAL{gave_up}",
                    if self.bounds.late_end { "sends the" } else { "creates the" },
                    list(kept)
                )
            }
            Step::LandEnd { by } => {
                let Some(sent) = s.incarnations[by].sent_end else { return format!("{step:?}") };
                let standing = s.incarnations[sent.of as usize].end.is_some();
                format!("the end of {} that {by} sent lands{}", sent.of, if standing { ": one stands already" } else { "" })
            }
            _ => format!("{step:?}"),
        }
    }
}
