//! Values as columns: which columns there are (`fields.rs`), how they are gathered (`builder.rs`), and, for each format, how
//! a value is read (`json.rs`, `avro.rs`).

mod avro;
mod builder;
mod fields;
mod json;

pub(crate) use avro::AvroSchemas;
pub(crate) use builder::{Decoded, Refusal};
pub(crate) use fields::{Field, add_all, data_fields, leaves};
pub(crate) use json::{Sketch, evolve, parse};
