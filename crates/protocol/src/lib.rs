//! Floe: protocol.
