//! A commit to the very table that it was made for. The crate `iceberg` loads a table once more before each try of a commit, and does the
//! same to whatever it finds; what an append was decided by, the offsets, may be others by then.

use async_trait::async_trait;
use iceberg::table::Table;
use iceberg::{Catalog, Error, ErrorKind, Namespace, NamespaceIdent, Result, TableCommit, TableCreation, TableIdent};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Std's map, because the crate's trait has it: it is handed on, and nothing here depends on its order.
type Properties = std::collections::hash_map::HashMap<String, String>;

/// The catalog, with one table as it was: the catalog compares it with what it has when it commits. For one try.
#[derive(Debug)]
pub(crate) struct Pinned {
    catalog: Arc<dyn Catalog>,
    table: Table,
    was_tried: AtomicBool,
}

impl Pinned {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, table: Table) -> Self {
        Self { catalog, table, was_tried: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Catalog for Pinned {
    async fn load_table(&self, _table: &TableIdent) -> Result<Table> {
        if self.was_tried.swap(true, Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::CatalogCommitConflicts, "the table has changed, or it is not known whether it has"));
        }
        Ok(self.table.clone())
    }
    async fn update_table(&self, commit: TableCommit) -> Result<Table> {
        self.catalog.update_table(commit).await
    }
    async fn list_namespaces(&self, parent: Option<&NamespaceIdent>) -> Result<Vec<NamespaceIdent>> {
        self.catalog.list_namespaces(parent).await
    }
    async fn create_namespace(&self, namespace: &NamespaceIdent, properties: Properties) -> Result<Namespace> {
        self.catalog.create_namespace(namespace, properties).await
    }
    async fn get_namespace(&self, namespace: &NamespaceIdent) -> Result<Namespace> {
        self.catalog.get_namespace(namespace).await
    }
    async fn namespace_exists(&self, namespace: &NamespaceIdent) -> Result<bool> {
        self.catalog.namespace_exists(namespace).await
    }
    async fn update_namespace(&self, namespace: &NamespaceIdent, properties: Properties) -> Result<()> {
        self.catalog.update_namespace(namespace, properties).await
    }
    async fn drop_namespace(&self, namespace: &NamespaceIdent) -> Result<()> {
        self.catalog.drop_namespace(namespace).await
    }
    async fn list_tables(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        self.catalog.list_tables(namespace).await
    }
    async fn create_table(&self, namespace: &NamespaceIdent, creation: TableCreation) -> Result<Table> {
        self.catalog.create_table(namespace, creation).await
    }
    async fn drop_table(&self, table: &TableIdent) -> Result<()> {
        self.catalog.drop_table(table).await
    }
    async fn purge_table(&self, table: &TableIdent) -> Result<()> {
        self.catalog.purge_table(table).await
    }
    async fn table_exists(&self, table: &TableIdent) -> Result<bool> {
        self.catalog.table_exists(table).await
    }
    async fn rename_table(&self, from: &TableIdent, to: &TableIdent) -> Result<()> {
        self.catalog.rename_table(from, to).await
    }
    async fn register_table(&self, table: &TableIdent, metadata: String) -> Result<Table> {
        self.catalog.register_table(table, metadata).await
    }
}
