//! Avro's schemas (specification 1.12), as far as values need them, and the columns that they become.

use crate::decode::fields::{Field, MAX_COLUMNS, Type, column_name, schema_json};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Levels and parts of a schema.
const MAX_LEVELS: usize = 100;
const MAX_PARTS: usize = 20 * MAX_COLUMNS;
/// A type of Avro.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Avro {
    pub(super) shape: Shape,
    /// What a logical type makes of it.
    pub(super) logical: Option<Type>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    Array(Box<Avro>),
    Map(Box<Avro>),
    /// Each branch with the name that it has where several are not null.
    Union(Vec<(String, Avro)>),
    Record(Vec<(String, Avro)>),
}

/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str, references: &[(String, String)]) -> Result<Avro, String> {
    let mut parser = Parser { named: BTreeMap::new(), parts: 0 };
    for (_, text) in references {
        parser.any(&schema_json(text)?, "", 0)?;
    }
    parser.any(&schema_json(text)?, "", 0)
}

struct Parser {
    /// Definitions so far; None: one that is being read.
    named: BTreeMap<String, Option<Avro>>,
    parts: usize,
}

impl Parser {
    fn any(&mut self, json: &Value, namespace: &str, level: usize) -> Result<Avro, String> {
        self.count(1)?;
        if level > MAX_LEVELS {
            return Err(format!("it has more than {MAX_LEVELS} levels"));
        }
        match json {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => self.union(branches, namespace, level),
            Value::Object(object) => self.object(object, namespace, level),
            other => Err(format!("{other} is no type")),
        }
    }

    fn count(&mut self, parts: usize) -> Result<(), String> {
        self.parts += parts;
        if self.parts > MAX_PARTS { Err(format!("it has more than {MAX_PARTS} parts")) } else { Ok(()) }
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Result<Avro, String> {
        if let Some(shape) = primitive(name) {
            return Ok(Avro { shape, logical: None });
        }
        let full = full_name(name, namespace);
        let known = self.named.get(&full).or_else(|| self.named.get(name)).ok_or_else(|| format!("there is no type {name}"))?;
        let Some(known) = known.clone() else { return Err(format!("{name} holds itself, and so no number of columns would do")) };
        self.count(parts(&known))?;
        Ok(known)
    }

    fn union(&mut self, branches: &[Value], namespace: &str, level: usize) -> Result<Avro, String> {
        let mut read = Vec::with_capacity(branches.len().min(MAX_PARTS));
        for branch in branches {
            let avro = self.any(branch, namespace, level + 1)?;
            let name = match branch {
                Value::String(name) => name.clone(),
                other => other.get("name").or(other.get("type")).and_then(Value::as_str).unwrap_or("member").to_owned(),
            };
            let short = name.rsplit('.').next().unwrap_or(&name).to_owned();
            read.push((short, avro));
        }
        Ok(Avro { shape: Shape::Union(read), logical: None })
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str, level: usize) -> Result<Avro, String> {
        let of = object.get("type").ok_or("a type without `type`")?;
        let Value::String(kind) = of else { return self.any(of, namespace, level + 1) };
        let part = |name: &str| object.get(name).ok_or_else(|| format!("{kind} without `{name}`"));
        let shape = match kind.as_str() {
            "array" => Shape::Array(Box::new(self.any(part("items")?, namespace, level + 1)?)),
            "map" => Shape::Map(Box::new(self.any(part("values")?, namespace, level + 1)?)),
            "record" | "error" | "enum" | "fixed" => return self.named(kind, object, namespace, level),
            other => match primitive(other) {
                Some(shape) => shape,
                None => return self.by_name(other, namespace),
            },
        };
        let logical = logical(&shape, object);
        Ok(Avro { shape, logical })
    }

    fn named(&mut self, kind: &str, object: &Map<String, Value>, namespace: &str, level: usize) -> Result<Avro, String> {
        let name = object.get("name").and_then(Value::as_str).ok_or_else(|| format!("{kind} without `name`"))?;
        let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let full = full_name(name, namespace);
        let within = full.rsplit_once('.').map_or("", |(within, _)| within).to_owned();
        self.named.insert(full.clone(), None);
        let shape = match kind {
            "enum" => {
                let symbols = object.get("symbols").and_then(Value::as_array).ok_or("enum without `symbols`")?;
                self.count(symbols.len())?;
                Shape::Enum(symbols.iter().map(|symbol| symbol.as_str().unwrap_or_default().to_owned()).collect())
            }
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64).ok_or("fixed without `size`")?;
                Shape::Fixed(usize::try_from(size).map_err(|error| error.to_string())?)
            }
            _ => {
                let mut fields = Vec::new();
                for field in object.get("fields").and_then(Value::as_array).ok_or("record without `fields`")? {
                    let name = field.get("name").and_then(Value::as_str).ok_or("a field without `name`")?;
                    let of = field.get("type").ok_or_else(|| format!("field {name} without `type`"))?;
                    fields.push((name.to_owned(), self.any(of, &within, level + 1)?));
                }
                Shape::Record(fields)
            }
        };
        let avro = Avro { logical: logical(&shape, object), shape };
        self.named.insert(full, Some(avro.clone()));
        Ok(avro)
    }
}

fn parts(avro: &Avro) -> usize {
    1 + match &avro.shape {
        Shape::Array(of) | Shape::Map(of) => parts(of),
        Shape::Union(parts_of) | Shape::Record(parts_of) => parts_of.iter().map(|(_, part)| parts(part)).sum(),
        Shape::Enum(symbols) => symbols.len(),
        _ => 0,
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn primitive(name: &str) -> Option<Shape> {
    Some(match name {
        "null" => Shape::Null,
        "boolean" => Shape::Boolean,
        "int" => Shape::Int,
        "long" => Shape::Long,
        "float" => Shape::Float,
        "double" => Shape::Double,
        "bytes" => Shape::Bytes,
        "string" => Shape::String,
        _ => return None,
    })
}

/// A logical type that is known, and legal where it stands; others are ignored, as the specification says.
fn logical(shape: &Shape, object: &Map<String, Value>) -> Option<Type> {
    let number = |name: &str| object.get(name).and_then(Value::as_u64);
    Some(match (object.get("logicalType")?.as_str()?, shape) {
        ("decimal", Shape::Bytes | Shape::Fixed(_)) => {
            let (precision, scale) = (number("precision")?, number("scale").unwrap_or(0));
            if !(1..=38).contains(&precision) || scale > precision {
                return None;
            }
            Type::Decimal { precision: u8::try_from(precision).ok()?, scale: i8::try_from(scale).ok()? }
        }
        ("date", Shape::Int) => Type::Date,
        ("time-millis", Shape::Int) => Type::TimeMillis,
        ("time-micros", Shape::Long) => Type::TimeMicros,
        ("timestamp-millis", Shape::Long) => Type::TimestampMillis,
        ("timestamp-micros", Shape::Long) => Type::TimestampMicros,
        ("local-timestamp-millis", Shape::Long) => Type::LocalTimestampMillis,
        ("local-timestamp-micros", Shape::Long) => Type::LocalTimestampMicros,
        _ => return None,
    })
}

impl Avro {
    /// The column that it becomes.
    pub(crate) fn to_type(&self) -> Type {
        if let Some(logical) = &self.logical {
            return logical.clone();
        }
        match &self.shape {
            Shape::Boolean => Type::Boolean,
            Shape::Int => Type::Int32,
            Shape::Long => Type::Int64,
            Shape::Float => Type::Float,
            Shape::Double => Type::Double,
            Shape::Bytes | Shape::Fixed(_) => Type::Bytes,
            Shape::Null | Shape::String | Shape::Enum(_) => Type::String,
            Shape::Array(of) => Type::List(Box::new(of.to_type())),
            Shape::Map(of) => Type::Map(Box::new(of.to_type())),
            Shape::Record(fields) => struct_of(fields.iter()),
            Shape::Union(branches) => match not_null(branches).as_slice() {
                [] => Type::String,
                [(_, one)] => one.to_type(),
                several => struct_of(several.iter().copied()),
            },
        }
    }
}

/// Of a union, what a value can be but null.
pub(super) fn not_null(branches: &[(String, Avro)]) -> Vec<&(String, Avro)> {
    branches.iter().filter(|(_, branch)| branch.shape != Shape::Null).collect()
}

/// A record, and a union of several: its branches side by side, of which one has a value. Nothing is a struct without fields in
/// Parquet: an empty record is a text that is never there.
fn struct_of<'a>(parts: impl Iterator<Item = &'a (String, Avro)>) -> Type {
    let mut fields: Vec<Field> = Vec::new();
    for (name, avro) in parts {
        let column = column_name(name, &fields, &[]);
        fields.push(Field { name: name.clone(), column, of: avro.to_type() });
    }
    if fields.is_empty() { Type::String } else { Type::Struct(fields) }
}
