//! Reads that are sent a second time when the answer is late: the slowest few of a hundred are not waited for.
//!
//! Only for ranges, which are many and alike, and only while there is a free place: a store in trouble is not asked twice as
//! much. One request in twenty at most ([`crate::Pace`]).

use super::{Store, StoreError};
use bytes::Bytes;
use std::ops::Range;
use std::pin::pin;

impl Store {
    /// As [`Store::get_range`]; asked twice when the first answer is later than most, and the first to come counts.
    ///
    /// # Errors
    /// As [`Store::get_range`], when both failed.
    pub async fn get_range_hedged(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let inner = &*self.0;
        let mut first = pin!(self.get_range(key, range.clone()));
        let Some(late) = inner.pace.late_after(range.end.saturating_sub(range.start)) else { return first.await };
        if let Ok(answer) = inner.env.timeout(late, &mut first).await {
            return answer;
        }
        if !inner.reads.has_room(self.1) || !inner.pace.may_hedge() {
            return first.await;
        }
        inner.metrics.hedged();
        let mut second = pin!(self.get_range(key, range));
        tokio::select! {
            biased;
            answer = &mut first => match answer {
                Ok(bytes) => Ok(bytes),
                Err(_) => second.await,
            },
            answer = &mut second => match answer {
                Ok(bytes) => Ok(bytes),
                Err(_) => first.await,
            },
        }
    }
}
