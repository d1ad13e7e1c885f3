//! `docs/formats.md` holds the field tables of this code, word for word. `FLOE_BLESS=1 cargo test -p floe-formats` renews them.

use crate::samples;
use floe_formats::{
    CatalogVersion, Claim, Cluster, DiskIdentity, End, EntryHeader, Index, Manifest, ManifestPage, Mark, PackFooter, Replica, Seal, Stop,
    WalFileHeader,
    checksum::crc32c,
    doc::{Described, FieldDoc, TypeDoc, text},
    etcd::{
        BrokerEntry, CatalogEntry, CleanerEntry, ClusterEntry, CounterEntry, DrainEntry, IncarnationEntry, Life, LostEntry, MarkEntry,
        OwnerEntry, PreferredEntry,
    },
};
use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

const BEGIN: &str = "<!-- begin: field tables, generated from the code -->\n";
const END: &str = "<!-- end: field tables -->\n";

const ROOTS: [&TypeDoc; 27] = [
    Cluster::DOC,
    CatalogVersion::DOC,
    Claim::DOC,
    Stop::DOC,
    PackFooter::DOC,
    End::DOC,
    Index::DOC,
    Manifest::DOC,
    ManifestPage::DOC,
    DiskIdentity::DOC,
    Seal::DOC,
    Replica::DOC,
    WalFileHeader::DOC,
    EntryHeader::DOC,
    Mark::DOC,
    ClusterEntry::DOC,
    BrokerEntry::DOC,
    IncarnationEntry::DOC,
    Life::DOC,
    OwnerEntry::DOC,
    PreferredEntry::DOC,
    DrainEntry::DOC,
    LostEntry::DOC,
    CatalogEntry::DOC,
    CounterEntry::DOC,
    CleanerEntry::DOC,
    MarkEntry::DOC,
];

/// Tables of `doc` and of all that it holds, each once.
#[derive(Default)]
struct Tables {
    out: String,
    done: BTreeSet<String>,
    leaves: BTreeSet<(&'static str, &'static str)>,
}

impl Tables {
    fn add(&mut self, doc: &TypeDoc) {
        match doc {
            TypeDoc::Leaf { name, stored } => drop(self.leaves.insert((name, stored))),
            TypeDoc::List(of) | TypeDoc::Optional(of) => self.add(of),
            TypeDoc::Map(key, value) => {
                self.add(key);
                self.add(value);
            }
            TypeDoc::Struct { name, meaning, fields } => {
                if self.title(name, meaning) {
                    self.line("| field | type | meaning |\n|---|---|---|\n");
                    fields.iter().for_each(|field| self.field("", field));
                    self.line("\n");
                    fields.iter().for_each(|field| self.add(field.of));
                }
            }
            TypeDoc::Enum { name, meaning, variants } => {
                if self.title(name, meaning) {
                    self.line("| variant, field | type | meaning |\n|---|---|---|\n");
                    for (number, variant) in variants.iter().enumerate() {
                        let of = variant.of.map(TypeDoc::name).unwrap_or_default();
                        self.line(&format!("| {number} `{}` | {of} | {} |\n", variant.name, text(variant.meaning)));
                        variant.fields.iter().for_each(|field| self.field(". ", field));
                    }
                    self.line("\n");
                    variants.iter().flat_map(|variant| variant.fields).for_each(|field| self.add(field.of));
                    variants.iter().filter_map(|variant| variant.of).for_each(|of| self.add(of));
                }
            }
        }
    }

    fn title(&mut self, name: &str, meaning: &[&str]) -> bool {
        let new = self.done.insert(name.to_owned());
        if new {
            self.line(&format!("#### {name}\n\n{}\n\n", text(meaning)));
        }
        new
    }

    fn field(&mut self, indent: &str, field: &FieldDoc) {
        self.line(&format!("| {indent}`{}` | {} | {} |\n", field.name, field.of.name(), text(field.meaning)));
    }

    fn line(&mut self, line: &str) {
        self.out.write_str(line).expect("strings take all writes");
    }
}

fn tables() -> String {
    let mut tables = Tables::default();
    ROOTS.iter().for_each(|root| tables.add(root));
    tables.line("#### How fields are stored\n\n| type | in a postcard body |\n|---|---|\n");
    for (name, stored) in tables.leaves.clone() {
        tables.line(&format!("| {name} | {stored} |\n"));
    }
    tables.out
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md")
}

#[test]
fn the_written_field_tables_are_those_of_the_code() {
    let written = std::fs::read_to_string(path()).expect("docs/formats.md is there");
    let (before, rest) = written.split_once(BEGIN).expect("it has a place for the tables");
    let (found, after) = rest.split_once(END).expect("which ends");
    if std::env::var_os("FLOE_BLESS").is_some() && found != tables() {
        #[expect(clippy::disallowed_methods, reason = "the tables are renewed by hand of whoever blesses them")]
        std::fs::write(path(), [before, BEGIN, &tables(), END, after].concat()).expect("docs are writable");
        return;
    }
    assert_eq!(found, tables(), "docs/formats.md is behind the code");
}

#[test]
fn every_kind_of_object_has_a_chapter() {
    let written = std::fs::read_to_string(path()).expect("docs/formats.md is there");
    for kind in floe_formats::Kind::OBJECTS {
        assert!(written.contains(&format!("| {} | {} |", kind.number(), kind.name())), "{kind} is not in the table of kinds");
    }
}

/// The rows of the table behind `title` whose first cell is a range of bytes: first, last, field.
fn layout(title: &str) -> Vec<(usize, usize, String)> {
    let written = std::fs::read_to_string(path()).expect("docs/formats.md is there");
    let (_, rest) = written.split_once(title).unwrap_or_else(|| panic!("no {title:?} in docs/formats.md"));
    let rows = rest.lines().skip_while(|line| !line.starts_with("| bytes |")).skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .filter_map(|cells| {
            let (first, last) = cells[1].split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?, cells[2].to_owned()))
        })
        .collect()
}

fn field(layout: &[(usize, usize, String)], bytes: &[u8], name: &str) -> Vec<u8> {
    let (first, last, _) = layout.iter().find(|(_, _, field)| field == name).unwrap_or_else(|| panic!("no {name} in {layout:?}"));
    bytes[*first..=*last].to_vec()
}

/// Fields lie one behind the other and fill `len` bytes.
fn assert_whole(layout: &[(usize, usize, String)], len: usize) {
    let mut at = 0;
    for (first, last, name) in layout {
        assert_eq!(*first, at, "{name} in {layout:?}");
        at = last + 1;
    }
    assert_eq!(at, len, "{layout:?}");
}

#[test]
fn the_written_object_layout_is_the_one_in_the_bytes() {
    let bytes = floe_formats::encode(&samples::WRITER, &samples::claim());
    let (written, body) = (layout("Every object is a header of 64 bytes"), &bytes[64..]);
    assert_whole(&written, 64);
    let get = |name| field(&written, &bytes, name);
    assert_eq!(get("magic"), b"FLOE");
    assert_eq!(get("kind"), 3u16.to_le_bytes());
    assert_eq!(get("version"), 1u16.to_le_bytes());
    assert_eq!(get("write id"), samples::WRITER.write_id.0.to_be_bytes());
    assert_eq!(get("incarnation"), 7u64.to_le_bytes());
    assert_eq!(get("revision"), 42u64.to_le_bytes());
    assert_eq!(get("body length"), (body.len() as u64).to_le_bytes());
    assert_eq!(get("body checksum"), crc32c(body).to_le_bytes());
    assert_eq!(get("header checksum"), crc32c(&bytes[..60]).to_le_bytes());
}

#[test]
fn the_written_trailer_layout_is_the_one_in_the_bytes() {
    let pack = samples::shared_pack();
    let whole = samples::whole(&pack);
    let bytes = &whole[whole.len() - 32..];
    let written = layout("Trailer, the last 32 bytes");
    assert_whole(&written, 32);
    assert_eq!(field(&written, bytes, "magic"), b"FLPT");
    assert_eq!(field(&written, bytes, "pack length"), pack.pack_len.to_le_bytes());
    assert_eq!(field(&written, bytes, "footer length"), pack.footer_len.to_le_bytes());
    assert_eq!(field(&written, bytes, "checksum"), crc32c(&bytes[..28]).to_le_bytes());
}

#[test]
fn the_written_wal_layouts_are_those_in_the_bytes() {
    let (entries, bytes) = samples::wal_file();
    let written = layout("File header:");
    assert_whole(&written, 64);
    assert_eq!(field(&written, &bytes, "magic"), b"FLWF");
    assert_eq!(field(&written, &bytes, "incarnation"), 7u64.to_le_bytes());
    assert_eq!(field(&written, &bytes, "start"), 4096u64.to_le_bytes());
    assert_eq!(field(&written, &bytes, "generation"), 2u32.to_le_bytes());
    assert_eq!(field(&written, &bytes, "checksum"), crc32c(&bytes[..60]).to_le_bytes());
    let (header, batch) = &entries[0];
    let (entry, written) = (&bytes[64..], layout("Entry: a header of 88 bytes"));
    assert_whole(&written, 88);
    let get = |name| field(&written, entry, name);
    assert_eq!(get("magic"), b"FLWE");
    assert_eq!(get("checksum"), crc32c(&entry[8..109]).to_le_bytes());
    assert_eq!(get("lsn"), header.lsn.0.to_le_bytes());
    assert_eq!(get("incarnation"), header.incarnation.0.to_le_bytes());
    assert_eq!(get("generation"), header.generation.0.to_le_bytes());
    assert_eq!(get("payload length"), header.payload_len.to_le_bytes());
    assert_eq!(get("synced"), header.synced.0.to_le_bytes());
    assert_eq!(get("topic"), header.partition.topic.0.to_be_bytes());
    assert_eq!(get("partition"), header.partition.index.to_le_bytes());
    assert_eq!(get("epoch"), header.epoch.to_le_bytes());
    assert_eq!(get("epoch start"), header.epoch_start.to_le_bytes());
    assert_eq!(get("base offset"), header.base_offset.to_le_bytes());
    assert_eq!(get("type"), 1u16.to_le_bytes());
    assert_eq!(&entry[88..88 + batch.len()], batch);
}

#[test]
fn every_meaning_is_a_sentence() {
    for line in tables().lines().filter(|line| line.starts_with("| `") || line.starts_with("| . `")) {
        assert!(line.ends_with(". |") && line.len() > 30, "{line}");
    }
}
