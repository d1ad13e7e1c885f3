//! `floe export`: a topic's records as Parquet files in a store of their own. No broker needs to run, and one that runs is not
//! asked: what it has not flushed yet is not seen.

use super::StoreSettings;
use super::consume::Start;
use crate::exit::{Exit, Failure};
use crate::output;
use clap::{Args, ValueEnum};
use floe_env::Env;
use floe_export::{
    Export, ExportError, ExportOptions, Folders, Follow, HttpRegistry, Latest, Merged, Mode, Place, Progress, RegistryClient, Report, Round,
};
use floe_objstore::{Store, StoreOptions, StoreUrl};
use floe_types::{ByteSize, ErrorKind, Millis};
use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget};
use serde_json::json;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    topic: String,
    /// The store with the topic: file:///path or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    store: StoreUrl,
    /// Where the files go: file:///path or s3://bucket/prefix. What is there already is continued
    #[arg(long, value_name = "URL")]
    to: StoreUrl,
    /// Where a new export begins: beginning, end, offset:N, time:T (RFC 3339, or milliseconds since 1970), or ago:DURATION
    #[arg(long, short = 'f', value_name = "START")]
    from: Option<Start>,
    /// Export nothing from here on: as --from
    #[arg(long, value_name = "END")]
    until: Option<Start>,
    /// Only these partitions, separated by commas
    #[arg(long, short, value_name = "N,...", value_delimiter = ',')]
    partitions: Vec<i32>,
    /// What key and value are; of an export that is continued, what it has begun with
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    /// The schema of values: Avro, a JSON Schema, a .proto or a compiled descriptor set; or several, each with the id that Confluent's
    /// wire format has before values
    #[arg(long, value_name = "[ID=]FILE")]
    schema: Vec<SchemaArgument>,
    /// In mode protobuf: what values are, where --schema has several messages; else its first
    #[arg(long, value_name = "NAME")]
    message: Option<String>,
    /// Ask this schema registry for schemas, by the ids before values
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Leave out the column value where all of it is in decoded columns; where an export begins
    #[arg(long)]
    drop_value: bool,
    /// The folders that files lie in; where an export begins
    #[arg(long, value_enum)]
    layout: Option<LayoutArgument>,
    /// Bytes after which a file ends
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    file_size: ByteSize,
    /// Partitions exported at the same time, as far as --memory has room for them
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
    /// Memory for files being built and what is read for them. Files that have no room in it are smaller
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    memory: ByteSize,
    /// Add a bloom filter of keys to every file
    #[arg(long)]
    bloom: bool,
    /// Afterwards merge small files into large ones, beside the table: a list in the target names those that make the merged table
    #[arg(long)]
    merge: bool,
    /// Afterwards make a table of the newest version of each key, beside the table: another list in the target names its files
    #[arg(long, conflicts_with = "follow")]
    latest: bool,
    /// Go on until stopped, and export every so often what is new
    #[arg(long, value_name = "TIME", conflicts_with = "until")]
    follow: Option<Millis>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: StoreSettings,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeArgument {
    /// Bytes
    Raw,
    /// Text; what is no UTF-8 goes into the column _error
    String,
    /// Text, and a column for each field of values that are JSON objects
    Json,
    /// Bytes, and a column for each field of values' Avro schemas
    Avro,
    /// Bytes, and a column for each field of values' messages
    Protobuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayoutArgument {
    /// <partition>/
    Plain,
    /// partition=<partition>/
    Partition,
    /// date=YYYY-MM-DD/<partition>/, by the records' timestamps in UTC; a file ends where the date changes
    Date,
}

/// A file, and the id that its schema has.
#[derive(Debug, Clone)]
struct SchemaArgument {
    id: Option<u32>,
    file: PathBuf,
}

impl FromStr for SchemaArgument {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=').and_then(|(id, file)| Some((id.parse().ok()?, file))) {
            Some((id, file)) => Ok(Self { id: Some(id), file: file.into() }),
            None => Ok(Self { id: None, file: text.into() }),
        }
    }
}

/// Smaller files than this cost more requests than they are worth; larger ones are held in memory and sent in one request.
const FILE_SIZES: std::ops::RangeInclusive<u64> = (1 << 20)..=(1 << 30);

/// Less than this has no room for a file.
const LEAST_MEMORY: u64 = 64 << 20;

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let (env, config) = (Env::real(), arguments.settings.load()?);
    refuse_overlap(&arguments)?;
    if !FILE_SIZES.contains(&arguments.file_size.0) {
        return Err(Failure::new(Exit::Refused, "--file-size: from 1MiB to 1GiB"));
    }
    if arguments.memory.0 < LEAST_MEMORY {
        return Err(Failure::new(Exit::Refused, "--memory: 64MiB at least"));
    }
    let open = async |url: &StoreUrl, create| {
        let backend = crate::store::open(&env, url, &config, create).await?;
        Ok::<_, Failure>(Store::new(env.clone(), backend, StoreOptions::default()))
    };
    let (store, target) = (open(&arguments.store, false).await?, open(&arguments.to, true).await?);
    let mut options = options(&arguments, env.now_ms())?;
    let (pause, mut follow) = (arguments.follow, Follow::new(arguments.merge));
    loop {
        let (export, round) = match (pause, once(&env, &arguments, (&store, &target), (options.clone(), &mut follow)).await) {
            (_, Ok(done)) => done,
            (Some(pause), Err(error)) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(%error, "not exported; trying again");
                env.sleep(pause.into()).await;
                continue;
            }
            (_, Err(error)) => return Err(failure(error)),
        };
        // It has begun: from now on it goes on where it is.
        options.from = None;
        let done = round.merged.as_ref().and_then(|merged| merged.as_ref().ok());
        let latest = if arguments.latest { Some(export.latest().await) } else { None };
        if pause.is_none() || round.report.files > 0 || done.is_some_and(|merged| merged.sources > 0) {
            let newest = latest.as_ref().and_then(|latest| latest.as_ref().ok());
            tell(&arguments, &export.folder(), &round.report, (done, newest))?;
        }
        if let Some(Err(error)) = latest {
            return Err(failure(error));
        }
        match round.merged {
            Some(Err(error)) if pause.is_some() && error.kind() == ErrorKind::Retry => tracing::warn!(%error, "not merged; trying again"),
            Some(Err(error)) => return Err(failure(error)),
            Some(Ok(_)) | None => {}
        }
        let Some(pause) = pause else { return Ok(Exit::Ok) };
        env.sleep(pause.into()).await;
    }
}

/// One round, and what was open for it.
async fn once(
    env: &Env,
    arguments: &Arguments,
    (store, target): (&Store, &Store),
    (options, follow): (ExportOptions, &mut Follow),
) -> Result<(Export, Round), ExportError> {
    let export = Export::open(env.clone(), store, &arguments.topic, target.clone(), options).await?;
    // Drawn on stderr, and only where that is a terminal.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let (drawn, began, clock) = (bar.clone(), env.monotonic(), env.clone());
    let round = follow.round(&export, move |now| drawn.set_message(told(now, clock.monotonic().saturating_sub(began)))).await;
    bar.finish_and_clear();
    Ok((export, round?))
}

fn tell(arguments: &Arguments, folder: &str, report: &Report, (merged, latest): (Option<&Merged>, Option<&Latest>)) -> Result<(), Failure> {
    let to = &arguments.to;
    if arguments.json {
        let in_json = |error: serde_json::Error| Failure::error(error.to_string());
        let mut value = serde_json::to_value(report).map_err(in_json)?;
        value["folder"] = json!(folder);
        value["to"] = json!(to.to_string());
        if let Some(merged) = merged {
            value["merged"] = serde_json::to_value(merged).map_err(in_json)?;
        }
        if let Some(latest) = latest {
            value["latest"] = serde_json::to_value(latest).map_err(in_json)?;
        }
        return output::json(&value);
    }
    let bytes = ByteSize(report.bytes);
    output::print(&format!("{} rows in {} new files, {bytes}, of {} partitions", report.rows, report.files, report.partitions))?;
    if report.lost > 0 {
        output::print(&format!("{} files were already there when they were ready: another exporter is at work", report.lost))?;
    }
    output::print(&format!("read them as {to}/{folder}/**/*.parquet"))?;
    if let Some(Latest { list: Some(list), files, rows, .. }) = latest {
        output::print(&format!("the newest version of each key: {rows} rows in {files} files, those that {to}/{list} names"))?;
    }
    let Some(merged) = merged else { return Ok(()) };
    output::print(&format!("{} small files merged into {}, {}", merged.sources, merged.merged, ByteSize(merged.bytes)))?;
    match &merged.list {
        Some(list) => output::print(&format!("read {} files instead: those that {to}/{list} names", merged.files)),
        None => Ok(()),
    }
}

fn options(arguments: &Arguments, now_ms: i64) -> Result<ExportOptions, Failure> {
    let place = |start: &Start| match *start {
        Start::Beginning => Place::Offset(0),
        Start::End => Place::Offset(i64::MAX),
        Start::Offset(offset) => Place::Offset(offset),
        Start::Time(time) => Place::Time(time),
        Start::Ago(span) => Place::Time(now_ms.saturating_sub(span)),
    };
    Ok(ExportOptions {
        partitions: (!arguments.partitions.is_empty()).then(|| arguments.partitions.clone()),
        from: arguments.from.as_ref().map(place),
        until: arguments.until.as_ref().map(place),
        mode: arguments.mode.map(|mode| match mode {
            ModeArgument::Raw => Mode::Raw,
            ModeArgument::String => Mode::String,
            ModeArgument::Json => Mode::Json,
            ModeArgument::Avro => Mode::Avro,
            ModeArgument::Protobuf => Mode::Protobuf,
        }),
        schemas: arguments.schema.iter().map(read_schema).collect::<Result<_, _>>()?,
        message: arguments.message.clone(),
        registry: arguments.registry.as_deref().map(registry).transpose()?,
        drop_value: arguments.drop_value,
        folders: arguments.layout.map(|layout| match layout {
            LayoutArgument::Plain => Folders::Plain,
            LayoutArgument::Partition => Folders::Partition,
            LayoutArgument::Date => Folders::Date,
        }),
        file_bytes: arguments.file_size.0,
        bloom: arguments.bloom,
        parallel: arguments.parallel.into(),
        memory_bytes: arguments.memory.0,
    })
}

fn registry(url: &str) -> Result<Arc<dyn RegistryClient>, Failure> {
    let client = HttpRegistry::new(url).map_err(|why| Failure::new(Exit::Refused, format!("--registry: {why}")))?;
    Ok(Arc::new(client))
}

fn read_schema(schema: &SchemaArgument) -> Result<(Option<u32>, Vec<u8>), Failure> {
    let refused = |error| Failure::new(Exit::Refused, format!("--schema {}: {error}", schema.file.display()));
    #[expect(clippy::disallowed_methods, reason = "a file that the user names")]
    Ok((schema.id, std::fs::read(&schema.file).map_err(refused)?))
}

/// What a broker keeps its log in is nobody else's: neither may lie within the other.
fn refuse_overlap(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.to.overlaps(&arguments.store) {
        return Err(Failure::new(Exit::Refused, "--to: it must not lie in the store, nor the store in it"));
    }
    Ok(())
}

/// How far it is, and how long it is going to take at the pace so far.
fn told(now: Progress, took: Duration) -> String {
    let share = now.offsets as f64 / now.all_offsets.max(1) as f64;
    let left = if share > 0.0 { took.mul_f64((1.0 / share - 1.0).clamp(0.0, 1e6)) } else { Duration::ZERO };
    let (rows, bytes) = (HumanCount(now.rows), HumanBytes(now.bytes));
    format!("{:.0} %, about {} left: {rows} rows, {} files, {bytes}", share * 100.0, HumanDuration(left), now.files)
}

fn failure(error: ExportError) -> Failure {
    let exit = match (&error, error.kind()) {
        (_, ErrorKind::Retry | ErrorKind::Overloaded) => Exit::Unavailable,
        (_, ErrorKind::Corrupt) | (ExportError::UnsafeTarget(_) | ExportError::Foreign { .. }, _) => Exit::DataRefused,
        (_, ErrorKind::Invalid) => Exit::Refused,
        _ => Exit::Error,
    };
    Failure::new(exit, error.to_string())
}
