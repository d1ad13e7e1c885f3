//! Floe: metadata.
