//! Floe: env.
