//! Encoded answers to who asks for all topics, kept until the catalog or what is led here changes.
//!
//! With 10,000 partitions such an answer takes milliseconds to build, and admin clients, consumers that subscribe by pattern and
//! consoles ask for it every few seconds. Answers for topics by name are small and are not kept.

use crate::broker::Broker;
use crate::peer::{Door, Peer};
use floe_protocol::Frame;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Answers that are kept: a few versions, by a few listeners.
const MAX_ANSWERS: usize = 8;
/// Bytes of all of them.
const MAX_BYTES: usize = 8 << 20;

/// What an answer depends on beside the state of the broker.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    version: i16,
    door: Arc<Door>,
    pub(super) topic_operations: bool,
    pub(super) cluster_operations: bool,
}

impl Asked {
    pub(super) fn new(version: i16, peer: &Peer, topic_operations: bool, cluster_operations: bool) -> Self {
        Self { version, door: peer.door.clone(), topic_operations, cluster_operations }
    }

    fn is(&self, other: &Self) -> bool {
        (self.version, self.topic_operations, self.cluster_operations) == (other.version, other.topic_operations, other.cluster_operations)
            && Arc::ptr_eq(&self.door, &other.door)
    }
}

/// The state that an answer tells of: the catalog's version, how often what is led here has changed, what etcd said, and whether this broker drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    catalog: u64,
    led: u64,
    cluster: u64,
    is_draining: bool,
}

impl At {
    /// Read before an answer is built: what changes meanwhile makes it an old one.
    pub(super) fn now(broker: &Broker) -> Self {
        let engine = &broker.engine;
        Self {
            cluster: engine.cluster_views(),
            led: engine.led_version(),
            catalog: broker.view().version,
            is_draining: engine.is_draining(),
        }
    }
}

/// Answers that were given at one state of the broker; the oldest goes when there is no room.
#[derive(Debug, Default)]
pub(crate) struct KeptAnswers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    at: Option<At>,
    answers: VecDeque<(Asked, Frame)>,
}

impl KeptAnswers {
    pub(super) fn get(&self, at: At, asked: &Asked, correlation_id: i32) -> Option<Frame> {
        let kept = self.0.lock();
        if kept.at != Some(at) {
            return None;
        }
        let (_, frame) = kept.answers.iter().find(|(key, _)| key.is(asked))?;
        Some(frame.with_correlation_id(correlation_id))
    }

    pub(super) fn keep(&self, at: At, asked: Asked, frame: Frame) {
        let mut kept = self.0.lock();
        if kept.at != Some(at) {
            *kept = Kept { at: Some(at), answers: VecDeque::new() };
        }
        kept.answers.retain(|(key, _)| !key.is(&asked));
        kept.answers.push_back((asked, frame));
        while kept.answers.len() > MAX_ANSWERS || kept.answers.iter().map(|(_, frame)| frame.len()).sum::<usize>() > MAX_BYTES {
            kept.answers.pop_front();
        }
    }
}
