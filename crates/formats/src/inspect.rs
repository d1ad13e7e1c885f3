//! Any persisted bytes as JSON or as rows, every field named and explained: what `floe inspect` prints.
//!
//! It checks all that can be checked on the way: a pack is described only when each of its blocks is sound. A WAL is
//! described up to the first thing that is no entry, and says what it found there; whether that is damage is for replay to judge.

pub mod views;
mod walk;

pub use walk::Row;

use crate::{
    CatalogVersion, Claim, Cluster, DiskIdentity, End, FormatError, Index, Kind, Manifest, ManifestPage, Mark, Object, ObjectHeader,
    PackFooter, Replica, Seal, Stop, WAL_FILE_HEADER_LEN, WalFileHeader, decode, decode_trailer,
    doc::{Described, TypeDoc},
    peek, verify_pack,
    wal_entry::{WAL_MAGIC, decode_entry, is_blank},
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use views::{EntryView, HeaderView, TrailerView, WalEndView};
use walk::Walk;

/// A described thing: its parts in the order of their bytes.
#[derive(Debug)]
pub struct Description {
    /// The name that was given.
    pub name: String,
    /// What it is, such as "claim" or "WAL file".
    pub format: &'static str,
    /// Its whole length, in bytes.
    pub bytes: u64,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    title: &'static str,
    value: Value,
    doc: &'static TypeDoc,
}

/// Describes an object or a WAL file as JSON: its parts with their fields as stored, and under `meaning` what each field means.
/// `name` is only repeated.
///
/// # Errors
/// What is wrong with the bytes.
pub fn describe(bytes: &Bytes, name: &str) -> Result<Value, FormatError> {
    inspect(bytes, name).map(|description| description.to_json())
}

/// Describes an object or a WAL file; see [`Description::to_json`] and [`Description::rows`].
///
/// # Errors
/// What is wrong with the bytes.
pub fn inspect(bytes: &Bytes, name: &str) -> Result<Description, FormatError> {
    let (format, parts) =
        if bytes.starts_with(WAL_MAGIC) { (Kind::WalFile.name(), wal_file(bytes)?) } else { (peek(bytes)?.kind.name(), object(bytes)?) };
    Ok(Description { name: name.to_owned(), format, bytes: bytes.len() as u64, parts })
}

fn object(bytes: &Bytes) -> Result<Vec<Part>, FormatError> {
    match peek(bytes)?.kind {
        Kind::Cluster => body::<Cluster>(bytes),
        Kind::Catalog => body::<CatalogVersion>(bytes),
        Kind::Claim => body::<Claim>(bytes),
        Kind::Stop => body::<Stop>(bytes),
        Kind::End => body::<End>(bytes),
        Kind::Index => body::<Index>(bytes),
        Kind::Manifest => body::<Manifest>(bytes),
        Kind::ManifestPage => body::<ManifestPage>(bytes),
        Kind::DiskIdentity => body::<DiskIdentity>(bytes),
        Kind::Seal => body::<Seal>(bytes),
        Kind::Mark => body::<Mark>(bytes),
        Kind::Replica => body::<Replica>(bytes),
        Kind::Pack => pack(bytes),
        found @ Kind::WalFile => Err(FormatError::UnknownKind { found: found.number() }),
    }
}

fn body<T: Object>(bytes: &Bytes) -> Result<Vec<Part>, FormatError> {
    let (header, body) = decode::<T>(bytes)?;
    Ok(vec![header_part(&header), part("body", &body)])
}

fn pack(bytes: &Bytes) -> Result<Vec<Part>, FormatError> {
    let (header, footer) = verify_pack(bytes)?;
    let trailer = decode_trailer(bytes, bytes.len() as u64)?;
    Ok(vec![header_part(&header), part::<PackFooter>("footer", &footer), part("trailer", &TrailerView::from(trailer))])
}

fn wal_file(bytes: &Bytes) -> Result<Vec<Part>, FormatError> {
    let header = WalFileHeader::parse(bytes)?;
    let mut rest = bytes.get(WAL_FILE_HEADER_LEN..).unwrap_or_default();
    let mut entries = Vec::new();
    let found = loop {
        match decode_entry(rest) {
            Ok((entry, batch)) => {
                let position = bytes.len().saturating_sub(rest.len()) as u64;
                entries.push(EntryView::new(position, &entry, batch));
                rest = rest.get(usize::try_from(entry.total_len()).unwrap_or(usize::MAX)..).unwrap_or_default();
            }
            Err(_) if is_blank(rest) => break "nothing was written here".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    let position = bytes.len().saturating_sub(rest.len()) as u64;
    Ok(vec![part("header", &header), part("entries", &entries), part("end", &WalEndView { position, found })])
}

fn header_part(header: &ObjectHeader) -> Part {
    part("header", &HeaderView::from(*header))
}

fn part<T: Serialize + Described>(title: &'static str, value: &T) -> Part {
    let value = serde_json::to_value(value).expect("persisted structs have string keys and no number beyond 64 bits");
    Part { title, value, doc: T::DOC }
}

impl Description {
    /// `{name, format, bytes, <part>: {...}, meaning: {<path>: text}}`; in paths `[]` stands for any element, `{}` for any key, and
    /// `=Name` for one of several values.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("name".to_owned(), self.name.clone().into());
        out.insert("format".to_owned(), self.format.into());
        out.insert("bytes".to_owned(), self.bytes.into());
        for part in &self.parts {
            out.insert(part.title.to_owned(), part.value.clone());
        }
        out.insert("meaning".to_owned(), self.walk().meanings.into());
        out.into()
    }

    /// One row for each stored value, in the order of their bytes.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        self.walk().rows
    }

    fn walk(&self) -> Walk {
        let mut walk = Walk::default();
        for part in &self.parts {
            walk.part(part.title, &part.value, part.doc);
        }
        walk
    }
}
