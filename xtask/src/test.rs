//! `cargo xtask test`: all of the project's checks and tests, one after the other, with what they need installed first. A step that
//! computes for long runs beside those that follow it; what it says is shown when it is done.
//!
//! The steps are a table (`steps.rs`); a step whose tool is missing is skipped with the reason, never in silence. It ends with
//! every `test result:` line, the time of each step, and fails if any step did.

mod setup;
mod steps;

use crate::tree::root;
use anyhow::{Context, bail};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use steps::{Step, When};

/// A step that takes longer hangs: the quick suite as a whole has 30 minutes on two cores.
const QUICK_LIMIT: Duration = Duration::from_secs(25 * 60);
const FULL_LIMIT: Duration = Duration::from_secs(6 * 60 * 60);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run also what takes long; docs/testing.md says what
    #[arg(long)]
    full: bool,
    /// Install nothing; steps whose tools are missing are skipped
    #[arg(long)]
    no_install: bool,
    /// Run only steps whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Print the steps and end
    #[arg(long)]
    list: bool,
}

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Done {
    name: String,
    outcome: Outcome,
    took: Duration,
    results: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut steps = steps::all()?;
    if let Some(only) = &arguments.only {
        steps.retain(|step| step.name.contains(only.as_str()));
    }
    if arguments.list {
        for step in &steps {
            println!("{:32} {:6} {}", step.name, if step.when == When::Full { "full" } else { "" }, step.command.join(" "));
        }
        return Ok(());
    }
    let began = Instant::now();
    let missing = if arguments.no_install { Vec::new() } else { setup::install()? };
    let done = all(&steps, arguments.full)?;
    recap(&done, &missing, began.elapsed());
    match done.iter().filter(|done| matches!(done.outcome, Outcome::Failed(_))).count() {
        0 if done.is_empty() => bail!("no step has this name"),
        0 => Ok(()),
        n => bail!("{n} of {} steps failed", done.len()),
    }
}

/// Runs all steps; those beside the others come last in what is told.
fn all(steps: &[Step], full: bool) -> anyhow::Result<Vec<Done>> {
    std::thread::scope(|scope| {
        let (mut done, mut beside) = (Vec::new(), Vec::new());
        for step in steps {
            if step.beside {
                let mut said = Vec::new();
                beside.push(scope.spawn(move || one(step, full, &mut said).map(|done| (done, said))));
            } else {
                done.push(one(step, full, &mut std::io::stdout())?);
            }
        }
        for thread in beside {
            let (step, said) = thread.join().unwrap_or_else(|_| bail!("a step's thread panicked"))?;
            std::io::stdout().write_all(&said)?;
            done.push(step);
        }
        Ok(done)
    })
}

fn one(step: &Step, full: bool, out: &mut impl Write) -> anyhow::Result<Done> {
    writeln!(out, "\n=== {}: {}", step.name, step.command.join(" "))?;
    let began = Instant::now();
    let skip = if step.when == When::Full && !full { Some("only with --full".to_owned()) } else { setup::why_not(&step.needs) };
    let (outcome, results) = match skip {
        Some(reason) => {
            writeln!(out, "SKIP {}: {reason}", step.name)?;
            (Outcome::Skipped(reason), Vec::new())
        }
        None => execute(step, full, out)?,
    };
    Ok(Done { name: step.name.clone(), outcome, took: began.elapsed(), results })
}

/// Runs one step, shows what it says, and keeps its `test result:` lines with the program that each belongs to.
fn execute(step: &Step, full: bool, out: &mut impl Write) -> anyhow::Result<(Outcome, Vec<String>)> {
    let limit = if full { FULL_LIMIT } else { QUICK_LIMIT };
    let (reader, writer) = std::io::pipe()?;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", &limit.as_secs().to_string()]).args(&step.command).current_dir(root());
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    setup::environment(&mut command, full);
    let mut child = command.spawn().with_context(|| format!("cannot run {}", step.command.join(" ")))?;
    // The command holds the writing ends; without them reading ends when the child does.
    drop(command);
    let (mut program, mut results) = (String::new(), Vec::new());
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(out, "{line}")?;
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix("Running ").or_else(|| trimmed.strip_prefix("Doc-tests ")) {
            program = short(name);
        } else if trimmed.starts_with("test result:") || trimmed.starts_with("SKIP ") {
            results.push(format!("{program:40} {trimmed}"));
        }
    }
    let status = child.wait()?;
    let outcome = match status.code() {
        Some(0) => Outcome::Passed,
        Some(124 | 137) => Outcome::Failed(format!("not done after {} minutes", limit.as_secs() / 60)),
        _ => Outcome::Failed(status.to_string()),
    };
    Ok((outcome, results))
}

/// `unittests src/lib.rs (target/debug/deps/floe_wal-0123)` is shown as `floe_wal src/lib.rs`.
fn short(running: &str) -> String {
    let Some((what, path)) = running.split_once(" (") else { return format!("{running} (doc)") };
    let file = path.trim_end_matches(')').rsplit('/').next().unwrap_or_default();
    let program = file.rsplit_once('-').map_or(file, |(program, _)| program);
    format!("{program} {}", what.trim_start_matches("unittests "))
}

fn recap(done: &[Done], missing: &[String], took: Duration) {
    println!("\n=== results");
    for line in done.iter().flat_map(|done| &done.results) {
        println!("{line}");
    }
    println!("\n=== steps");
    for reason in missing {
        println!("not installed: {reason}");
    }
    for step in done {
        let (word, why) = match &step.outcome {
            Outcome::Passed => ("ok", ""),
            Outcome::Failed(why) => ("FAILED", why.as_str()),
            Outcome::Skipped(why) => ("SKIP", why.as_str()),
        };
        println!("{:32} {word:6} {:6.1} s  {why}", step.name, step.took.as_secs_f64());
    }
    println!("{:32} {:6} {:6.1} s", "all", "", took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(script: &str, needs: &[&str]) -> Step {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        Step { name: "a step".into(), command, needs: needs.iter().map(|s| (*s).to_owned()).collect(), when: When::Always, beside: false }
    }

    #[test]
    fn results_are_kept_with_the_program_they_belong_to() {
        let script =
            "echo '     Running unittests src/lib.rs (target/debug/deps/floe_wal-0123)' >&2; echo 'test result: ok. 3 passed'; echo noise";
        let done = one(&step(script, &[]), false, &mut Vec::new()).unwrap();
        assert!(matches!(done.outcome, Outcome::Passed));
        assert_eq!(done.results, [format!("{:40} test result: ok. 3 passed", "floe_wal src/lib.rs")]);
    }

    #[test]
    fn a_step_that_fails_is_a_failure_and_one_without_its_tool_is_skipped_with_the_reason() {
        assert!(matches!(one(&step("exit 3", &[]), false, &mut Vec::new()).unwrap().outcome, Outcome::Failed(why) if why.contains('3')));
        let skipped = one(&step("exit 3", &["no-such-tool"]), false, &mut Vec::new()).unwrap();
        assert!(matches!(skipped.outcome, Outcome::Skipped(why) if why.contains("no-such-tool")));
    }

    #[test]
    fn what_belongs_to_the_full_suite_is_skipped_in_the_quick_one() {
        let full = Step { when: When::Full, ..step("exit 0", &[]) };
        assert!(matches!(one(&full, false, &mut Vec::new()).unwrap().outcome, Outcome::Skipped(_)));
        assert!(matches!(one(&full, true, &mut Vec::new()).unwrap().outcome, Outcome::Passed));
    }

    #[test]
    fn a_step_beside_the_others_counts_like_them() {
        let aside = Step { beside: true, name: "aside".into(), ..step("echo 'test result: FAILED.'; exit 1", &[]) };
        let done = all(&[aside, step("exit 0", &[])], false).unwrap();
        let outcomes: Vec<_> =
            done.iter().map(|done| (done.name.as_str(), matches!(done.outcome, Outcome::Passed), done.results.len())).collect();
        assert_eq!(outcomes, [("a step", true, 0), ("aside", false, 1)]);
    }
}
