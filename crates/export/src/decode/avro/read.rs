//! One value of Avro's binary encoding. Bounded: nothing that the bytes say sizes an allocation, and every value counts.

use super::schema::{Avro, Shape, not_null};
use crate::decode::fields::Type;
use crate::decode::json::{Node, Of};
use std::borrow::Cow;

/// Values in a datum: what has more is not read.
const MAX_VALUES: usize = 1 << 20;
/// Of them, those that take no byte: a few bytes say that there are very many.
const MAX_EMPTY: usize = 64 << 10;

/// # Errors
/// What is wrong, and at which byte.
pub(super) fn datum<'a>(schema: &'a Avro, bytes: &'a [u8]) -> Result<Node<'a>, String> {
    let mut reader = Reader { bytes, at: 0, values: 0 };
    let mut node = NOTHING;
    reader.value(schema, &mut node.of)?;
    if reader.at < bytes.len() {
        return Err(reader.wrong("more bytes than its schema has"));
    }
    Ok(node)
}

const NOTHING: Node<'static> = Node { text: "", of: Of::Null };

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &str) -> String {
        format!("no Avro of this schema: {what} at byte {}", self.at)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len()).ok_or_else(|| self.wrong("it is cut"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn long(&mut self) -> Result<i64, String> {
        let mut raw = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            raw |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((raw >> 1).cast_signed() ^ (raw & 1).cast_signed().wrapping_neg());
            }
        }
        Err(self.wrong("a number beyond 64 bits"))
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let len = self.long()?;
        let len = usize::try_from(len).map_err(|_| self.wrong("a negative length"))?;
        self.take(len)
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong("a string that is not UTF-8"))
    }

    /// Reads a value to where it is going to stay: large as it is, it is not to be handed from one to the other.
    fn value(&mut self, schema: &'a Avro, into: &mut Of<'a>) -> Result<(), String> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(format!("it has more than {MAX_VALUES} values"));
        }
        if self.values > MAX_EMPTY + self.at {
            return Err(format!("it has more than {MAX_EMPTY} values of no bytes"));
        }
        *into = match &schema.shape {
            Shape::Null => Of::Null,
            Shape::Boolean => match self.take(1)?[0] {
                0 => Of::Boolean(false),
                1 => Of::Boolean(true),
                _ => return Err(self.wrong("a boolean that is neither")),
            },
            Shape::Int => {
                let number = self.long()?;
                i32::try_from(number).map_err(|_| self.wrong("an int beyond 32 bits"))?;
                Of::Integer(number)
            }
            Shape::Long => Of::Integer(self.long()?),
            Shape::Float => Of::Number(f64::from(f32::from_le_bytes(self.take(4)?.try_into().expect("four bytes were taken")))),
            Shape::Double => Of::Number(f64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes were taken"))),
            Shape::Bytes => {
                let bytes = self.bytes()?;
                self.opaque(schema, bytes)?
            }
            Shape::Fixed(len) => {
                let bytes = self.take(*len)?;
                self.opaque(schema, bytes)?
            }
            Shape::String => Of::Text(Cow::Borrowed(self.text()?)),
            Shape::Enum(symbols) => {
                let at = self.long()?;
                let symbol = usize::try_from(at).ok().and_then(|at| symbols.get(at)).ok_or_else(|| self.wrong("no such symbol"))?;
                Of::Text(Cow::Borrowed(symbol))
            }
            Shape::Array(of) => {
                let mut items = Vec::new();
                self.blocks(|reader| {
                    items.push(NOTHING);
                    items.last_mut().map_or(Ok(()), |item| reader.value(of, &mut item.of))
                })?;
                Of::List(items)
            }
            Shape::Map(of) => {
                let mut entries = Vec::new();
                self.blocks(|reader| {
                    let key = reader.text()?;
                    entries.push((Cow::Borrowed(key), NOTHING));
                    entries.last_mut().map_or(Ok(()), |(_, item)| reader.value(of, &mut item.of))
                })?;
                Of::Object(entries)
            }
            Shape::Union(branches) => self.union(branches)?,
            Shape::Record(fields) if fields.is_empty() => Of::Null,
            Shape::Record(fields) => {
                let mut entries = Vec::with_capacity(fields.len());
                for (name, of) in fields {
                    entries.push((Cow::Borrowed(name.as_str()), NOTHING));
                    if let Some((_, field)) = entries.last_mut() {
                        self.value(of, &mut field.of)?;
                    }
                }
                Of::Object(entries)
            }
        };
        Ok(())
    }

    fn union(&mut self, branches: &'a [(String, Avro)]) -> Result<Of<'a>, String> {
        let at = self.long()?;
        let branch = usize::try_from(at).ok().and_then(|at| branches.get(at));
        let (name, of) = branch.ok_or_else(|| self.wrong("no such branch of a union"))?;
        let mut value = Of::Null;
        self.value(of, &mut value)?;
        if value == Of::Null || not_null(branches).len() < 2 {
            return Ok(value);
        }
        Ok(Of::Object(vec![(Cow::Borrowed(name.as_str()), Node { text: "", of: value })]))
    }

    /// Bytes, or what a logical type makes of them.
    fn opaque(&self, schema: &Avro, bytes: &'a [u8]) -> Result<Of<'a>, String> {
        let Some(Type::Decimal { precision, .. }) = schema.logical else { return Ok(Of::Bytes(bytes)) };
        let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
        let mut number = if is_negative { -1_i128 } else { 0 };
        for byte in bytes {
            number = number.checked_mul(256).ok_or_else(|| self.wrong("a decimal beyond 128 bits"))? | i128::from(*byte);
        }
        if number.unsigned_abs() >= 10_u128.pow(precision.into()) {
            return Err(self.wrong("a decimal with more digits than its precision"));
        }
        Ok(Of::Decimal(number))
    }

    /// Arrays and maps: blocks of items, the last of none; a negative count is followed by the block's bytes.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                item(self)?;
            }
        }
    }
}
