//! Decoded columns while they are gathered. A value is looked at as a whole before any of it is taken, so that one which does
//! not fit leaves nothing behind but nulls.

mod plain;

use super::fields::{Field, Type, data_fields, element, entry, entry_fields};
use super::json::{Node, Of};
use super::readers::Unread;
use crate::ExportError;
use arrow_array::builder::{ArrayBuilder, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder};
use arrow_array::types::{
    Date32Type, Float32Type, Int32Type, Time32MillisecondType, Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow_array::{ArrayRef, Decimal128Array, Int64Array, ListArray, MapArray, PrimitiveArray, StructArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::Fields;
use plain::Plain;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a value was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It has a field that has no column yet.
    #[error("{0} has no column, and there is none to be had")]
    NewField(String),
    /// Its schema is not known yet.
    #[error("schema {0} was not asked for")]
    Unknown(u32),
    /// It contradicts its column.
    #[error("{0}")]
    Misfit(String),
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Unknown(id) => Self::Unknown(id),
            Unread::Wrong(why) => Self::Misfit(why),
        }
    }
}

/// The columns of a value's fields.
#[derive(Debug)]
pub(crate) struct Decoded(StructColumn);

#[derive(Debug)]
struct StructColumn {
    fields: Arc<[Field]>,
    places: BTreeMap<String, usize>,
    /// What fields begin with in a text.
    heads: Vec<Option<String>>,
    columns: Vec<Column>,
    is_there: NullBufferBuilder,
    /// Of a row that is being taken: which of its fields each column gets.
    found: Vec<Option<usize>>,
    /// Or what each column gets of it.
    plain: Vec<Plain>,
}

/// Where the rows of lists and maps end in what they hold.
#[derive(Debug)]
struct Ends {
    ends: Vec<i32>,
    is_there: NullBufferBuilder,
}

#[derive(Debug)]
enum Column {
    Boolean(BooleanBuilder),
    /// Whatever is counted in whole numbers.
    Integer(Type, Int64Builder),
    Number(Type, Float64Builder),
    Decimal(Type, Vec<Option<i128>>),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Struct(StructColumn),
    List(Type, Ends, Box<Column>),
    Map(Type, Ends, StringBuilder, Box<Column>),
}

impl Decoded {
    pub(crate) fn new(fields: &[Field]) -> Self {
        Self(StructColumn::new(fields))
    }

    /// Takes a row; None: one without a value.
    ///
    /// # Errors
    /// It does not fit, and was not taken: see [`Decoded::push_nulls`].
    pub(crate) fn push(&mut self, value: Option<&Node<'_>>) -> Result<(), Refusal> {
        if let Some(value) = value.filter(|value| value.of != Of::Null) {
            let mut found = std::mem::take(&mut self.0.found);
            let fits = fits_struct(&self.0, value, &mut Vec::new(), Some(&mut found));
            self.0.found = found;
            self.0.push_found(fits?);
        } else {
            self.0.push(None);
        }
        Ok(())
    }

    /// Takes a row from a text of JSON, if that is an object of nothing but fields that are plain values of their columns' types: how many
    /// they are. None: it is not, or not seen to be, and was not taken.
    pub(crate) fn push_text(&mut self, text: &str) -> Option<usize> {
        let values = self.0.read_whole(text)?;
        self.0.push_plain(text);
        Some(values)
    }

    pub(crate) fn push_nulls(&mut self) {
        self.0.push(None);
    }

    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>, ExportError> {
        self.0.is_there.finish();
        self.0.columns.iter_mut().map(Column::finish).collect()
    }
}

impl StructColumn {
    fn new(fields: &[Field]) -> Self {
        Self {
            places: fields.iter().enumerate().map(|(at, field)| (field.name.clone(), at)).collect(),
            heads: fields.iter().map(|field| plain::head(&field.name)).collect(),
            columns: fields.iter().map(|field| Column::new(&field.of)).collect(),
            is_there: NullBufferBuilder::new(0),
            found: vec![None; fields.len()],
            plain: vec![Plain::Null; fields.len()],
            fields: fields.into(),
        }
    }

    /// Where a field is. Values of one kind mostly have their fields in one order.
    fn place(&self, name: &str, guess: usize) -> Option<usize> {
        match self.fields.get(guess) {
            Some(field) if field.name == name => Some(guess),
            _ => self.places.get(name).copied(),
        }
    }

    fn push(&mut self, value: Option<&Node<'_>>) {
        self.found.fill(None);
        let Some(Node { of: Of::Object(entries), .. }) = value else {
            self.is_there.append(false);
            self.columns.iter_mut().for_each(|column| column.push(None));
            return;
        };
        for (guess, (name, _)) in entries.iter().enumerate() {
            // Of two fields of one name the last counts, as everywhere.
            if let Some(place) = self.place(name, guess).and_then(|at| self.found.get_mut(at)) {
                *place = Some(guess);
            }
        }
        self.push_found(entries);
    }

    /// Takes the fields that were found.
    fn push_found(&mut self, entries: &[(Cow<'_, str>, Node<'_>)]) {
        self.is_there.append(true);
        for (column, found) in self.columns.iter_mut().zip(&self.found) {
            column.push(found.and_then(|at| entries.get(at)).map(|(_, node)| node));
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ExportError> {
        let fields = Fields::from(data_fields(&self.fields));
        let columns = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(StructArray::try_new(fields, columns, self.is_there.finish())?))
    }
}

impl Ends {
    fn new() -> Self {
        Self { ends: Vec::new(), is_there: NullBufferBuilder::new(0) }
    }

    /// A row of so many; None: null.
    fn push(&mut self, items: Option<usize>) {
        let before = self.ends.last().copied().unwrap_or(0);
        self.is_there.append(items.is_some());
        self.ends.push(before.saturating_add(i32::try_from(items.unwrap_or(0)).unwrap_or(i32::MAX)));
    }

    fn take(&mut self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(std::iter::once(0).chain(std::mem::take(&mut self.ends)).collect::<Vec<i32>>().into())
    }
}

impl Column {
    fn new(of: &Type) -> Self {
        match of {
            Type::Boolean => Self::Boolean(BooleanBuilder::new()),
            Type::Float | Type::Double => Self::Number(of.clone(), Float64Builder::new()),
            Type::Decimal { .. } => Self::Decimal(of.clone(), Vec::new()),
            Type::String | Type::Json => Self::Text(StringBuilder::new()),
            Type::Bytes => Self::Bytes(BinaryBuilder::new()),
            Type::Struct(fields) => Self::Struct(StructColumn::new(fields)),
            Type::List(of) => Self::List((**of).clone(), Ends::new(), Box::new(Self::new(of))),
            Type::Map(of) => Self::Map((**of).clone(), Ends::new(), StringBuilder::new(), Box::new(Self::new(of))),
            _ => Self::Integer(of.clone(), Int64Builder::new()),
        }
    }

    /// Takes a value that fits.
    fn push(&mut self, value: Option<&Node<'_>>) {
        let of = value.map(|node| &node.of);
        match self {
            Self::Boolean(column) => column.append_option(if let Some(Of::Boolean(is)) = of { Some(*is) } else { None }),
            Self::Integer(_, column) => column.append_option(if let Some(Of::Integer(n)) = of { Some(*n) } else { None }),
            Self::Decimal(_, column) => column.push(if let Some(Of::Decimal(n)) = of { Some(*n) } else { None }),
            Self::Bytes(column) => column.append_option(if let Some(Of::Bytes(bytes)) = of { Some(*bytes) } else { None }),
            Self::Number(_, column) => column.append_option(match of {
                Some(Of::Integer(n)) => Some(*n as f64),
                Some(Of::Number(n)) => Some(*n),
                _ => None,
            }),
            Self::Text(column) => match value {
                None | Some(Node { of: Of::Null, .. }) => column.append_null(),
                Some(Node { of: Of::Text(text), .. }) => column.append_value(text),
                Some(node) => column.append_value(node.text),
            },
            Self::Struct(column) => column.push(value),
            Self::List(_, ends, elements) => {
                let items = if let Some(Of::List(items)) = of { Some(items) } else { None };
                items.into_iter().flatten().for_each(|item| elements.push(Some(item)));
                ends.push(items.map(Vec::len));
            }
            Self::Map(_, ends, keys, values) => {
                let entries = if let Some(Of::Object(entries)) = of { Some(entries) } else { None };
                for (key, value) in entries.into_iter().flatten() {
                    keys.append_value(key);
                    values.push(Some(value));
                }
                ends.push(entries.map(Vec::len));
            }
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ExportError> {
        Ok(match self {
            Self::Boolean(column) => ArrayBuilder::finish(column),
            Self::Integer(of, column) => integers(of, column.finish()),
            Self::Number(Type::Float, column) => {
                let numbers = column.finish();
                Arc::new(numbers.iter().map(|number| number.map(|number| number as f32)).collect::<PrimitiveArray<Float32Type>>())
            }
            Self::Number(_, column) => ArrayBuilder::finish(column),
            Self::Decimal(of, column) => {
                let (precision, scale) = if let Type::Decimal { precision, scale } = of { (*precision, *scale) } else { (38, 0) };
                Arc::new(Decimal128Array::from(std::mem::take(column)).with_precision_and_scale(precision, scale)?)
            }
            Self::Text(column) => ArrayBuilder::finish(column),
            Self::Bytes(column) => ArrayBuilder::finish(column),
            Self::Struct(column) => column.finish()?,
            Self::List(of, ends, elements) => {
                Arc::new(ListArray::try_new(element(of), ends.take(), elements.finish()?, ends.is_there.finish())?)
            }
            Self::Map(of, ends, keys, values) => {
                let entries = StructArray::try_new(entry_fields(of), vec![Arc::new(keys.finish()), values.finish()?], None)?;
                Arc::new(MapArray::try_new(entry(of), ends.take(), entries, ends.is_there.finish(), false)?)
            }
        })
    }
}

/// Whole numbers as the type that counts so. They are in its range: see [`fits`].
fn integers(of: &Type, values: Int64Array) -> ArrayRef {
    let narrow = || values.unary::<_, Int32Type>(|value| i32::try_from(value).unwrap_or(i32::MAX));
    match of {
        Type::Int32 => Arc::new(narrow()),
        Type::Date => Arc::new(narrow().reinterpret_cast::<Date32Type>()),
        Type::TimeMillis => Arc::new(narrow().reinterpret_cast::<Time32MillisecondType>()),
        Type::TimeMicros => Arc::new(values.reinterpret_cast::<Time64MicrosecondType>()),
        Type::TimestampMillis => Arc::new(values.reinterpret_cast::<TimestampMillisecondType>().with_timezone("UTC")),
        Type::TimestampMicros => Arc::new(values.reinterpret_cast::<TimestampMicrosecondType>().with_timezone("UTC")),
        Type::LocalTimestampMillis => Arc::new(values.reinterpret_cast::<TimestampMillisecondType>()),
        Type::LocalTimestampMicros => Arc::new(values.reinterpret_cast::<TimestampMicrosecondType>()),
        _ => Arc::new(values),
    }
}

/// Whether a value has a column for everything, of its type: its fields then. `found`: which of them each column gets.
fn fits_struct<'a, 'b>(
    column: &StructColumn,
    value: &'a Node<'b>,
    path: &mut Vec<&'a str>,
    mut found: Option<&mut [Option<usize>]>,
) -> Result<&'a [(Cow<'b, str>, Node<'b>)], Refusal> {
    let Of::Object(entries) = &value.of else { return Err(misfit(path, "struct", value)) };
    if let Some(found) = &mut found {
        found.fill(None);
    }
    for (guess, (name, node)) in entries.iter().enumerate() {
        path.push(name);
        match column.place(name, guess) {
            Some(at) => {
                fits(&column.columns[at], &column.fields[at].of, node, path)?;
                // Of two fields of one name the last counts, as everywhere.
                if let Some(place) = found.as_mut().and_then(|found| found.get_mut(at)) {
                    *place = Some(guess);
                }
            }
            None if node.says_nothing() => {}
            None => return Err(Refusal::NewField(path.join("."))),
        }
        path.pop();
    }
    Ok(entries)
}

fn fits<'a>(column: &Column, of: &Type, value: &'a Node<'_>, path: &mut Vec<&'a str>) -> Result<(), Refusal> {
    match (column, &value.of) {
        (_, Of::Null) | (Column::Boolean(_), Of::Boolean(_)) | (Column::Number(..), Of::Integer(_) | Of::Number(_)) => Ok(()),
        (Column::Text(_), Of::Text(_)) | (Column::Bytes(_), Of::Bytes(_)) | (Column::Decimal(..), Of::Decimal(_)) => Ok(()),
        (Column::Text(_), _) if *of == Type::Json => Ok(()),
        (Column::Integer(Type::Int32 | Type::Date | Type::TimeMillis, _), Of::Integer(n)) if i32::try_from(*n).is_err() => {
            Err(misfit(path, of.name(), value))
        }
        (Column::Integer(..), Of::Integer(_)) => Ok(()),
        (Column::Struct(column), Of::Object(_)) => fits_struct(column, value, path, None).map(|_| ()),
        (Column::List(of, _, elements), Of::List(items)) => items.iter().try_for_each(|item| fits(elements, of, item, path)),
        (Column::Map(of, _, _, values), Of::Object(entries)) => entries.iter().try_for_each(|(_, value)| fits(values, of, value, path)),
        _ => Err(misfit(path, of.name(), value)),
    }
}

fn misfit(path: &[&str], wanted: &str, found: &Node<'_>) -> Refusal {
    let place = if path.is_empty() { "the value".to_owned() } else { path.join(".") };
    Refusal::Misfit(format!("{place} is {}, not {wanted}", found.of.name()))
}
