//! `floe iceberg append`: an export's files as an Iceberg table. Only in programs that were built with the feature `iceberg`.

use super::StoreSettings;
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use floe_objstore::StoreUrl;
use floe_types::Millis;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Append the files of an export to a table that its catalog has, or makes: each once, however often this runs
    Append(Append),
}

#[derive(Debug, Args)]
struct Append {
    /// The topic's name, or its id where it was deleted and created again
    topic: String,
    /// Where the topic was exported to: file:///path or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    from: StoreUrl,
    /// The table, with the namespaces that it is in
    #[arg(long, value_name = "NAMESPACE.NAME")]
    table: String,
    /// The catalog: sqlite:///path/catalog.db, or the http:// or https:// address of a REST catalog
    #[arg(long, value_name = "URL")]
    catalog: String,
    /// The catalog's name, by which a SQL database tells its catalogs apart
    #[arg(long, value_name = "NAME", default_value = "floe")]
    catalog_name: String,
    /// An option of the catalog, such as token=... of a REST catalog
    #[arg(long, value_name = "KEY=VALUE")]
    catalog_option: Vec<String>,
    /// Where tables and their metadata are made: file:///path or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    warehouse: StoreUrl,
    /// Go on until stopped, and append every so often what is new
    #[arg(long, value_name = "TIME")]
    follow: Option<Millis>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: StoreSettings,
}

#[cfg(not(feature = "iceberg"))]
#[expect(clippy::unused_async, reason = "as the one that does it")]
pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Command::Append(_) = arguments.command;
    let why = "this program was built without Iceberg, which brings a hundred crates: cargo build --release -p floe --features iceberg";
    Err(Failure::new(Exit::Refused, why))
}

#[cfg(feature = "iceberg")]
pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Command::Append(arguments) = arguments.command;
    built::append(arguments).await
}

#[cfg(feature = "iceberg")]
mod built {
    use super::Append;
    use crate::exit::{Exit, Failure};
    use crate::output;
    use floe_env::Env;
    use floe_export::Exported;
    use floe_iceberg::{Appended, Appender, CatalogUrl, IcebergError, StoreAt};
    use floe_objstore::{Store, StoreOptions, StoreUrl};
    use floe_types::ErrorKind;
    use serde_json::json;
    use std::collections::BTreeMap;

    pub(super) async fn append(arguments: Append) -> Result<Exit, Failure> {
        let (env, config) = (Env::real(), arguments.settings.load()?);
        let refused = |why: String| Failure::new(Exit::Refused, why);
        let catalog: CatalogUrl = arguments.catalog.parse().map_err(|error: IcebergError| refused(format!("--catalog: {error}")))?;
        let table = floe_iceberg::table_name(&arguments.table).map_err(|error| refused(format!("--table: {error}")))?;
        let mut properties = BTreeMap::new();
        for option in &arguments.catalog_option {
            let (key, value) = option.split_once('=').ok_or_else(|| refused(format!("--catalog-option: {option:?} is no KEY=VALUE")))?;
            properties.insert(key.to_owned(), value.to_owned());
        }
        let open = async |url: &StoreUrl, create| {
            let backend = crate::store::open(&env, url, &config, create).await?;
            Ok::<_, Failure>(StoreAt { url: url.clone(), store: Store::new(env.clone(), backend, StoreOptions::default()) })
        };
        let (export, warehouse) = (open(&arguments.from, false).await?, open(&arguments.warehouse, true).await?);
        let exported = Exported::find(env.clone(), export.store.clone(), &arguments.topic).await.map_err(|error| failure(&error.into()))?;
        let (places, name) = (Appender::places(&warehouse, &export), &arguments.catalog_name);
        let catalog =
            floe_iceberg::open(&catalog, name, &warehouse.url.to_string(), places, properties).await.map_err(|error| failure(&error))?;
        let appender = Appender { env: env.clone(), catalog, table, warehouse, export, exported };
        loop {
            match (Box::pin(appender.run()).await, arguments.follow) {
                (Ok(appended), follow) => {
                    if follow.is_none() || appended.files > 0 {
                        tell(&arguments, appended)?;
                    }
                }
                (Err(error), Some(_)) if error.kind() == ErrorKind::Retry => tracing::warn!(%error, "not appended; trying again"),
                (Err(error), _) => return Err(failure(&error)),
            }
            let Some(pause) = arguments.follow else { return Ok(Exit::Ok) };
            env.sleep(pause.into()).await;
        }
    }

    fn failure(error: &IcebergError) -> Failure {
        let exit = match error.kind() {
            ErrorKind::Retry => Exit::Unavailable,
            ErrorKind::Invalid | ErrorKind::NotFound => Exit::Refused,
            ErrorKind::Corrupt => Exit::DataRefused,
            _ => Exit::Error,
        };
        Failure::new(exit, error.to_string())
    }

    fn tell(arguments: &Append, Appended { snapshots, files, rows }: Appended) -> Result<(), Failure> {
        if arguments.json {
            return output::json(&json!({ "table": arguments.table, "snapshots": snapshots, "files": files, "rows": rows }));
        }
        output::print(&format!("{}: {rows} rows in {files} files, by {snapshots} snapshots", arguments.table))
    }
}
