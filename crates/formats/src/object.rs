//! Objects whose body is one postcard struct: encode, decode, peek.

use crate::{
    FormatError, body,
    checksum::crc32c,
    doc::Described,
    header::{Kind, OBJECT_HEADER_LEN, ObjectHeader, Writer},
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// A struct that is the whole body of an object. Its file in this crate is the one place that knows its versions.
pub trait Object: Serialize + DeserializeOwned + Described {
    const KIND: Kind;
    /// The version that is written.
    const VERSION: u16;
    /// Oldest version is 1. A later version keeps the struct of each earlier one and says here how it reads on as today's.
    ///
    /// # Errors
    /// A version that never existed.
    fn read_earlier(version: u16, body: &[u8]) -> Result<Self, FormatError> {
        let _ = (version, body);
        Err(FormatError::Malformed { what: Self::KIND.name(), at: 6, problem: "this format version never existed" })
    }
    /// Contradictions that the types allow. Checked by `decode`, and by `encode` in debug builds.
    ///
    /// # Errors
    /// What is wrong, in words.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// The object's bytes: header and body.
#[must_use]
pub fn encode<T: Object>(writer: &Writer, object: &T) -> Bytes {
    debug_assert_eq!(object.check(), Ok(()), "what is written must be readable: {}", T::KIND);
    let mut bytes = body::append(vec![0; OBJECT_HEADER_LEN], object);
    let (header_bytes, body) = bytes.split_at_mut(OBJECT_HEADER_LEN);
    let header = ObjectHeader { kind: T::KIND, version: T::VERSION, writer: *writer, body_len: body.len() as u64, body_crc: crc32c(body) };
    header_bytes.copy_from_slice(&header.to_bytes());
    Bytes::from(bytes)
}

/// Reads a whole object of kind `T`: exactly `bytes`, nothing before or behind.
///
/// # Errors
/// See [`FormatError`]: each way to be damaged, another kind, a newer version.
pub fn decode<T: Object>(bytes: &Bytes) -> Result<(ObjectHeader, T), FormatError> {
    let header = peek(bytes)?;
    if header.kind != T::KIND {
        return Err(FormatError::WrongKind { expected: T::KIND, found: header.kind });
    }
    known_version(T::KIND, header.version, T::VERSION)?;
    let body = checked_body(&header, bytes)?;
    let object = if header.version == T::VERSION {
        body::read(T::KIND.name(), body, OBJECT_HEADER_LEN as u64)?
    } else {
        T::read_earlier(header.version, body)?
    };
    object.check().map_err(|problem| FormatError::Malformed { what: T::KIND.name(), at: OBJECT_HEADER_LEN as u64, problem })?;
    Ok((header, object))
}

/// Reads the header of any object, from its first 64 bytes or more: kind, version, writer, length.
///
/// # Errors
/// As [`ObjectHeader::parse`].
pub fn peek(bytes: &[u8]) -> Result<ObjectHeader, FormatError> {
    ObjectHeader::parse(bytes)
}

/// Refuses what a later program wrote, before anything of its body is read.
pub(crate) fn known_version(kind: Kind, found: u16, known: u16) -> Result<(), FormatError> {
    if found > known {
        return Err(FormatError::NewerVersion { kind, found, known });
    }
    Ok(())
}

/// The bytes behind the header, when they are as many as it says and have its checksum.
pub(crate) fn checked_body<'a>(header: &ObjectHeader, bytes: &'a [u8]) -> Result<&'a [u8], FormatError> {
    let what = header.kind.name();
    let (found, needed) = (bytes.len() as u64, header.object_len());
    if found < needed {
        return Err(FormatError::Truncated { what, needed, found });
    }
    if found > needed {
        return Err(FormatError::TrailingBytes { what, at: needed, extra: found.saturating_sub(needed) });
    }
    let body = bytes.get(OBJECT_HEADER_LEN..).unwrap_or_default();
    let computed = crc32c(body);
    if computed != header.body_crc {
        return Err(FormatError::Checksum { what, at: OBJECT_HEADER_LEN as u64, stored: header.body_crc, computed });
    }
    Ok(body)
}
