//! Catalogs: `sqlite:///path/catalog.db`, or the `http(s)://` address of a REST catalog.

use crate::{IcebergError, Places};
use iceberg::{Catalog, CatalogBuilder, TableIdent};
use iceberg_catalog_rest::RestCatalogBuilder;
use iceberg_catalog_sql::{SqlBindStyle, SqlCatalogBuilder};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

/// Where a catalog is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogUrl {
    /// A file of SQLite, made if it is not there.
    Sqlite(String),
    Rest(String),
}

impl FromStr for CatalogUrl {
    type Err = IcebergError;

    fn from_str(text: &str) -> Result<Self, IcebergError> {
        match text.split_once("://") {
            Some(("sqlite", path)) if path.starts_with('/') => Ok(Self::Sqlite(path.to_owned())),
            Some(("http" | "https", _)) => Ok(Self::Rest(text.trim_end_matches('/').to_owned())),
            _ => Err(IcebergError::Refused(format!(
                "{text:?} is no catalog: expected sqlite:///path/catalog.db, http://host/ or https://host/"
            ))),
        }
    }
}

/// The table that `NAMESPACE.NAME` names; a namespace may have dots.
///
/// # Errors
/// It names none.
pub fn table_name(text: &str) -> Result<TableIdent, IcebergError> {
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() < 2 || parts.iter().any(|part| part.is_empty()) {
        return Err(IcebergError::Refused(format!("{text:?} is no NAMESPACE.NAME")));
    }
    Ok(TableIdent::from_strs(parts)?)
}

/// Opens a catalog. `name`: of the catalog, which a SQL database may have several of; `warehouse`: where tables are made, of a REST catalog
/// what it knows the warehouse by; `properties`: such as `token` and `credential` of a REST catalog.
///
/// # Errors
/// The catalog's.
pub async fn open(
    url: &CatalogUrl,
    name: &str,
    warehouse: &str,
    places: Places,
    mut properties: BTreeMap<String, String>,
) -> Result<Arc<dyn Catalog>, IcebergError> {
    let places = Arc::new(places);
    properties.insert("warehouse".to_owned(), warehouse.to_owned());
    Ok(match url {
        CatalogUrl::Sqlite(path) => {
            sqlx::any::install_default_drivers();
            let builder = SqlCatalogBuilder::default().with_storage_factory(places).uri(format!("sqlite://{path}?mode=rwc"));
            Arc::new(builder.sql_bind_style(SqlBindStyle::QMark).load(name, properties.into_iter().collect()).await?)
        }
        CatalogUrl::Rest(url) => {
            properties.insert("uri".to_owned(), url.clone());
            Arc::new(RestCatalogBuilder::default().with_storage_factory(places).load(name, properties.into_iter().collect()).await?)
        }
    })
}
