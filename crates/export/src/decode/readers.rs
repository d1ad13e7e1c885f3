//! The schemas that values of a topic were written with: the one of all values, or by the id that Confluent's wire format has before each,
//! given or asked of a registry.

use super::avro::Avro;
use super::fields::{Field, Type, WHOLE, add_all};
use super::json::{self, Node};
use super::proto::{self, Proto};
use crate::registry::{Language, Registered};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The byte before the id of a schema, in Confluent's wire format; both take five bytes.
const CONFLUENT: u8 = 0;
const PREFIX: usize = 5;
/// Schemas kept that a registry was asked for.
const MOST: usize = 512;

/// One schema of values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Schema {
    Avro(Avro),
    Json(Vec<Field>),
    Protobuf(Box<Proto>),
}

#[derive(Debug)]
pub(crate) struct Readers {
    plain: Option<Schema>,
    given: BTreeMap<u32, Arc<Schema>>,
    /// What a registry said; None: there is none to ask.
    asked: Option<RwLock<BTreeMap<u32, Asked>>>,
}

type Asked = Result<Arc<Schema>, Arc<str>>;

/// Whose values these are: a schema, and of several messages in it the one at this path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Writer {
    pub(crate) id: u32,
    pub(crate) path: Vec<usize>,
}

/// Why a value is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Its schema was not asked for yet.
    Unknown(u32),
    Wrong(String),
}

impl Schema {
    /// `references`: texts by the names that it has for them; `message`: what of several plain values are; `taken`: names of columns.
    ///
    /// # Errors
    /// What cannot be read.
    pub(crate) fn new(
        language: Language,
        bytes: &[u8],
        references: &[(String, String)],
        (message, taken): (Option<&str>, &[&str]),
    ) -> Result<Self, String> {
        let text = || std::str::from_utf8(bytes).map_err(|_| "the schema is no text".to_owned());
        Ok(match language {
            Language::Avro => Self::Avro(Avro::parse(text()?, references)?),
            Language::Json => Self::Json(json::columns(text()?, references, taken)?),
            Language::Protobuf => Self::Protobuf(Box::new(Proto::new(bytes, references, message)?)),
        })
    }

    pub(crate) fn of(registered: &Registered, taken: &[&str]) -> Result<Self, String> {
        Self::new(registered.language, registered.text.as_bytes(), &registered.references, (None, taken))
    }

    /// The columns of its values. `path`: of the message, where the value says which.
    ///
    /// # Errors
    /// There are too many; no such message.
    pub(crate) fn fields(&self, path: Option<&[usize]>) -> Result<Vec<Field>, String> {
        let of = match (self, path) {
            (Self::Avro(schema), _) => schema.to_type(),
            (Self::Json(fields), _) => return Ok(fields.clone()),
            (Self::Protobuf(proto), None) => proto.to_type()?,
            (Self::Protobuf(proto), Some(path)) => proto.type_at(path)?,
        };
        Ok(match of {
            Type::Struct(fields) => fields,
            of => vec![Field { name: WHOLE.to_owned(), column: WHOLE.to_owned(), of }],
        })
    }

    /// # Errors
    /// Why the value is none.
    pub(crate) fn read<'a>(&'a self, value: &'a [u8], is_prefixed: bool) -> Result<Node<'a>, String> {
        let node = match self {
            Self::Avro(schema) => schema.read(value)?,
            Self::Json(_) => return json::parse(std::str::from_utf8(value).map_err(|_| "the value is not UTF-8".to_owned())?),
            Self::Protobuf(proto) if is_prefixed => proto.read_indexed(value)?,
            Self::Protobuf(proto) => proto.read(value)?,
        };
        Ok(if matches!(node.of, json::Of::Object(_)) && !self.is_map() { node } else { json::whole(node) })
    }

    /// Whether its values are maps, which are one column and not many.
    fn is_map(&self) -> bool {
        matches!(self, Self::Avro(schema) if schema.is_map())
    }
}

impl Readers {
    /// `schemas`: each with the id that it has in values, or one without. `asks`: others are asked for.
    ///
    /// # Errors
    /// Neither; ids and none.
    pub(crate) fn new(schemas: Vec<(Option<u32>, Schema)>, asks: bool) -> Result<Self, String> {
        let asked = asks.then(RwLock::default);
        let mut schemas = schemas;
        match schemas.as_slice() {
            [] if !asks => return Err("there is no schema".to_owned()),
            [(None, _)] if !asks => return Ok(Self { plain: schemas.pop().map(|(_, schema)| schema), given: BTreeMap::new(), asked }),
            _ => {}
        }
        let with_id = schemas.into_iter().map(|(id, schema)| {
            let id = id.ok_or("of several schemas, and beside a registry, each has an id: ID=FILE")?;
            Ok((id, Arc::new(schema)))
        });
        Ok(Self { plain: None, given: with_id.collect::<Result<_, String>>()?, asked })
    }

    /// The columns of all schemas that were given, where they are known without looking at values.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn fields(&self, taken: &[&str]) -> Result<Vec<Field>, String> {
        let mut all = Vec::new();
        for schema in self.plain.iter().chain(self.given.values().map(|schema| &**schema)) {
            if self.plain.is_some() || !matches!(schema, Schema::Protobuf(_)) {
                add_all(&mut all, &schema.fields(None)?, taken)?;
            }
        }
        Ok(all)
    }

    /// Whether columns may come that [`Readers::fields`] did not have.
    pub(crate) fn is_open(&self) -> bool {
        let by_message = self.given.values().any(|schema| matches!(**schema, Schema::Protobuf(_)));
        self.asked.is_some() || by_message || matches!(self.plain, Some(Schema::Json(_)))
    }

    /// Whether values have an id before them.
    pub(crate) fn is_prefixed(&self) -> bool {
        self.plain.is_none()
    }

    /// Who wrote a value; None where that is not told, or is told wrongly.
    pub(crate) fn writer(&self, value: &[u8]) -> Option<Writer> {
        let (id, rest) = split(value).filter(|_| self.is_prefixed())?;
        let of = self.find(id)?.ok();
        let path = match of.as_deref() {
            Some(Schema::Protobuf(_)) => proto::indexes(rest).ok()?.0,
            _ => Vec::new(),
        };
        Some(Writer { id, path })
    }

    /// The columns of what a writer writes, where he is known and they are not too many.
    pub(crate) fn fields_of(&self, writer: &Writer) -> Option<Vec<Field>> {
        self.find(writer.id)?.ok()?.fields(Some(&writer.path)).ok()
    }

    /// The id before a value, if it is one that is to be asked for.
    pub(crate) fn unknown(&self, value: &[u8]) -> Option<u32> {
        let (id, _) = split(value).filter(|_| self.is_prefixed())?;
        self.find(id).is_none().then_some(id)
    }

    /// The schema of an id. None: it is to be asked for.
    pub(crate) fn find(&self, id: u32) -> Option<Asked> {
        match (self.given.get(&id), &self.asked) {
            (Some(schema), _) => Some(Ok(schema.clone())),
            (None, None) => Some(Err(format!("schema {id} was not given").into())),
            (None, Some(asked)) => asked.read().get(&id).cloned(),
        }
    }

    /// Keeps what a registry said of an id.
    pub(crate) fn learn(&self, id: u32, said: Result<Schema, String>) {
        let Some(asked) = &self.asked else { return };
        let mut asked = asked.write();
        while asked.len() >= MOST {
            asked.pop_first();
        }
        asked.insert(id, said.map(Arc::new).map_err(|why| format!("schema {id}: {why}").into()));
    }

    /// Failures are asked for again.
    pub(crate) fn forget_failures(&self) {
        if let Some(asked) = &self.asked {
            asked.write().retain(|_, said| said.is_ok());
        }
    }

    /// Reads a value, and gives it to `take`.
    ///
    /// # Errors
    /// Why it cannot be read; whatever `take` says.
    pub(crate) fn read<E: From<Unread>>(&self, value: &[u8], take: impl FnOnce(&Node<'_>) -> Result<(), E>) -> Result<(), E> {
        let wrong = |why| E::from(Unread::Wrong(why));
        if let Some(schema) = &self.plain {
            return take(&schema.read(value, false).map_err(wrong)?);
        }
        let (id, rest) = split(value).ok_or_else(|| wrong("no schema id before it".to_owned()))?;
        let schema = self.find(id).ok_or_else(|| E::from(Unread::Unknown(id)))?.map_err(|why| wrong(why.to_string()))?;
        take(&schema.read(rest, true).map_err(wrong)?)
    }
}

/// Where the id before a value ends.
pub(crate) fn behind_id(value: &[u8]) -> &[u8] {
    split(value).map_or(value, |(_, rest)| rest)
}

fn split(value: &[u8]) -> Option<(u32, &[u8])> {
    let (prefix, rest) = value.split_first_chunk::<PREFIX>()?;
    let [CONFLUENT, id @ ..] = prefix else { return None };
    Some((u32::from_be_bytes(*id), rest))
}
