//! The small JSON objects of a target: one line of text each, which says who wrote it and in which version.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[derive(serde::Deserialize)]
struct Versioned {
    version: u32,
}

/// A write id, as text.
pub(crate) fn named(write_id: u128) -> String {
    format!("{write_id:032x}")
}

pub(crate) fn encode(object: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(object).expect("numbers and texts have a JSON form");
    text.push(b'\n');
    text.into()
}

/// Reads an object of the one version that this program knows.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], known: u32) -> Result<T, String> {
    let Versioned { version } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if version != known {
        return Err(format!("it has version {version}, this program knows {known}"));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
