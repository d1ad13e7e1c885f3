//! Protobuf's wire format, and values in it. Bounded: nothing that the bytes say sizes an allocation, and every value counts.

use super::link::{Kind, Linked, ProtoField, WellKnown};
use super::{Label, MAX_LEVELS, Scalar};
use crate::decode::json::{Node, Of};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Values in a message: what has more is not read.
const MAX_VALUES: usize = 1 << 20;
/// Indexes of a nested message.
const MAX_INDEXES: usize = 32;

/// A field on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part<'a> {
    pub(super) number: u32,
    pub(super) wire: Wire<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// The fields of a message, one by one; ends after an error.
#[derive(Debug)]
pub(super) struct Parts<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let part = self.part();
        if part.is_err() {
            self.0 = &[];
        }
        Some(part)
    }
}

impl<'a> Parts<'a> {
    fn part(&mut self) -> Result<Part<'a>, String> {
        let tag = varint(&mut self.0)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0).ok_or("a field of no number")?;
        let wire = match tag & 7 {
            0 => Wire::Varint(varint(&mut self.0)?),
            1 => Wire::Fixed64(fixed(&mut self.0)?),
            2 => Wire::Bytes(counted(&mut self.0)?),
            5 => Wire::Fixed32(fixed(&mut self.0)?),
            other => return Err(format!("field {number} is of wire type {other}, which is not read")),
        };
        Ok(Part { number, wire })
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or("it is cut")?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number beyond 64 bits".to_owned())
}

fn fixed<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], String> {
    let (taken, rest) = bytes.split_first_chunk().ok_or("it is cut")?;
    *bytes = rest;
    Ok(*taken)
}

fn counted<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let len = usize::try_from(varint(bytes)?).map_err(|error| error.to_string())?;
    let (taken, rest) = bytes.split_at_checked(len).ok_or("it is cut")?;
    *bytes = rest;
    Ok(taken)
}

/// The indexes before a value: how many, and each; one zero byte is the first message.
pub(crate) fn indexes(value: &[u8]) -> Result<(Vec<usize>, &[u8]), String> {
    let mut rest = value;
    let mut index = || {
        let raw = varint(&mut rest)?;
        usize::try_from(raw >> 1).ok().filter(|_| raw & 1 == 0).ok_or_else(|| "a negative index".to_owned())
    };
    let path = match index()? {
        0 => vec![0],
        count if count > MAX_INDEXES => return Err(format!("more than {MAX_INDEXES} indexes of its message")),
        count => (0..count).map(|_| index()).collect::<Result<_, _>>()?,
    };
    Ok((path, rest))
}

/// # Errors
/// Why the bytes are no such message.
pub(super) fn message<'a>(linked: &'a Linked, at: usize, bytes: &'a [u8]) -> Result<Node<'a>, String> {
    let mut reader = Reader { linked, values: 0 };
    reader.message(at, bytes, 0).map_err(|why| format!("no message of this schema: {why}"))
}

struct Reader<'a> {
    linked: &'a Linked,
    values: usize,
}

fn node(of: Of<'_>) -> Node<'_> {
    Node { text: "", of }
}

impl<'a> Reader<'a> {
    fn count(&mut self) -> Result<(), String> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(format!("it has more than {MAX_VALUES} values")) } else { Ok(()) }
    }

    fn message(&mut self, at: usize, bytes: &'a [u8], level: usize) -> Result<Node<'a>, String> {
        self.count()?;
        if level > MAX_LEVELS {
            return Err(format!("it has more than {MAX_LEVELS} levels"));
        }
        let linked = self.linked;
        let message = &linked.messages[at];
        let mut found: BTreeMap<usize, Node<'a>> = BTreeMap::new();
        for part in Parts(bytes) {
            let part = part?;
            let Some(place) = message.numbers.get(&part.number) else { return Err(format!("field {} is not in it", part.number)) };
            let field = &message.fields[*place];
            match (&field.kind, field.label) {
                (Kind::Map(key, value), _) => {
                    let entry = self.entry(*key, value, part.wire, level)?;
                    if let Of::Object(entries) = &mut found.entry(*place).or_insert_with(|| node(Of::Object(Vec::new()))).of {
                        entries.push(entry);
                    }
                }
                (kind, Label::Repeated) => {
                    let items = found.entry(*place).or_insert_with(|| node(Of::List(Vec::new())));
                    if let Of::List(items) = &mut items.of {
                        self.items(kind, part.wire, level, items).map_err(|why| format!("{}: {why}", field.name))?;
                    }
                }
                (kind, _) => {
                    let value = self.one(kind, part.wire, level).map_err(|why| format!("{}: {why}", field.name))?;
                    // Of scalars the last counts. Two messages are to be merged, which nobody writes.
                    if found.insert(*place, value).is_some() && matches!(kind, Kind::Message(_)) {
                        return Err(format!("{} is there twice", field.name));
                    }
                }
            }
        }
        match message.known() {
            Some(WellKnown::Timestamp) => timestamp(&found),
            Some(WellKnown::Wrapper(scalar)) => Ok(found.remove(&0).unwrap_or_else(|| node(zero(scalar)))),
            None if message.fields.is_empty() => Ok(node(Of::Boolean(true))),
            None => self.object(&message.fields, found),
        }
    }

    fn object(&mut self, fields: &'a [ProtoField], mut found: BTreeMap<usize, Node<'a>>) -> Result<Node<'a>, String> {
        let mut entries = Vec::with_capacity(fields.len());
        for (place, field) in fields.iter().enumerate() {
            self.count()?;
            let value = match (found.remove(&place), field.label, &field.kind) {
                (Some(value), ..) => value,
                (None, _, Kind::Map(..)) => node(Of::Object(Vec::new())),
                (None, Label::Repeated, _) => node(Of::List(Vec::new())),
                (None, Label::Implicit, Kind::Scalar(scalar)) => node(zero(*scalar)),
                (None, Label::Implicit, Kind::Enum(of)) => node(self.symbol(*of, 0)),
                (None, ..) => node(Of::Null),
            };
            entries.push((Cow::Borrowed(field.name.as_str()), value));
        }
        Ok(node(Of::Object(entries)))
    }

    /// One entry of a map.
    fn entry(&mut self, key: Scalar, value: &'a Kind, wire: Wire<'a>, level: usize) -> Result<(Cow<'a, str>, Node<'a>), String> {
        let Wire::Bytes(bytes) = wire else { return Err("a map's entry is no message".to_owned()) };
        let (mut name, mut found) = (node(zero(key)), None);
        for part in Parts(bytes) {
            match part? {
                Part { number: 1, wire } => name = node(scalar(key, wire)?),
                Part { number: 2, wire } => found = Some(self.one(value, wire, level + 1)?),
                Part { number, .. } => return Err(format!("field {number} of a map's entry")),
            }
        }
        let name = match name.of {
            Of::Text(text) => text,
            Of::Integer(number) => Cow::Owned(number.to_string()),
            Of::Decimal(number) => Cow::Owned(number.to_string()),
            Of::Boolean(is) => Cow::Borrowed(if is { "true" } else { "false" }),
            other => return Err(format!("a map's key is {}", other.name())),
        };
        let found = match (found, value) {
            (Some(found), _) => found,
            (None, Kind::Scalar(scalar)) => node(zero(*scalar)),
            (None, Kind::Enum(of)) => node(self.symbol(*of, 0)),
            (None, Kind::Message(at)) => self.message(*at, &[], level + 1)?,
            (None, _) => node(Of::Bytes(&[])),
        };
        Ok((name, found))
    }

    /// An element of a list, or several that are packed.
    fn items(&mut self, kind: &'a Kind, wire: Wire<'a>, level: usize, items: &mut Vec<Node<'a>>) -> Result<(), String> {
        let scalar = match kind {
            Kind::Scalar(scalar) if !matches!(scalar, Scalar::String | Scalar::Bytes) => *scalar,
            Kind::Enum(_) => Scalar::Int32,
            _ => {
                items.push(self.one(kind, wire, level)?);
                return Ok(());
            }
        };
        let Wire::Bytes(mut packed) = wire else {
            items.push(self.one(kind, wire, level)?);
            return Ok(());
        };
        while !packed.is_empty() {
            let wire = match scalar {
                Scalar::Double | Scalar::Fixed64 | Scalar::Sfixed64 => Wire::Fixed64(fixed(&mut packed)?),
                Scalar::Float | Scalar::Fixed32 | Scalar::Sfixed32 => Wire::Fixed32(fixed(&mut packed)?),
                _ => Wire::Varint(varint(&mut packed)?),
            };
            items.push(self.one(kind, wire, level)?);
        }
        Ok(())
    }

    fn one(&mut self, kind: &'a Kind, wire: Wire<'a>, level: usize) -> Result<Node<'a>, String> {
        self.count()?;
        match (kind, wire) {
            (Kind::Scalar(of), wire) => scalar(*of, wire).map(node),
            (Kind::Enum(of), Wire::Varint(number)) => Ok(node(self.symbol(*of, i64::from(number as i32)))),
            (Kind::Message(at), Wire::Bytes(bytes)) => self.message(*at, bytes, level + 1),
            (Kind::Within, Wire::Bytes(bytes)) => Ok(node(Of::Bytes(bytes))),
            _ => Err("it is written as another type".to_owned()),
        }
    }

    /// An enum's value by its name; one that has none, by its number.
    fn symbol(&self, of: usize, number: i64) -> Of<'a> {
        let linked = self.linked;
        Of::Text(linked.symbol(of, number).map_or_else(|| Cow::Owned(number.to_string()), Cow::Borrowed))
    }
}

fn scalar(of: Scalar, wire: Wire<'_>) -> Result<Of<'_>, String> {
    let zigzag = |raw: u64| (raw >> 1).cast_signed() ^ (raw & 1).cast_signed().wrapping_neg();
    Ok(match (of, wire) {
        (Scalar::Double, Wire::Fixed64(bytes)) => Of::Number(f64::from_le_bytes(bytes)),
        (Scalar::Float, Wire::Fixed32(bytes)) => Of::Number(f64::from(f32::from_le_bytes(bytes))),
        // Of a number that is longer than its type the low bits count, as everywhere.
        (Scalar::Int32, Wire::Varint(raw)) => Of::Integer(i64::from(raw as i32)),
        (Scalar::Int64, Wire::Varint(raw)) => Of::Integer(raw.cast_signed()),
        (Scalar::Uint32, Wire::Varint(raw)) => Of::Integer(i64::from(raw as u32)),
        (Scalar::Uint64, Wire::Varint(raw)) => Of::Decimal(raw.into()),
        (Scalar::Sint32, Wire::Varint(raw)) => Of::Integer(i64::from(zigzag(raw & u64::from(u32::MAX)) as i32)),
        (Scalar::Sint64, Wire::Varint(raw)) => Of::Integer(zigzag(raw)),
        (Scalar::Fixed32, Wire::Fixed32(bytes)) => Of::Integer(u32::from_le_bytes(bytes).into()),
        (Scalar::Sfixed32, Wire::Fixed32(bytes)) => Of::Integer(i32::from_le_bytes(bytes).into()),
        (Scalar::Fixed64, Wire::Fixed64(bytes)) => Of::Decimal(u64::from_le_bytes(bytes).into()),
        (Scalar::Sfixed64, Wire::Fixed64(bytes)) => Of::Integer(i64::from_le_bytes(bytes)),
        (Scalar::Bool, Wire::Varint(raw)) => Of::Boolean(raw != 0),
        (Scalar::String, Wire::Bytes(bytes)) => {
            Of::Text(Cow::Borrowed(std::str::from_utf8(bytes).map_err(|_| "a string that is not UTF-8".to_owned())?))
        }
        (Scalar::Bytes, Wire::Bytes(bytes)) => Of::Bytes(bytes),
        _ => return Err("it is written as another type".to_owned()),
    })
}

fn zero(of: Scalar) -> Of<'static> {
    match of {
        Scalar::Double | Scalar::Float => Of::Number(0.0),
        Scalar::Uint64 | Scalar::Fixed64 => Of::Decimal(0),
        Scalar::Bool => Of::Boolean(false),
        Scalar::String => Of::Text(Cow::Borrowed("")),
        Scalar::Bytes => Of::Bytes(&[]),
        _ => Of::Integer(0),
    }
}

/// Seconds and nanoseconds, as microseconds.
fn timestamp<'a>(found: &BTreeMap<usize, Node<'a>>) -> Result<Node<'a>, String> {
    let part = |place| match found.get(&place).map(|node| &node.of) {
        Some(Of::Integer(number)) => *number,
        _ => 0,
    };
    let micros = part(0).checked_mul(1_000_000).and_then(|micros| micros.checked_add(part(1).div_euclid(1000)));
    Ok(node(Of::Integer(micros.ok_or("a timestamp beyond 64 bits of microseconds")?)))
}
