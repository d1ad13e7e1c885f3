//! Starting the program, waiting for its ready line, ending it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// The codes that docs/operations.md promises.
pub(crate) mod code {
    pub(crate) const OK: i32 = 0;
    pub(crate) const REFUSED: i32 = 2;
    pub(crate) const SUPERSEDED: i32 = 3;
    pub(crate) const DATA_REFUSED: i32 = 4;
    pub(crate) const IN_USE: i32 = 5;
    pub(crate) const UNAVAILABLE: i32 = 6;
    pub(crate) const NOT_CLEAN: i32 = 7;
    pub(crate) const INTERRUPTED: i32 = 130;
}

/// The program, without any setting of the environment that the tests run in.
pub(crate) fn floe(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLOE_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Runs to the end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    floe(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs to a good end; what it printed.
pub(crate) fn good(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {} {}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// A running broker on free ports. Killed when dropped.
pub(crate) struct Broker {
    child: Child,
    out: BufReader<ChildStdout>,
    pub(crate) ready: String,
}

impl Broker {
    pub(crate) fn start(data: &Path, more: &[&str]) -> Broker {
        Self::try_start(data, more).unwrap_or_else(|output| panic!("it ended with {}: {}", output.status, stderr(&output)))
    }

    /// Waits for the ready line, or for the end and what was said then.
    pub(crate) fn try_start(data: &Path, more: &[&str]) -> Result<Broker, Output> {
        let data = data.display().to_string();
        let own = ["serve", "--data", &data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut command = floe(&[&own, more].concat());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut ready = String::new();
        out.read_line(&mut ready).expect("stdout is text");
        if ready.is_empty() {
            return Err(child.wait_with_output().expect("it has ended"));
        }
        Ok(Broker { child, out, ready })
    }

    /// What the ready line says behind a word.
    pub(crate) fn word_after(&self, word: &str) -> String {
        let rest = self.ready.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {:?}", self.ready)).1;
        rest.split([',', '\n']).next().unwrap_or_default().trim().to_owned()
    }

    pub(crate) fn kafka(&self) -> String {
        self.word_after("kafka ")
    }

    pub(crate) fn admin(&self) -> String {
        self.word_after("admin http://")
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().expect("kill is there");
        assert!(sent.success());
    }

    /// Waits for its end: the code, the rest of stdout, and stderr.
    pub(crate) fn wait(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).expect("stdout is text");
        self.child.stderr.take().expect("it is piped").read_to_string(&mut err).expect("stderr is text");
        (self.child.wait().expect("it ends").code(), out, err)
    }

    /// SIGTERM, and a good end.
    pub(crate) fn drain(self) {
        self.signal("TERM");
        let (code, _, err) = self.wait();
        assert_eq!(code, Some(code::OK), "{err}");
    }

    /// Code and body of an admin page.
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin()).expect("the admin port listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: floe\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        (code, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended; either way it is gone afterwards.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
