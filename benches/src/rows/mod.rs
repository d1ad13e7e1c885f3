//! The rows of the report, one file per family. Each measures one round for all candidates in turn.

pub(crate) mod cold;
pub(crate) mod compaction;
pub(crate) mod crowd;
pub(crate) mod failover;
pub(crate) mod gaps;
pub(crate) mod groups;
pub(crate) mod history;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod many;
pub(crate) mod modes;
pub(crate) mod offsets;
pub(crate) mod opening;
pub(crate) mod produce;
pub(crate) mod s3;
pub(crate) mod shaped;
pub(crate) mod start;
pub(crate) mod surface;
pub(crate) mod three;
pub(crate) mod zero;

use crate::candidate::Programs;
use crate::samples::Samples;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// One run.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    /// Data directories are made here, on the disk under measurement.
    pub(crate) folder: PathBuf,
    pub(crate) quick: bool,
    pub(crate) rows: BTreeSet<String>,
    pub(crate) samples: Samples,
}

impl Bench {
    pub(crate) fn wants(&self, rows: &[&str]) -> bool {
        rows.iter().any(|row| self.rows.contains(*row))
    }

    /// A number that a quick run makes smaller.
    pub(crate) fn sized(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }

    /// An empty folder, and a disk that has written what it was given: nobody pays for the candidate before.
    pub(crate) fn fresh(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Command::new("sync").status()?;
        Ok(folder)
    }

    /// A row that was not asked for is measured on the way at times; it is not reported.
    pub(crate) fn add(&mut self, row: &str, name: &str, unit: &str, value: f64) {
        if self.rows.contains(row) {
            self.samples.add(row, name, unit, value);
        }
    }
}
