//! What was measured: one list of values per row and series, kept as JSON so that rows can be measured one at a time.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// One measured thing of one row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) unit: String,
    /// One or more values per round, in the order of measuring.
    pub(crate) values: Vec<f64>,
}

impl Series {
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            len if len % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        }
    }

    pub(crate) fn range(&self) -> (f64, f64) {
        self.values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
    }
}

/// All series of one row, and when they were measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Date and load of the machine at the start.
    pub(crate) circumstances: String,
    pub(crate) series: Vec<Series>,
}

impl Row {
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.series.iter().find(|series| series.name == name).map(Series::median)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Samples {
    pub(crate) rows: BTreeMap<String, Row>,
}

impl Samples {
    /// Nothing measured yet: empty.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| path.display().to_string()),
            Err(_) => Ok(Self::default()),
        }
    }

    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)?).with_context(|| path.display().to_string())
    }

    /// Forgets what an earlier run measured for a row.
    pub(crate) fn begin(&mut self, row: &str, circumstances: &str) {
        self.rows.insert(row.to_owned(), Row { circumstances: circumstances.to_owned(), series: Vec::new() });
    }

    pub(crate) fn add(&mut self, row: &str, name: &str, unit: &str, value: f64) {
        println!("  {row:4} {name:40} {value:12.3} {unit}");
        let series = &mut self.rows.entry(row.to_owned()).or_default().series;
        match series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.values.push(value),
            None => series.push(Series { name: name.to_owned(), unit: unit.to_owned(), values: vec![value] }),
        }
    }
}
