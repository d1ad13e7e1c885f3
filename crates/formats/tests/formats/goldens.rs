//! Files that version 0.1 wrote, in `goldens/`: every later version must read them, and this one must still write them so.
//!
//! A golden is never changed. A new version of a format adds a golden beside the old one: `FLOE_BLESS=1 cargo test -p
//! floe-formats` writes those that are missing, and nothing else.

use crate::samples::{self, Sample};
use bytes::Bytes;
use std::{fmt::Write as _, path::PathBuf};

fn path(sample: &Sample) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("goldens").join(format!("{}.hex", sample.name))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.chunks(32).fold(String::new(), |mut out, line| {
        for byte in line {
            write!(out, "{byte:02x}").expect("strings take all writes");
        }
        out.push('\n');
        out
    })
}

fn golden(sample: &Sample) -> Bytes {
    let path = path(sample);
    if std::env::var_os("FLOE_BLESS").is_some() && !path.exists() {
        #[expect(clippy::disallowed_methods, reason = "a golden that is missing is written by hand of whoever blesses it")]
        std::fs::write(&path, to_hex(&sample.bytes)).expect("the goldens folder is writable");
    }
    samples::stored(sample.name)
}

#[test]
fn every_golden_reads_as_what_was_written() {
    for sample in samples::all() {
        assert_eq!((sample.read)(&golden(&sample)), Ok(true), "{}", sample.name);
    }
}

#[test]
fn every_format_is_still_written_byte_for_byte() {
    for sample in samples::all() {
        assert_eq!(to_hex(&sample.bytes), to_hex(&golden(&sample)), "{}", sample.name);
    }
}

#[test]
fn every_golden_belongs_to_a_sample() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("goldens");
    let known: Vec<String> = samples::all().iter().map(|sample| format!("{}.hex", sample.name)).collect();
    for file in std::fs::read_dir(folder).expect("the goldens folder is there") {
        let name = file.expect("readable").file_name().into_string().expect("ASCII");
        assert!(known.contains(&name), "goldens/{name} is read by no test");
    }
}
