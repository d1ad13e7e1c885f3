//! A small Kafka client for the commands: one connection per broker, one request at a time, every wait bounded.
//!
//! No retries: a command that fails says so, and what was acknowledged until then.

use crate::commands::Broker;
use crate::exit::{Exit, Failure};
use bytes::{Bytes, BytesMut};
use floe_env::{Env, net};
use floe_protocol::client::{ClientRequest, choose_version, decode_response, encode_request};
use floe_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FindCoordinatorRequest, MetadataRequest, MetadataResponse, Uuid,
    metadata_request::MetadataRequestTopic,
};
use floe_protocol::{ErrorCode, frame, message};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CLIENT: &str = "floe-cli";
/// Largest answer that is read.
const LARGEST_ANSWER: usize = 256 << 20;

/// The brokers of a cluster, as far as they have been talked to.
pub(crate) struct Kafka {
    env: Env,
    timeout: Duration,
    bootstrap: String,
    connections: BTreeMap<String, Connection>,
}

struct Connection {
    stream: TcpStream,
    versions: ApiVersionsResponse,
    next: i32,
}

/// A topic as a client needs it.
#[derive(Debug, Clone)]
pub(crate) struct TopicInfo {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    /// By index.
    pub(crate) partitions: BTreeMap<i32, PartitionInfo>,
}

#[derive(Debug, Clone)]
pub(crate) struct PartitionInfo {
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) in_sync: Vec<i32>,
    /// Where the leader listens.
    pub(crate) address: Option<String>,
}

fn unavailable(message: String) -> Failure {
    Failure::new(Exit::Unavailable, message)
}

/// Fails if a broker's code says so.
pub(crate) fn check(what: &str, code: i16, message: Option<&str>) -> Result<(), Failure> {
    if code == 0 {
        return Ok(());
    }
    let name = ErrorCode::from_code(code).map_or_else(|| format!("error {code}"), |code| code.name().to_owned());
    Err(Failure::error(match message {
        Some(message) => format!("{what}: {name}: {message}"),
        None => format!("{what}: {name}"),
    }))
}

impl Kafka {
    /// Connects to the first broker of the list that answers.
    pub(crate) async fn connect(env: &Env, broker: &Broker) -> Result<Self, Failure> {
        let (timeout, mut failed) = (Duration::from(broker.timeout), None);
        for address in broker.bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty()) {
            match Connection::open(env, timeout, address).await {
                Ok(connection) => {
                    let connections = BTreeMap::from([(address.to_owned(), connection)]);
                    return Ok(Self { env: env.clone(), timeout, bootstrap: address.to_owned(), connections });
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| Failure::new(Exit::Refused, "--bootstrap: names no broker")))
    }

    /// Asks the broker of the list; `make` gets the version that is spoken.
    pub(crate) async fn ask<R: ClientRequest>(&mut self, make: impl FnOnce(i16) -> R) -> Result<R::Response, Failure> {
        let address = self.bootstrap.clone();
        self.ask_at(&address, make).await
    }

    /// Asks the broker at an address.
    pub(crate) async fn ask_at<R: ClientRequest>(&mut self, address: &str, make: impl FnOnce(i16) -> R) -> Result<R::Response, Failure> {
        let (env, timeout) = (self.env.clone(), self.timeout);
        let connection = self.connection(address).await?;
        let version = connection.send(&env, timeout, make).await?;
        connection.answer::<R>(&env, timeout, version).await
    }

    /// Sends a request that is not answered (acks=0).
    pub(crate) async fn tell_at<R: ClientRequest>(&mut self, address: &str, make: impl FnOnce(i16) -> R) -> Result<(), Failure> {
        let (env, timeout) = (self.env.clone(), self.timeout);
        self.connection(address).await?.send(&env, timeout, make).await.map(|_| ())
    }

    async fn connection(&mut self, address: &str) -> Result<&mut Connection, Failure> {
        if !self.connections.contains_key(address) {
            let connection = Connection::open(&self.env, self.timeout, address).await?;
            self.connections.insert(address.to_owned(), connection);
        }
        Ok(self.connections.get_mut(address).expect("it was there or has just been inserted"))
    }

    /// The topics of these names, or all.
    pub(crate) async fn topics(&mut self, names: Option<&[String]>, create: bool) -> Result<Vec<TopicInfo>, Failure> {
        let wanted = names.map(|names| {
            let topic = |name: &String| message!(MetadataRequestTopic { name: Some(name.as_str().into()) });
            names.iter().map(topic).collect::<Vec<_>>()
        });
        let request = message!(MetadataRequest { topics: wanted, allow_auto_topic_creation: create });
        let answer = self.ask(|_| request).await?;
        check("metadata", answer.error_code, None)?;
        topics_of(&answer)
    }

    /// Where the coordinator of a group listens.
    pub(crate) async fn coordinator(&mut self, group: &str) -> Result<String, Failure> {
        let make = |version| match version {
            ..=3 => message!(FindCoordinatorRequest { key: group.into() }),
            _ => message!(FindCoordinatorRequest { coordinator_keys: vec![group.into()] }),
        };
        let answer = self.ask(make).await?;
        let what = format!("coordinator of group {group}");
        check(&what, answer.error_code, answer.error_message.as_deref())?;
        match answer.coordinators.first() {
            Some(found) => {
                check(&what, found.error_code, found.error_message.as_deref())?;
                Ok(format!("{}:{}", host(&found.host), found.port))
            }
            None => Ok(format!("{}:{}", host(&answer.host), answer.port)),
        }
    }

    /// Where all brokers listen.
    pub(crate) async fn brokers(&mut self) -> Result<Vec<String>, Failure> {
        let request = message!(MetadataRequest { topics: Some(Vec::new()) });
        let answer = self.ask(|_| request).await?;
        Ok(answer.brokers.iter().map(|broker| format!("{}:{}", host(&broker.host), broker.port)).collect())
    }

    /// One topic that must be there; with `create`, asking for it creates it where the broker allows that.
    pub(crate) async fn topic(&mut self, name: &str, create: bool) -> Result<TopicInfo, Failure> {
        let found = self.topics(Some(&[name.to_owned()]), create).await?;
        found.into_iter().next().ok_or_else(|| Failure::error(format!("topic {name}: the broker does not speak of it")))
    }
}

fn topics_of(answer: &MetadataResponse) -> Result<Vec<TopicInfo>, Failure> {
    let addresses: BTreeMap<i32, String> = answer.brokers.iter().map(|b| (b.node_id, format!("{}:{}", host(&b.host), b.port))).collect();
    let mut topics = Vec::with_capacity(answer.topics.len());
    for topic in &answer.topics {
        let name = topic.name.as_ref().map(ToString::to_string).unwrap_or_default();
        check(&format!("topic {name}"), topic.error_code, None)?;
        let partition = |p: &floe_protocol::messages::metadata_response::MetadataResponsePartition| {
            let address = addresses.get(&p.leader_id).cloned();
            let (replicas, in_sync) = (p.replica_nodes.clone(), p.isr_nodes.clone());
            (p.partition_index, PartitionInfo { leader: p.leader_id, leader_epoch: p.leader_epoch, replicas, in_sync, address })
        };
        topics.push(TopicInfo { name, id: topic.topic_id, partitions: topic.partitions.iter().map(partition).collect() });
    }
    Ok(topics)
}

/// An IPv6 address stands in brackets before its port.
fn host(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

impl TopicInfo {
    /// A partition and where its leader listens.
    pub(crate) fn leader(&self, index: i32) -> Result<String, Failure> {
        let partition =
            self.partitions.get(&index).ok_or_else(|| Failure::error(format!("topic {} has no partition {index}", self.name)))?;
        partition.address.clone().ok_or_else(|| unavailable(format!("partition {index} of {} has no leader at the moment", self.name)))
    }
}

impl Connection {
    async fn open(env: &Env, timeout: Duration, address: &str) -> Result<Self, Failure> {
        let stream = match env.timeout(timeout, net::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(unavailable(error.to_string())),
            Err(_) => return Err(unavailable(format!("{address} does not answer within {timeout:?}"))),
        };
        let mut connection = Self { stream, versions: ApiVersionsResponse::default(), next: 0 };
        let version = 3;
        connection
            .put(
                env,
                timeout,
                &message!(ApiVersionsRequest {
                    client_software_name: CLIENT.into(),
                    client_software_version: env!("CARGO_PKG_VERSION").into()
                }),
                version,
            )
            .await?;
        connection.versions = connection.answer::<ApiVersionsRequest>(env, timeout, version).await?;
        Ok(connection)
    }

    async fn send<R: ClientRequest>(&mut self, env: &Env, timeout: Duration, make: impl FnOnce(i16) -> R) -> Result<i16, Failure> {
        let version =
            choose_version(R::api(), &self.versions).ok_or_else(|| Failure::error(format!("the broker does not speak {}", R::api())))?;
        self.put(env, timeout, &make(version), version).await?;
        Ok(version)
    }

    async fn put<R: ClientRequest>(&mut self, env: &Env, timeout: Duration, request: &R, version: i16) -> Result<(), Failure> {
        self.next = self.next.wrapping_add(1);
        let frame = encode_request(request, version, self.next, Some(CLIENT)).map_err(|error| Failure::error(error.to_string()))?;
        bounded(env, timeout, self.stream.write_all(&frame.to_bytes())).await
    }

    async fn answer<R: ClientRequest>(&mut self, env: &Env, timeout: Duration, version: i16) -> Result<R::Response, Failure> {
        let mut prefix = [0; frame::SIZE_LEN];
        bounded(env, timeout, self.stream.read_exact(&mut prefix)).await?;
        let size = usize::try_from(i32::from_be_bytes(prefix)).ok().filter(|size| *size <= LARGEST_ANSWER);
        let size = size.ok_or_else(|| Failure::error("the broker's answer has an impossible size: is this Kafka's port?"))?;
        let mut body = BytesMut::zeroed(size);
        bounded(env, timeout, self.stream.read_exact(&mut body)).await?;
        let (correlation, response) =
            decode_response::<R>(version, Bytes::from(body)).map_err(|error| Failure::error(error.to_string()))?;
        if correlation == self.next { Ok(response) } else { Err(Failure::error("the broker answered another request")) }
    }
}

async fn bounded<T>(env: &Env, timeout: Duration, io: impl Future<Output = std::io::Result<T>>) -> Result<(), Failure> {
    match env.timeout(timeout, io).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(unavailable(format!("the connection to the broker broke: {error}"))),
        Err(_) => Err(unavailable(format!("the broker does not answer within {timeout:?}"))),
    }
}
