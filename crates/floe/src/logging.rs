//! Logs: on stderr, as text or JSON, filtered by level and by module.

use crate::exit::{Exit, Failure};
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

impl std::str::FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is neither text nor json")),
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Whether `level` is a filter: a level such as `info`, or `warn,floe_log=debug`.
pub(crate) fn check_level(level: &str) -> Result<(), String> {
    match EnvFilter::try_new(level) {
        Ok(_) if !level.trim().is_empty() => Ok(()),
        _ => Err(format!("{level:?} is neither a level (error, warn, info, debug, trace) nor a list such as warn,floe_log=debug")),
    }
}

/// Starts logging, for the life of the process.
pub(crate) fn start(level: &str, format: Format) -> Result<(), Failure> {
    check_level(level).map_err(|reason| Failure::new(Exit::Refused, format!("log.level: {reason}")))?;
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(level)).with_writer(std::io::stderr).with_ansi(ansi);
    let started = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
    started.map_err(|error| Failure::error(format!("cannot start logging: {error}")))
}
