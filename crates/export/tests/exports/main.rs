//! Exports of a simulated broker's store, read back by the parquet crate: what the table says is what was acknowledged, at
//! every instant, whoever exports, and however that ends.

mod avro;
mod broker;
mod columns;
mod dates;
mod gaps;
mod json;
mod latest;
mod merge;
mod once;
mod schemas;
mod table;
mod targets;
mod world;
