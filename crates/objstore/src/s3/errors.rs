//! What a failure of object_store's S3 client says about the outcome of the request.
//!
//! Deliberately pessimistic: "surely not done" only where no connection came about, "not there" only on S3's own word
//! `NoSuchKey` - a 404 of a proxy, of a wrong endpoint or of a missing bucket says nothing about an object (T24).
//! In particular object_store's "request not sent" also stands for a connection that was closed before the answer.

use crate::{BackendError, credentials::NoCredentials};
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum During {
    Create,
    Read,
    List,
    Delete,
}

/// Longest part of a server's answer that goes into a message.
const SHOWN: usize = 400;

pub(super) fn classify(during: During, error: &object_store::Error) -> BackendError {
    let text = error.to_string();
    let mut shown: String = text.chars().take(SHOWN).collect();
    // A refused connection or a certificate that nobody trusts stands at the end of the chain only.
    if let Some(cause) = last_source(error).map(ToString::to_string).filter(|cause| !text.contains(cause.as_str())) {
        shown.extend(": ".chars().chain(cause.chars().take(SHOWN)));
    }
    let ambiguous = |shown| match during {
        During::Create | During::Delete => BackendError::Unknown(shown),
        During::Read | During::List => BackendError::Transient(shown),
    };
    if let Some(kind) = http_error(error) {
        return if kind == HttpErrorKind::Connect { BackendError::Transient(shown) } else { ambiguous(shown) };
    }
    match error {
        // 412, and 409 while another request for the key is undecided; the reader of what is there decides.
        object_store::Error::AlreadyExists { .. } if during == During::Create => return BackendError::Exists,
        object_store::Error::NotSupported { .. }
        | object_store::Error::NotImplemented { .. }
        | object_store::Error::InvalidPath { .. }
        | object_store::Error::UnknownConfigurationKey { .. } => return BackendError::Refused(shown),
        _ => {}
    }
    match status(&text) {
        Some(404) if text.contains("<Code>NoSuchKey</Code>") && during != During::Create && during != During::List => {
            BackendError::NotFound
        }
        Some(404) if text.contains("NoSuchBucket") => BackendError::Refused(shown),
        Some(400) if ["RequestTimeout", "IncompleteBody"].iter().any(|code| text.contains(code)) => ambiguous(shown),
        Some(404 | 408 | 409 | 425 | 429 | 200..=299) => ambiguous(shown),
        Some(501 | 505 | 300..=499) => BackendError::Refused(shown),
        Some(_) => ambiguous(shown),
        None => without_status(error, &text, shown, ambiguous),
    }
}

fn last_source(error: &object_store::Error) -> Option<&dyn Error> {
    let mut last = error.source()?;
    while let Some(inner) = last.source() {
        last = inner;
    }
    Some(last)
}

fn without_status(error: &object_store::Error, text: &str, shown: String, ambiguous: impl Fn(String) -> BackendError) -> BackendError {
    if find::<NoCredentials>(error) {
        return BackendError::Transient(shown);
    }
    if text.contains("Received redirect without LOCATION") {
        return BackendError::Refused(shown);
    }
    // The server ignored the range, or answered another one.
    if ["non-partial response", "Content-Range", "Requested ", "Got invalid list response"].iter().any(|part| text.contains(part)) {
        return BackendError::Corrupt(shown);
    }
    ambiguous(shown)
}

/// A start or tail of an empty object was asked for: 416, or MinIO's answer to a suffix range.
pub(super) fn is_of_empty_object(error: &object_store::Error) -> bool {
    let text = error.to_string();
    http_error(error).is_none() && (status(&text) == Some(416) || text.contains("\"bytes 0--1/0\""))
}

/// The HTTP status, which object_store gives as text only.
fn status(text: &str) -> Option<u16> {
    const MARK: &str = "non-2xx status code: ";
    let behind = text.get(text.find(MARK)? + MARK.len()..)?;
    behind.get(..3)?.parse().ok()
}

fn http_error(error: &object_store::Error) -> Option<HttpErrorKind> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(http) = inner.downcast_ref::<HttpError>() {
            return Some(http.kind());
        }
        source = inner.source();
    }
    None
}

fn find<E: std::error::Error + 'static>(error: &object_store::Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.is::<E>() {
            return true;
        }
        source = inner.source();
    }
    false
}
