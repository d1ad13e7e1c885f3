//! Writing: the versions that Kafka 4.1 writes.

use super::{GroupRecord, MAX_TEXT, StoredGroup};
use crate::CommittedOffset;
use bytes::{BufMut, Bytes, BytesMut};

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
const OFFSET_VALUE: i16 = 3;
/// The one version that says when an offset expires.
const OFFSET_VALUE_WITH_EXPIRY: i16 = 1;
const GROUP_VALUE: i16 = 3;

pub(super) fn key(record: &GroupRecord) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    match record {
        GroupRecord::Offset { group, topic, partition, .. } => {
            out.put_i16(OFFSET_KEY);
            put_text(&mut out, group);
            put_text(&mut out, topic);
            out.put_i32(*partition);
        }
        GroupRecord::Group { group, .. } => {
            out.put_i16(GROUP_KEY);
            put_text(&mut out, group);
        }
    }
    out.freeze()
}

pub(super) fn value(record: &GroupRecord) -> Option<Bytes> {
    match record {
        GroupRecord::Offset { committed, .. } => committed.as_ref().map(offset),
        GroupRecord::Group { stored, .. } => stored.as_ref().map(group),
    }
}

fn offset(committed: &CommittedOffset) -> Bytes {
    let mut out = BytesMut::with_capacity(48);
    out.put_i16(if committed.expires_ms.is_some() { OFFSET_VALUE_WITH_EXPIRY } else { OFFSET_VALUE });
    out.put_i64(committed.offset);
    if committed.expires_ms.is_none() {
        out.put_i32(committed.leader_epoch);
    }
    put_text(&mut out, &committed.metadata);
    out.put_i64(committed.committed_ms);
    if let Some(expires) = committed.expires_ms {
        out.put_i64(expires);
    }
    out.freeze()
}

fn group(group: &StoredGroup) -> Bytes {
    let bytes = group.members.iter().map(|member| 128 + member.subscription.len() + member.assignment.len()).sum::<usize>();
    let mut out = BytesMut::with_capacity(64 + bytes);
    out.put_i16(GROUP_VALUE);
    put_text(&mut out, &group.protocol_type);
    out.put_i32(group.generation);
    put_nullable(&mut out, group.protocol.as_deref());
    put_nullable(&mut out, group.leader.as_deref());
    out.put_i64(group.state_since_ms);
    out.put_i32(i32::try_from(group.members.len()).unwrap_or(i32::MAX));
    for member in &group.members {
        put_text(&mut out, &member.member);
        put_nullable(&mut out, member.instance.as_deref());
        put_text(&mut out, &member.client_id);
        put_text(&mut out, &member.client_host);
        out.put_i32(member.rebalance_timeout_ms);
        out.put_i32(member.session_timeout_ms);
        put_bytes(&mut out, &member.subscription);
        put_bytes(&mut out, &member.assignment);
    }
    out.freeze()
}

fn put_nullable(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_text(out, text),
        None => out.put_i16(-1),
    }
}

/// Texts are checked where they come in; one that is too long all the same is cut, never written with a wrong length.
fn put_text(out: &mut BytesMut, text: &str) {
    let text = text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default();
    out.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
    out.put_slice(text.as_bytes());
}

/// A member's bytes come from one request, which is far smaller than what the length can say.
fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    out.put_slice(bytes);
}
