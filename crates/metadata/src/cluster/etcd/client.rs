//! Requests to etcd, one attempt each.

use super::messages::{
    CREATE, Compare, DeleteRangeRequest, EQUAL, Ignored, KeyValue as Found, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveResponse,
    LeaseRequest, PutRequest, RangeRequest, RangeResponse, Request, RequestOp, Response, ResponseHeader, Target, TxnRequest, TxnResponse,
    VALUE,
};
use super::watch::EtcdWatch;
use crate::cluster::backend::{self, Backend, BackendError, Committed, KeyValue, LeaseId, Listed, Revision, Txn, Watching, Write};
use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

/// How to reach etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdOptions {
    /// `http://host:port` each.
    pub endpoints: Vec<String>,
    pub connect_timeout: Duration,
    /// A connection on which nothing came for so long is asked for a sign of life, and given up if none comes within [`EtcdOptions::connect_timeout`]. etcd
    /// closes connections that ask more often than every five seconds (`--grpc-keepalive-min-time`).
    pub keep_alive: Duration,
}

impl EtcdOptions {
    #[must_use]
    pub fn new(endpoints: Vec<String>) -> Self {
        Self { endpoints, connect_timeout: Duration::from_secs(1), keep_alive: Duration::from_secs(6) }
    }
}

/// Most bytes in one answer: what a watch missed comes in portions of many transactions.
const LARGEST_ANSWER: usize = 64 << 20;

/// A way to etcd's members; clones share their connections. Time limits of calls are the caller's.
#[derive(Debug, Clone)]
pub struct EtcdBackend {
    channel: Channel,
}

impl EtcdBackend {
    /// Connects when it is first asked something. To be called within a tokio runtime.
    ///
    /// # Errors
    /// No endpoint, or one that is no URL.
    pub fn new(options: &EtcdOptions) -> Result<Self, BackendError> {
        let refused = |endpoint: &str, why: &str| BackendError::Refused(format!("etcd endpoint {endpoint:?}: {why}"));
        if options.endpoints.is_empty() {
            return Err(refused("", "none was given"));
        }
        let endpoint = |url: &String| {
            if !url.starts_with("http://") {
                return Err(refused(url, "not of the form http://host:port"));
            }
            let endpoint = Endpoint::from_shared(url.clone()).map_err(|error| refused(url, &error.to_string()))?;
            Ok(endpoint
                .connect_timeout(options.connect_timeout)
                .http2_keep_alive_interval(options.keep_alive)
                .keep_alive_timeout(options.connect_timeout)
                .keep_alive_while_idle(true)
                .tcp_nodelay(true))
        };
        let endpoints: Vec<Endpoint> = options.endpoints.iter().map(endpoint).collect::<Result<_, _>>()?;
        Ok(Self { channel: Channel::balance_list(endpoints.into_iter()) })
    }

    pub(super) async fn ready(&self) -> Result<Grpc<Channel>, BackendError> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER);
        grpc.ready().await.map_err(|error| BackendError::Unavailable(format!("not connected: {error}")))?;
        Ok(grpc)
    }

    async fn unary<Q, A>(&self, path: &'static str, request: Q) -> Result<A, BackendError>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let codec = ProstCodec::<Q, A>::default();
        let answer = self.ready().await?.unary(tonic::Request::new(request), PathAndQuery::from_static(path), codec).await;
        answer.map(tonic::Response::into_inner).map_err(|status| from_status(&status))
    }
}

/// What a status means. Whatever is not known to be final may pass.
pub(super) fn from_status(status: &Status) -> BackendError {
    let said = status.message();
    match status.code() {
        Code::OutOfRange if said.contains("compacted") => BackendError::Compacted { oldest: 0 },
        Code::OutOfRange if said.contains("future revision") => BackendError::Future { asked: 0, newest: 0 },
        Code::NotFound if said.contains("lease not found") => BackendError::LeaseGone,
        Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented => {
            BackendError::Refused(format!("{:?}: {said}", status.code()))
        }
        _ => BackendError::Unavailable(format!("{:?}: {said}", status.code())),
    }
}

pub(super) fn revision(header: Option<&ResponseHeader>) -> Revision {
    header.map_or(0, |header| unsigned(header.revision))
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn signed(revision: Revision) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// The first key behind all that begin with `prefix`.
pub(super) fn behind(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bytes::from(end);
        }
    }
    Bytes::from_static(b"\0")
}

pub(super) fn key_value(found: Found) -> Result<KeyValue, BackendError> {
    let key = String::from_utf8(found.key.to_vec()).map_err(|_| BackendError::Refused("a key is not UTF-8".into()))?;
    let lease = (found.lease != 0).then_some(LeaseId(found.lease));
    Ok(KeyValue { key, value: found.value, revision: unsigned(found.mod_revision), lease })
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn compare(compare: &backend::Compare) -> Compare {
    match compare {
        backend::Compare::Absent { key } => {
            Compare { result: EQUAL, target: CREATE, key: bytes(key), target_union: Some(Target::CreateRevision(0)) }
        }
        backend::Compare::Is { key, value } => {
            Compare { result: EQUAL, target: VALUE, key: bytes(key), target_union: Some(Target::Value(value.clone())) }
        }
    }
}

fn write(write: &Write) -> RequestOp {
    op(match write {
        Write::Put { key, value, lease } => {
            Request::Put(PutRequest { key: bytes(key), value: value.clone(), lease: lease.map_or(0, |lease| lease.0) })
        }
        Write::Delete { key } => Request::DeleteRange(DeleteRangeRequest { key: bytes(key) }),
    })
}

fn read(key: &str) -> RequestOp {
    op(Request::Range(RangeRequest { key: bytes(key), ..RangeRequest::default() }))
}

#[async_trait]
impl Backend for EtcdBackend {
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize, at: Option<Revision>) -> Result<Listed, BackendError> {
        let key = after.map_or_else(|| bytes(prefix), |after| bytes(&format!("{after}\0")));
        let request = RangeRequest {
            key,
            range_end: behind(prefix),
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            revision: at.map_or(0, signed),
        };
        let answer: RangeResponse = self.unary("/etcdserverpb.KV/Range", request).await?;
        let entries = answer.kvs.into_iter().map(key_value).collect::<Result<_, _>>()?;
        Ok(Listed { revision: revision(answer.header.as_ref()), entries, more: answer.more })
    }

    async fn commit(&self, txn: &Txn) -> Result<Committed, BackendError> {
        let request = TxnRequest {
            compare: txn.compares.iter().map(compare).collect(),
            success: txn.writes.iter().map(write).collect(),
            failure: txn.reads.iter().map(|key| read(key)).collect(),
        };
        let answer: TxnResponse = self.unary("/etcdserverpb.KV/Txn", request).await?;
        let mut found = Vec::new();
        if !answer.succeeded {
            for op in answer.responses {
                let Some(Response::Range(range)) = op.response else {
                    return Err(BackendError::Refused("a read of a transaction has no answer".into()));
                };
                found.push(range.kvs.into_iter().next().map(key_value).transpose()?);
            }
        }
        Ok(Committed { revision: revision(answer.header.as_ref()), won: answer.succeeded, found })
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, BackendError> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let request = LeaseGrantRequest { ttl: signed(seconds.max(1)), id: 0 };
        let answer: LeaseGrantResponse = self.unary("/etcdserverpb.Lease/LeaseGrant", request).await?;
        if answer.error.is_empty() { Ok(LeaseId(answer.id)) } else { Err(BackendError::Unavailable(answer.error)) }
    }

    /// One message on a stream of its own: leases are renewed once a second at most, and a stream that lasts would have to be mended.
    async fn renew(&self, lease: LeaseId) -> Result<bool, BackendError> {
        let codec = ProstCodec::<LeaseRequest, LeaseKeepAliveResponse>::default();
        let path = PathAndQuery::from_static("/etcdserverpb.Lease/LeaseKeepAlive");
        let one = futures::stream::iter([LeaseRequest { id: lease.0 }]);
        let answers = self.ready().await?.streaming(tonic::Request::new(one), path, codec).await;
        let mut answers = answers.map_err(|status| from_status(&status))?.into_inner();
        match answers.message().await {
            Ok(Some(answer)) => Ok(answer.ttl > 0),
            Ok(None) => Err(BackendError::Unavailable("the lease stream ended".into())),
            Err(status) => Err(from_status(&status)),
        }
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), BackendError> {
        match self.unary::<_, Ignored>("/etcdserverpb.Lease/LeaseRevoke", LeaseRequest { id: lease.0 }).await {
            Ok(Ignored {}) | Err(BackendError::LeaseGone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Box<dyn Watching>, BackendError> {
        Ok(Box::new(EtcdWatch::begin(self, prefix, from).await?))
    }
}

/// Forgets what was before the newest revision: for tests, which cannot wait for etcd's own.
///
/// # Errors
/// etcd's.
#[cfg(feature = "testing")]
pub async fn compact(options: &EtcdOptions) -> Result<(), BackendError> {
    let etcd = EtcdBackend::new(options)?;
    let newest = etcd.list("/", None, 1, None).await?.revision;
    let request = super::messages::CompactionRequest { revision: signed(newest) };
    etcd.unary::<_, Ignored>("/etcdserverpb.KV/Compact", request).await.map(|Ignored {}| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_behind_all_that_begin_with_it() {
        assert_eq!(behind("/floe/"), "/floe0");
        assert!(behind("a/").as_ref() > "a/\u{10ffff}".as_bytes());
    }

    #[tokio::test]
    async fn endpoints_that_are_no_urls_are_refused_by_name() {
        for endpoints in [vec![], vec!["localhost:2379".to_owned()], vec!["http://ok:1".to_owned(), "http://a b".to_owned()]] {
            let error = EtcdBackend::new(&EtcdOptions::new(endpoints)).expect_err("no URL");
            assert!(matches!(error, BackendError::Refused(_)), "{error:?}");
        }
    }
}
