//! One broker of several: what it has beside what a single one has.
//!
//! | module | owns |
//! |---|---|
//! | [`adopt`] | a single broker's store that becomes a cluster's |
//! | [`join`] | the start: which cluster, which number, listed as alive |
//! | [`view`] | what etcd says, followed; who waits for news of it |
//! | [`keep`] | leading what the records of ownership name, and nothing else; the catalog; taking over what is closed |
//! | [`place`] | the first owners of new partitions, and who takes what of a dead broker's |
//! | [`moves`] | giving partitions to other brokers that live (R13): where they are wanted, and where fewer are led |
//! | [`opening`] | what an owner finds of a partition (architecture, "Opening") |
//! | [`copying`] | its own WALs and who keeps copies of them; copies of others' on this disk |
//! | [`suspect`] | noticing that another is gone, and making sure |
//! | [`reach`] | who refuses just now: what clients are told of leaders |
//! | [`undertake`] | its recovery (R4-R9), and one's own drain, which is the same done to oneself |
//! | [`lease`] | being listed as alive |
//!
//! Safety rests on claims, stops, `end`, marks, and comparisons of whole records; on no clock, and on nobody's suspicion. Whatever fails here is tried
//! again; an owner goes on with what it has opened meanwhile.

mod adopt;
mod copying;
mod join;
mod keep;
mod lease;
mod moves;
mod opening;
mod place;
mod reach;
mod suspect;
mod undertake;
mod view;

pub use adopt::{Adopted, adopt};
pub use join::Membership;
pub use suspect::{Links, PeerIdentity, Peers};

use crate::EngineOptions;
use crate::shared::Shared;
use crate::start::Start;
use floe_env::{Env, Mutant, mutated};
use floe_metadata::Catalog;
use floe_metadata::cluster::{Cluster, Lineage, Registration};
use floe_types::{BrokerId, Incarnation, LeaderEpoch, PartitionId};
use parking_lot::Mutex;
use reach::Reach;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use undertake::Attempt;
use view::Followed;

/// Pause after something that failed, before it is tried again.
const PAUSE: Duration = Duration::from_millis(300);

/// A broker's place in its cluster.
#[derive(Debug)]
pub(crate) struct Member {
    shared: Arc<Shared>,
    catalog: Arc<Catalog>,
    cluster: Cluster,
    lineage: Lineage,
    /// What recoveries are done with.
    start: Start,
    peers: Arc<dyn Peers>,
    rack: String,
    registration: Registration,
    followed: Followed,
    reach: Reach,
    /// Recoveries by this broker, so that it does nothing twice; no more than there are lives.
    recovering: Mutex<BTreeMap<Incarnation, Attempt>>,
    /// The epoch under which each partition was opened here last. A view from before it was given away would have it opened again.
    led: Mutex<BTreeMap<PartitionId, LeaderEpoch>>,
}

impl Member {
    fn env(&self) -> &Env {
        &self.shared.env
    }

    fn me(&self) -> Incarnation {
        self.shared.incarnation
    }

    fn broker(&self) -> BrokerId {
        self.shared.options.broker
    }

    fn options(&self) -> &EngineOptions {
        &self.shared.options
    }

    pub(crate) fn recovered_bytes(&self) -> u64 {
        self.start.recovered_bytes.load(Relaxed)
    }

    fn has_ended(&self) -> bool {
        self.shared.ended.get().is_some()
    }

    /// Whether this incarnation has led a partition under this epoch, or a later one.
    fn has_led(&self, id: PartitionId, epoch: LeaderEpoch) -> bool {
        !mutated(Mutant::OpensByOldView) && self.led.lock().get(&id).is_some_and(|led| *led >= epoch)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.shared.followed.lock().draining
    }
}
