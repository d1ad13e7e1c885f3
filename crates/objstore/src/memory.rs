//! A store in memory: `memory://`, and the reference the other backends are compared with.

use crate::{
    Backend, BackendError, ObjectInfo, Payload,
    backend::{check_key, folder},
};
use async_trait::async_trait;
use bytes::Bytes;
use floe_env::{Mutant, mutated_write};
use parking_lot::Mutex;
use std::{collections::BTreeMap, fmt, ops::Bound, ops::Range, sync::Arc};

/// A create-only map. Clones share it: as many brokers of one process as a test likes.
#[derive(Clone, Default)]
pub struct MemoryBackend {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryBackend({} objects)", self.objects.lock().len())
    }
}

impl MemoryBackend {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is at `key`, without a request.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn peek(&self, key: &str) -> Option<Bytes> {
        self.objects.lock().get(key).cloned()
    }

    /// All keys that start with `prefix`, in order.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn peek_keys(&self, prefix: &str) -> Vec<String> {
        let objects = self.objects.lock();
        let from = objects.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, _)| key.clone()).collect()
    }

    /// Puts an object in place of whatever is at `key`, or takes it away: a test's damage, which no broker can do.
    #[cfg(any(test, feature = "testing"))]
    pub fn plant(&self, key: &str, body: Option<Bytes>) {
        let mut objects = self.objects.lock();
        match body {
            Some(body) => objects.insert(key.to_owned(), body),
            None => objects.remove(key),
        };
    }

    fn object(&self, key: &str) -> Result<Bytes, BackendError> {
        self.objects.lock().get(key).cloned().ok_or(BackendError::NotFound)
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn create(&self, key: &str, body: Payload) -> Result<(), BackendError> {
        check_key(key)?;
        // Copied, so that the map owns its bytes and never keeps a writer's larger buffer alive.
        let body = match body.chunks() {
            [one] => Bytes::copy_from_slice(one),
            _ => body.to_bytes(),
        };
        let mut objects = self.objects.lock();
        if objects.contains_key(key) && !mutated_write(Mutant::PlainPut, key) {
            return Err(BackendError::Exists);
        }
        objects.insert(key.to_owned(), body);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Bytes, BackendError> {
        self.object(key)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BackendError> {
        let object = self.object(key)?;
        slice(&object, range)
    }

    async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        let object = self.object(key)?;
        let size = object.len() as u64;
        Ok((size, slice(&object, 0..len.min(size))?))
    }

    async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        let object = self.object(key)?;
        let size = object.len() as u64;
        Ok((size, slice(&object, size.saturating_sub(len)..size)?))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>, BackendError> {
        let folder = folder(prefix);
        let from = match after {
            Some(after) if after >= folder.as_str() => Bound::Excluded(after),
            _ => Bound::Included(folder.as_str()),
        };
        let objects = self.objects.lock();
        let below = objects.range::<str, _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(&folder));
        Ok(below.take(limit).map(|(key, body)| ObjectInfo { key: key.clone(), size: body.len() as u64 }).collect())
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BackendError> {
        let folder = folder(prefix);
        let objects = self.objects.lock();
        let mut names = Vec::new();
        let mut from = folder.clone();
        // One step per folder, not per object: behind a folder's last key comes its name with '0', the byte after '/'.
        while let Some((key, _)) = objects.range::<str, _>((Bound::Included(from.as_str()), Bound::Unbounded)).next() {
            let Some(rest) = key.strip_prefix(&folder) else { break };
            match rest.split_once('/') {
                Some((name, _)) => {
                    from = format!("{folder}{name}0");
                    names.push(name.to_owned());
                }
                None => from = format!("{key}\0"),
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    async fn delete(&self, key: &str) -> Result<(), BackendError> {
        self.objects.lock().remove(key);
        Ok(())
    }
}

/// `range` of `object`, or why it has none.
fn slice(object: &Bytes, range: Range<u64>) -> Result<Bytes, BackendError> {
    let size = object.len() as u64;
    if range.start > range.end || range.end > size {
        return Err(BackendError::Corrupt(format!("asked for bytes {}..{} of an object of {size}", range.start, range.end)));
    }
    let index = |position: u64| usize::try_from(position).expect("at most the object's length, which is a usize");
    Ok(object.slice(index(range.start)..index(range.end)))
}
