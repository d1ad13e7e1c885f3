//! Ownership: every change compares the whole record that stands, and that the new owner is open (R13).

use super::backend::{Compare, KeyValue, Txn, Write};
use super::handle::{Cluster, decode, is};
use super::keys::Key;
use super::lives::put;
use super::options::{CONDITIONS, MAX_RACES};
use super::{ClusterError, backend::MAX_OPERATIONS};
use floe_env::{Mutant, mutated};
use floe_formats::etcd::{CatalogEntry, CounterEntry, IncarnationEntry, Life, OwnerEntry, PreferredEntry};
use floe_types::{BrokerId, ClusterId, Incarnation, PartitionId};
use std::collections::{BTreeMap, BTreeSet};

/// A partition, and its record as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owned {
    pub partition: PartitionId,
    pub owner: OwnerEntry,
}

/// How a change of one partition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The record is this now: by this call, or by an earlier attempt at the same.
    Changed(OwnerEntry),
    /// Somebody else has changed it: this is what stands, if anything.
    Lost(Option<OwnerEntry>),
}

/// One partition's change: from what stands to what is to stand; none: nothing.
#[derive(Debug, Clone, Copy)]
struct Swap {
    partition: PartitionId,
    from: Option<OwnerEntry>,
    to: Option<OwnerEntry>,
}

/// What must be true of an incarnation besides.
type Condition = (Incarnation, Life);

/// All calls here change many partitions, in transactions of at most [`super::ClusterOptions::batch`]; each transaction is one instant, the call is not. The outcomes are in
/// the order of what was asked. An error ends the call: what came before it has happened, and what it was sent with may still happen.
///
/// **An owner whose [`Cluster::hand_over`] ended in an error, or was cancelled, does not own the partition until [`Cluster::take_back`] says `Changed`**: the transaction
/// may be under way for as long as it likes, and only a record under a higher epoch makes it fail (R13).
impl Cluster {
    /// Gives partitions of `by`, which is open and alive, to other open incarnations. For the owner alone, after it stopped appending, flushed, and published (R13).
    /// The new records have no base.
    ///
    /// # Errors
    /// `NotInState`: a target is not open; its partitions have not moved. And [`Cluster::found`]'s; `Contended`; `Invalid`: a record is not `by`'s.
    pub async fn hand_over(&self, by: Incarnation, moves: &[(Owned, Incarnation)]) -> Result<Vec<Outcome>, ClusterError> {
        let what = "handing partitions over";
        let mut outcomes = BTreeMap::new();
        let targets: BTreeSet<Incarnation> = moves.iter().map(|(_, to)| *to).collect();
        for target in targets {
            let swaps: Vec<Swap> = moves
                .iter()
                .filter(|(_, to)| *to == target)
                .map(|(owned, _)| self.owned_by(by, *owned, target, None))
                .collect::<Result<_, _>>()?;
            let open = [(target, Life::Open)];
            let conditions: &[Condition] = if mutated(Mutant::GivenToTheClosed) { &[] } else { &open };
            let done = self.swap(what, conditions, &swaps).await?;
            outcomes.extend(swaps.iter().map(|swap| swap.partition).zip(done));
        }
        Ok(moves.iter().filter_map(|(owned, _)| outcomes.get(&owned.partition).copied()).collect())
    }

    /// Gives partitions of `by` to itself under the next epoch, which makes every earlier transaction of its fail (R13).
    ///
    /// # Errors
    /// As [`Cluster::hand_over`]; `NotInState`: `by` is not open any more.
    pub async fn take_back(&self, by: Incarnation, owned: &[Owned]) -> Result<Vec<Outcome>, ClusterError> {
        let swaps: Vec<Swap> = owned.iter().map(|owned| self.owned_by(by, *owned, by, None)).collect::<Result<_, _>>()?;
        self.swap("taking partitions back", &[(by, Life::Open)], &swaps).await
    }

    /// Takes partitions of `closed` over, with its index as base (R9). For `by` itself. Racing with other survivors is harmless.
    ///
    /// A lost answer: call again, or read the records: whoever they name is the owner.
    ///
    /// # Errors
    /// `NotInState`: `by` is not open any more, or `closed` is not closed. And as [`Cluster::hand_over`].
    pub async fn take_over(&self, by: Incarnation, closed: Incarnation, owned: &[Owned]) -> Result<Vec<Outcome>, ClusterError> {
        let swaps: Vec<Swap> = owned.iter().map(|owned| self.owned_by(closed, *owned, by, Some(closed))).collect::<Result<_, _>>()?;
        self.swap("taking partitions over", &[(closed, Life::Closed), (by, Life::Open)], &swaps).await
    }

    /// Gives partitions that nobody owns yet to open incarnations: a topic's first owners, in `epoch` 0, or the partitions of a single broker that was drained, above its
    /// incarnation and with that as base (`floe cluster adopt`). One that has a record keeps it: the answer is `Lost`.
    ///
    /// A lost answer: call again.
    ///
    /// # Errors
    /// As [`Cluster::hand_over`].
    pub async fn seed(&self, owners: &[Owned]) -> Result<Vec<Outcome>, ClusterError> {
        let mut outcomes = BTreeMap::new();
        let targets: BTreeSet<Incarnation> = owners.iter().map(|owned| owned.owner.incarnation).collect();
        for target in targets {
            let of_target = owners.iter().filter(|owned| owned.owner.incarnation == target);
            let swaps: Vec<Swap> = of_target.map(|owned| Swap { partition: owned.partition, from: None, to: Some(owned.owner) }).collect();
            let done = self.swap("seeding owners", &[(target, Life::Open)], &swaps).await?;
            outcomes.extend(swaps.iter().map(|swap| swap.partition).zip(done));
        }
        Ok(owners.iter().filter_map(|owned| outcomes.get(&owned.partition).copied()).collect())
    }

    /// Begins a cluster with what a single broker has left: its last life, closed, with records of all that it led; the cluster's name comes last, and until then nothing counts. May
    /// be done again when it was cut short.
    ///
    /// # Errors
    /// `Invalid`: the cluster has its name already. And [`Cluster::found`]'s.
    pub async fn adopt(
        &self,
        cluster: ClusterId,
        last: Option<&(Incarnation, IncarnationEntry)>,
        owned: &[Owned],
        catalog: u64,
    ) -> Result<(), ClusterError> {
        let mut writes = Vec::with_capacity(owned.len() + 4);
        if let Some((incarnation, entry)) = last {
            writes.push(put(&self.key(Key::Incarnation(*incarnation)), entry));
            writes.push(put(&self.key(Key::Life(*incarnation)), &Life::Closed));
            writes.push(put(&self.key(Key::Counter), &CounterEntry { greatest: *incarnation }));
        }
        writes.push(put(&self.key(Key::Catalog), &CatalogEntry { version: catalog }));
        writes.extend(owned.iter().map(|owned| put(&self.key(Key::Partition(owned.partition)), &owned.owner)));
        let name = self.key(Key::Cluster);
        for batch in writes.chunks(self.options().batch.clamp(1, MAX_OPERATIONS)) {
            let txn = Txn { compares: vec![Compare::Absent { key: name.clone() }], writes: batch.to_vec(), reads: Vec::new() };
            if !self.commit("adopting a single broker's partitions", &txn).await?.won {
                return Err(ClusterError::Invalid("this prefix of etcd has a cluster already".into()));
            }
        }
        self.found(cluster).await.map(|_| ())
    }

    /// Says who should lead partitions; none: anybody. The last word counts; a lost answer: call again.
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn prefer(&self, wishes: &[(PartitionId, Option<BrokerId>)]) -> Result<(), ClusterError> {
        let write = |(partition, broker): &(PartitionId, Option<BrokerId>)| {
            let key = self.key(Key::Preferred(*partition));
            match broker {
                Some(broker) => put(&key, &PreferredEntry { broker: *broker }),
                None => Write::Delete { key },
            }
        };
        for batch in wishes.chunks(self.options().batch.clamp(1, MAX_OPERATIONS)) {
            let txn = Txn { writes: batch.iter().map(write).collect(), ..Txn::default() };
            self.commit("saying who should lead", &txn).await?;
        }
        Ok(())
    }

    /// Deletes the records of partitions whose topics the catalog lists as deleted; answers how many are gone. A lost answer: call again.
    ///
    /// # Errors
    /// See [`Cluster::found`]; `Contended`.
    pub async fn delete_partitions(&self, owned: &[Owned]) -> Result<usize, ClusterError> {
        let swaps: Vec<Swap> = owned.iter().map(|owned| Swap { partition: owned.partition, from: Some(owned.owner), to: None }).collect();
        let done = self.swap("deleting owners", &[], &swaps).await?;
        Ok(done.iter().filter(|outcome| **outcome == Outcome::Lost(None)).count())
    }

    fn owned_by(&self, from: Incarnation, owned: Owned, to: Incarnation, base: Option<Incarnation>) -> Result<Swap, ClusterError> {
        let Owned { partition, owner } = owned;
        if owner.incarnation != from {
            return Err(ClusterError::Invalid(format!("{partition} is {}'s, and not {from}'s", owner.incarnation)));
        }
        let epoch = owner.epoch.checked_add(1).ok_or_else(|| ClusterError::Invalid(format!("{partition} has no further epoch")))?;
        Ok(Swap { partition, from: Some(owner), to: Some(OwnerEntry { incarnation: to, epoch, base }) })
    }

    async fn swap(&self, what: &'static str, conditions: &[Condition], swaps: &[Swap]) -> Result<Vec<Outcome>, ClusterError> {
        let size = self.options().batch.clamp(1, MAX_OPERATIONS - CONDITIONS);
        let mut outcomes = Vec::with_capacity(swaps.len());
        for batch in swaps.chunks(size) {
            outcomes.extend(self.swap_batch(what, conditions, batch).await?);
        }
        Ok(outcomes)
    }

    /// One transaction for all; what somebody else has changed drops out, and the rest is tried again.
    async fn swap_batch(&self, what: &'static str, conditions: &[Condition], batch: &[Swap]) -> Result<Vec<Outcome>, ClusterError> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.len()];
        for _ in 0..MAX_RACES {
            let open: Vec<usize> = (0..batch.len()).filter(|n| outcomes[*n].is_none()).collect();
            let swaps: Vec<Swap> = open.iter().map(|n| batch[*n]).collect();
            if open.is_empty() {
                break;
            }
            let done = self.commit(what, &self.txn(conditions, &swaps)).await?;
            if done.won {
                open.iter().for_each(|n| outcomes[*n] = Some(after(batch[*n].to)));
                break;
            }
            let (states, records) = done.found.split_at(conditions.len());
            for (n, found) in open.into_iter().zip(records) {
                let stands = found.as_ref().map(decode::<OwnerEntry>).transpose()?;
                if stands == batch[n].to {
                    outcomes[n] = Some(after(stands)); // an earlier attempt, whose answer was lost
                } else if stands != batch[n].from {
                    outcomes[n] = Some(Outcome::Lost(stands));
                }
            }
            if outcomes.iter().any(Option::is_none) {
                hold(conditions, states)?;
            }
        }
        let all: Option<Vec<Outcome>> = outcomes.into_iter().collect();
        all.ok_or(ClusterError::Contended { what, attempts: MAX_RACES })
    }

    fn txn(&self, conditions: &[Condition], swaps: &[Swap]) -> Txn {
        let life = |(incarnation, life): &Condition| is(self.key(Key::Life(*incarnation)), life);
        let key = |swap: &Swap| self.key(Key::Partition(swap.partition));
        let compare = |swap: &Swap| match swap.from {
            Some(from) => is(key(swap), &from),
            None => Compare::Absent { key: key(swap) },
        };
        let write = |swap: &Swap| match swap.to {
            Some(to) => put(&key(swap), &to),
            None => Write::Delete { key: key(swap) },
        };
        Txn {
            compares: conditions.iter().map(life).chain(swaps.iter().map(compare)).collect(),
            writes: swaps.iter().map(write).collect(),
            reads: conditions.iter().map(|(incarnation, _)| self.key(Key::Life(*incarnation))).chain(swaps.iter().map(key)).collect(),
        }
    }
}

fn after(to: Option<OwnerEntry>) -> Outcome {
    to.map_or(Outcome::Lost(None), Outcome::Changed)
}

/// Which condition does not hold, by what was found.
fn hold(conditions: &[Condition], states: &[Option<KeyValue>]) -> Result<(), ClusterError> {
    for ((incarnation, wanted), found) in conditions.iter().zip(states) {
        let found = found.as_ref().map(decode::<Life>).transpose()?;
        if found != Some(*wanted) {
            return Err(ClusterError::NotInState { incarnation: *incarnation, wanted: *wanted, found });
        }
    }
    Ok(())
}
