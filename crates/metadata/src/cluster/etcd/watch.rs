//! A watch of etcd: one stream for one watch, which ends with it.

use super::client::{EtcdBackend, behind, from_status, key_value, revision, signed, unsigned};
use super::messages::{WatchCreateRequest, WatchKind, WatchRequest, WatchResponse};
use crate::cluster::backend::{Backend, BackendError, Event, Events, Revision, Watching};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use tonic::Streaming;
use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

pub(super) struct EtcdWatch {
    answers: Streaming<WatchResponse>,
}

impl std::fmt::Debug for EtcdWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdWatch").finish_non_exhaustive()
    }
}

/// etcd's word for a member without a leader, if the stream asks for it: the stream ends then, instead of being silent.
const REQUIRE_LEADER: (&str, &str) = ("hasleader", "true");

impl EtcdWatch {
    pub(super) async fn begin(etcd: &EtcdBackend, prefix: &str, from: Revision) -> Result<Self, BackendError> {
        let create =
            WatchCreateRequest { key: Bytes::copy_from_slice(prefix.as_bytes()), range_end: behind(prefix), start_revision: signed(from) };
        let first = WatchRequest { request_union: Some(WatchKind::Create(create)) };
        // The stream of requests stays open: its end would end the watch.
        let requests = futures::stream::iter([first]).chain(futures::stream::pending());
        let mut request = tonic::Request::new(requests);
        let (key, value) = REQUIRE_LEADER;
        request.metadata_mut().insert(key, tonic::metadata::MetadataValue::from_static(value));
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let answers = etcd.ready().await?.streaming(request, path, ProstCodec::<WatchRequest, WatchResponse>::default()).await;
        let mut watch = Self { answers: answers.map_err(|status| from_status(&status))?.into_inner() };
        let created = watch.message().await?;
        let newest = revision(created.header.as_ref());
        if !created.created {
            return Err(BackendError::Unavailable("the watch was not created".into()));
        }
        if from > newest + 1 {
            // The member may only lag behind the others: then the watch is silent until it has caught up. What all of them know is what a linearizable read says.
            let newest = etcd.list(prefix, None, 1, None).await?.revision;
            if from > newest + 1 {
                return Err(BackendError::Future { asked: from, newest });
            }
        }
        Ok(watch)
    }

    async fn message(&mut self) -> Result<WatchResponse, BackendError> {
        match self.answers.message().await {
            Ok(Some(answer)) if answer.compact_revision > 0 => Err(BackendError::Compacted { oldest: unsigned(answer.compact_revision) }),
            Ok(Some(answer)) if answer.canceled => Err(BackendError::Unavailable(format!("the watch was ended: {}", answer.cancel_reason))),
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(BackendError::Unavailable("the watch ended".into())),
            Err(status) => Err(from_status(&status)),
        }
    }
}

#[async_trait]
impl Watching for EtcdWatch {
    async fn next(&mut self) -> Result<Events, BackendError> {
        loop {
            let answer = self.message().await?;
            let mut events = Vec::with_capacity(answer.events.len());
            // Not the header's revision: a watch that catches up is given its changes in portions, each under the newest revision.
            let mut newest = 0;
            for event in answer.events {
                let Some(kv) = event.kv else { continue };
                let found = key_value(kv)?;
                newest = newest.max(found.revision);
                events.push(if event.kind == 0 { Event::Put(found) } else { Event::Deleted { key: found.key } });
            }
            if !events.is_empty() {
                return Ok(Events { revision: newest, events });
            }
        }
    }
}
