//! One attempt at one request: the seam between Floe and a store.
//!
//! The contract, which `conformance` tests: a create happens at most once per key and is atomic (all or nothing is
//! ever seen); after an `Ok`, every later read and listing sees the object; nothing overwrites. Keys are UTF-8,
//! '/'-separated, without empty components; no key is another's folder. Prefixes name folders: `""`, `"a/b"` and
//! `"a/b/"` are understood, half a component is not.

use crate::Payload;
use async_trait::async_trait;
use bytes::Bytes;
use floe_types::ErrorKind;
use std::{fmt::Debug, ops::Range};

/// Bytes at the start of every object that tell its write from any other: the header of `floe-formats`, which holds
/// the write id.
pub const IDENTITY_LEN: usize = 64;

/// A listed object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectInfo {
    pub key: String,
    /// Bytes.
    pub size: u64,
}

/// What one attempt knows about its outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// A create met an object - another's, or its own from an attempt whose answer was lost.
    #[error("the key exists")]
    Exists,
    /// The store answered that the object is not there. Never the reading of any other failure (T24).
    #[error("the object does not exist")]
    NotFound,
    /// The request may or may not have had its effect - or may have it later (T09).
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The request surely had no effect and may succeed when repeated.
    #[error("transient: {0}")]
    Transient(String),
    /// The store will not do this, however often it is asked: credentials, permissions, a missing bucket, a bad key.
    #[error("refused: {0}")]
    Refused(String),
    /// The answer contradicts the object or the request: fewer bytes than asked for, an unreadable listing.
    #[error("corrupt answer: {0}")]
    Corrupt(String),
}

impl BackendError {
    /// What the error asks of the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists | Self::Refused(_) => ErrorKind::Invalid,
            Self::NotFound => ErrorKind::NotFound,
            Self::Unknown(_) | Self::Transient(_) => ErrorKind::Retry,
            Self::Corrupt(_) => ErrorKind::Corrupt,
        }
    }
}

/// A store that makes one attempt per call: no retries, no time limit of its own that the caller relies on.
///
/// Every call may be cancelled by dropping its future; a cancelled create is `Unknown`.
#[async_trait]
pub trait Backend: Debug + Send + Sync {
    /// Creates an object where none is. `Exists`, `Unknown`, `Transient` and `Refused` as they say.
    async fn create(&self, key: &str, body: Payload) -> Result<(), BackendError>;

    /// The whole object.
    async fn get(&self, key: &str) -> Result<Bytes, BackendError>;

    /// Exactly the bytes of `range`; an object that ends before `range.end` is `Corrupt`. An empty range needs no request.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BackendError>;

    /// The object's size and its first `len` bytes, or all there are.
    async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError>;

    /// The object's size and its last `len` bytes, or all there are.
    async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError>;

    /// The first objects below the folder `prefix` with keys greater than `after`, in bytewise order, at most `limit`.
    /// Fewer than `limit` means that there are no more. Up to 1,000 cost one request.
    ///
    /// Stores whose own order is by component (SeaweedFS) give the same result as long as no folder's name, followed
    /// by a byte below `'/'`, starts the name of a sibling: fixed-width names keep that.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>, BackendError>;

    /// The names of the folders directly below the folder `prefix`, in bytewise order, without slashes: all that hold
    /// objects, and on stores that keep directories (SeaweedFS) perhaps some whose objects were all deleted.
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BackendError>;

    /// Deletes; an object that is not there is `Ok`.
    async fn delete(&self, key: &str) -> Result<(), BackendError>;
}

/// `prefix` as it starts the keys below it: empty, or with one slash at its end.
pub(crate) fn folder(prefix: &str) -> String {
    let trimmed = prefix.trim_matches('/');
    if trimmed.is_empty() { String::new() } else { format!("{trimmed}/") }
}

/// Whether a key can be written to every kind of store; every backend refuses the others before anything is sent.
///
/// # Errors
/// `Refused`, with what a key may be made of.
pub fn check_key(key: &str) -> Result<(), BackendError> {
    let component = |c: &str| !c.is_empty() && c != "." && c != ".." && c.len() <= 200;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~' | '=');
    if key.len() <= 900 && key.split('/').all(component) && key.chars().all(plain) {
        return Ok(());
    }
    Err(BackendError::Refused(format!("{key:?} is no key: '/'-separated names of ASCII letters, digits, '-', '_', '.', '~' and '='")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_some_store_would_mangle_are_refused() {
        for good in ["cluster", "chain/~ff/slot/00", "a/b-c_d.e", "t/date=2026-11-30/0"] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "a/../b", ".", "a b", "ä", "a#1", "a%41", "a+b", &"x".repeat(201), &"x/".repeat(500)] {
            assert!(matches!(check_key(bad), Err(BackendError::Refused(_))), "{bad}");
        }
    }

    #[test]
    fn prefixes_name_folders() {
        assert_eq!(folder(""), "");
        assert_eq!(folder("/"), "");
        assert_eq!(folder("a/b"), "a/b/");
        assert_eq!(folder("a/b/"), "a/b/");
    }
}
