//! The crate `iceberg` reads and writes by Floe's stores: with their settings, credentials and retries. What it creates has a name that
//! nothing else has, so that creating is all that it needs.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use floe_objstore::{Created, Payload, Store, StoreError, StoreUrl};
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::io::{FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig, StorageFactory};
use iceberg::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// Most bytes of one object that is written here: metadata and manifests.
const MOST_BYTES: usize = 1 << 30;

/// A store, and where it is.
#[derive(Debug, Clone)]
pub struct StoreAt {
    pub url: StoreUrl,
    pub store: Store,
}

impl StoreAt {
    /// The address of an object, as Iceberg's metadata and every engine know it.
    #[must_use]
    pub fn address(&self, key: &str) -> String {
        format!("{}/{key}", self.url.to_string().trim_end_matches('/'))
    }

    fn key<'a>(&self, address: &'a str) -> Option<&'a str> {
        address.strip_prefix(self.url.to_string().trim_end_matches('/'))?.strip_prefix('/')
    }
}

/// Where a table's objects may lie: of places that lie within each other, the first counts that an address begins with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Places {
    /// No place survives being written down, which nothing here does.
    #[serde(skip)]
    stores: Arc<Vec<StoreAt>>,
}

impl Places {
    #[must_use]
    pub fn new(stores: Vec<StoreAt>) -> Self {
        Self { stores: Arc::new(stores) }
    }

    fn find<'a>(&self, address: &'a str) -> Result<(Store, &'a str)> {
        let found = self.stores.iter().find_map(|at| Some((at.store.clone(), at.key(address)?)));
        found
            .ok_or_else(|| Error::new(ErrorKind::DataInvalid, format!("{address} lies neither in the warehouse nor in the export's place")))
    }
}

fn failed(error: StoreError) -> Error {
    Error::new(ErrorKind::Unexpected, "the store").with_source(error)
}

#[typetag::serde]
impl StorageFactory for Places {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[typetag::serde]
#[async_trait]
impl Storage for Places {
    async fn exists(&self, path: &str) -> Result<bool> {
        let (store, key) = self.find(path)?;
        match store.get_start(key, 1).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let (store, key) = self.find(path)?;
        let (size, _) = store.get_start(key, 1).await.map_err(failed)?;
        Ok(FileMetadata { size })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        let (store, key) = self.find(path)?;
        store.get(key).await.map_err(failed)
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        let (store, key) = self.find(path)?;
        Ok(Box::new(Reader { store, key: key.to_owned() }))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let (store, key) = self.find(path)?;
        match store.create(key, &Payload::from(bytes)).await.map_err(failed)? {
            Created::Won => Ok(()),
            Created::Lost => Err(Error::new(ErrorKind::DataInvalid, format!("{path} is there already, with something else in it"))),
        }
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        self.find(path)?;
        Ok(Box::new(Writer { places: self.clone(), path: path.to_owned(), written: BytesMut::new() }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let (store, key) = self.find(path)?;
        store.delete(key).await.map_err(failed)
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        Err(Error::new(ErrorKind::FeatureUnsupported, format!("nothing here deletes all below {path}")))
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

struct Reader {
    store: Store,
    key: String,
}

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.store.get_range(&self.key, range).await.map_err(failed)
    }
}

struct Writer {
    places: Places,
    path: String,
    written: BytesMut,
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if self.written.len() + bytes.len() > MOST_BYTES {
            return Err(Error::new(ErrorKind::DataInvalid, format!("{} would have more than {MOST_BYTES} bytes", self.path)));
        }
        self.written.extend_from_slice(&bytes);
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        let written = std::mem::take(&mut self.written).freeze();
        self.places.write(&self.path, written).await
    }
}
