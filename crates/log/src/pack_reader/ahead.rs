//! Reading ahead of a stream: over the blocks of its segment and those of the next ones, in requests as large as its
//! window allows.

use super::fetch::{AHEAD_RUN, opened_len, runs};
use super::streams::{Plan, Reading};
use super::{Inner, find};
use floe_formats::{PackFooter, SegmentRef};
use floe_objstore::Store;
use floe_types::Offset;
use futures::stream::{self, StreamExt};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Footers fetched at the same time: small segments lie in many packs.
const FOOTERS_AT_ONCE: usize = 4;

impl Inner {
    /// Begins to fetch what the stream is about to read, if it is time for that. `segments`: from the one being read on.
    pub(super) fn read_ahead(self: &Arc<Self>, store: &Store, (reading, behind): (Reading, Offset), segments: &[SegmentRef]) {
        let Some(plan) = self.streams.plan(&reading, behind) else { return };
        let (this, store, segments) = (self.clone(), store.clone(), segments.to_vec());
        let task = async move {
            this.walk(&store, (&reading, plan), segments).await;
            this.streams.walked(&reading);
        };
        self.env.spawn("read ahead", task).detach_to_group();
    }

    /// A footer that stays wanted although this walk may end before it comes: the next one begins there.
    async fn footer_ahead(self: &Arc<Self>, store: &Store, segment: &SegmentRef) -> Option<Arc<PackFooter>> {
        let (done, footer) = oneshot::channel();
        let (this, store, segment) = (self.clone(), store.clone(), segment.clone());
        let fetch = async move {
            // Whoever comes to it is told what is wrong.
            let _ended = done.send(this.footer(&store, &segment).await.ok());
        };
        self.env.spawn("fetch a footer", fetch).detach_to_group();
        footer.await.ok().flatten()
    }

    async fn walk(self: &Arc<Self>, store: &Store, (reading, plan): (&Reading, Plan), segments: Vec<SegmentRef>) {
        let mut room = plan.bytes;
        let mut footers = Vec::with_capacity(segments.len());
        for segment in segments.into_iter().filter(|segment| segment.end_offset > plan.from) {
            let (this, store) = (self.clone(), store.clone());
            footers.push(async move {
                let footer = this.footer_ahead(&store, &segment).await;
                (segment, footer)
            });
        }
        let mut footers = stream::iter(footers).buffered(FOOTERS_AT_ONCE);
        while let Some((stored, footer)) = footers.next().await {
            let Some(footer) = footer else { return };
            let Ok(segment) = find(&footer, reading.partition, &stored) else { return };
            let from = segment.blocks.partition_point(|block| block.end_offset <= plan.from);
            let pack: Arc<str> = stored.pack.key().into();
            for run in runs(segment.blocks.get(from..).unwrap_or_default(), AHEAD_RUN, plan.quantum) {
                let bytes = opened_len(run);
                let is_first = room == plan.bytes;
                if (bytes > room && !is_first) || !self.fetcher.has_room_ahead(bytes) {
                    return;
                }
                self.fetcher.ahead(store, &pack, run);
                self.streams.planned(reading, run.last().map_or(plan.from, |last| last.end_offset), bytes);
                room = room.saturating_sub(bytes);
            }
        }
    }
}
