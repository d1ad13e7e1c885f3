//! From a store's URL to its backend.

use crate::{Backend, FileBackend, MemoryBackend, S3Backend, S3Options, StoreUrl};
use floe_env::Env;
use floe_types::ErrorKind;
use std::sync::Arc;

/// Settings of all kinds of store; each kind looks at its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// A directory that is not there is made (and its entry in its parent fsynced) instead of refused.
    pub create_directory: bool,
    pub s3: S3Options,
}

/// Why a store cannot be opened. Nothing has been sent to it or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("store {url}: {reason}")]
    Unusable { url: String, reason: String },
    #[error("store {url}: setting {setting}: {reason}")]
    Setting { url: String, setting: &'static str, reason: String },
    #[error("store {url}: no credentials: {reason}")]
    Credentials { url: String, reason: String },
}

impl OpenError {
    /// What the error asks of the caller: all of them are for the operator.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Opens the backend for `url`. Sends nothing to an S3 store; see [`crate::probe`] for whether it can be trusted.
///
/// # Errors
/// What is missing or contradictory in the settings, or a directory that cannot be used.
pub async fn open(env: &Env, url: &StoreUrl, options: &OpenOptions) -> Result<Arc<dyn Backend>, OpenError> {
    Ok(match url {
        StoreUrl::Memory => Arc::new(MemoryBackend::new()),
        StoreUrl::File { path } => Arc::new(
            FileBackend::open(env, path, options.create_directory)
                .await
                .map_err(|e| OpenError::Unusable { url: url.to_string(), reason: e.to_string() })?,
        ),
        StoreUrl::S3 { bucket, prefix } => Arc::new(S3Backend::open(env, bucket, prefix, &options.s3).await?),
    })
}
