//! Values as columns: which columns there are (`fields.rs`), how they are gathered (`builder.rs`), and, for each format, how
//! a value is read (`json.rs`, `avro.rs`, `proto.rs`) by which schema (`readers.rs`).

mod avro;
mod builder;
mod fields;
mod json;
mod proto;
mod readers;

pub(crate) use builder::{Decoded, Refusal};
pub(crate) use fields::{Field, add_all, at_top, data_fields, leaves};
pub(crate) use json::{Node, Sketch, evolve, parse};
pub(crate) use readers::{Readers, Schema, Writer, behind_id};
