//! `docs/formats.md` holds the field tables of this code, word for word. `FLOE_BLESS=1 cargo test -p floe-formats` renews them.

use floe_formats::{
    CatalogVersion, Claim, Cluster, DiskIdentity, End, EntryHeader, Index, Manifest, PackFooter, Seal, Stop, WalFileHeader,
    doc::{Described, FieldDoc, TypeDoc, text},
};
use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

const BEGIN: &str = "<!-- begin: field tables, generated from the code -->\n";
const END: &str = "<!-- end: field tables -->\n";

const ROOTS: [&TypeDoc; 12] = [
    Cluster::DOC,
    CatalogVersion::DOC,
    Claim::DOC,
    Stop::DOC,
    PackFooter::DOC,
    End::DOC,
    Index::DOC,
    Manifest::DOC,
    DiskIdentity::DOC,
    Seal::DOC,
    WalFileHeader::DOC,
    EntryHeader::DOC,
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

#[test]
fn every_meaning_is_a_sentence() {
    for line in tables().lines().filter(|line| line.starts_with("| `") || line.starts_with("| . `")) {
        assert!(line.ends_with(". |") && line.len() > 30, "{line}");
    }
}
