//! Floe: records.
