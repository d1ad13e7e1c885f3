//! Protocol Buffers: messages as their schema says, which is a `.proto` text (`text.rs`) or compiled (`set.rs`), linked to types that
//! refer to each other (`link.rs`); values are read one by one (`read.rs`), plain or behind Confluent's prefix.
//!
//! No `protoc`, and nothing of a schema that has no say in how bytes are read: options, services and extensions are passed over.

mod link;
mod read;
mod set;
mod text;

pub(crate) use read::indexes;

use link::Linked;

use super::fields::Type;
use super::json::Node;
use base64::{Engine, prelude::BASE64_STANDARD as BASE64};

/// Levels of messages in messages, in schemas and in values, and parts of a schema.
const MAX_LEVELS: usize = 100;
const MAX_PARTS: usize = 20_000;

/// A file's messages and enums, before names are looked up.
#[derive(Debug, Clone, Default, PartialEq)]
struct File {
    package: String,
    /// What fields without a label are: `implicit` in proto3.
    implicit: bool,
    messages: Vec<MessageDef>,
    enums: Vec<EnumDef>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct MessageDef {
    name: String,
    fields: Vec<FieldDef>,
    messages: Vec<MessageDef>,
    enums: Vec<EnumDef>,
    /// A map's entry, as descriptor sets have them.
    is_entry: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct EnumDef {
    name: String,
    values: Vec<(String, i64)>,
}

#[derive(Debug, Clone, PartialEq)]
struct FieldDef {
    name: String,
    number: u32,
    label: Label,
    of: Named,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    /// Not there is null.
    Explicit,
    /// Not there is zero, false, empty: proto3.
    Implicit,
    Repeated,
}

/// A field's type, as it is written.
#[derive(Debug, Clone, PartialEq)]
enum Named {
    Scalar(Scalar),
    Name(String),
    Map(Scalar, Box<Named>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
}

impl Scalar {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "double" => Self::Double,
            "float" => Self::Float,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "uint32" => Self::Uint32,
            "uint64" => Self::Uint64,
            "sint32" => Self::Sint32,
            "sint64" => Self::Sint64,
            "fixed32" => Self::Fixed32,
            "fixed64" => Self::Fixed64,
            "sfixed32" => Self::Sfixed32,
            "sfixed64" => Self::Sfixed64,
            "bool" => Self::Bool,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            _ => return None,
        })
    }

    /// By the number that descriptors have for it.
    fn numbered(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Double,
            2 => Self::Float,
            3 => Self::Int64,
            4 => Self::Uint64,
            5 => Self::Int32,
            6 => Self::Fixed64,
            7 => Self::Fixed32,
            8 => Self::Bool,
            9 => Self::String,
            12 => Self::Bytes,
            13 => Self::Uint32,
            15 => Self::Sfixed32,
            16 => Self::Sfixed64,
            17 => Self::Sint32,
            18 => Self::Sint64,
            _ => return None,
        })
    }

    fn column(self) -> Type {
        match self {
            Self::Double => Type::Double,
            Self::Float => Type::Float,
            Self::Int32 | Self::Sint32 | Self::Sfixed32 => Type::Int32,
            Self::Int64 | Self::Sint64 | Self::Sfixed64 | Self::Uint32 | Self::Fixed32 => Type::Int64,
            // What 64 bits with a sign do not hold.
            Self::Uint64 | Self::Fixed64 => Type::Decimal { precision: 20, scale: 0 },
            Self::Bool => Type::Boolean,
            Self::String => Type::String,
            Self::Bytes => Type::Bytes,
        }
    }
}

/// The schema of values: its messages, and which of them a plain value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proto {
    linked: Linked,
    plain: usize,
}

impl Proto {
    /// `schema`: a `.proto` text, or a compiled descriptor set, whose last file is the one, or one compiled file in base64, as the serializers
    /// of Confluent's Python client register it. `imported`: the same by the names that it imports them by; `message`: the full name of what plain values are, where the file has several.
    ///
    /// # Errors
    /// What cannot be read.
    pub(crate) fn new(schema: &[u8], imported: &[(String, String)], message: Option<&str>) -> Result<Self, String> {
        let files = match std::str::from_utf8(schema).ok().filter(|text| !text.chars().any(is_binary)) {
            Some(text) => {
                let parsed = imported.iter().map(|(name, text)| registered(text).map_err(|why| format!("{name}: {why}")));
                parsed.chain([registered(text)]).collect::<Result<Vec<_>, _>>()?
            }
            None => set::parse(schema)?,
        };
        let linked = Linked::new(&files)?;
        let plain = linked.find(message)?;
        Ok(Self { linked, plain })
    }

    /// What a plain value becomes.
    ///
    /// # Errors
    /// Too many columns.
    pub(crate) fn to_type(&self) -> Result<Type, String> {
        self.linked.to_type(self.plain)
    }

    /// What a value becomes that has indexes before it.
    ///
    /// # Errors
    /// Too many columns; a message that is not there.
    pub(crate) fn type_at(&self, path: &[usize]) -> Result<Type, String> {
        self.linked.to_type(self.at(path)?)
    }

    fn at(&self, path: &[usize]) -> Result<usize, String> {
        self.linked.at(path).ok_or_else(|| format!("its schema has no message {path:?}"))
    }

    /// # Errors
    /// Why the value is none.
    pub(crate) fn read<'a>(&'a self, value: &'a [u8]) -> Result<Node<'a>, String> {
        read::message(&self.linked, self.plain, value)
    }

    /// A value with the indexes of its message before it, as Confluent's wire format has them.
    ///
    /// # Errors
    /// As [`Proto::read`]; a message that is not there.
    pub(crate) fn read_indexed<'a>(&'a self, value: &'a [u8]) -> Result<Node<'a>, String> {
        let (path, rest) = read::indexes(value)?;
        read::message(&self.linked, self.at(&path)?, rest)
    }
}

/// A file as registries have it: its text, or what it was compiled to in base64, which no text is.
fn registered(text: &str) -> Result<File, String> {
    match BASE64.decode(text.trim()) {
        Ok(compiled) if !compiled.is_empty() => set::parse_file(&compiled),
        _ => text::parse(text),
    }
}

/// What no text has and every descriptor set: small numbers.
fn is_binary(c: char) -> bool {
    c < ' ' && !matches!(c, '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

#[cfg(test)]
mod tests;
