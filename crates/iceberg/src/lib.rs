//! An export's files as an Apache Iceberg table: they stay where they are, and are appended to a table of a SQL or REST catalog.
//!
//! Each snapshot that this makes says, for every partition whose files it adds, behind which offset the table ends ([`offsets`]); what is
//! not behind it is not added again. A commit is a compare-and-swap of the catalog against the very table whose offsets were read, so
//! that appenders may race, and be killed at any time: the table has each file once.
//!
//! Of a crate of its own, and of a feature of the program that is off by default, since `iceberg` brings an Arrow, a Parquet and a hundred
//! other crates of its own.

mod append;
mod catalog;
mod error;
mod files;
mod pinned;
mod schema;
mod storage;

pub mod offsets;

pub use append::{Appended, Appender};
pub use catalog::{CatalogUrl, open, table_name};
pub use error::IcebergError;
pub use storage::{Places, StoreAt};
