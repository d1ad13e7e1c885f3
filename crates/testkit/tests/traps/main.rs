//! Traps of a single broker's write path that need a store, a disk or a process that misbehaves on cue.
//!
//! Each test begins with an empty machine room and ends with `floe verify` of its store: see [`room`].

mod damage;
mod fencing;
mod flush;
mod own_packs;
mod recovery;
mod room;
mod starts;
mod storage;
