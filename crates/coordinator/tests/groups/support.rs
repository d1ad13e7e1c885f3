//! A shard with its surroundings, and requests with the usual things filled in.

use bytes::Bytes;
use floe_coordinator::records::GroupRecord;
use floe_coordinator::{
    Answer, Commit, CommitPartition, Effects, Fetch, GroupConfig, GroupError, GroupState, Heartbeat, Join, Joined, Leave, LeavingMember,
    Name, Now, Reply, Request, Shard, Sync, Synced, TopicPartitions, Waiter, WriteFailed,
};
use floe_records::Record;
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) type Outcome = Result<Reply, GroupError>;

/// A shard, its log, and its clocks.
pub(crate) struct World {
    pub(crate) shard: Shard,
    pub(crate) config: GroupConfig,
    pub(crate) now: Duration,
    /// Batches, and the end offset of each.
    pub(crate) log: Vec<(i64, Vec<Record>)>,
    pub(crate) committed: i64,
    /// Whether appends commit at once.
    pub(crate) commits: bool,
    /// What the next appends meet.
    pub(crate) refuses: Option<WriteFailed>,
    answers: BTreeMap<Waiter, Answer>,
    /// Where the newest checkpoint begins and ends, until the log before it is gone.
    checkpoint: Option<(i64, i64)>,
    /// The newest generation that this coordinator has told anybody of.
    told: i32,
    next: u64,
    fresh: u128,
}

pub(crate) fn name(text: &str) -> Name {
    text.into()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(GroupConfig { initial_rebalance_delay: Duration::ZERO, ..GroupConfig::default() })
    }

    pub(crate) fn with(config: GroupConfig) -> Self {
        Self {
            shard: Shard::new(config.clone()),
            config,
            now: Duration::from_secs(1_000),
            log: Vec::new(),
            committed: 0,
            commits: true,
            refuses: None,
            answers: BTreeMap::new(),
            checkpoint: None,
            told: 0,
            next: 0,
            fresh: 0,
        }
    }

    pub(crate) fn at(&self) -> Now {
        Now { monotonic: self.now, wall_ms: 1_700_000_000_000 + i64::try_from(self.now.as_millis()).unwrap() }
    }

    pub(crate) fn end(&self) -> i64 {
        self.log.last().map_or(0, |(end, _)| *end)
    }

    /// Sends a request. Its outcome comes now or later.
    pub(crate) fn ask(&mut self, request: Request) -> Waiter {
        let waiter = Waiter(self.next);
        self.next += 1;
        let effects = self.shard.handle(self.at(), waiter, request);
        self.settle(effects);
        self.tick();
        waiter
    }

    /// The outcome, once it is there and committed; only once.
    pub(crate) fn outcome(&mut self, waiter: Waiter) -> Option<Outcome> {
        if self.answers.get(&waiter)?.until > self.committed {
            return None;
        }
        self.answers.remove(&waiter).map(|answer| answer.outcome)
    }

    /// A request that is answered at once.
    pub(crate) fn call(&mut self, request: Request) -> Outcome {
        let waiter = self.ask(request.clone());
        self.outcome(waiter).unwrap_or_else(|| panic!("parked: {request:?}"))
    }

    fn settle(&mut self, mut effects: Effects) {
        loop {
            for answer in effects.answers {
                if let Ok(Reply::Joined(joined)) = &answer.outcome {
                    assert!(joined.generation >= self.told, "generations grow: {joined:?} after {}", self.told);
                    self.told = joined.generation;
                }
                let twice = self.answers.insert(answer.waiter, answer);
                assert_eq!(twice, None, "a request is answered once");
            }
            let Some(write) = effects.write else { return };
            let result = match self.refuses {
                Some(error) => Err(error),
                None => {
                    let end = self.append(&write.records);
                    if self.commits {
                        self.committed = end;
                    }
                    Ok(end)
                }
            };
            effects = self.shard.written(self.at(), write, result);
        }
    }

    /// Appends a batch; its end offset.
    fn append(&mut self, records: &[GroupRecord]) -> i64 {
        let begin = self.end();
        let record = |(at, record): (usize, &GroupRecord)| Record {
            offset: begin + i64::try_from(at).unwrap(),
            timestamp: self.at().wall_ms,
            key: Some(record.key()),
            value: record.value(),
            headers: Vec::new(),
        };
        let batch: Vec<_> = records.iter().enumerate().map(record).collect();
        let end = begin + i64::try_from(batch.len()).unwrap();
        self.log.push((end, batch));
        end
    }

    pub(crate) fn commit(&mut self) {
        self.committed = self.end();
        if let Some((begin, _)) = self.checkpoint.take() {
            self.log.retain(|(end, _)| *end > begin);
        }
    }

    /// How many records the log has.
    pub(crate) fn records(&self) -> usize {
        self.log.iter().map(|(_, batch)| batch.len()).sum()
    }

    /// Appends all groups' state anew. Once that is committed, the log begins there.
    pub(crate) fn checkpoint(&mut self) {
        let begin = self.end();
        let groups = self.shard.group_ids();
        let written = groups.iter().map(|group| self.shard.checkpoint(group)).filter(|records| !records.is_empty()).collect::<Vec<_>>();
        assert_eq!(written.iter().map(Vec::len).sum::<usize>(), self.shard.checkpoint_len());
        for records in written {
            self.append(&records);
        }
        if self.end() > begin {
            self.checkpoint = Some((begin, self.end()));
        }
    }

    /// Does what is due now.
    pub(crate) fn tick(&mut self) {
        while let Some(effects) = self.shard.expire(self.at()) {
            self.settle(effects);
        }
    }

    /// Lets time pass, deadline by deadline.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(next) = self.shard.next_deadline().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.tick();
        }
        self.now = until;
    }

    pub(crate) fn clean(&mut self) {
        for group in self.shard.group_ids() {
            let effects = self.shard.clean(self.at(), &group);
            self.settle(effects);
        }
    }

    pub(crate) fn forget_topic(&mut self, topic: &str) {
        for group in self.shard.group_ids() {
            let effects = self.shard.forget_topic(self.at(), &group, topic);
            self.settle(effects);
        }
    }

    /// A crash: what is not committed is lost, and nobody who waits hears anything.
    pub(crate) fn restart(&mut self) {
        let committed = self.committed;
        self.log.retain(|(end, _)| *end <= committed);
        // Without the whole of it the log stays as it was.
        self.checkpoint = self.checkpoint.filter(|(_, end)| *end <= committed);
        self.answers.clear();
        self.told = 0;
        self.shard = Shard::new(self.config.clone());
        for record in self.log.iter().flat_map(|(_, batch)| batch) {
            self.shard.replay(record).expect("our own records");
        }
        while let Some(effects) = self.shard.loaded(self.at()) {
            self.settle(effects);
        }
    }

    pub(crate) fn join_of(&mut self, member: &str) -> Join {
        self.fresh += 1;
        Join {
            group: name("g"),
            member: name(member),
            instance: None,
            client_id: name("c"),
            client_host: name("/127.0.0.1"),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: name("consumer"),
            protocols: vec![(name("range"), subscription(&["orders"]))],
            member_id_required: true,
            can_skip_assignment: true,
            fresh: self.fresh,
        }
    }

    /// Gets an id, and joins under it.
    pub(crate) fn join(&mut self) -> (Name, Waiter) {
        let first = self.join_of("");
        let id = match self.call(Request::Join(first)) {
            Ok(Reply::MemberIdRequired(id)) => id,
            other => panic!("no id: {other:?}"),
        };
        let waiter = self.rejoin(&id);
        (id, waiter)
    }

    pub(crate) fn rejoin(&mut self, id: &Name) -> Waiter {
        let join = self.join_of(id);
        self.ask(Request::Join(join))
    }

    pub(crate) fn static_join(&mut self, instance: &str, member: &str) -> Join {
        Join { instance: Some(name(instance)), ..self.join_of(member) }
    }

    pub(crate) fn joined(&mut self, waiter: Waiter) -> Joined {
        match self.outcome(waiter) {
            Some(Ok(Reply::Joined(joined))) => joined,
            other => panic!("not joined: {other:?}"),
        }
    }

    pub(crate) fn sync_of(&self, joined: &Joined, assignments: &[(&Name, &str)]) -> Sync {
        let own = |(member, text): &(&Name, &str)| ((*member).clone(), Bytes::copy_from_slice(text.as_bytes()));
        Sync {
            group: name("g"),
            generation: joined.generation,
            member: joined.member.clone(),
            instance: None,
            protocol_type: None,
            protocol: None,
            assignments: assignments.iter().map(own).collect(),
        }
    }

    pub(crate) fn synced(&mut self, waiter: Waiter) -> Synced {
        match self.outcome(waiter) {
            Some(Ok(Reply::Synced(synced))) => synced,
            other => panic!("not synced: {other:?}"),
        }
    }

    pub(crate) fn heartbeat(&mut self, member: &Name, generation: i32) -> Outcome {
        self.call(Request::Heartbeat(Heartbeat { group: name("g"), generation, member: member.clone(), instance: None }))
    }

    pub(crate) fn leave(&mut self, member: &str, instance: Option<&str>) -> Option<GroupError> {
        let members = vec![LeavingMember { member: name(member), instance: instance.map(name) }];
        match self.call(Request::Leave(Leave { group: name("g"), members })) {
            Ok(Reply::Left(left)) => left[0].1,
            Err(error) => Some(error),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn state(&mut self) -> GroupState {
        match self.call(Request::Describe { group: name("g") }) {
            Ok(Reply::Described(description)) => description.state,
            other => panic!("{other:?}"),
        }
    }

    /// A group of `n` dynamic members that is stable, with its generation; the first is the leader.
    pub(crate) fn stable(&mut self, n: usize) -> (Vec<Name>, i32) {
        let mut members: Vec<(Name, Waiter)> = vec![self.join()];
        for _ in 1..n {
            let new = self.join();
            let first = members[0].0.clone();
            members.push(new);
            // The group is rebalancing: everybody who was there joins again.
            let others: Vec<Name> = members[..members.len() - 1].iter().map(|(id, _)| id.clone()).collect();
            assert_eq!(others[0], first);
            for (at, id) in others.iter().enumerate() {
                members[at].1 = self.rejoin(id);
            }
        }
        let joined: Vec<Joined> =
            members.iter().map(|(_, waiter)| *waiter).collect::<Vec<_>>().into_iter().map(|w| self.joined(w)).collect();
        let generation = joined[0].generation;
        assert_eq!(joined[0].leader, members[0].0);
        let texts: Vec<String> = (0..n).map(|at| format!("part-{at}")).collect();
        let ids: Vec<Name> = members.into_iter().map(|(id, _)| id).collect();
        let given: Vec<(&Name, &str)> = ids.iter().zip(&texts).map(|(id, text)| (id, text.as_str())).collect();
        let mut waiters = Vec::new();
        for (at, joined) in joined.iter().enumerate().rev() {
            let sync = self.sync_of(joined, if at == 0 { &given } else { &[] });
            waiters.push((at, self.ask(Request::Sync(sync))));
        }
        for (at, waiter) in waiters {
            assert_eq!(self.synced(waiter).assignment, texts[at].as_bytes());
        }
        assert_eq!(self.state(), GroupState::Stable);
        (ids, generation)
    }
}

/// A consumer's subscription as clients encode it.
pub(crate) fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 1];
    bytes.extend_from_slice(&i32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        bytes.extend_from_slice(&i16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
    }
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes.into()
}

pub(crate) fn commit_of(member: &str, generation: i32, offset: i64) -> Commit {
    let partition = CommitPartition { index: 0, offset, leader_epoch: 5, metadata: name("note") };
    Commit {
        group: name("g"),
        generation,
        member: name(member),
        instance: None,
        retention_ms: None,
        tells_missing_group: true,
        topics: vec![(name("orders"), vec![partition])],
    }
}

pub(crate) fn fetch_of(topics: Option<&[(&str, &[i32])]>) -> Request {
    let one = |(topic, partitions): &(&str, &[i32])| TopicPartitions { topic: name(topic), partitions: partitions.to_vec() };
    Request::Fetch(Fetch { group: name("g"), topics: topics.map(|topics| topics.iter().map(one).collect()) })
}

impl World {
    pub(crate) fn commit_offset(&mut self, member: &str, generation: i32, offset: i64) -> Result<(), GroupError> {
        match self.call(Request::Commit(commit_of(member, generation, offset))) {
            Ok(Reply::Committed(topics)) => topics[0].1[0].1.map_or(Ok(()), Err),
            Err(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    /// The offset of partition 0 of orders.
    pub(crate) fn offset(&mut self) -> Option<i64> {
        match self.call(fetch_of(Some(&[("orders", &[0])]))) {
            Ok(Reply::Fetched(topics)) => topics[0].1[0].1.as_ref().map(|committed| committed.offset),
            other => panic!("{other:?}"),
        }
    }
}
