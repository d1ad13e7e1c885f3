//! Rounds of: load the table, see what it does not have, make room for its columns, append. Whoever is overtaken begins anew.

use crate::files::{Footer, footer};
use crate::pinned::Pinned;
use crate::{IcebergError, Places, StoreAt, offsets, schema};
use floe_env::Env;
use floe_export::Exported;
use floe_types::Offset;
use futures::stream::{self, StreamExt, TryStreamExt};
use iceberg::spec::{DEFAULT_SCHEMA_NAME_MAPPING, DataFile, Schema};
use iceberg::table::Table;
use iceberg::transaction::{ApplyTransactionAction, Transaction};
use iceberg::{Catalog, ErrorKind, NamespaceIdent, TableCreation, TableIdent};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Files of one snapshot, and how many are looked at at once.
const FILES: usize = 1000;
const PARALLEL: usize = 8;
/// How often one snapshot is tried while others write, or a catalog does not answer.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// What was appended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    pub snapshots: u64,
    pub files: u64,
    pub rows: u64,
}

/// One topic's export, and its table.
#[derive(Debug)]
pub struct Appender {
    pub env: Env,
    pub catalog: Arc<dyn Catalog>,
    pub table: TableIdent,
    /// Where a table that is not there yet is made.
    pub warehouse: StoreAt,
    pub export: StoreAt,
    pub exported: Exported,
}

impl Appender {
    /// Where the table's objects may lie.
    #[must_use]
    pub fn places(warehouse: &StoreAt, export: &StoreAt) -> Places {
        Places::new(vec![warehouse.clone(), export.clone()])
    }

    /// Appends all that the export has and the table has not.
    ///
    /// # Errors
    /// [`IcebergError`]; what was appended by then stands.
    pub async fn run(&self) -> Result<Appended, IcebergError> {
        let mut all = Appended::default();
        let mut failures = 0;
        loop {
            match self.snapshot().await {
                Ok(None) => return Ok(all),
                Ok(Some(appended)) => {
                    all.snapshots += 1;
                    all.files += appended.files;
                    all.rows += appended.rows;
                    failures = 0;
                }
                // It may have been done all the same: the table says.
                Err(error) if is_worth_another_try(&error) => {
                    failures += 1;
                    if failures == TRIES {
                        return Err(error);
                    }
                    tracing::debug!(table = %self.table, %error, "once more, from what the table has now");
                    self.env.sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One snapshot, if there is something to append.
    async fn snapshot(&self) -> Result<Option<Appended>, IcebergError> {
        let table = self.load().await?;
        let topic = self.exported.topic();
        let next = table.as_ref().map(|table| offsets::read(table.metadata(), topic)).unwrap_or_default();
        let files = self.exported.files(&next, FILES).await?;
        if files.is_empty() {
            return Ok(None);
        }
        let footers = stream::iter(files).map(|file| footer(self.exported.store(), file)).buffered(PARALLEL);
        let footers: Vec<Footer> = footers.try_collect().await?;
        let table = self.with_columns(table, &footers).await?;
        // Making room for columns has loaded it again.
        if offsets::read(table.metadata(), topic) != next {
            return Err(iceberg::Error::new(ErrorKind::CatalogCommitConflicts, "another appender was first").into());
        }
        let schema = table.metadata().current_schema();
        let data: Result<Vec<DataFile>, IcebergError> =
            footers.iter().map(|footer| footer.data_file(self.export.address(&footer.file.key), schema)).collect();
        let data = data?;
        let appended = Appended { snapshots: 1, files: data.len() as u64, rows: data.iter().map(DataFile::record_count).sum() };
        let mut ends = BTreeMap::<i32, Offset>::new();
        for footer in &footers {
            ends.insert(footer.file.partition, footer.file.end);
        }
        let ends: BTreeMap<String, String> =
            ends.into_iter().map(|(partition, end)| (offsets::property(topic, partition), end.to_string())).collect();
        let transaction = Transaction::new(&table);
        let properties = ends.iter().fold(transaction.update_table_properties(), |all, (name, end)| all.set(name.clone(), end.clone()));
        let transaction = properties.apply(transaction)?;
        // Whether a file is there already, the offsets say: of exactly the table that this is committed to.
        let append = transaction.fast_append().with_check_duplicate(false);
        let append = append.set_snapshot_properties(ends.into_iter().collect()).add_data_files(data);
        append.apply(transaction)?.commit(&Pinned::new(self.catalog.clone(), table)).await?;
        Ok(Some(appended))
    }

    async fn load(&self) -> Result<Option<Table>, IcebergError> {
        match self.catalog.load_table(&self.table).await {
            Ok(table) => Ok(Some(table)),
            Err(error) if matches!(error.kind(), ErrorKind::TableNotFound | ErrorKind::NamespaceNotFound) => Ok(None),
            // Some catalogs tell what is not there by no kind of its own.
            Err(error) => match self.catalog.table_exists(&self.table).await {
                Ok(false) => Ok(None),
                _ => Err(error.into()),
            },
        }
    }

    /// The table, with every column that these files have.
    async fn with_columns(&self, table: Option<Table>, footers: &[Footer]) -> Result<Table, IcebergError> {
        let mut table = match table {
            Some(table) => table,
            None => self.create(&schema::of_file(&footers[0])?).await?,
        };
        for footer in footers {
            let missing = schema::missing(table.metadata().current_schema(), &schema::of_file(footer)?, &footer.file.key)?;
            if !missing.is_empty() {
                let transaction = Transaction::new(&table);
                let update = missing.into_iter().fold(transaction.update_schema(), |all, column| all.add_column(column));
                table = update.apply(transaction)?.commit(self.catalog.as_ref()).await?;
            }
        }
        let mapping = mapping_of(table.metadata().current_schema())?;
        if table.metadata().properties().get(DEFAULT_SCHEMA_NAME_MAPPING) == Some(&mapping) {
            return Ok(table);
        }
        let transaction = Transaction::new(&table);
        let update = transaction.update_table_properties().set(DEFAULT_SCHEMA_NAME_MAPPING.to_owned(), mapping);
        Ok(update.apply(transaction)?.commit(self.catalog.as_ref()).await?)
    }

    async fn create(&self, schema: &Schema) -> Result<Table, IcebergError> {
        self.create_namespace().await?;
        let place = format!("{}/{}", self.table.namespace().as_ref().join("/"), self.table.name());
        let creation = TableCreation::builder().name(self.table.name().to_owned()).location(self.warehouse.address(&place));
        let creation = creation.schema(schema.clone()).build();
        match self.catalog.create_table(self.table.namespace(), creation).await {
            Ok(table) => Ok(table),
            Err(error) => self.load().await?.ok_or_else(|| error.into()),
        }
    }

    async fn create_namespace(&self) -> Result<(), IcebergError> {
        let namespace: &NamespaceIdent = self.table.namespace();
        if self.catalog.namespace_exists(namespace).await? {
            return Ok(());
        }
        match self.catalog.create_namespace(namespace, std::iter::empty().collect()).await {
            Ok(_) => Ok(()),
            // Another appender may have been first.
            Err(error) => match self.catalog.namespace_exists(namespace).await {
                Ok(true) => Ok(()),
                _ => Err(error.into()),
            },
        }
    }
}

fn mapping_of(schema: &Schema) -> Result<String, IcebergError> {
    serde_json::to_string(&schema::name_mapping(schema)).map_err(|error| IcebergError::Refused(error.to_string()))
}

/// Another writer was first, or the catalog or the store did not answer.
fn is_worth_another_try(error: &IcebergError) -> bool {
    let IcebergError::Catalog(error) = error else { return false };
    // The last: another appender has added the same column.
    let is_overtaken = matches!(error.kind(), ErrorKind::CatalogCommitConflicts | ErrorKind::Unexpected | ErrorKind::PreconditionFailed);
    is_overtaken || error.retryable()
}
