//! The formats as their users meet them: goldens, round trips, damage, packs, WAL entries, keys, and the written documentation.

mod damage;
mod documentation;
mod goldens;
mod inspecting;
mod key_layout;
mod packs;
mod round_trips;
mod samples;
mod strategies;
mod wal_entries;
