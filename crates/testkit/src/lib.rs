//! Floe: testkit.
