//! What retention may take of this partition.

use super::Partition;
use crate::history::retention::{Known, Retention, expired};
use floe_types::Offset;

impl Partition {
    /// How far the log may begin later by these settings, if at all. The manifest has to be known.
    pub(crate) fn expired(&self, retention: Retention, now_ms: i64) -> Option<Offset> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let start = expired(state.placed(), retention, now_ms, state.known);
        // Segments without timestamps go by when they were known: one mark, set anew when it has served.
        let served = state.known.is_none_or(|known| known.end <= start.unwrap_or(state.line.log_start));
        if served {
            state.known = Some(Known { end: state.line.end, at_ms: now_ms });
        }
        start.filter(|start| *start > state.line.log_start)
    }
}
