//! Requests that no client sends as fast as a benchmark wants: built by hand in versions with plain lengths, sent over plain connections.

use crate::wire::{Reader, frame, put_string, read_frame, read_frame_into};
use anyhow::{Context, bail};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const OFFSET_COMMIT: i16 = 8;
const OFFSET_FETCH: i16 = 9;
const FIND_COORDINATOR: i16 = 10;
const JOIN_GROUP: i16 = 11;
const HEARTBEAT: i16 = 12;
const SYNC_GROUP: i16 = 14;
const LIST_GROUPS: i16 = 16;
const CREATE_TOPICS: i16 = 19;
/// The topic that members of [`join_group`] subscribe to.
const TOPIC_OF_MEMBERS: &str = "shared";
/// An assignment (version 0) without partitions and without user data.
const NO_PARTITIONS: [u8; 10] = [0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
/// What no request here may take longer than.
const PATIENCE: Duration = Duration::from_secs(300);

/// One connection. Answers come in the order of the requests.
#[derive(Debug)]
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    pub(crate) fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.write_all(request)?)
    }

    /// The next answer, behind its correlation id.
    pub(crate) fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        Ok(read_frame(&mut self.0)?.context("the broker closed the connection")?.split_off(4))
    }

    /// As [`Connection::call`], into a buffer that is used again.
    pub(crate) fn call_into<'a>(&mut self, request: &[u8], buffer: &'a mut Vec<u8>) -> anyhow::Result<&'a [u8]> {
        self.send(request)?;
        let len = read_frame_into(&mut self.0, buffer)?.context("the broker closed the connection")?;
        buffer.get(4..len).context("an answer without its correlation id")
    }

    pub(crate) fn call(&mut self, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.send(request)?;
        self.receive()
    }
}

fn request(api: i16, version: i16) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    body.extend(api.to_be_bytes());
    body.extend(version.to_be_bytes());
    body.extend(1i32.to_be_bytes());
    put_string(&mut body, "floe-benches")?;
    Ok(body)
}

fn put_len(body: &mut Vec<u8>, len: usize) -> anyhow::Result<()> {
    body.extend(i32::try_from(len)?.to_be_bytes());
    Ok(())
}

/// CreateTopics version 2.
pub(crate) fn create_topics(names: &[String], partitions: i32) -> anyhow::Result<Vec<u8>> {
    let mut body = request(CREATE_TOPICS, 2)?;
    put_len(&mut body, names.len())?;
    for name in names {
        put_string(&mut body, name)?;
        body.extend(partitions.to_be_bytes());
        body.extend(1i16.to_be_bytes());
        body.extend(0i32.to_be_bytes()); // assignments
        body.extend(0i32.to_be_bytes()); // settings
    }
    body.extend(120_000i32.to_be_bytes());
    body.push(0); // not only validated
    frame(&body)
}

/// All topics of the answer were created.
pub(crate) fn all_created(answer: &[u8]) -> anyhow::Result<()> {
    let mut reader = Reader(answer);
    reader.i32()?; // throttle
    for _ in 0..reader.i32()? {
        let name = reader.string()?;
        let (code, why) = (reader.i16()?, reader.string()?);
        if code != 0 {
            bail!("topic {name} was not created: Kafka error {code} {why}");
        }
    }
    Ok(())
}

/// Fetch version 4 of one partition, which waits for a byte.
pub(crate) fn fetch(topic: &str, partition: i32, offset: i64, max_bytes: i32) -> anyhow::Result<Vec<u8>> {
    let mut body = request(FETCH, 4)?;
    body.extend((-1i32).to_be_bytes()); // no replica
    body.extend(30_000i32.to_be_bytes());
    body.extend(1i32.to_be_bytes());
    body.extend(max_bytes.to_be_bytes());
    body.push(0); // uncommitted
    body.extend(1i32.to_be_bytes());
    put_string(&mut body, topic)?;
    body.extend(1i32.to_be_bytes());
    body.extend(partition.to_be_bytes());
    body.extend(offset.to_be_bytes());
    body.extend(max_bytes.to_be_bytes());
    frame(&body)
}

/// The answer to a Fetch of one partition, from the length of its records on.
fn of_one_partition(answer: &[u8]) -> anyhow::Result<Reader<'_>> {
    let mut reader = Reader(answer);
    reader.i32()?; // throttle
    reader.i32()?;
    reader.string()?;
    reader.i32()?;
    reader.i32()?;
    match reader.i16()? {
        0 => {}
        code => bail!("nothing was fetched: Kafka error {code}"),
    }
    reader.i64()?; // high watermark
    reader.i64()?; // last stable offset
    if reader.i32()? > 0 {
        bail!("no transaction can have been aborted");
    }
    Ok(reader)
}

/// The offset of the first batch that a Fetch of one partition brought.
pub(crate) fn first_batch(answer: &[u8]) -> anyhow::Result<i64> {
    let mut reader = of_one_partition(answer)?;
    if reader.i32()? < 8 {
        bail!("no batch was fetched");
    }
    reader.i64()
}

/// Records of the answer to a Fetch of one partition, and the offset behind the last of them, as far as whole batches came.
pub(crate) fn fetched_batches(answer: &[u8]) -> anyhow::Result<(u64, Option<i64>)> {
    /// Of a batch: its base offset and length, where its last offset is told, and the number of its records.
    const HEAD: usize = 12;
    const LAST_OFFSET: usize = 23;
    const RECORDS: usize = 57;
    let reader = of_one_partition(answer)?;
    let mut batches = reader.0.get(4..).unwrap_or_default();
    let number = |bytes: &[u8], at: usize| bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(i32::from_be_bytes);
    let (mut records, mut end) = (0, None);
    while let Some(length) = number(batches, 8) {
        let whole = HEAD + usize::try_from(length)?;
        let (Some(batch), Some(base)) = (batches.get(..whole), batches.first_chunk::<8>()) else { break };
        let last = number(batch, LAST_OFFSET).context("a batch is cut")?;
        records += u64::try_from(number(batch, RECORDS).context("a batch is cut")?)?;
        end = Some(i64::from_be_bytes(*base) + i64::from(last) + 1);
        batches = batches.get(whole..).unwrap_or_default();
    }
    Ok((records, end))
}

/// ListOffsets version 1 of one partition: the first record at or after a time.
pub(crate) fn offset_for_time(topic: &str, partition: i32, timestamp: i64) -> anyhow::Result<Vec<u8>> {
    let mut body = request(LIST_OFFSETS, 1)?;
    body.extend((-1i32).to_be_bytes());
    body.extend(1i32.to_be_bytes());
    put_string(&mut body, topic)?;
    body.extend(1i32.to_be_bytes());
    body.extend(partition.to_be_bytes());
    body.extend(timestamp.to_be_bytes());
    frame(&body)
}

/// The offset that ListOffsets found.
pub(crate) fn found_offset(answer: &[u8]) -> anyhow::Result<i64> {
    let mut reader = Reader(answer);
    reader.i32()?;
    reader.string()?;
    reader.i32()?;
    reader.i32()?;
    match reader.i16()? {
        0 => {}
        code => bail!("no offset was found: Kafka error {code}"),
    }
    reader.i64()?; // its timestamp
    reader.i64()
}

/// Metadata version 1, of all topics.
pub(crate) fn all_metadata() -> anyhow::Result<Vec<u8>> {
    let mut body = request(METADATA, 1)?;
    body.extend((-1i32).to_be_bytes());
    frame(&body)
}

/// OffsetCommit of partition 0, by nobody who is a member.
pub(crate) fn offset_commit(group: &str, topic: &str, offset: i64) -> anyhow::Result<Vec<u8>> {
    offset_commits(group, topic, 1, offset)
}

/// OffsetCommit version 2 of the same offset for each of the first partitions.
pub(crate) fn offset_commits(group: &str, topic: &str, partitions: i32, offset: i64) -> anyhow::Result<Vec<u8>> {
    let mut body = request(OFFSET_COMMIT, 2)?;
    put_string(&mut body, group)?;
    body.extend((-1i32).to_be_bytes()); // generation
    put_string(&mut body, "")?;
    body.extend((-1i64).to_be_bytes()); // retention
    body.extend(1i32.to_be_bytes());
    put_string(&mut body, topic)?;
    body.extend(partitions.to_be_bytes());
    for index in 0..partitions {
        body.extend(index.to_be_bytes());
        body.extend(offset.to_be_bytes());
        body.extend((-1i16).to_be_bytes()); // no metadata
    }
    frame(&body)
}

/// The first Kafka error of the answer's only topic; 0 for none.
pub(crate) fn committed(answer: &[u8]) -> anyhow::Result<i16> {
    let mut reader = Reader(answer);
    reader.i32()?;
    reader.string()?;
    for _ in 0..reader.i32()? {
        reader.i32()?;
        match reader.i16()? {
            0 => {}
            code => return Ok(code),
        }
    }
    Ok(0)
}

/// OffsetFetch version 1 of the first partitions of a topic.
pub(crate) fn offset_fetch(group: &str, topic: &str, partitions: i32) -> anyhow::Result<Vec<u8>> {
    let mut body = request(OFFSET_FETCH, 1)?;
    put_string(&mut body, group)?;
    body.extend(1i32.to_be_bytes());
    put_string(&mut body, topic)?;
    body.extend(partitions.to_be_bytes());
    (0..partitions).for_each(|index| body.extend(index.to_be_bytes()));
    frame(&body)
}

/// The offsets of the answer's only topic, in its order.
pub(crate) fn fetched(answer: &[u8]) -> anyhow::Result<Vec<i64>> {
    let mut reader = Reader(answer);
    reader.i32()?;
    reader.string()?;
    let mut offsets = Vec::new();
    for _ in 0..reader.i32()? {
        reader.i32()?;
        offsets.push(reader.i64()?);
        reader.string()?;
        match reader.i16()? {
            0 => {}
            code => bail!("an offset was refused: Kafka error {code}"),
        }
    }
    Ok(offsets)
}

/// ListGroups version 0.
pub(crate) fn list_groups() -> anyhow::Result<Vec<u8>> {
    frame(&request(LIST_GROUPS, 0)?)
}

/// The answer's Kafka error, and how many groups it lists.
pub(crate) fn listed(answer: &[u8]) -> anyhow::Result<(i16, usize)> {
    let mut reader = Reader(answer);
    Ok((reader.i16()?, usize::try_from(reader.i32()?)?))
}

/// Waits until a group's coordinator takes a commit.
pub(crate) fn until_coordinated(connection: &mut Connection, group: &str, topic: &str) -> anyhow::Result<()> {
    let mut find = request(FIND_COORDINATOR, 0)?;
    put_string(&mut find, group)?;
    let (find, commit, began) = (frame(&find)?, offset_commit(group, topic, 0)?, Instant::now());
    loop {
        let found = Reader(&connection.call(&find)?).i16()?;
        let code = if found == 0 { committed(&connection.call(&commit)?)? } else { found };
        match code {
            0 => return Ok(()),
            code if began.elapsed() > Duration::from_secs(60) => {
                bail!("group {group} has no coordinator after a minute: Kafka error {code}")
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A member's place in its group, as the answer to JoinGroup gives it.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) code: i16,
    pub(crate) generation: i32,
    pub(crate) member: String,
    /// All members: for the leader only.
    pub(crate) members: Vec<String>,
}

/// JoinGroup version 5, the last before flexible versions: members get their ids first, as those of all clients do.
pub(crate) fn join_group(group: &str, member: &str) -> anyhow::Result<Vec<u8>> {
    let mut body = request(JOIN_GROUP, 5)?;
    put_string(&mut body, group)?;
    body.extend(30_000i32.to_be_bytes()); // session
    body.extend(60_000i32.to_be_bytes()); // rebalance
    put_string(&mut body, member)?;
    body.extend((-1i16).to_be_bytes()); // no instance id
    put_string(&mut body, "consumer")?;
    body.extend(1i32.to_be_bytes());
    put_string(&mut body, "range")?;
    put_bytes(&mut body, &subscription(TOPIC_OF_MEMBERS)?)?;
    frame(&body)
}

/// What members subscribe to, as Kafka's own consumers write it (version 0): Kafka reads it.
fn subscription(topic: &str) -> anyhow::Result<Vec<u8>> {
    let mut body = 0i16.to_be_bytes().to_vec();
    body.extend(1i32.to_be_bytes());
    put_string(&mut body, topic)?;
    body.extend((-1i32).to_be_bytes()); // no user data
    Ok(body)
}

pub(crate) fn joined(answer: &[u8]) -> anyhow::Result<Joined> {
    let mut reader = Reader(answer);
    reader.i32()?; // throttle
    let (code, generation) = (reader.i16()?, reader.i32()?);
    reader.string()?; // protocol
    reader.string()?; // leader
    let member = reader.string()?.to_owned();
    let mut members = Vec::new();
    for _ in 0..reader.i32()? {
        members.push(reader.string()?.to_owned());
        reader.i16()?; // no instance id
        let len = reader.i32()?;
        reader.take(usize::try_from(len)?)?;
    }
    Ok(Joined { code, generation, member, members })
}

/// SyncGroup version 1; an assignment for each of `members`.
pub(crate) fn sync_group(group: &str, generation: i32, member: &str, members: &[String]) -> anyhow::Result<Vec<u8>> {
    let mut body = request(SYNC_GROUP, 1)?;
    put_string(&mut body, group)?;
    body.extend(generation.to_be_bytes());
    put_string(&mut body, member)?;
    put_len(&mut body, members.len())?;
    for member in members {
        put_string(&mut body, member)?;
        put_bytes(&mut body, &NO_PARTITIONS)?;
    }
    frame(&body)
}

/// Heartbeat version 1.
pub(crate) fn heartbeat(group: &str, generation: i32, member: &str) -> anyhow::Result<Vec<u8>> {
    let mut body = request(HEARTBEAT, 1)?;
    put_string(&mut body, group)?;
    body.extend(generation.to_be_bytes());
    put_string(&mut body, member)?;
    frame(&body)
}

/// The Kafka error of an answer that begins with the throttle time: SyncGroup's, Heartbeat's.
pub(crate) fn error_of(answer: &[u8]) -> anyhow::Result<i16> {
    let mut reader = Reader(answer);
    reader.i32()?;
    reader.i16()
}

fn put_bytes(body: &mut Vec<u8>, bytes: &[u8]) -> anyhow::Result<()> {
    put_len(body, bytes.len())?;
    body.extend(bytes);
    Ok(())
}

/// ListOffsets version 1 of the ends of many partitions of one topic.
pub(crate) fn ends(topic: &str, partitions: &[i32]) -> anyhow::Result<Vec<u8>> {
    const LATEST: i64 = -1;
    let mut body = request(LIST_OFFSETS, 1)?;
    body.extend((-1i32).to_be_bytes());
    body.extend(1i32.to_be_bytes());
    put_string(&mut body, topic)?;
    put_len(&mut body, partitions.len())?;
    for partition in partitions {
        body.extend(partition.to_be_bytes());
        body.extend(LATEST.to_be_bytes());
    }
    frame(&body)
}

/// The partitions whose ends were told: who answers leads them.
pub(crate) fn told_ends(answer: &[u8]) -> anyhow::Result<Vec<i32>> {
    let mut reader = Reader(answer);
    reader.i32()?;
    reader.string()?;
    let mut told = Vec::new();
    for _ in 0..reader.i32()? {
        let (partition, code) = (reader.i32()?, reader.i16()?);
        reader.i64()?;
        reader.i64()?;
        if code == 0 {
            told.push(partition);
        }
    }
    Ok(told)
}
