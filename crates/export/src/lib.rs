//! Topics as tables: Parquet files in object storage that any engine reads by a plain `**/*.parquet`, without Floe.
//!
//! Read in this order: `run.rs` (an export, from its options to its report), `partition.rs` (one partition, file after file),
//! `target.rs` (why no record is ever there twice), `file.rs` (one file), `rows.rs` (records as columns), `memory.rs` (what all of
//! that may hold), `merge.rs` (small files made into large ones, beside the table), `follow.rs` (both, round after round),
//! `exporter.rs` (what a broker exports by itself).
//!
//! Keeps: what lies in the target is exact at every instant, whoever exports at the same time and whoever was stopped in the
//! middle: the files of a partition follow one another without overlap from where the export began, each is created only if
//! absent, and a file that stands is never changed. Is not: a catalog, a cleaner of old files, a judge of schemas.

mod begin;
mod claim;
mod committed;
mod day;
mod decode;
mod error;
mod exported;
mod exporter;
mod file;
mod follow;
mod header;
mod json;
mod memory;
mod merge;
mod partition;
mod registry;
mod rows;
mod run;
mod schemas;
mod sink;
mod source;
mod target;
mod writer;

pub use error::ExportError;
pub use exported::{Exported, ExportedFile};
pub use exporter::{Exporter, ExporterOptions, ExporterStatus, Places};
pub use follow::{Follow, Round};
pub use header::{FILE_HEADER_LEN, FileHeader};
pub use merge::{Latest, Merged};
pub use registry::{Answer, HttpRegistry, RegistryClient};
pub use rows::Mode;
pub use run::{Export, ExportOptions, Place, Progress, Report};
pub use target::Folders;
