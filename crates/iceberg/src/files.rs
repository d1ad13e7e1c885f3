//! What a table's manifests say of an export's file: from its footer, and with no more of it read.

use crate::IcebergError;
use bytes::Bytes;
use floe_export::ExportedFile;
use floe_objstore::Store;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Schema};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::statistics::Statistics;

/// Enough for the footers of most files.
const TAIL: u64 = 64 << 10;
/// Larger footers are refused: a thousand columns in a thousand row groups have less.
const MOST_TAIL: u64 = 256 << 20;

/// A file with its footer.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) file: ExportedFile,
    pub(crate) metadata: ParquetMetaData,
}

/// # Errors
/// The store's; it is no Parquet file.
pub(crate) async fn footer(store: &Store, file: ExportedFile) -> Result<Footer, IcebergError> {
    let broken = |why: String| IcebergError::Parquet { key: file.key.clone(), why };
    let mut wanted = TAIL;
    loop {
        let read = store.get_tail(&file.key, wanted).await;
        let (size, tail): (u64, Bytes) = read.map_err(|source| IcebergError::File { key: file.key.clone(), source })?;
        let mut reader = ParquetMetaDataReader::new();
        match reader.try_parse_sized(&tail, size) {
            Ok(()) => {
                let metadata = reader.finish().map_err(|error| broken(error.to_string()))?;
                return Ok(Footer { file, metadata });
            }
            Err(parquet::errors::ParquetError::NeedMoreData(more)) if more as u64 > wanted && more as u64 <= MOST_TAIL => {
                wanted = more as u64
            }
            Err(error) => return Err(broken(error.to_string())),
        }
    }
}

impl Footer {
    /// The manifest's entry. Bounds are those of columns by which engines leave files out: where records lie, and when they were written.
    pub(crate) fn data_file(&self, address: String, schema: &Schema) -> Result<DataFile, IcebergError> {
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        for name in ["partition", "offset", "timestamp"] {
            if let (Some(field), Some((least, most))) = (schema.field_by_name(name), self.bounds(name)) {
                let datum = |value: i64| match name {
                    "partition" => i32::try_from(value).ok().map(Datum::int),
                    "timestamp" => value.checked_mul(1000).map(Datum::timestamptz_micros),
                    _ => Some(Datum::long(value)),
                };
                lower.extend(datum(least).map(|datum| (field.id, datum)));
                upper.extend(datum(most).map(|datum| (field.id, datum)));
            }
        }
        let built = DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(address)
            .file_format(DataFileFormat::Parquet)
            .record_count(u64::try_from(self.metadata.file_metadata().num_rows()).unwrap_or(0))
            .file_size_in_bytes(self.file.bytes)
            .lower_bounds(lower.into_iter().collect())
            .upper_bounds(upper.into_iter().collect())
            .build();
        built.map_err(|error| IcebergError::Parquet { key: self.file.key.clone(), why: error.to_string() })
    }

    /// The least and the greatest value of a column of integers, as the file counts them.
    fn bounds(&self, name: &str) -> Option<(i64, i64)> {
        let columns = self.metadata.file_metadata().schema_descr();
        let at = columns.columns().iter().position(|column| column.path().string() == name)?;
        let groups = self.metadata.row_groups().iter().map(|group| match group.column(at).statistics()? {
            Statistics::Int32(found) => Some((i64::from(*found.min_opt()?), i64::from(*found.max_opt()?))),
            Statistics::Int64(found) => Some((*found.min_opt()?, *found.max_opt()?)),
            _ => None,
        });
        let all: Option<Vec<(i64, i64)>> = groups.collect();
        all?.into_iter().reduce(|(least, most), (low, high)| (least.min(low), most.max(high)))
    }
}
