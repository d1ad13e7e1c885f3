//! The decoded columns of a topic: what is written down once, grows by columns and never changes otherwise.

use arrow_schema::{DataType, Field as ArrowField, FieldRef, Fields, TimeUnit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most decoded columns, those within structs and lists counted one by one: every column of a file that is being written takes
/// memory of its own.
pub(crate) const MAX_COLUMNS: usize = 1000;

/// A schema that is written in JSON.
///
/// # Errors
/// It is no JSON, or has more levels than `serde_json` reads.
pub(crate) fn schema_json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("the schema is no JSON, or has more than 127 levels: {error}"))
}

/// The field that a value which has none is.
pub(crate) const WHOLE: &str = "value";

/// Names that every table has before any value is decoded.
const TAKEN: [&str; 8] = ["partition", "offset", "timestamp", "timestamp_type", "key", "value", "headers", "_error"];

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Type {
    Boolean,
    Int32,
    Int64,
    Float,
    Double,
    String,
    /// A value's JSON, as text: what has no one type.
    Json,
    Bytes,
    Decimal {
        precision: u8,
        scale: i8,
    },
    /// Days since 1970.
    Date,
    TimeMillis,
    TimeMicros,
    /// Since 1970, in UTC.
    TimestampMillis,
    TimestampMicros,
    /// The same in nobody's zone.
    LocalTimestampMillis,
    LocalTimestampMicros,
    Struct(Vec<Field>),
    List(Box<Type>),
    /// By texts.
    Map(Box<Type>),
}

/// A decoded column, or a field of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Field {
    /// Its name in values.
    pub(crate) name: String,
    /// Its name in tables: unlike any other beside it, whatever engines make of capitals.
    pub(crate) column: String,
    #[serde(rename = "type")]
    pub(crate) of: Type,
}

impl Type {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float => "float",
            Self::Double => "double",
            Self::String => "string",
            Self::Json => "json",
            Self::Bytes => "bytes",
            Self::Decimal { .. } => "decimal",
            Self::Date => "date",
            Self::TimeMillis | Self::TimeMicros => "time",
            Self::TimestampMillis | Self::TimestampMicros => "timestamp",
            Self::LocalTimestampMillis | Self::LocalTimestampMicros => "local timestamp",
            Self::Map(_) => "map",
            Self::Struct(_) => "struct",
            Self::List(_) => "list",
        }
    }

    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Bytes => DataType::Binary,
            Self::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Self::Date => DataType::Date32,
            Self::TimeMillis => DataType::Time32(TimeUnit::Millisecond),
            Self::TimeMicros => DataType::Time64(TimeUnit::Microsecond),
            Self::TimestampMillis => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::TimestampMicros => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::LocalTimestampMillis => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::LocalTimestampMicros => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Map(of) => DataType::Map(entry(of), false),
            Self::String | Self::Json => DataType::Utf8,
            Self::Struct(fields) => DataType::Struct(Fields::from(data_fields(fields))),
            Self::List(of) => DataType::List(element(of)),
        }
    }
}

pub(crate) fn element(of: &Type) -> FieldRef {
    Arc::new(ArrowField::new("element", of.data_type(), true))
}

/// What a map's list is of.
pub(crate) fn entry(of: &Type) -> FieldRef {
    Arc::new(ArrowField::new("key_value", DataType::Struct(entry_fields(of)), false))
}

pub(crate) fn entry_fields(of: &Type) -> Fields {
    Fields::from(vec![ArrowField::new("key", DataType::Utf8, false), ArrowField::new("value", of.data_type(), true)])
}

pub(crate) fn data_fields(fields: &[Field]) -> Vec<ArrowField> {
    fields.iter().map(|field| ArrowField::new(&field.column, field.of.data_type(), true)).collect()
}

/// Columns of values that are no struct and no list themselves.
pub(crate) fn leaves(fields: &[Field]) -> usize {
    fields.iter().map(|field| leaves_of(&field.of)).sum()
}

pub(crate) fn leaves_of(of: &Type) -> usize {
    match of {
        Type::Struct(fields) => leaves(fields),
        Type::List(of) => leaves_of(of),
        Type::Map(of) => 1 + leaves_of(of),
        _ => 1,
    }
}

/// Adds columns for fields that have none. `taken`: names that every table has, [`at_top`]. What there is already stays as it is, whatever the other says.
///
/// # Errors
/// There would be too many.
pub(crate) fn add_all(fields: &mut Vec<Field>, others: &[Field], taken: &[&str]) -> Result<bool, String> {
    let added = add_from(fields, others, taken);
    let columns = leaves(fields);
    if columns > MAX_COLUMNS { Err(format!("{columns} columns are more than the {MAX_COLUMNS} that a table may have")) } else { Ok(added) }
}

fn add_from(fields: &mut Vec<Field>, others: &[Field], taken: &[&str]) -> bool {
    let mut added = false;
    for other in others {
        if let Some(field) = fields.iter_mut().find(|field| field.name == other.name) {
            added |= add_within(&mut field.of, &other.of);
            continue;
        }
        let column = column_name(&other.name, fields, taken);
        fields.push(Field { column, ..other.clone() });
        added = true;
    }
    added
}

fn add_within(of: &mut Type, other: &Type) -> bool {
    match (of, other) {
        (Type::Struct(fields), Type::Struct(others)) => add_from(fields, others, &[]),
        (Type::List(of), Type::List(other)) | (Type::Map(of), Type::Map(other)) => add_within(of, other),
        _ => false,
    }
}

/// Names at the top that are taken before there is any column: every table's, and those that engines take from folders.
pub(crate) fn at_top(of_folders: &'static [&'static str]) -> Vec<&'static str> {
    TAKEN.iter().chain(of_folders).copied().collect()
}

/// A name for a new column beside `fields`: the field's own, where no engine could take it for another's.
pub(crate) fn column_name(name: &str, fields: &[Field], taken: &[&str]) -> String {
    let mut taken: BTreeSet<String> = taken.iter().map(|name| (*name).to_owned()).collect();
    taken.extend(fields.iter().map(|field| field.column.to_lowercase()));
    let plain = if name.is_empty() { "_".to_owned() } else { name.to_owned() };
    if !taken.contains(&plain.to_lowercase()) {
        return plain;
    }
    let mut numbered = (1_u32..).map(|n| if n == 1 { format!("value_{plain}") } else { format!("value{n}_{plain}") });
    numbered.find(|column| !taken.contains(&column.to_lowercase())).expect("there are more numbers than columns")
}
