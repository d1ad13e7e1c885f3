//! The steps of the ownership model in words.
use super::Step;
use super::state::State;

pub(super) fn name(x: usize) -> char {
    ['A', 'B', 'C'][x]
}

pub(super) fn describe(s: &State, step: Step) -> String {
    let of = |r: usize| s.recoverers[r].of().map_or('?', name);
    match step {
        Step::Append { by, is_object } => {
            let (i, kind) = (s.incarnations[by], if is_object { "object" } else { "replicated" });
            format!("{} appends {} in epoch {} ({kind})", name(by), i.end, i.epoch)
        }
        Step::Fsync { by } => format!("{0}'s standby fsyncs one more; {0} acknowledges", name(by)),
        Step::Send { by } => format!("{} sends a pack of all it has not sent", name(by)),
        Step::Land { by } => format!("{0}'s pack lands in its slot; {0} acknowledges", name(by)),
        Step::Resume { by } => format!("{} appends again", name(by)),
        Step::Publish { by } => format!("{} stops appending and publishes a manifest", name(by)),
        Step::Ask { by, to } if by == to => format!("{0} asks etcd: from {0} to itself, epoch + 1", name(by)),
        Step::Ask { by, to } => format!("{0} asks etcd: from {0} to {1}", name(by), name(to)),
        Step::Change { by, to } => format!("etcd makes {} owner in epoch {} (asked by {}, answer lost)", name(to), s.epoch + 1, name(by)),
        Step::Open { by } => format!("{} learns that it is owner and opens the partition", name(by)),
        Step::Reopen { by } => format!("{} compares the record: still itself; appends again", name(by)),
        Step::Own { by } => format!("{} takes the partition over in epoch {}, base {}", name(by), s.epoch + 1, name(s.owner())),
        Step::Steal { by } => format!("someone moves the partition to {} in epoch {}", name(by), s.epoch + 1),
        Step::DrainMark { by } => format!("{} drains: it marks itself sealing", name(by)),
        Step::DrainRead { by } => format!("{} reads its record (epoch {}) and appends nothing more", name(by), s.epoch),
        Step::DrainEnd { by } => format!("{} stops its row, creates its end and index", name(by)),
        Step::Mark { of } => format!("a recoverer marks {} sealing", name(of)),
        Step::ReadRecord { r } => format!("the recoverer of {} reads the record (epoch {})", of(r), s.epoch),
        Step::Seal { r, own_disk } => format!("the recoverer of {} seals its {}", of(r), if own_disk { "own disk" } else { "standby" }),
        Step::CreateEnd { r } => format!("the recoverer of {} stops the row, creates end and index, marks it closed", of(r)),
        Step::Close { of } => format!("{} is marked closed", name(of)),
        Step::GiveUp { r } => format!("the recoverer of {} gives up", of(r)),
    }
}
