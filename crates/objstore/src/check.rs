//! `floe store check`: is this store safe for Floe, and if not, why not.
//!
//! Looks at single attempts of the backend, so that nothing is smoothed over. Answers what can be seen from outside in
//! a minute: a store that loses objects later, or is atomic only nearly always, may still pass.

mod questions;
#[cfg(test)]
mod tests;

use crate::{Backend, BackendError};
use floe_env::Env;
use questions::Questions;
use std::sync::Arc;

/// One question to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRow {
    pub name: &'static str,
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// What of Floe rests on it.
    pub why: &'static str,
}

/// The answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    pub rows: Vec<CheckRow>,
}

impl CheckReport {
    /// Whether the store is safe for Floe.
    #[must_use]
    pub fn ok(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.ok)
    }

    fn add(&mut self, name: &'static str, why: &'static str, answer: Result<String, String>) {
        let (ok, detail) = match answer {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        self.rows.push(CheckRow { name, ok, detail, why });
    }
}

/// Asks all questions, in a folder of its own below `check/` that is emptied at the end: some 600 requests and 20 MiB.
/// A store that does not answer the first question is asked no further.
pub async fn check(env: &Env, backend: &Arc<dyn Backend>) -> CheckReport {
    let mut report = CheckReport::default();
    let mut questions = Questions::new(env, backend);
    let first = questions.create_and_read().await;
    let reachable = first.is_ok();
    report.add("create and read", "every record Floe acknowledges ends up as such an object", first);
    if !reachable {
        return report;
    }
    let why = "a claim, a slot or an end belongs to whoever created it first; on a store that overwrites, a broker that lost its place destroys what its successor has";
    report.add("create only if absent", why, questions.create_only().await);
    let why = "two brokers may create the same object at the same instant, and exactly one of them must win";
    report.add("one winner under races", why, questions.races().await);
    let why = "recovery must see every slot that was acknowledged before it looked";
    report.add("read and list after write", why, questions.read_after_write().await);
    let why = "'not there' ends a row and frees a slot: no other answer may look like it";
    report.add("absent objects", why, questions.absent().await);
    let why = "a broker finds the newest index and the first free slot by listing";
    report.add("listing order and paging", why, questions.listing().await);
    let why = "a fetch reads parts of packs; a pack's footer is found from its end";
    report.add("ranges", why, questions.ranges().await);
    let why = "packs of several MiB are single requests";
    report.add("large objects", why, questions.large().await);
    let why = "what retention drops must go, and what a check leaves behind is in the way";
    report.add("delete", why, questions.clean_up().await);
    report
}

/// One line for a failure.
fn said(what: &str, error: &BackendError) -> String {
    format!("{what}: {error}")
}
