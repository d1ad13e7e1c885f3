//! What becomes of records as they grow old. Nothing here is on the path of a produce or a fetch.

pub(crate) mod clean;
pub(crate) mod compact;
pub(crate) mod manifest;
mod own_pack;
pub(crate) mod pages;
pub(crate) mod publish;
pub(crate) mod remerge;
pub(crate) mod retention;
pub(crate) mod settle;
pub(crate) mod stats;
pub(crate) mod stopped;
pub(crate) mod sweep;
