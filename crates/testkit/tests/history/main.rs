//! What becomes of records as they grow old: log start, retention, settling, deletion - one engine over a store whose
//! every object and request can be looked at.

mod clean;
mod cold;
mod compact;
mod log_start;
mod pages;
mod remerge;
mod settle;
mod stop;
mod support;
