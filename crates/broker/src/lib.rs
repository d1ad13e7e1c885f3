//! Floe: broker.
