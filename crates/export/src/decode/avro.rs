//! Avro: values as their writer's schema says (`schema.rs`), read one by one (`read.rs`), plain or behind Confluent's five bytes.

mod read;
mod schema;

use super::fields::{Field, Type};
use super::json::Node;
use schema::{Avro, Shape};
use std::collections::BTreeMap;

/// The byte before the id of a schema, in Confluent's wire format; both take five bytes.
const CONFLUENT: u8 = 0;
const PREFIX: usize = 5;

/// The schemas that values of a topic were written with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AvroSchemas {
    /// Of every value, which has nothing before it.
    Plain(Avro),
    /// By the id before each value.
    Confluent(BTreeMap<u32, Avro>),
}

impl AvroSchemas {
    /// `schemas`: each with the id that it has in values, or one without.
    ///
    /// # Errors
    /// What cannot be read, or become columns.
    pub(crate) fn new(schemas: &[(Option<u32>, String)]) -> Result<Self, String> {
        match schemas {
            [] => Err("there is no schema".to_owned()),
            [(None, text)] => Ok(Self::Plain(schema::parse(text)?)),
            several => {
                let with_id = several.iter().map(|(id, text)| {
                    let id = id.ok_or("of several schemas each has an id: ID=FILE")?;
                    Ok((id, schema::parse(text).map_err(|why| format!("schema {id}: {why}"))?))
                });
                Ok(Self::Confluent(with_id.collect::<Result<_, String>>()?))
            }
        }
    }

    /// Their columns, of all of them together.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn fields(&self) -> Result<Vec<Field>, String> {
        let mut all = Vec::new();
        let schemas: Vec<&Avro> = match self {
            Self::Plain(schema) => vec![schema],
            Self::Confluent(schemas) => schemas.values().collect(),
        };
        for schema in schemas {
            match schema.to_type() {
                Type::Struct(fields) => super::fields::add_all(&mut all, &fields)?,
                of => super::fields::add_all(&mut all, &[Field { name: schema::WHOLE.to_owned(), column: String::new(), of }])?,
            };
        }
        Ok(all)
    }

    /// # Errors
    /// Why the value is none.
    pub(crate) fn read<'a>(&'a self, value: &'a [u8]) -> Result<Node<'a>, String> {
        let (schema, datum) = match self {
            Self::Plain(schema) => (schema, value),
            Self::Confluent(schemas) => {
                let (prefix, datum) =
                    value.split_at_checked(PREFIX).filter(|(prefix, _)| prefix[0] == CONFLUENT).ok_or("no schema id before it")?;
                let id = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
                (schemas.get(&id).ok_or_else(|| format!("schema {id} was not given"))?, datum)
            }
        };
        let node = read::datum(schema, datum)?;
        Ok(if matches!(schema.shape, Shape::Record(_)) { node } else { read::whole(node) })
    }
}

#[cfg(test)]
mod tests;
