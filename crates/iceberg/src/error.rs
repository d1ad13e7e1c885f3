//! Why nothing was appended, or not all. What a table has got by then stands, and the next run goes on behind it.

use floe_export::ExportError;
use floe_objstore::StoreError;
use floe_types::ErrorKind;

#[derive(Debug, thiserror::Error)]
pub enum IcebergError {
    #[error("{0}")]
    Export(#[from] ExportError),
    #[error("{key}: {source}")]
    File { key: String, source: StoreError },
    #[error("{key} is no Parquet file that can be read: {why}")]
    Parquet { key: String, why: String },
    /// The file's column is none that the table can have.
    #[error("column {column} of {key}: {why}")]
    Column { column: String, key: String, why: String },
    #[error("catalog: {0}")]
    Catalog(#[from] iceberg::Error),
    #[error("{0}")]
    Refused(String),
}

impl IcebergError {
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Export(error) => error.kind(),
            Self::File { source, .. } => source.kind(),
            Self::Parquet { .. } => ErrorKind::Corrupt,
            Self::Column { .. } | Self::Refused(_) => ErrorKind::Invalid,
            Self::Catalog(error) => match error.kind() {
                iceberg::ErrorKind::Unexpected | iceberg::ErrorKind::CatalogCommitConflicts => ErrorKind::Retry,
                _ => ErrorKind::Invalid,
            },
        }
    }
}
