//! The Fetch response: headers are encoded, stored batches are written from where they lie.
//!
//! A broker's answer is almost all record bytes, which the generated encoder would copy. Here a partition holds its
//! batches as [`Bytes`], and the frame becomes header, batches, header, batches, ... without copying one of them. Byte
//! for byte it is what the generated encoder writes; tests compare the two over all versions.
//!
//! Rules kept here: a partition without records has records of length zero, never null (T62); a current leader or a
//! diverging epoch is written whole or not at all (T61); endpoints are written only if a partition refers to them.

use crate::{
    frame::{Frame, SIZE_LEN},
    messages::{StrBytes, Uuid},
    response::{EncodeError, put_size, wire},
    table::Api,
};
use bytes::{Bytes, BytesMut};
use kafka_wire_core::{EncodeError as WireError, Encoder};

#[cfg(test)]
mod tests;

/// The tail of every struct that has no tagged field to write.
const NO_TAGS: &[u8] = &[0];

/// Answer to a Fetch request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchResponse {
    /// How long the client should wait before its next request.
    pub throttle_time_ms: i32,
    /// An [`crate::ErrorCode`] for the whole answer; version 7 on.
    pub error_code: i16,
    /// 0: no session. Version 7 on.
    pub session_id: i32,
    pub topics: Vec<FetchTopic>,
    /// Where the leaders named by `current_leader` are; version 16 on (KIP-951).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// One topic of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchTopic {
    /// Written up to version 12.
    pub name: StrBytes,
    /// Written from version 13 on.
    pub topic_id: Uuid,
    pub partitions: Vec<FetchPartition>,
}

/// One partition of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPartition {
    pub index: i32,
    /// An [`crate::ErrorCode`].
    pub error_code: i16,
    /// End of what is committed; -1 if not known.
    pub high_watermark: i64,
    /// End of what a read_committed consumer may read; -1 if not known.
    pub last_stable_offset: i64,
    /// First offset that is kept; -1 if not known. Version 5 on.
    pub log_start_offset: i64,
    /// Epoch and its end offset, where the fetcher's log departs from ours. Version 12 on.
    pub diverging_epoch: Option<(i32, i64)>,
    /// Leader and its epoch, with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH. Version 16 on, and only if
    /// `node_endpoints` says where that leader is.
    pub current_leader: Option<(i32, i32)>,
    /// `None` for read_uncommitted; for read_committed the transactions aborted in the range, perhaps none.
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// -1: this one. Version 11 on.
    pub preferred_read_replica: i32,
    /// Whole batches, in order. Nothing is checked here.
    pub records: Vec<Bytes>,
}

impl Default for FetchPartition {
    /// No error, no records, and every offset unknown.
    fn default() -> Self {
        FetchPartition {
            index: 0,
            error_code: 0,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: None,
            current_leader: None,
            aborted: None,
            preferred_read_replica: -1,
            records: Vec::new(),
        }
    }
}

/// A transaction whose records a read_committed consumer skips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: StrBytes,
    pub port: i32,
    pub rack: Option<StrBytes>,
}

impl FetchResponse {
    /// Encodes behind `head`, which holds the space for the size and the response header.
    pub(crate) fn encode(&self, head: BytesMut, version: i16) -> Result<Frame, EncodeError> {
        let mut writer = Writer { head, cuts: Vec::new(), beside: 0, version, endpoints: &self.node_endpoints };
        writer.response(self).map_err(wire(Api::Fetch, version))?;
        writer.finish()
    }
}

/// Collects the encoded part in one buffer, and where in it records belong.
struct Writer<'a> {
    head: BytesMut,
    /// Length of `head` before these batches.
    cuts: Vec<(usize, &'a [Bytes])>,
    /// Bytes of all batches.
    beside: usize,
    version: i16,
    endpoints: &'a [NodeEndpoint],
}

impl<'a> Writer<'a> {
    fn flexible(&self) -> bool {
        Api::Fetch.row().is_flexible(self.version)
    }

    /// Each write appends; the encoder keeps no state between two.
    fn out(&mut self) -> Encoder<kafka_wire_core::BufferTarget<'_>> {
        Encoder::new(&mut self.head)
    }

    fn array(&mut self, len: Option<usize>) -> Result<(), WireError> {
        if self.flexible() { self.out().write_compact_nullable_array_len(len) } else { self.out().write_nullable_array_len(len) }
    }

    fn no_tags(&mut self) -> Result<(), WireError> {
        if self.flexible() { self.out().write_raw_slice(NO_TAGS) } else { Ok(()) }
    }

    fn response(&mut self, response: &'a FetchResponse) -> Result<(), WireError> {
        self.out().write_i32(response.throttle_time_ms)?;
        if self.version >= 7 {
            self.out().write_i16(response.error_code)?;
            self.out().write_i32(response.session_id)?;
        }
        self.array(Some(response.topics.len()))?;
        for topic in &response.topics {
            self.topic(topic)?;
        }
        self.endpoints(response)
    }

    fn topic(&mut self, topic: &'a FetchTopic) -> Result<(), WireError> {
        match self.version {
            13.. => self.out().write_uuid(topic.topic_id)?,
            12 => self.out().write_compact_string(&topic.name)?,
            _ => self.out().write_string(&topic.name)?,
        }
        self.array(Some(topic.partitions.len()))?;
        for partition in &topic.partitions {
            self.partition(partition)?;
        }
        self.no_tags()
    }

    fn partition(&mut self, partition: &'a FetchPartition) -> Result<(), WireError> {
        let version = self.version;
        let mut out = self.out();
        out.write_i32(partition.index)?;
        out.write_i16(partition.error_code)?;
        out.write_i64(partition.high_watermark)?;
        out.write_i64(partition.last_stable_offset)?;
        if version >= 5 {
            out.write_i64(partition.log_start_offset)?;
        }
        self.array(partition.aborted.as_ref().map(Vec::len))?;
        for aborted in partition.aborted.iter().flatten() {
            self.out().write_i64(aborted.producer_id)?;
            self.out().write_i64(aborted.first_offset)?;
            self.no_tags()?;
        }
        if version >= 11 {
            self.out().write_i32(partition.preferred_read_replica)?;
        }
        self.records(&partition.records)?;
        self.partition_tags(partition)
    }

    /// The length here, the bytes beside. Never null (T62).
    fn records(&mut self, records: &'a [Bytes]) -> Result<(), WireError> {
        let len = records.iter().fold(0, |sum: usize, batch| sum.saturating_add(batch.len()));
        let overflow = WireError::LengthOverflow { kind: "records", length: len, maximum: i32::MAX as usize };
        let prefix = i32::try_from(len).map_err(|_| overflow)?;
        if self.flexible() {
            self.out().write_unsigned_varint(prefix.unsigned_abs().saturating_add(1))?;
        } else {
            self.out().write_i32(prefix)?;
        }
        if len > 0 {
            self.beside = self.beside.saturating_add(len);
            self.cuts.push((self.head.len(), records));
        }
        Ok(())
    }

    /// The leader to name: whole, with its endpoint, or none (T61). Before version 16 there are no endpoints (KIP-951).
    fn leader(&self, partition: &FetchPartition) -> Option<(i32, i32)> {
        let known = |id| self.version >= 16 && self.endpoints.iter().any(|node| node.node_id == id);
        partition.current_leader.filter(|(id, epoch)| *id >= 0 && *epoch >= 0 && known(*id))
    }

    fn partition_tags(&mut self, partition: &FetchPartition) -> Result<(), WireError> {
        if !self.flexible() {
            return Ok(());
        }
        let leader = self.leader(partition);
        let count = u32::from(partition.diverging_epoch.is_some()).saturating_add(u32::from(leader.is_some()));
        let mut out = self.out();
        out.write_unsigned_varint(count)?;
        if let Some((epoch, end_offset)) = partition.diverging_epoch {
            out.write_raw_slice(&[0, 13])?;
            out.write_i32(epoch)?;
            out.write_i64(end_offset)?;
            out.write_raw_slice(NO_TAGS)?;
        }
        if let Some((id, epoch)) = leader {
            out.write_raw_slice(&[1, 9])?;
            out.write_i32(id)?;
            out.write_i32(epoch)?;
            out.write_raw_slice(NO_TAGS)?;
        }
        Ok(())
    }

    fn endpoints(&mut self, response: &FetchResponse) -> Result<(), WireError> {
        if !self.flexible() {
            return Ok(());
        }
        let partitions = || response.topics.iter().flat_map(|topic| &topic.partitions);
        let named = |node: &&NodeEndpoint| partitions().any(|p| self.leader(p).is_some_and(|(id, _)| id == node.node_id));
        let nodes: Vec<_> = self.endpoints.iter().filter(named).collect();
        if nodes.is_empty() {
            return self.no_tags();
        }
        let mut field = BytesMut::new();
        let mut out = Encoder::new(&mut field);
        out.write_compact_array_len(nodes.len())?;
        for node in nodes {
            out.write_i32(node.node_id)?;
            out.write_compact_string(&node.host)?;
            out.write_i32(node.port)?;
            out.write_compact_nullable_string(node.rack.as_ref())?;
            out.write_raw_slice(NO_TAGS)?;
        }
        let overflow = WireError::LengthOverflow { kind: "node endpoints", length: field.len(), maximum: u32::MAX as usize };
        let size = u32::try_from(field.len()).map_err(|_| overflow)?;
        let mut out = self.out();
        out.write_raw_slice(&[1, 0])?;
        out.write_unsigned_varint(size)?;
        out.write_raw_slice(&field)
    }

    fn finish(mut self) -> Result<Frame, EncodeError> {
        let size = self.head.len().saturating_add(self.beside).saturating_sub(SIZE_LEN);
        put_size(&mut self.head, size)?;
        let mut head = self.head.freeze();
        let mut chunks = Vec::new();
        let mut written = 0usize;
        for (cut, records) in self.cuts {
            chunks.push(head.split_to(cut.saturating_sub(written)));
            written = cut;
            chunks.extend(records.iter().filter(|batch| !batch.is_empty()).cloned());
        }
        if !head.is_empty() {
            chunks.push(head);
        }
        Ok(Frame::new(chunks))
    }
}
