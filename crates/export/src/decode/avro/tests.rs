//! Schemas and values of Avro, byte for byte.

use crate::decode::fields::{Field, Type, at_top};
use crate::decode::json::{Node, Of};
use crate::decode::readers::{Readers, Schema, Unread};
use crate::registry::Language;

fn parse(schema: &str) -> Result<Schema, String> {
    Schema::new(Language::Avro, schema.as_bytes(), &[], (None, &[]))
}

fn plain(schema: &str) -> Schema {
    parse(schema).expect("a schema")
}

fn fields(schema: Schema) -> Result<Vec<Field>, String> {
    Readers::new(vec![(None, schema)], false)?.fields(&at_top(&[]))
}

fn types(schema: &str) -> Vec<(String, Type)> {
    fields(plain(schema)).expect("few enough").into_iter().map(|field| (field.column, field.of)).collect()
}

const ORDER: &str = r#"{"type":"record","name":"a.Order","fields":[
    {"name":"id","type":"long"},{"name":"key","type":["null","string"]},{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
    {"name":"day","type":{"type":"int","logicalType":"date"}},{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"tags","type":{"type":"map","values":"int"}},{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A","B"]}},
    {"name":"one","type":["null","string",{"type":"record","name":"P","fields":[{"name":"x","type":"float"}]},"Kind"]},
    {"name":"more","type":{"type":"array","items":"P"}},{"name":"raw","type":{"type":"fixed","name":"F","size":2}}]}"#;

#[test]
fn schemas_become_columns() {
    let point = || Type::Struct(vec![Field { name: "x".into(), column: "x".into(), of: Type::Float }]);
    let branch = |name: &str, of| Field { name: name.into(), column: name.into(), of };
    let one = Type::Struct(vec![branch("string", Type::String), branch("P", point()), branch("Kind", Type::String)]);
    let expected = [
        ("id", Type::Int64),
        ("value_key", Type::String),
        ("price", Type::Decimal { precision: 9, scale: 2 }),
        ("day", Type::Date),
        ("at", Type::TimestampMicros),
        ("tags", Type::Map(Box::new(Type::Int32))),
        ("kind", Type::String),
        ("one", one),
        ("more", Type::List(Box::new(point()))),
        ("raw", Type::Bytes),
    ];
    assert_eq!(types(ORDER), expected.map(|(name, of)| (name.to_owned(), of)));
    assert_eq!(types("\"long\""), [("value_value".to_owned(), Type::Int64)]);
}

#[test]
fn what_cannot_become_columns_is_refused_clearly() {
    let refused = |schema: &str| parse(schema).and_then(fields).unwrap_err();
    assert!(refused("{").contains("no JSON"));
    assert!(refused("\"Nothing\"").contains("there is no type Nothing"));
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    assert!(refused(list).contains("holds itself"));
    let wide: Vec<String> = (0..5000).map(|n| format!(r#"{{"name":"f{n}","type":"int"}}"#)).collect();
    assert!(
        refused(&format!(r#"{{"type":"record","name":"W","fields":[{}]}}"#, wide.join(",")))
            .contains("5000 columns are more than the 1000")
    );
    let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(60), "}".repeat(60));
    assert!(parse(&deep).is_ok());
    let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(110), "}".repeat(110));
    assert!(refused(&deep).contains("levels") || refused(&deep).contains("recursion"));
    // Each names the one before twice.
    let mut laughs = r#"{"type":"record","name":"R0","fields":[{"name":"a","type":"int"},{"name":"b","type":"int"}]}"#.to_owned();
    for n in 1..40 {
        laughs =
            format!(r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":{laughs}}},{{"name":"b","type":"R{}"}}]}}"#, n - 1);
    }
    assert!(refused(&laughs).contains("parts"));
    assert!(Readers::new(vec![(None, plain("\"int\"")), (Some(2), plain("\"int\""))], false).unwrap_err().contains("ID=FILE"));
}

/// id 3, key "k", price -1.23, day 2, at 5, tags {"a": 1}, kind B, one P{x: 0.5}, more [P{x: 1}] in a block with its size, raw 0102.
fn order() -> Vec<u8> {
    let mut bytes = vec![6, 2, 2, b'k', 2, 0x85, 4, 10, 2, 2, b'a', 2, 0, 2, 4];
    bytes.extend(0.5_f32.to_le_bytes());
    bytes.extend([1, 8]);
    bytes.extend(1.0_f32.to_le_bytes());
    bytes.extend([0, 1, 2]);
    bytes
}

#[test]
fn values_are_read_as_their_schema_says() {
    let (schemas, bytes) = (plain(ORDER), order());
    let Of::Object(entries) = schemas.read(&bytes, false).expect("a value").of else { panic!("a record") };
    let of: Vec<_> = entries.iter().map(|(_, node)| &node.of).collect();
    assert_eq!(*of[0], Of::Integer(3));
    assert_eq!(*of[1], Of::Text("k".into()));
    assert_eq!(*of[2], Of::Decimal(-123));
    assert_eq!((of[3], of[4]), (&Of::Integer(2), &Of::Integer(5)));
    assert_eq!(*of[6], Of::Text("B".into()));
    let point = |x: f64| Node { text: "", of: Of::Object(vec![("x".into(), Node { text: "", of: Of::Number(x) })]) };
    assert_eq!(*of[5], Of::Object(vec![("a".into(), Node { text: "", of: Of::Integer(1) })]));
    assert_eq!(*of[7], Of::Object(vec![("P".into(), point(0.5))]));
    assert_eq!(*of[8], Of::List(vec![point(1.0)]));
    assert_eq!(*of[9], Of::Bytes(&[1, 2]));
}

#[test]
fn what_is_cut_or_goes_on_is_no_value() {
    let (schemas, bytes) = (plain(ORDER), order());
    for len in 0..bytes.len() {
        assert!(schemas.read(&bytes[..len], false).is_err(), "cut at {len}");
    }
    assert!(schemas.read(&[bytes.as_slice(), &[0]].concat(), false).unwrap_err().contains("more bytes"));
    // A block of 2^62 nulls takes no byte each.
    let nulls = plain(r#"{"type":"array","items":"null"}"#);
    assert!(nulls.read(&[254, 255, 255, 255, 255, 255, 255, 255, 127, 0], false).unwrap_err().contains("more than"));
    assert!(plain("\"bytes\"").read(&[0xfe, 0xff, 0xff, 0xff, 0x0f, 1], false).unwrap_err().contains("cut"));
    assert!(plain("\"int\"").read(&[0x80, 0x80, 0x80, 0x80, 0x20], false).unwrap_err().contains("32 bits"));
}

#[test]
fn types_of_other_texts_are_known_by_name() {
    let point = r#"{"type":"record","name":"geo.P","fields":[{"name":"x","type":"int"}]}"#.to_owned();
    let text = r#"{"type":"record","name":"A","fields":[{"name":"p","type":"geo.P"}]}"#;
    let schema = Schema::new(Language::Avro, text.as_bytes(), &[("geo.P".to_owned(), point)], (None, &[])).expect("a schema");
    assert!(matches!(schema.read(&[4], false).expect("a value").of, Of::Object(_)));
    assert!(parse(text).unwrap_err().contains("geo.P"));
}

#[test]
fn ids_before_values_say_which_schema() {
    let schemas = Readers::new(vec![(Some(1), plain("\"int\"")), (Some(258), plain("\"string\""))], false).expect("schemas");
    let value = |bytes: &[u8]| {
        let mut told = String::new();
        let read = schemas.read(bytes, |node| {
            told = format!("{:?}", node.of);
            Ok::<_, Unread>(())
        });
        read.map(|()| told)
    };
    assert!(value(&[0, 0, 0, 0, 1, 4]).unwrap().contains("\"value\", Node { text: \"\", of: Integer(2)"));
    assert!(value(&[0, 0, 0, 1, 2, 2, b'x']).unwrap().contains("Text(\"x\")"));
    let wrong = |why: &str| Unread::Wrong(why.to_owned());
    assert_eq!(value(&[0, 0, 0, 0, 9, 4]), Err(wrong("schema 9 was not given")));
    assert_eq!(value(&[1, 0, 0, 0, 1, 4]), Err(wrong("no schema id before it")));
    assert_eq!(value(&[0, 0]), Err(wrong("no schema id before it")));
}
