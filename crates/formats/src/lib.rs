//! Floe: formats.
