//! Names looked up: messages that refer to each other by number, and the columns that they become.
//!
//! A message within itself would be columns without end: there it is one column of its bytes. What `google/protobuf` defines and values have
//! a column of their own for - timestamps, durations aside, and the wrappers of scalars - is told by its full name.

use super::{EnumDef, File, Label, MAX_LEVELS, MessageDef, Named, Scalar};
use crate::decode::fields::{Field, MAX_COLUMNS, Type, column_name};
use std::collections::{BTreeMap, BTreeSet};

/// Messages of a schema, and parts of the columns that one becomes.
const MAX_MESSAGES: usize = 2000;
const MAX_PARTS: usize = 5 * MAX_COLUMNS;

/// What every schema may import without bringing it.
const WELL_KNOWN: &str = r#"
syntax = "proto3";
package google.protobuf;
message Timestamp { int64 seconds = 1; int32 nanos = 2; }
message Duration { int64 seconds = 1; int32 nanos = 2; }
message Any { string type_url = 1; bytes value = 2; }
message Empty {}
message FieldMask { repeated string paths = 1; }
message DoubleValue { double value = 1; }
message FloatValue { float value = 1; }
message Int64Value { int64 value = 1; }
message UInt64Value { uint64 value = 1; }
message Int32Value { int32 value = 1; }
message UInt32Value { uint32 value = 1; }
message BoolValue { bool value = 1; }
message StringValue { string value = 1; }
message BytesValue { bytes value = 1; }
message Struct { map<string, Value> fields = 1; }
message ListValue { repeated Value values = 1; }
enum NullValue { NULL_VALUE = 0; }
message Value {
  oneof kind { NullValue null_value = 1; double number_value = 2; string string_value = 3; bool bool_value = 4; Struct struct_value = 5; ListValue list_value = 6; }
}
"#;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Linked {
    pub(super) messages: Vec<Message>,
    enums: Vec<Vec<(String, i64)>>,
    by_name: BTreeMap<String, Defined>,
    /// The messages at the top of the file that the schema is.
    tops: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Defined {
    Message(usize),
    Enum(usize),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) fields: Vec<ProtoField>,
    /// Places of fields by their numbers.
    pub(super) numbers: BTreeMap<u32, usize>,
    nested: Vec<usize>,
    is_entry: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ProtoField {
    pub(super) name: String,
    number: u32,
    pub(super) label: Label,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Scalar(Scalar),
    Enum(usize),
    Message(usize),
    /// A message that would hold itself: its bytes.
    Within,
    Map(Scalar, Box<Kind>),
}

impl Linked {
    /// `files`: with what they import; the last is the schema.
    ///
    /// # Errors
    /// A name that is nowhere; too much of it.
    pub(super) fn new(files: &[File]) -> Result<Self, String> {
        let mut linked = Self { messages: Vec::new(), enums: Vec::new(), by_name: BTreeMap::new(), tops: Vec::new() };
        let well_known = super::text::parse(WELL_KNOWN)?;
        let all: Vec<&File> = std::iter::once(&well_known).chain(files).collect();
        let mut defined = Vec::new();
        for file in &all {
            linked.tops.clear();
            for of in &file.enums {
                linked.define_enum(of, &file.package);
            }
            for of in &file.messages {
                let at = linked.define(of, &file.package, &mut defined)?;
                linked.tops.push(at);
            }
        }
        for (at, (of, scope)) in defined.into_iter().enumerate() {
            let fields = of.fields.iter().map(|field| {
                let kind = linked.kind(&field.of, &scope).map_err(|why| format!("field {} of {scope}: {why}", field.name))?;
                let (kind, label) = linked.as_map(kind, field.label);
                Ok(ProtoField { name: field.name.clone(), number: field.number, label, kind })
            });
            linked.messages[at].fields = fields.collect::<Result<_, String>>()?;
        }
        linked.unfold_maps();
        linked.cut_circles();
        for message in &mut linked.messages {
            message.numbers = message.fields.iter().enumerate().map(|(at, field)| (field.number, at)).collect();
        }
        Ok(linked)
    }

    fn define<'a>(&mut self, of: &'a MessageDef, scope: &str, defined: &mut Vec<(&'a MessageDef, String)>) -> Result<usize, String> {
        let (at, name) = (self.messages.len(), within(scope, &of.name));
        if at >= MAX_MESSAGES {
            return Err(format!("it has more than {MAX_MESSAGES} messages"));
        }
        self.messages.push(Message { name: name.clone(), is_entry: of.is_entry, ..Message::default() });
        self.by_name.insert(name.clone(), Defined::Message(at));
        defined.push((of, name.clone()));
        for inner in &of.enums {
            self.define_enum(inner, &name);
        }
        for inner in &of.messages {
            let inner = self.define(inner, &name, defined)?;
            self.messages[at].nested.push(inner);
        }
        Ok(at)
    }

    fn define_enum(&mut self, of: &EnumDef, scope: &str) {
        self.by_name.insert(within(scope, &of.name), Defined::Enum(self.enums.len()));
        self.enums.push(of.values.clone());
    }

    fn kind(&self, of: &Named, scope: &str) -> Result<Kind, String> {
        Ok(match of {
            Named::Scalar(scalar) => Kind::Scalar(*scalar),
            Named::Map(key, value) => Kind::Map(*key, Box::new(self.kind(value, scope)?)),
            Named::Name(name) => match self.look_up(name, scope).ok_or_else(|| format!("there is no type {name}"))? {
                Defined::Message(at) => Kind::Message(at),
                Defined::Enum(at) => Kind::Enum(at),
            },
        })
    }

    /// From the innermost scope outwards, as the language says.
    fn look_up(&self, name: &str, scope: &str) -> Option<Defined> {
        if let Some(absolute) = name.strip_prefix('.') {
            return self.by_name.get(absolute).copied();
        }
        let mut scope = scope;
        loop {
            if let Some(found) = self.by_name.get(&within(scope, name)) {
                return Some(*found);
            }
            if scope.is_empty() {
                return None;
            }
            scope = scope.rsplit_once('.').map_or("", |(outer, _)| outer);
        }
    }

    /// A repeated entry is how descriptor sets have a map; what its entry's kinds are may not be known yet.
    fn as_map(&self, kind: Kind, label: Label) -> (Kind, Label) {
        if matches!(kind, Kind::Map(..)) { (kind, Label::Repeated) } else { (kind, label) }
    }

    fn unfold_maps(&mut self) {
        let entries: BTreeMap<usize, (Kind, Kind)> =
            self.messages.iter().enumerate().filter(|(_, message)| message.is_entry).filter_map(entry_of).collect();
        for field in self.messages.iter_mut().flat_map(|message| &mut message.fields) {
            if let Kind::Message(at) = field.kind
                && let Some((Kind::Scalar(key), value)) = entries.get(&at)
            {
                field.kind = Kind::Map(*key, Box::new(value.clone()));
            }
        }
    }

    /// Fields that lead back to the message that they are in become its bytes.
    fn cut_circles(&mut self) {
        let mut into: Vec<Vec<usize>> = vec![Vec::new(); self.messages.len()];
        for (at, message) in self.messages.iter().enumerate() {
            for to in message.fields.iter().filter_map(|field| field.kind.message()) {
                into[to].push(at);
            }
        }
        for at in 0..self.messages.len() {
            let (mut leads_here, mut open) = (BTreeSet::new(), vec![at]);
            while let Some(to) = open.pop() {
                open.extend(into[to].iter().filter(|from| leads_here.insert(**from)));
            }
            for field in &mut self.messages[at].fields {
                if field.kind.message().is_some_and(|to| to == at || leads_here.contains(&to)) {
                    *field.kind.inner() = Kind::Within;
                }
            }
        }
    }

    /// The message of this full name, or the only one.
    ///
    /// # Errors
    /// There is none, or several.
    pub(super) fn find(&self, name: Option<&str>) -> Result<usize, String> {
        match (name, self.tops.as_slice()) {
            (Some(name), _) => match self.by_name.get(name) {
                Some(Defined::Message(at)) => Ok(*at),
                _ => Err(format!("there is no message {name}")),
            },
            (None, [first, ..]) => Ok(*first),
            (None, []) => Err("it has no message".to_owned()),
        }
    }

    /// The message at the end of a path of places, from the top of the file inwards.
    pub(super) fn at(&self, path: &[usize]) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(*self.tops.get(*first)?, |at, next| {
            // Places of a map's entries are not counted: texts have none, and sets list them.
            self.messages[at].nested.iter().filter(|inner| !self.messages[**inner].is_entry).nth(*next).copied()
        })
    }

    pub(super) fn symbol(&self, of: usize, number: i64) -> Option<&str> {
        self.enums.get(of)?.iter().find(|(_, known)| *known == number).map(|(name, _)| name.as_str())
    }

    /// The column that a message becomes.
    ///
    /// # Errors
    /// It would be too many.
    pub(super) fn to_type(&self, at: usize) -> Result<Type, String> {
        self.column(at, 0, &mut 0)
    }

    fn column(&self, at: usize, level: usize, parts: &mut usize) -> Result<Type, String> {
        match self.messages[at].known() {
            Some(WellKnown::Timestamp) => return Ok(Type::TimestampMicros),
            Some(WellKnown::Wrapper(scalar)) => return Ok(scalar.column()),
            None if level > MAX_LEVELS => return Err(format!("it has more than {MAX_LEVELS} levels")),
            None => {}
        }
        let mut fields: Vec<Field> = Vec::new();
        for field in &self.messages[at].fields {
            *parts += 1;
            if *parts > MAX_PARTS {
                return Err(format!("it has more than {MAX_PARTS} parts"));
            }
            let of = self.type_of(&field.kind, level, parts)?;
            let of = if field.label == Label::Repeated && !matches!(field.kind, Kind::Map(..)) { Type::List(Box::new(of)) } else { of };
            let column = column_name(&field.name, &fields, &[]);
            fields.push(Field { name: field.name.clone(), column, of });
        }
        // Nothing is a struct without fields in Parquet: an empty message is true where it is there.
        Ok(if fields.is_empty() { Type::Boolean } else { Type::Struct(fields) })
    }

    fn type_of(&self, kind: &Kind, level: usize, parts: &mut usize) -> Result<Type, String> {
        Ok(match kind {
            Kind::Scalar(scalar) => scalar.column(),
            Kind::Enum(_) => Type::String,
            Kind::Message(at) => self.column(*at, level + 1, parts)?,
            Kind::Within => Type::Bytes,
            Kind::Map(_, value) => Type::Map(Box::new(self.type_of(value, level, parts)?)),
        })
    }
}

impl Kind {
    /// What a field holds, or a map's values are.
    fn inner(&mut self) -> &mut Self {
        match self {
            Self::Map(_, value) => value,
            kind => kind,
        }
    }

    fn message(&self) -> Option<usize> {
        match self {
            Self::Message(at) => Some(*at),
            Self::Map(_, value) => value.message(),
            _ => None,
        }
    }
}

/// A message that has a column of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WellKnown {
    Timestamp,
    Wrapper(Scalar),
}

impl Message {
    pub(super) fn known(&self) -> Option<WellKnown> {
        let name = self.name.strip_prefix("google.protobuf.")?;
        Some(match name {
            "Timestamp" => WellKnown::Timestamp,
            "DoubleValue" => WellKnown::Wrapper(Scalar::Double),
            "FloatValue" => WellKnown::Wrapper(Scalar::Float),
            "Int64Value" => WellKnown::Wrapper(Scalar::Int64),
            "UInt64Value" => WellKnown::Wrapper(Scalar::Uint64),
            "Int32Value" => WellKnown::Wrapper(Scalar::Int32),
            "UInt32Value" => WellKnown::Wrapper(Scalar::Uint32),
            "BoolValue" => WellKnown::Wrapper(Scalar::Bool),
            "StringValue" => WellKnown::Wrapper(Scalar::String),
            "BytesValue" => WellKnown::Wrapper(Scalar::Bytes),
            _ => return None,
        })
    }
}

fn entry_of((at, message): (usize, &Message)) -> Option<(usize, (Kind, Kind))> {
    let of = |number| message.fields.iter().find(|field| field.number == number).map(|field| field.kind.clone());
    Some((at, (of(1)?, of(2)?)))
}

fn within(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}
