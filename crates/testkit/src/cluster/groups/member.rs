//! A client's life: alone, or as a member that joins, is given partitions, heartbeats, commits, and fetches.

use super::client::{Answer, Client};
use super::history::{self, TOPIC};
use bytes::Bytes;
use floe_coordinator::{
    Commit, CommitPartition, Fetch, GroupError, Heartbeat, Join, Joined, Leave, LeavingMember, Name, Reply, Request, Sync,
};
use std::time::Duration;

/// Of the topic that members share out.
pub(super) const SHARED_PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(3);
/// Longer than a rebalance may take.
const JOIN_PATIENCE: Duration = Duration::from_secs(8);
const SESSION_MS: i32 = 3_000;
const REBALANCE_MS: i32 = 4_000;
/// Between one request of a client and its next.
const PAUSE_MS: (u64, u64) = (300, 1_800);

/// A consumer that gives itself its partition, and is no member.
pub(super) async fn lives_alone(mut client: Client) {
    loop {
        client.pause(PAUSE_MS.0, PAUSE_MS.1).await;
        if client.chance(3) {
            fetch(&mut client).await;
        } else {
            commit(&mut client, &Place { generation: -1, member: "".into(), partitions: vec![0] }).await;
        }
    }
}

/// What a member has been given.
struct Place {
    generation: i32,
    member: Name,
    partitions: Vec<i32>,
}

/// A member of a group, for ever, in one life after the other.
pub(super) async fn lives(mut client: Client) {
    let mut member: Name = "".into();
    loop {
        client.pause(PAUSE_MS.0, PAUSE_MS.1).await;
        let Some(place) = join(&mut client, &mut member).await else { continue };
        fetch(&mut client).await;
        let wants_to_stay = serve(&mut client, &place).await;
        if !wants_to_stay {
            member = "".into();
        }
    }
}

/// Until it has lost its place. Whether it comes back under its id.
async fn serve(client: &mut Client, place: &Place) -> bool {
    loop {
        client.pause(PAUSE_MS.0, PAUSE_MS.1).await;
        let told = match client.env.random_below(60) {
            0 => {
                leave(client, place).await;
                return false;
            }
            // It is gone without a word; another one takes its place.
            1 => return false,
            // It sleeps beyond its session and goes on as if nothing had been.
            2 => {
                client.pause(4_000, 12_000).await;
                commit(client, place).await
            }
            3..=14 => fetch(client).await,
            15..=29 => heartbeat(client, place).await,
            _ => commit(client, place).await,
        };
        match told {
            Some(GroupError::UnknownMemberId) => return false,
            Some(GroupError::IllegalGeneration | GroupError::RebalanceInProgress | GroupError::GroupIdNotFound) => return true,
            _ => {}
        }
    }
}

async fn join(client: &mut Client, member: &mut Name) -> Option<Place> {
    loop {
        let known = client.history().known_generations(&client.group);
        let request = Request::Join(Join {
            group: client.group.clone(),
            member: member.clone(),
            instance: None,
            client_id: "simulated".into(),
            client_host: "/".into(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: REBALANCE_MS,
            protocol_type: "consumer".into(),
            protocols: vec![("shared".into(), Bytes::new())],
            member_id_required: true,
            can_skip_assignment: true,
            fresh: client.env.random_u128(),
        });
        let Answer { outcome, under } = client.ask(request, JOIN_PATIENCE).await?;
        match outcome {
            Ok(Reply::MemberIdRequired(id)) => *member = id,
            Ok(Reply::Joined(joined)) => {
                client.history().joined(&client.group, &known, joined.generation, under);
                *member = joined.member.clone();
                return sync(client, joined).await;
            }
            Err(GroupError::UnknownMemberId) => {
                *member = "".into();
                return None;
            }
            _ => return None,
        }
    }
}

async fn sync(client: &mut Client, joined: Joined) -> Option<Place> {
    let known = client.history().known_generations(&client.group);
    let assignments = shares(&joined);
    let request = Request::Sync(Sync {
        group: client.group.clone(),
        generation: joined.generation,
        member: joined.member.clone(),
        instance: None,
        protocol_type: joined.protocol_type,
        protocol: joined.protocol,
        assignments,
    });
    let Answer { outcome, under } = client.ask(request, JOIN_PATIENCE).await?;
    let Ok(Reply::Synced(synced)) = outcome else { return None };
    let partitions: Vec<i32> = synced.assignment.iter().map(|partition| i32::from(*partition)).collect();
    let place = Place { generation: joined.generation, member: joined.member, partitions };
    client.history().assigned(&client.group, &known, (place.generation, &place.member, &place.partitions), under);
    Some(place)
}

/// Who gets what, by the leader: a byte for each partition.
fn shares(joined: &Joined) -> Vec<(Name, Bytes)> {
    let count = i32::try_from(joined.members.len()).unwrap_or(1);
    let share =
        |index: i32| (0..SHARED_PARTITIONS).filter(|partition| partition % count == index).filter_map(|p| u8::try_from(p).ok()).collect();
    (0..).zip(&joined.members).map(|(index, member)| (member.member.clone(), share(index))).collect()
}

/// Commits the next offset of each partition that it was given. What it was refused for.
async fn commit(client: &mut Client, place: &Place) -> Option<GroupError> {
    let sent = client.history().next_offsets(&client.group, &place.partitions, place.generation);
    if sent.offsets.is_empty() {
        return heartbeat(client, place).await;
    }
    let one = |(index, offset): (&i32, &i64)| CommitPartition {
        index: *index,
        offset: *offset,
        leader_epoch: -1,
        metadata: history::note(*index, *offset, place.generation).into(),
    };
    let request = Request::Commit(Commit {
        group: client.group.clone(),
        generation: place.generation,
        member: place.member.clone(),
        instance: None,
        retention_ms: None,
        tells_missing_group: true,
        topics: vec![(TOPIC.into(), sent.offsets.iter().map(one).collect())],
    });
    let Answer { outcome, under } = client.ask(request, PATIENCE).await?;
    match outcome {
        Ok(Reply::Committed(topics)) => {
            let refused = topics.into_iter().flat_map(|(_, partitions)| partitions).find_map(|(_, error)| error);
            if refused.is_none() {
                client.history().committed(&client.group, client.index, &sent, under);
            }
            refused
        }
        Ok(other) => {
            client.history().breaks(format!("not of a commit: {other:?}"));
            None
        }
        Err(error) => {
            client.history().refused(error);
            Some(error)
        }
    }
}

async fn fetch(client: &mut Client) -> Option<GroupError> {
    let known = client.history().known_offsets(&client.group);
    let request = Request::Fetch(Fetch { group: client.group.clone(), topics: None });
    let Answer { outcome, under } = client.ask(request, PATIENCE).await?;
    match outcome {
        Ok(Reply::Fetched(topics)) => {
            client.history().fetched(&client.group, client.index, (&known, &history::of_topic(&topics)), under);
            None
        }
        Ok(other) => {
            client.history().breaks(format!("not of a fetch: {other:?}"));
            None
        }
        Err(error) => Some(error),
    }
}

async fn heartbeat(client: &mut Client, place: &Place) -> Option<GroupError> {
    let (group, member) = (client.group.clone(), place.member.clone());
    let request = Request::Heartbeat(Heartbeat { group, generation: place.generation, member, instance: None });
    client.ask(request, PATIENCE).await?.outcome.err()
}

async fn leave(client: &mut Client, place: &Place) {
    let members = vec![LeavingMember { member: place.member.clone(), instance: None }];
    client.ask(Request::Leave(Leave { group: client.group.clone(), members }), PATIENCE).await;
}
