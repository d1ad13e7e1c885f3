//! Floe: log.
