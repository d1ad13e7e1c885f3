//! Floe: wal.
