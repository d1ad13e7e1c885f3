//! `floe inspect`: any persisted object or WAL file, every field explained.

use super::StoreSettings;
use crate::exit::{Exit, Failure};
use crate::output;
use bytes::Bytes;
use clap::Args;
use floe_env::Env;
use floe_objstore::{Store, StoreOptions, StoreUrl};
use std::path::Path;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file, or the URL of an object: s3://bucket/prefix/cluster
    #[arg(value_name = "FILE|URL")]
    what: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: StoreSettings,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let bytes = read(&arguments).await?;
    let described = floe_formats::inspect::inspect(&bytes, &arguments.what)
        .map_err(|error| Failure::new(Exit::NotClean, format!("{}: {error}", arguments.what)))?;
    if arguments.json {
        output::json(&described.to_json())?;
    } else {
        output::print(&format!("{}: {}, {} bytes", described.name, described.format, described.bytes))?;
        let rows = described.rows().into_iter().map(|row| vec![row.field, row.value, row.meaning]);
        output::print(&output::table(&["field", "value", "meaning"], rows))?;
    }
    Ok(Exit::Ok)
}

async fn read(arguments: &Arguments) -> Result<Bytes, Failure> {
    if !arguments.what.contains("://") {
        return read_file(Path::new(&arguments.what));
    }
    let url: StoreUrl =
        arguments.what.parse().map_err(|error: floe_objstore::InvalidUrl| Failure::new(Exit::Refused, error.to_string()))?;
    match url {
        StoreUrl::File { path } => read_file(&path),
        StoreUrl::S3 { bucket, prefix: key } => {
            let (env, config) = (Env::real(), arguments.settings.load()?);
            let backend = crate::store::open(&env, &StoreUrl::S3 { bucket, prefix: String::new() }, &config, false).await?;
            Ok(Store::new(env, backend, StoreOptions::default()).get(&key).await?)
        }
        StoreUrl::Memory => Err(Failure::new(Exit::Refused, "memory:// is gone with the process that had it")),
    }
}

#[expect(clippy::disallowed_methods, reason = "a file that the user names, read by a tool")]
fn read_file(path: &Path) -> Result<Bytes, Failure> {
    let refused = |error| Failure::new(Exit::Refused, format!("{}: {error}", path.display()));
    std::fs::read(path).map(Bytes::from).map_err(refused)
}
