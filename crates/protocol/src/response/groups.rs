//! Responses about consumer groups, fitted to older versions.

use super::{Body, none_if_empty};
use crate::messages::{self, StrBytes};

impl Body for messages::JoinGroupResponse {
    fn fit(&mut self, version: i16) {
        if version < 9 {
            self.skip_assignment = false;
        }
        if version < 7 {
            self.protocol_type = None;
            self.protocol_name.get_or_insert_default();
        }
        if version < 5 {
            self.members.iter_mut().for_each(|member| member.group_instance_id = None);
        }
    }
}

impl Body for messages::SyncGroupResponse {
    fn fit(&mut self, version: i16) {
        if version < 5 {
            self.protocol_type = None;
            self.protocol_name = None;
        }
    }
}

impl Body for messages::HeartbeatResponse {
    fn fit(&mut self, _version: i16) {}
}

impl Body for messages::LeaveGroupResponse {
    /// Handlers fill `members`; before version 3 there was one, whose error was the message's.
    fn fit(&mut self, version: i16) {
        if version < 3 {
            let only = std::mem::take(&mut self.members).into_iter().next();
            if self.error_code == 0 {
                self.error_code = only.map_or(0, |member| member.error_code);
            }
        }
    }
}

impl Body for messages::DescribeGroupsResponse {
    fn fit(&mut self, version: i16) {
        for group in &mut self.groups {
            if version < 3 {
                group.authorized_operations = i32::MIN;
            }
            if version < 4 {
                group.members.iter_mut().for_each(|member| member.group_instance_id = None);
            }
            if version < 6 {
                group.error_message = None;
            }
            none_if_empty(&mut group.error_message);
        }
    }
}

impl Body for messages::ListGroupsResponse {
    fn fit(&mut self, version: i16) {
        for group in &mut self.groups {
            if version < 4 {
                group.group_state = StrBytes::default();
            }
            if version < 5 {
                group.group_type = StrBytes::default();
            }
        }
    }
}

impl Body for messages::DeleteGroupsResponse {
    /// No version that is served tells more than the code.
    fn fit(&mut self, _version: i16) {
        self.results.iter_mut().for_each(|result| result.error_message = None);
    }
}

impl Body for messages::OffsetCommitResponse {
    fn fit(&mut self, _version: i16) {}
}

impl Body for messages::OffsetFetchResponse {
    /// Handlers fill `groups`; before version 8 there was one, in the message itself.
    fn fit(&mut self, version: i16) {
        if version >= 8 {
            self.topics.clear();
            self.error_code = 0;
            return;
        }
        let Some(only) = std::mem::take(&mut self.groups).into_iter().next() else { return };
        self.error_code = if version < 2 { 0 } else { only.error_code };
        self.topics = only.topics.into_iter().map(|topic| old_topic(topic, version, only.error_code)).collect();
    }
}

/// A topic in the message itself. Version 1 has no code for the whole: it stands at each partition.
fn old_topic(
    topic: messages::offset_fetch_response::OffsetFetchResponseTopics,
    version: i16,
    error_code: i16,
) -> messages::offset_fetch_response::OffsetFetchResponseTopic {
    use messages::offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
    let partitions = topic
        .partitions
        .into_iter()
        .map(|partition| {
            crate::message!(OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: if version < 5 { -1 } else { partition.committed_leader_epoch },
                metadata: partition.metadata,
                error_code: if version < 2 && error_code != 0 { error_code } else { partition.error_code },
            })
        })
        .collect();
    crate::message!(OffsetFetchResponseTopic { name: topic.name, partitions })
}

impl Body for messages::OffsetDeleteResponse {
    fn fit(&mut self, _version: i16) {}
}
