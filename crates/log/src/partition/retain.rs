//! What retention may take of this partition, and where its oldest records lie.

use super::{Partition, State};
use crate::ReadError;
use crate::history::pages::Walk;
use crate::history::retention::{Expiry, Known, Retention};
use floe_formats::{Manifest, PageRef, SegmentRef, Ulid};
use floe_types::Offset;
use std::sync::Arc;

/// The segment that the log start lies in, as the page names it that the log start cuts.
#[derive(Debug)]
pub(super) struct Oldest {
    page: Ulid,
    pub(super) segment: SegmentRef,
    /// Bytes of the page's segments before.
    passed_bytes: u64,
}

impl Partition {
    /// How far the log may begin later by these settings, if at all. The manifest has to be known. A page that cannot be read
    /// goes as a whole, when the newest of it is to go.
    ///
    /// # Errors
    /// A page that cannot be read, and is not to go.
    pub(crate) async fn expired(&self, retention: Retention, now_ms: i64) -> Result<Option<Offset>, ReadError> {
        let damaged = match self.look_at_oldest().await {
            Ok(()) => false,
            // It is met again below.
            Err(ReadError::Damaged(_)) => true,
            Err(error) => return Err(error),
        };
        let (mut expiry, manifest, from, listed, unread) = {
            let mut state = self.state.lock();
            let unread = state.cut_page().filter(|_| state.oldest().is_none()).map(|page| page.end_offset);
            if unread.is_some() && !damaged {
                // The log start has moved since, or the manifest: how much there is above it is known at the next check.
                return Ok(None);
            }
            let mut expiry = Expiry::new(retention, now_ms, state.known, state.stored_bytes());
            let paged = state.pages().next().is_some();
            if !paged {
                let _kept = state.placed_behind_pages().map(|segment| expiry.take(segment)).find(|taken| !taken);
            }
            let stays = state.oldest().is_some_and(|oldest| !expiry.takes(&oldest.segment));
            let (false, true, Some(manifest)) = (stays, paged, state.history.manifest().cloned()) else {
                return Ok(state.expired_up_to(expiry.start(), now_ms));
            };
            let settled = state.history.end();
            let behind = state.line.segments.iter().filter(|segment| segment.end_offset > settled);
            (expiry, manifest, state.line.log_start, behind.cloned().collect::<Vec<_>>(), unread)
        };
        let all = self.take_settled(&mut expiry, manifest, from, unread).await?;
        if all {
            let above = listed.iter().filter(|segment| segment.end_offset > from);
            let _kept = above.map(|segment| expiry.take(segment)).find(|taken| !taken);
        }
        Ok(self.state.lock().expired_up_to(expiry.start(), now_ms))
    }

    /// Looks at what a manifest places above `from`, up to the first that stays. Whether all of it is to go. `unread`: the end of a page
    /// whose bytes were all counted, since it could not be read: it goes as a whole or not at all.
    async fn take_settled(
        &self,
        expiry: &mut Expiry,
        manifest: Arc<Manifest>,
        from: Offset,
        unread: Option<Offset>,
    ) -> Result<bool, ReadError> {
        let mut walk = Walk::new(&self.shared, manifest, from);
        loop {
            let stays = match walk.next().await {
                Ok(None) => return Ok(true),
                // It can be read after all: how much of it there is above the log start is known at the next check.
                Ok(Some(segment)) if unread.is_some_and(|end| segment.end_offset <= end) => true,
                Ok(Some(segment)) => segment.end_offset > from && !expiry.take(&segment),
                Err(ReadError::Damaged(damage)) => match walk.pass_over() {
                    // Gone with a manifest that is the newest no more: the rest is looked at at the next check.
                    _ if damage.missing && !self.places(&damage).await? => true,
                    Some(page) if expiry.take_page(&page) => false,
                    _ if expiry.start().is_none() => return Err(ReadError::Damaged(damage)),
                    _ => true,
                },
                Err(error) => return Err(error),
            };
            if stays {
                return Ok(false);
            }
        }
    }

    /// Sees to it that it is known where the log start lies, if that is in a page.
    ///
    /// # Errors
    /// A page that cannot be read.
    pub(crate) async fn look_at_oldest(&self) -> Result<(), ReadError> {
        let (page, log_start) = {
            let state = self.state.lock();
            match (state.cut_page(), state.oldest()) {
                (Some(page), None) => (*page, state.line.log_start),
                _ => return Ok(()),
            }
        };
        let Some(opened) = self.open_page(&self.shared.merging, &page).await? else { return Ok(()) };
        let at = opened.segments.partition_point(|segment| segment.end_offset <= log_start);
        let Some(segment) = opened.segments.get(at).cloned() else { return Ok(()) };
        let passed_bytes = opened.segments.iter().take(at).map(|segment| segment.bytes).sum();
        self.state.lock().oldest = Some(Oldest { page: page.ulid, segment, passed_bytes });
        Ok(())
    }
}

impl State {
    fn expired_up_to(&mut self, start: Option<Offset>, now_ms: i64) -> Option<Offset> {
        // Segments without timestamps go by when they were known: one mark, set anew when it has served.
        let served = self.known.is_none_or(|known| known.end <= start.unwrap_or(self.line.log_start));
        if served {
            self.known = Some(Known { end: self.line.end, at_ms: now_ms });
        }
        start.filter(|start| *start > self.line.log_start)
    }

    /// The page that the log start lies in.
    fn cut_page(&self) -> Option<&PageRef> {
        self.pages().next().filter(|page| page.base_offset <= self.line.log_start)
    }

    /// Where the log start lies in a page, if that is known.
    pub(super) fn oldest(&self) -> Option<&Oldest> {
        let (page, oldest) = (self.cut_page()?, self.oldest.as_ref()?);
        let holds = oldest.segment.base_offset <= self.line.log_start && self.line.log_start < oldest.segment.end_offset;
        (holds && oldest.page == page.ulid).then_some(oldest)
    }

    /// Bytes of all segments above the log start; what lies below in a page counts until somebody has looked into it.
    pub(super) fn stored_bytes(&self) -> u64 {
        let pages: u64 = self.pages().map(|page| page.bytes).sum();
        let passed = self.oldest().map_or(0, |oldest| oldest.passed_bytes);
        let behind: u64 = self.placed_behind_pages().map(|segment| segment.bytes).sum();
        pages.saturating_sub(passed).saturating_add(behind)
    }
}
