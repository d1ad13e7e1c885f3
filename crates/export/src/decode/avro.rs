//! Avro: values as their writer's schema says (`schema.rs`), read one by one (`read.rs`).

mod read;
mod schema;

pub(crate) use schema::Avro;

use super::json::Node;
use schema::{Shape, not_null};

impl Avro {
    /// `references`: texts whose types it may name, each behind those that it names itself.
    ///
    /// # Errors
    /// What cannot be read, or become columns.
    pub(crate) fn parse(text: &str, references: &[(String, String)]) -> Result<Self, String> {
        schema::parse(text, references)
    }

    /// # Errors
    /// Why the value is none.
    pub(crate) fn read<'a>(&'a self, value: &'a [u8]) -> Result<Node<'a>, String> {
        read::datum(self, value)
    }

    /// Whether its values are maps, which are one column and not many.
    pub(crate) fn is_map(&self) -> bool {
        match &self.shape {
            Shape::Map(_) => true,
            Shape::Union(branches) => matches!(not_null(branches).as_slice(), [(_, one)] if one.is_map()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
