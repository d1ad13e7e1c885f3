//! A system-call trace as `strace -f -y` writes it, and what it says about acks and fsync.
//!
//! Order is the order of lines: a call's entry and its return are each one line, and a thread goes on only after strace has
//! written its line. So where a thread's return stands before another's entry, the first had ended when the second began.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

/// The calls that are looked at.
pub const CALLS: &str =
    "fdatasync,fsync,pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg,rename,renameat,renameat2,link,linkat,unlink,unlinkat";

/// strace in front of a broker, which stays the child of who starts it (-D), writing to `file`.
pub fn strace(file: &Path) -> Vec<String> {
    let words = ["strace", "-D", "-f", "-q", "-y", "-s", "10000000", "-e", "signal=none", "-e"];
    let mut line: Vec<String> = words.map(str::to_owned).to_vec();
    line.extend([format!("trace={CALLS}"), "-o".to_owned(), file.display().to_string()]);
    line
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    /// Its arguments, as strace shows them.
    pub text: String,
    /// Line of its entry, and of its return.
    pub start: usize,
    pub end: usize,
    pub failed: bool,
}

impl Call {
    fn is(&self, names: &[&str]) -> bool {
        !self.failed && names.contains(&self.name.as_str())
    }

    /// What its first argument, a file descriptor, stands for.
    pub fn file(&self) -> Option<&str> {
        let rest = self.text.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix('<')?;
        rest.split_once('>').map(|(path, _)| path)
    }

    /// The paths among its arguments, in order.
    fn paths(&self) -> Vec<&str> {
        self.text.split('"').skip(1).step_by(2).collect()
    }

    fn is_write(&self) -> bool {
        self.is(&["write", "writev", "pwrite64", "pwritev", "pwritev2"])
    }

    fn is_sync(&self) -> bool {
        self.is(&["fsync", "fdatasync"])
    }

    fn is_send(&self) -> bool {
        self.is(&["write", "writev", "sendto", "sendmsg"])
            && self.file().is_some_and(|file| file.starts_with("socket:") || file.starts_with("TCP"))
    }
}

/// The calls in the order of their entries.
pub fn parse(text: &str) -> Vec<Call> {
    let mut calls: BTreeMap<usize, Call> = BTreeMap::new();
    let mut open: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            open.insert(thread, (at, begun.to_owned()));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (Some((_, more)), Some((start, begun))) = (resumed.split_once(" resumed>"), open.remove(thread)) else { continue };
            calls.extend(call(&format!("{begun}{more}"), start, at));
        } else {
            calls.extend(call(rest, at, at));
        }
    }
    calls.into_values().collect()
}

fn call(text: &str, start: usize, end: usize) -> Option<(usize, Call)> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let failed = result.starts_with('-') || result.starts_with('?');
    Some((start, Call { name: name.to_owned(), text: arguments.to_owned(), start, end, failed }))
}

/// The write that put `payload` into a file of a WAL.
fn wal_write<'a>(calls: &'a [Call], payload: &str) -> Result<&'a Call, String> {
    let write = calls.iter().find(|call| call.is_write() && is_wal(call) && call.text.contains(payload));
    write.ok_or_else(|| format!("{payload} was never written to the WAL"))
}

fn is_wal(call: &Call) -> bool {
    call.file().is_some_and(|file| file.contains("/wal/"))
}

/// The answer with `correlation` was sent after an fdatasync that began after `payload` was written to the WAL, of the same file.
///
/// # Errors
/// What is missing, or in the wrong order.
pub fn answer_follows_sync(calls: &[Call], payload: &str, correlation: &str) -> Result<(), String> {
    let write = wal_write(calls, payload)?;
    let send = calls.iter().find(|call| call.is_send() && call.text.contains(correlation));
    let send = send.ok_or_else(|| format!("no answer {correlation}"))?;
    let covers = |call: &&Call| call.is_sync() && call.file() == write.file() && call.start > write.end && call.end < send.start;
    match calls.iter().find(covers) {
        Some(_) => Ok(()),
        None => {
            Err(format!("{correlation} was answered at line {}, without an fdatasync after its write at line {}", send.start, write.end))
        }
    }
}

/// The file of the WAL that held `payload` was given up, by rename or unlink, only after an object that holds it was fsynced, linked under
/// its name, and the name's folder fsynced. False: the file was not given up.
///
/// # Errors
/// What is missing, or in the wrong order.
pub fn object_precedes_trim(calls: &[Call], payload: &str) -> Result<bool, String> {
    let write = wal_write(calls, payload)?;
    let path = write.file().expect("it was found by its file");
    let gives_up = |call: &&Call| {
        call.start > write.end && call.is(&["rename", "renameat", "renameat2", "unlink", "unlinkat"]) && call.paths().first() == Some(&path)
    };
    let Some(trim) = calls.iter().find(gives_up) else { return Ok(false) };
    let objects =
        calls.iter().filter(|call| call.is_write() && call.text.contains(payload) && call.file().is_some_and(|f| f.contains("/store/")));
    let mut missing = "no object holds it".to_owned();
    for object in objects {
        match object_is_safe(calls, object, trim.start) {
            Ok(()) => return Ok(true),
            Err(what) => missing = what,
        }
    }
    Err(format!("{path} was given up at line {}, but of {payload}: {missing}", trim.start))
}

/// File fsynced, then linked, then the folder fsynced, all before line `before`.
fn object_is_safe(calls: &[Call], object: &Call, before: usize) -> Result<(), String> {
    let staging = object.file().expect("it was found by its file");
    let within = |call: &&Call, after: usize| call.start > after && call.end < before;
    let synced = calls.iter().find(|call| within(call, object.end) && call.is_sync() && call.file() == Some(staging));
    let synced = synced.ok_or_else(|| format!("{staging} was not fsynced"))?;
    let links = ["link", "linkat", "rename", "renameat", "renameat2"];
    let linked = calls.iter().find(|call| within(call, synced.end) && call.is(&links) && call.paths().first() == Some(&staging));
    let linked = linked.ok_or_else(|| format!("{staging} got no name after its fsync"))?;
    let name = *linked.paths().last().expect("a link names two files");
    let folder = Path::new(name).parent().and_then(Path::to_str);
    let folder_synced = calls.iter().find(|call| within(call, linked.end) && call.is_sync() && call.file() == folder);
    folder_synced.map(|_| ()).ok_or_else(|| format!("the folder of {name} was not fsynced after it got its name"))
}
