//! What must be true in every state, and which situations a search must have met.
use super::state::{Broken, Cleaning, LastSlot, Phase, Place, Reading, State, members};
use super::{Publishing, state};

/// Situations that make the rules worth having.
pub(super) const LANDMARKS: &[&str] = &[
    "a deposed owner's create lands after the change of owner",
    "a manifest version that was pruned is created again",
    "a reader starts again from a newer view",
    "a pack that an owner sweeps was a deposed owner's merge",
    "a value and its tombstone are both gone, and their key has not risen",
    "a tombstone outlives its value",
    "a lost WAL takes a log start back",
    "a reader finds a page gone and starts again",
    "a log start lies inside a page",
];

impl Publishing {
    pub(super) fn broken_promise(&self, s: &State) -> Option<String> {
        match s.broken {
            Broken::Nothing => {}
            Broken::EpochWentDown => return Some("the newest manifest's epoch went down".into()),
            Broken::NewestDeleted => return Some("the newest manifest was deleted".into()),
            Broken::VersionChanged => return Some("a manifest version changed".into()),
            Broken::FalseDamage => return Some("the reader finds damage that is none".into()),
            Broken::Gap => return Some("the reader finds a gap".into()),
        }
        self.false_manifest(s).or_else(|| self.lost_offset(s)).or_else(|| self.wrongly_compacted(s))
    }

    /// The newest manifest names what is there, once, and nothing that the log might lose.
    fn false_manifest(&self, s: &State) -> Option<String> {
        let manifest = s.manifests[s.newest()];
        if let Some(pack) = members(manifest.packs).find(|pack| !s.packs[*pack].is_there) {
            return Some(format!("the newest manifest names pack {pack}, which is gone"));
        }
        if let Some(page) = manifest.page.filter(|page| !s.pages[*page as usize].is_there) {
            return Some(format!("the newest manifest names page {page}, which is gone"));
        }
        if let Some(page) = manifest.page
            && members(s.pages[page as usize].packs & !manifest.packs).any(|pack| s.packs[pack].to > manifest.log_start)
        {
            return Some(format!("page {page} of the newest manifest holds a pack that was replaced"));
        }
        let overlaps = |pack: usize, other: usize| pack != other && s.packs[pack].offsets() & s.packs[other].offsets() != 0;
        if members(manifest.packs).any(|pack| members(manifest.packs).any(|other| overlaps(pack, other))) {
            return Some("two packs of the newest manifest hold the same offset".into());
        }
        if manifest.log_start > s.log_start {
            return Some(format!("the newest manifest starts at {}, the log at {}", manifest.log_start, s.log_start));
        }
        let names_uncertain = s.last != LastSlot::There && s.end_of(&manifest) > s.certain_end();
        names_uncertain.then(|| "the newest manifest names what no certain slot held".into())
    }

    fn lost_offset(&self, s: &State) -> Option<String> {
        let (manifest, owner) = (s.manifests[s.newest()], s.owners[s.epoch as usize - 1]);
        let knows = owner.log_start.max(manifest.log_start);
        if knows < s.log_start {
            return Some(format!("log start {} was acknowledged, the owner has {knows}", s.log_start));
        }
        for offset in s.log_start..s.certain_end() {
            match self.place(s, owner.index, &manifest, offset) {
                None => return Some(format!("offset {offset} is in no index and no manifest")),
                Some(place) if !s.is_there(place) => return Some(format!("offset {offset} is retained, its {place:?} is gone")),
                Some(_) => {}
            }
        }
        None
    }

    /// What compaction left out, it had the right to, and no key rises again.
    fn wrongly_compacted(&self, s: &State) -> Option<String> {
        if !self.bounds.compaction {
            return None;
        }
        let manifest = s.manifests[s.newest()];
        let (value, tombstone) = (self.bounds.offsets - 2, self.bounds.offsets - 1);
        let is_left_out = |offset: u8| {
            let pack = s.pack_of(manifest.packs, offset);
            pack.is_some_and(|pack| s.packs[pack].dropped >> offset & 1 == 1)
        };
        if (is_left_out(value) || is_left_out(tombstone)) && s.cleaning == Cleaning::Unsaid {
            return Some("a record was left out, and no event of the log allows it".into());
        }
        if is_left_out(value) && s.end <= tombstone && value >= s.log_start {
            return Some(format!("record {value} was left out for a newer one, which the log has lost"));
        }
        let shows_value = value >= s.log_start.max(manifest.log_start) && !is_left_out(value);
        (is_left_out(tombstone) && shows_value).then(|| format!("the tombstone of record {value} is gone, and the key rises again"))
    }

    pub(super) fn landmarks_shown(&self, s: &State) -> u64 {
        let newest = s.newest();
        let manifest = s.manifests[newest];
        let (value, tombstone) = (self.bounds.offsets - 2, self.bounds.offsets - 1);
        let left_out = |offset: u8| s.pack_of(manifest.packs, offset).is_some_and(|pack| s.packs[pack].dropped >> offset & 1 == 1);
        let owner = |by: usize| s.owners[by];
        let shown = [
            owner(0).phase == Phase::Created && s.epoch > 1,
            (1..newest).any(|version| s.manifests[version].epoch > 0 && s.manifests[version + 1].epoch == 0),
            s.reader.at != Reading::Done && s.reader.missing.is_some(),
            s.epoch > 1 && owner(0).merges > 0 && !s.packs[1].is_there && owner(1).view.epoch == 2,
            left_out(value) && left_out(tombstone),
            left_out(value) && !left_out(tombstone) && s.pack_of(manifest.packs, tombstone).is_some(),
            s.epoch > 1 && owner(0).log_start > s.log_start,
            s.reader.at != Reading::Done && matches!(s.reader.missing, Some(Place::Page(_))),
            manifest.page.is_some_and(|page| members(s.pages[page as usize].packs).any(|pack| s.packs[pack].to <= manifest.log_start)),
        ];
        shown.iter().enumerate().fold(0, |bits, (bit, shown)| bits | u64::from(*shown) << bit)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pack(pack) => write!(f, "pack {pack} (epoch {})", state::epoch_of(*pack as usize)),
            Self::Slot(slot) => write!(f, "slot {slot}"),
            Self::Page(page) => write!(f, "page {page} (epoch {})", page + 1),
        }
    }
}
