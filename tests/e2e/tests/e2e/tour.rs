//! README's five minutes, word for word, in a namespace of their own: no other broker has their ports, and `pgrep` sees none.

use crate::alone;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// What a person does without being told: waits for the broker to be there, or gone.
const PATIENCE: &str = r#"
ready() { for _ in $(seq 600); do curl -sf http://127.0.0.1:9644/readyz >/dev/null && return; sleep 0.1; done; echo "the broker is not ready"; exit 1; }
gone() { for _ in $(seq 600); do pgrep -f 'floe serve' >/dev/null || return 0; sleep 0.1; done; echo "the broker does not end"; exit 1; }
"#;

/// The commands of README's section, in order.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let section = readme.split("## Five minutes").nth(1).expect("README has the section");
    let block = section.split("```").nth(1).expect("with a block of commands");
    block.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn missing(program: &str) -> bool {
    !std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(program).is_file())
}

#[test]
fn the_five_minutes_of_the_readme_go_as_written() {
    let _alone = alone();
    if let Some(program) = ["unshare", "ip", "curl", "kcat", "pgrep"].into_iter().find(|program| missing(program)) {
        return println!("SKIP tour: {program} is not here");
    }
    let namespace = ["--net", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let allowed = Command::new("unshare").args(namespace).args(["ip", "link", "set", "lo", "up"]).output().unwrap();
    if !allowed.status.success() {
        return println!("SKIP tour: no namespaces: {}", String::from_utf8_lossy(&allowed.stderr).trim());
    }
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(floe_e2e::broker::program().unwrap(), programs.join("floe")).unwrap();

    let commands = commands();
    assert!(commands.iter().filter(|command| command.starts_with("floe ")).count() >= 6, "{commands:#?}");
    let mut script = format!("set -e -o pipefail\nip link set lo up\n{PATIENCE}\nfloe serve &\nready\n");
    for command in &commands {
        let then = match command {
            _ if command.starts_with("kill ") => "gone\n",
            _ if command.starts_with("floe serve") => "ready\n",
            _ => "",
        };
        write!(script, "echo '$ '{}\n{command}\n{then}", command.split_whitespace().next().unwrap()).unwrap();
    }
    let file = folder.path().join("tour");
    std::fs::write(&file, script).unwrap();

    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut tour = Command::new("unshare");
    tour.args(namespace).args(["bash", file.to_str().unwrap()]).current_dir(folder.path()).env("PATH", path);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLOE_")) {
        tour.env_remove(name);
    }
    let output = tour.output().unwrap();
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}", output.status);
    for word in ["hello", "world"] {
        let lines = said.lines().filter(|line| line.split_whitespace().any(|part| part == word)).count();
        assert_eq!(lines, 3, "floe, kcat, and floe after the kill print {word}\n{said}");
    }
    println!("{} commands of the tour went as written", commands.len());
}
