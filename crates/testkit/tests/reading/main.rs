//! Reading history from a store with a cloud's latency, on a clock that jumps: how many requests are under way, how many it
//! takes, what is held, and that the tail does not notice.

mod classes;
mod replay;
mod restarts;
mod support;
