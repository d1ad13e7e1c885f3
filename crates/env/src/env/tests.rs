//! Tests of clock, randomness and tasks.
