//! Bodies: postcard, decoded within bounds.

use crate::FormatError;
use postcard::{Error, de_flavors::Flavor};
use serde::{Serialize, de::DeserializeOwned};

/// No element count is believed for an allocation beyond one element for so many bytes still there.
const BYTES_PER_PREALLOCATED_ELEMENT: usize = 64;

/// Appends `body` to `out`.
pub(crate) fn append<T: Serialize>(mut out: Vec<u8>, body: &T) -> Vec<u8> {
    out = postcard::to_extend(body, out).expect("persisted structs hold no sequence of unknown length and Vec never runs full");
    out
}

/// Decodes exactly one `T` from all of `bytes`, which lie at `at` of the object.
pub(crate) fn read<T: DeserializeOwned>(what: &'static str, bytes: &[u8], at: u64) -> Result<T, FormatError> {
    let mut deserializer = postcard::Deserializer::from_flavor(Bounded { rest: bytes });
    let value = T::deserialize(&mut deserializer).map_err(|error| FormatError::Malformed { what, at, problem: problem(&error) })?;
    let rest = deserializer.finalize().map_err(|error| FormatError::Malformed { what, at, problem: problem(&error) })?;
    if rest.is_empty() {
        return Ok(value);
    }
    let used = bytes.len().saturating_sub(rest.len()) as u64;
    Err(FormatError::TrailingBytes { what, at: at.saturating_add(used), extra: rest.len() as u64 })
}

fn problem(error: &Error) -> &'static str {
    match error {
        Error::DeserializeUnexpectedEnd => "it ends in the middle of a field",
        Error::DeserializeBadVarint => "a number is out of its type's range",
        Error::DeserializeBadBool => "a bool is neither 0 nor 1",
        Error::DeserializeBadOption => "an option is neither 0 nor 1",
        Error::DeserializeBadUtf8 => "a string is not UTF-8",
        Error::DeserializeBadEnum => "an enum has an unknown variant",
        _ => "a field has an impossible value",
    }
}

/// postcard's slice reader, but it hints at few elements, so that a length field alone never allocates much.
struct Bounded<'de> {
    rest: &'de [u8],
}

impl<'de> Flavor<'de> for Bounded<'de> {
    type Remainder = &'de [u8];
    type Source = &'de [u8];

    fn pop(&mut self) -> postcard::Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or(Error::DeserializeUnexpectedEnd)?;
        self.rest = rest;
        Ok(*first)
    }

    fn size_hint(&self) -> Option<usize> {
        self.rest.len().checked_div(BYTES_PER_PREALLOCATED_ELEMENT)
    }

    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'de [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Error::DeserializeUnexpectedEnd)?;
        self.rest = rest;
        Ok(taken)
    }

    fn finalize(self) -> postcard::Result<Self::Remainder> {
        Ok(self.rest)
    }
}
