//! `cargo xtask bench`: builds the broker, the shaped store and the benchmark program, fetches Apache Kafka where Java and Maven are, and
//! runs the rows. The report is docs/benchmarks.md. A quick run writes beside it, under target/bench: its numbers are not for the record.

use crate::tree::root;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Less data; the report goes to target/bench
    #[arg(long)]
    quick: bool,
    /// Only these rows, such as E1,E4; the others keep what an earlier run measured
    #[arg(long, value_name = "ROWS")]
    rows: Option<String>,
    /// How often each row is measured
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// Measure nothing, write the report anew
    #[arg(long)]
    report_only: bool,
    /// Leave Apache Kafka out
    #[arg(long)]
    without_kafka: bool,
}

/// As `release`, with symbols: a row that misses can be looked at with perf on the same binary.
const PROFILE: &str = "profiling";

const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>floe</groupId>
  <artifactId>java-kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.1.1</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>4.1.1</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"#;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // One at a time: together, the features of the test kit would be built into the broker.
    build(&["-p", "floe"])?;
    build(&["-p", "floe-testkit", "--bin", "shaped-store"])?;
    build(&["-p", "floe-benches"])?;
    let built = root().join("target").join(PROFILE);
    let folder = root().join("target/bench");
    let mut command = Command::new(built.join("floe-benches"));
    command.arg("--floe").arg(built.join("floe")).arg("--shaped-store").arg(built.join("shaped-store"));
    command.arg("--folder").arg(&folder).arg("--notes").arg(root().join("benches/notes.md"));
    command.arg("--report").arg(if arguments.quick { folder.join("benchmarks-quick.md") } else { root().join("docs/benchmarks.md") });
    let seaweed = root().join("target/venv/bin/weed");
    if seaweed.exists() {
        command.arg("--seaweed").arg(seaweed);
    }
    if let Some(libs) = kafka(arguments)? {
        command.arg("--kafka").arg(libs);
    }
    if arguments.quick {
        command.arg("--quick");
    }
    if arguments.report_only {
        command.arg("--report-only");
    }
    if let Some(rows) = &arguments.rows {
        command.args(["--rows", rows]);
    }
    if let Some(rounds) = arguments.rounds {
        command.args(["--rounds", &rounds.to_string()]);
    }
    checked(&mut command)
}

fn build(what: &[&str]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    checked(Command::new(cargo).args(["build", "--quiet", "--profile", PROFILE]).args(what).current_dir(root()))
}

/// The folder with Kafka's jars; none where Java or Maven are not.
fn kafka(arguments: &Arguments) -> anyhow::Result<Option<PathBuf>> {
    if arguments.without_kafka || arguments.report_only {
        return Ok(None);
    }
    if !["java", "mvn"].iter().all(|program| answers(program)) {
        println!("Apache Kafka is left out: java or mvn are not here");
        return Ok(None);
    }
    let folder = root().join("target/java-kafka");
    let libs = folder.join("libs");
    if !has_kafka(&libs) {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("pom.xml"), POM)?;
        let goal = ["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs", "-DincludeScope=runtime"];
        checked(Command::new("mvn").args(goal).current_dir(&folder))?;
    }
    Ok(Some(libs))
}

fn has_kafka(libs: &Path) -> bool {
    libs.join("kafka_2.13-4.1.1.jar").exists() && libs.join("kafka-tools-4.1.1.jar").exists()
}

fn answers(program: &str) -> bool {
    Command::new(program).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn checked(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if status.success() { Ok(()) } else { bail!("{command:?}: {status}") }
}
