//! THE table of served APIs: which keys, which versions, from when flexible.
//!
//! ApiVersions answers from it, decoding refuses by it, [`markdown`] prints docs/protocol.md from it. An API is added by
//! one entry of `with_apis!` (and, where it has one, its shape and its fitting to older versions); the compiler and the
//! tests then name what is missing. Nothing is advertised that the decoder does not take (T42): clients choose features
//! from this table. Ranges are those of Kafka 4.1.

use crate::shape::{self, Shape};
use std::{fmt, fmt::Write as _};

/// Hands the list of served APIs to the macro `$then`: the single place where an API is declared.
///
/// Each entry is `Name = key, advertised min..=max, served from, flexible from, request, response, shape, exception`.
macro_rules! with_apis {
    ($then:ident) => {
        $then! {
            Produce = 0, advertised 0..=13, served 3, flexible 9, ProduceRequest => ProduceResponse, shape PRODUCE,
                "Versions 0-2 are advertised, because older librdkafka reads a minimum of 3 as \"no gzip, snappy or lz4\"; a request at one of them closes the connection, as Apache Kafka does. A transactional id is refused with a fatal error until transactions are served.";
            Fetch = 1, advertised 4..=18, served 4, flexible 12, FetchRequest => FetchResponse, shape FETCH,
                "Followers do not fetch.";
            ListOffsets = 2, advertised 1..=10, served 1, flexible 6, ListOffsetsRequest => ListOffsetsResponse, shape LIST_OFFSETS, "";
            Metadata = 3, advertised 0..=13, served 0, flexible 9, MetadataRequest => MetadataResponse, shape METADATA, "";
            OffsetCommit = 8, advertised 2..=9, served 2, flexible 8, OffsetCommitRequest => OffsetCommitResponse, shape OFFSET_COMMIT, "";
            OffsetFetch = 9, advertised 1..=9, served 1, flexible 6, OffsetFetchRequest => OffsetFetchResponse, shape OFFSET_FETCH, "";
            FindCoordinator = 10, advertised 0..=6, served 0, flexible 3, FindCoordinatorRequest => FindCoordinatorResponse, shape FIND_COORDINATOR,
                "Coordinators of transactions are answered with a fatal error until transactions are served; those of share groups with INVALID_REQUEST, as Kafka does where they are off.";
            JoinGroup = 11, advertised 0..=9, served 0, flexible 6, JoinGroupRequest => JoinGroupResponse, shape JOIN_GROUP, "";
            Heartbeat = 12, advertised 0..=4, served 0, flexible 4, HeartbeatRequest => HeartbeatResponse, shape FLAT, "";
            LeaveGroup = 13, advertised 0..=5, served 0, flexible 4, LeaveGroupRequest => LeaveGroupResponse, shape LEAVE_GROUP, "";
            SyncGroup = 14, advertised 0..=5, served 0, flexible 4, SyncGroupRequest => SyncGroupResponse, shape SYNC_GROUP, "";
            DescribeGroups = 15, advertised 0..=6, served 0, flexible 5, DescribeGroupsRequest => DescribeGroupsResponse, shape NAMES, "";
            ListGroups = 16, advertised 0..=5, served 0, flexible 3, ListGroupsRequest => ListGroupsResponse, shape LIST_GROUPS, "";
            ApiVersions = 18, advertised 0..=4, served 0, flexible 3, ApiVersionsRequest => ApiVersionsResponse, shape FLAT,
                "An unknown version is answered in version 0 with UNSUPPORTED_VERSION and all ranges; the response header is always version 0.";
            CreateTopics = 19, advertised 2..=7, served 2, flexible 5, CreateTopicsRequest => CreateTopicsResponse, shape CREATE_TOPICS,
                "Any replication factor is accepted and shown as the live brokers. Settings without an effect are refused with INVALID_CONFIG.";
            DeleteTopics = 20, advertised 1..=6, served 1, flexible 4, DeleteTopicsRequest => DeleteTopicsResponse, shape DELETE_TOPICS, "";
            DeleteRecords = 21, advertised 0..=2, served 0, flexible 2, DeleteRecordsRequest => DeleteRecordsResponse, shape DELETE_RECORDS, "";
            InitProducerId = 22, advertised 0..=5, served 0, flexible 2, InitProducerIdRequest => InitProducerIdResponse, shape FLAT,
                "A transactional id is refused with a fatal error until transactions are served.";
            OffsetForLeaderEpoch = 23, advertised 2..=4, served 2, flexible 4, OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse, shape OFFSET_FOR_LEADER_EPOCH, "";
            DescribeAcls = 29, advertised 1..=3, served 1, flexible 2, DescribeAclsRequest => DescribeAclsResponse, shape FLAT,
                "No authoriser: answered with SECURITY_DISABLED, as Kafka does without one.";
            CreateAcls = 30, advertised 1..=3, served 1, flexible 2, CreateAclsRequest => CreateAclsResponse, shape CREATE_ACLS,
                "No authoriser: every creation is answered with SECURITY_DISABLED, as Kafka does without one.";
            DeleteAcls = 31, advertised 1..=3, served 1, flexible 2, DeleteAclsRequest => DeleteAclsResponse, shape DELETE_ACLS,
                "No authoriser: every filter is answered with SECURITY_DISABLED, as Kafka does without one.";
            DescribeConfigs = 32, advertised 1..=4, served 1, flexible 4, DescribeConfigsRequest => DescribeConfigsResponse, shape DESCRIBE_CONFIGS, "";
            AlterConfigs = 33, advertised 0..=2, served 0, flexible 2, AlterConfigsRequest => AlterConfigsResponse, shape ALTER_CONFIGS, "";
            DescribeLogDirs = 35, advertised 1..=4, served 1, flexible 2, DescribeLogDirsRequest => DescribeLogDirsResponse, shape DESCRIBE_LOG_DIRS,
                "Three places stand for directories: `wal` (what only the local disk has), `store` (what the object store has), and `cache`, whose bytes are not told by partition.";
            CreatePartitions = 37, advertised 0..=3, served 0, flexible 2, CreatePartitionsRequest => CreatePartitionsResponse, shape CREATE_PARTITIONS, "";
            CreateDelegationToken = 38, advertised 1..=3, served 1, flexible 2, CreateDelegationTokenRequest => CreateDelegationTokenResponse, shape CREATE_DELEGATION_TOKEN,
                "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as on every listener of Kafka without authentication.";
            RenewDelegationToken = 39, advertised 1..=2, served 1, flexible 2, RenewDelegationTokenRequest => RenewDelegationTokenResponse, shape FLAT, "As CreateDelegationToken.";
            ExpireDelegationToken = 40, advertised 1..=2, served 1, flexible 2, ExpireDelegationTokenRequest => ExpireDelegationTokenResponse, shape FLAT, "As CreateDelegationToken.";
            DescribeDelegationToken = 41, advertised 1..=3, served 1, flexible 2, DescribeDelegationTokenRequest => DescribeDelegationTokenResponse, shape DESCRIBE_DELEGATION_TOKEN, "As CreateDelegationToken.";
            DeleteGroups = 42, advertised 0..=2, served 0, flexible 2, DeleteGroupsRequest => DeleteGroupsResponse, shape NAMES, "";
            ElectLeaders = 43, advertised 0..=2, served 0, flexible 2, ElectLeadersRequest => ElectLeadersResponse, shape ELECT_LEADERS, "";
            IncrementalAlterConfigs = 44, advertised 0..=1, served 0, flexible 1, IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse, shape INCREMENTAL_ALTER_CONFIGS, "";
            AlterPartitionReassignments = 45, advertised 0..=1, served 0, flexible 0, AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse, shape ALTER_PARTITION_REASSIGNMENTS,
                "A partition has one replica, its leader: an assignment to one broker moves it there, and keeps it there while that one is alive; several are refused.";
            ListPartitionReassignments = 46, advertised 0..=0, served 0, flexible 0, ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse, shape LIST_PARTITION_REASSIGNMENTS, "";
            OffsetDelete = 47, advertised 0..=0, served 0, flexible 32767, OffsetDeleteRequest => OffsetDeleteResponse, shape OFFSET_DELETE, "";
            DescribeClientQuotas = 48, advertised 0..=1, served 0, flexible 1, DescribeClientQuotasRequest => DescribeClientQuotasResponse, shape DESCRIBE_CLIENT_QUOTAS, "";
            AlterClientQuotas = 49, advertised 0..=1, served 0, flexible 1, AlterClientQuotasRequest => AlterClientQuotasResponse, shape ALTER_CLIENT_QUOTAS,
                "Quotas are not enforced: setting one is refused with POLICY_VIOLATION, removing one that is not there succeeds.";
            DescribeUserScramCredentials = 50, advertised 0..=0, served 0, flexible 0, DescribeUserScramCredentialsRequest => DescribeUserScramCredentialsResponse, shape DESCRIBE_USER_SCRAM_CREDENTIALS, "";
            AlterUserScramCredentials = 51, advertised 0..=0, served 0, flexible 0, AlterUserScramCredentialsRequest => AlterUserScramCredentialsResponse, shape ALTER_USER_SCRAM_CREDENTIALS,
                "No authentication: a new credential is refused with SECURITY_DISABLED, and there is none to delete.";
            DescribeQuorum = 55, advertised 0..=2, served 0, flexible 0, DescribeQuorumRequest => DescribeQuorumResponse, shape DESCRIBE_QUORUM,
                "The quorum of `__cluster_metadata` is this broker; its log is the catalog, and offsets are the catalog's versions.";
            UpdateFeatures = 57, advertised 0..=2, served 0, flexible 0, UpdateFeaturesRequest => UpdateFeaturesResponse, shape UPDATE_FEATURES, "";
            DescribeCluster = 60, advertised 0..=2, served 0, flexible 0, DescribeClusterRequest => DescribeClusterResponse, shape FLAT, "";
            DescribeProducers = 61, advertised 0..=0, served 0, flexible 0, DescribeProducersRequest => DescribeProducersResponse, shape DESCRIBE_PRODUCERS, "";
            ListConfigResources = 74, advertised 0..=1, served 0, flexible 0, ListConfigResourcesRequest => ListConfigResourcesResponse, shape LIST_CONFIG_RESOURCES, "";
            DescribeTopicPartitions = 75, advertised 0..=0, served 0, flexible 0, DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse, shape DESCRIBE_TOPIC_PARTITIONS, "";
        }
    };
}
pub(crate) use with_apis;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub api: Api,
    /// The number on the wire.
    pub key: i16,
    /// Kafka's name.
    pub name: &'static str,
    /// Lowest version that ApiVersions shows.
    pub advertised_min: i16,
    /// Lowest version that is decoded; above `advertised_min` only for Produce.
    pub served_min: i16,
    /// Highest version, advertised and served.
    pub max: i16,
    /// First version with compact lengths, tagged fields, and the longer headers (KIP-482).
    pub flexible_from: i16,
    /// What is not complete, in a sentence for docs/protocol.md; empty if nothing.
    pub exception: &'static str,
    /// Where the arrays of a request lie.
    pub(crate) shape: &'static Shape,
}

impl Row {
    /// Whether requests of this version are decoded.
    #[must_use]
    pub const fn serves(&self, version: i16) -> bool {
        version >= self.served_min && version <= self.max
    }

    /// Whether this version has compact lengths and tagged fields.
    #[must_use]
    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }
}

macro_rules! define_table {
    ($($name:ident = $key:literal, advertised $min:literal..=$max:literal, served $served:literal, flexible $flexible:literal,
        $request:ident => $response:ident, shape $shape:ident, $exception:literal;)*) => {
        /// A served API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Api {
            $($name,)*
        }

        /// All rows, by ascending key.
        pub const ROWS: &[Row] = &[$(
            Row {
                api: Api::$name,
                key: $key,
                name: stringify!($name),
                advertised_min: $min,
                served_min: $served,
                max: $max,
                flexible_from: $flexible,
                exception: $exception,
                shape: &shape::$shape,
            },
        )*];

        impl Api {
            /// Its row.
            #[must_use]
            pub const fn row(self) -> &'static Row {
                const { check_order(ROWS) };
                match self {
                    $(Api::$name => {
                        const ROW: &Row = find($key);
                        ROW
                    })*
                }
            }

            /// The served API of a key; `None` if it is not served.
            #[must_use]
            pub const fn from_key(key: i16) -> Option<Api> {
                match key {
                    $($key => Some(Api::$name),)*
                    _ => None,
                }
            }
        }
    };
}
with_apis!(define_table);

/// The row of `key`, at compile time.
const fn find(key: i16) -> &'static Row {
    let mut rows: &'static [Row] = ROWS;
    while let [row, rest @ ..] = rows {
        if row.key == key {
            return row;
        }
        rows = rest;
    }
    panic!("every API has a row")
}

/// Refuses, at compile time, a table that is not ascending or whose ranges are empty.
const fn check_order(mut rows: &'static [Row]) {
    while let [row, rest @ ..] = rows {
        assert!(row.advertised_min <= row.served_min && row.served_min <= row.max, "a range is empty");
        if let [next, ..] = rest {
            assert!(row.key < next.key, "rows ascend by key");
        }
        rows = rest;
    }
}

impl Api {
    /// The number on the wire.
    #[must_use]
    pub const fn key(self) -> i16 {
        self.row().key
    }

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// docs/protocol.md: what is served, and the named exceptions to "complete".
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "# Kafka protocol: what Floe serves\n\n\
         Written by `cargo xtask docs` from the table in `crates/protocol/src/table.rs`; do not edit by hand.\n\n\
         | key | API | versions | flexible from |\n|---|---|---|---|\n",
    );
    for row in ROWS {
        let Row { key, name, max, flexible_from, .. } = row;
        let served = if row.advertised_min < row.served_min {
            format!("{}-{max} (advertised from {})", row.served_min, row.advertised_min)
        } else {
            format!("{}-{max}", row.served_min)
        };
        writeln!(out, "| {key} | {name} | {served} | {flexible_from} |").expect("writing to a string does not fail");
    }
    out.push_str("\nAny other key, and any other version of these, closes the connection with a logged reason.\n\n## Exceptions\n\n");
    for row in ROWS.iter().filter(|row| !row.exception.is_empty()) {
        writeln!(out, "- **{}**: {}", row.name, row.exception).expect("writing to a string does not fail");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_finds_its_row_by_name_and_by_key() {
        for row in ROWS {
            assert_eq!(Api::from_key(row.key), Some(row.api));
            assert_eq!((row.api.row().key, row.api.key(), row.api.to_string()), (row.key, row.key, row.name.into()));
        }
        assert_eq!(Api::from_key(4), None);
        assert_eq!(Api::from_key(-1), None);
    }

    #[test]
    fn the_document_has_every_row_and_every_exception() {
        let text = markdown();
        assert!(text.contains("| 0 | Produce | 3-13 (advertised from 0) | 9 |\n"));
        assert!(text.contains("| 1 | Fetch | 4-18 | 12 |\n"));
        assert!(text.contains("| 60 | DescribeCluster | 0-2 | 0 |\n"));
        assert_eq!(text.lines().filter(|line| line.starts_with("| ")).count(), ROWS.len() + 1);
        for row in ROWS.iter().filter(|row| !row.exception.is_empty()) {
            assert!(text.contains(row.exception), "{}", row.name);
        }
    }
}
