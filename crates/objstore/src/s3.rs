//! S3 and what speaks its protocol, over object_store's client.
//!
//! The client's own retries are off: it repeats conditional PUTs after a 5xx and then reports another's object where
//! its own stands (T07). `errors` turns its failures into what is really known about the outcome. Listings page on the
//! server; the order is ours (SeaweedFS lists by component).

mod errors;
mod options;
#[cfg(test)]
mod tests;

pub use options::{Encryption, S3Options, StorageClass};

use crate::{
    Backend, BackendError, ObjectInfo, OpenError, Payload,
    backend::{check_key, folder},
};
use async_trait::async_trait;
use bytes::Bytes;
use errors::{During, classify, is_of_empty_object};
use floe_env::{Env, Mutant, mutated_write};
use object_store::{
    Attribute, AttributeValue, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    aws::AmazonS3,
    list::{PaginatedListOptions, PaginatedListStore},
    path::Path,
};
use std::{fmt, ops::Range};

/// Most keys that one listing request gives.
const PAGE: usize = 1000;

/// A bucket, or the part of it below a prefix.
pub struct S3Backend {
    client: AmazonS3,
    /// Empty, or with a slash at its end.
    prefix: String,
    /// Class of every object, if one was asked for.
    storage_class: Option<StorageClass>,
    name: String,
}

impl fmt::Debug for S3Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3Backend").field(&self.name).finish()
    }
}

impl S3Backend {
    /// Makes a client; sends nothing to the store. Loading credentials may ask IMDS or run a credential process.
    ///
    /// # Errors
    /// Contradictory settings, no credentials.
    pub async fn open(env: &Env, bucket: &str, prefix: &str, options: &S3Options) -> Result<Self, OpenError> {
        let name = format!("s3://{bucket}/{prefix}");
        let client = options.client(env, bucket, &name).await?;
        Ok(Self { client, prefix: folder(prefix), storage_class: options.storage_class, name })
    }

    fn path(&self, key: &str) -> Result<Path, BackendError> {
        check_key(key)?;
        Path::parse(format!("{}{key}", self.prefix)).map_err(|e| BackendError::Refused(e.to_string()))
    }

    /// Size of the object and the asked part of it.
    async fn part(&self, key: &str, range: GetRange) -> Result<(u64, Bytes), BackendError> {
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        let answer = match self.client.get_opts(&self.path(key)?, options).await {
            Ok(answer) => answer,
            // No part of an empty object can be asked for.
            Err(error) if is_of_empty_object(&error) => return Ok((0, Bytes::new())),
            Err(error) => return Err(classify(During::Read, &error)),
        };
        let (size, promised) = (answer.meta.size, answer.range.end - answer.range.start);
        let bytes = answer.bytes().await.map_err(|error| classify(During::Read, &error))?;
        exact(promised, bytes).map(|bytes| (size, bytes))
    }

    async fn page(
        &self,
        folder: &str,
        after: Option<String>,
        delimiter: bool,
        limit: usize,
        token: Option<String>,
    ) -> Result<(object_store::ListResult, Option<String>), BackendError> {
        let options = PaginatedListOptions {
            offset: after,
            delimiter: delimiter.then_some("/".into()),
            max_keys: Some(limit.clamp(1, PAGE)),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let prefix = (!folder.is_empty()).then_some(folder);
        let page = self.client.list_paginated(prefix, options).await.map_err(|error| classify(During::List, &error))?;
        Ok((page.result, page.page_token))
    }
}

/// A connection that ends early must not pass for the end of the object.
fn exact(promised: u64, bytes: Bytes) -> Result<Bytes, BackendError> {
    match bytes.len() as u64 == promised {
        true => Ok(bytes),
        false => Err(BackendError::Transient(format!("{} of {promised} bytes came", bytes.len()))),
    }
}

#[async_trait]
impl Backend for S3Backend {
    async fn create(&self, key: &str, body: Payload) -> Result<(), BackendError> {
        let payload: PutPayload = body.chunks().iter().cloned().collect();
        let mode = if mutated_write(Mutant::PlainPut, key) { PutMode::Overwrite } else { PutMode::Create };
        let class = self.storage_class.map(|class| (Attribute::StorageClass, AttributeValue::from(class.as_str())));
        let options = PutOptions { mode, attributes: class.into_iter().collect(), ..PutOptions::default() };
        match self.client.put_opts(&self.path(key)?, payload, options).await {
            Ok(_) => Ok(()),
            Err(error) => Err(classify(During::Create, &error)),
        }
    }

    async fn get(&self, key: &str) -> Result<Bytes, BackendError> {
        let answer = self.client.get(&self.path(key)?).await.map_err(|error| classify(During::Read, &error))?;
        let size = answer.meta.size;
        let bytes = answer.bytes().await.map_err(|error| classify(During::Read, &error))?;
        exact(size, bytes)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BackendError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let asked = range.end - range.start;
        let (_, bytes) = self.part(key, GetRange::Bounded(range.clone())).await?;
        match bytes.len() as u64 == asked {
            true => Ok(bytes),
            false => Err(BackendError::Corrupt(format!("the object ends before the end of bytes {}..{}", range.start, range.end))),
        }
    }

    async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        let (size, bytes) = self.part(key, GetRange::Bounded(0..len.max(1))).await?;
        Ok((size, if len == 0 { Bytes::new() } else { bytes }))
    }

    async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        let (size, bytes) = self.part(key, GetRange::Suffix(len.max(1))).await?;
        Ok((size, if len == 0 { Bytes::new() } else { bytes }))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>, BackendError> {
        let folder = format!("{}{}", self.prefix, folder(prefix));
        let offset = after.map(|after| format!("{}{after}", self.prefix));
        let mut found: Vec<ObjectInfo> = Vec::new();
        let mut token = None;
        let mut bytewise = true;
        if limit == 0 {
            return Ok(found);
        }
        loop {
            let wanted = if bytewise { limit - found.len() } else { PAGE };
            let (page, more) = self.page(&folder, offset.clone(), false, wanted, token).await?;
            for object in page.objects {
                let key = object.location.as_ref();
                let Some(key) = key.strip_prefix(&self.prefix).filter(|_| key.starts_with(&folder)) else { continue };
                if after.is_some_and(|after| key <= after) {
                    continue;
                }
                bytewise &= found.last().is_none_or(|last| last.key.as_str() < key);
                found.push(ObjectInfo { key: key.to_owned(), size: object.size });
            }
            token = more;
            // A server with another order may still hold smaller keys back: then all of them are needed.
            if token.is_none() || (bytewise && found.len() >= limit) {
                break;
            }
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(limit);
        Ok(found)
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BackendError> {
        let folder = format!("{}{}", self.prefix, folder(prefix));
        let mut names = Vec::new();
        let mut token = None;
        loop {
            let (page, more) = self.page(&folder, None, true, PAGE, token).await?;
            names.extend(page.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)));
            token = more;
            if token.is_none() {
                break;
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    async fn delete(&self, key: &str) -> Result<(), BackendError> {
        match self.client.delete(&self.path(key)?).await.map_err(|error| classify(During::Delete, &error)) {
            Ok(()) | Err(BackendError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
