//! Schemas and values of Protocol Buffers, byte for byte.

use super::*;
use crate::decode::fields::Field;
use crate::decode::json::Of;
use proptest::prelude::*;

const ORDER: &str = r#"
// An order. /* no comment begins here */
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
option java_package = "a;b}";
message Order {
  /* all kinds */
  int64 id = 1;
  optional string note = 2 [deprecated = true, json_name = "n]"];
  repeated sint32 counts = 3;
  map<string, Item> items = 4;
  Kind kind = 5;
  google.protobuf.Timestamp at = 6;
  oneof paid { double cash = 7; Card card = 8; }
  uint64 big = 9;
  message Card { bytes number = 1; message Deep { bool is = 1; } }
  reserved 20 to 30, 40;
  reserved "old";
  google.protobuf.Int32Value maybe = 10;
}
enum Kind { option allow_alias = true; NONE = 0; FIRST = 1; LOWEST = -1; }
message Item { float price = 1; Order.Card card = 2; Item other = 3; }
service Orders { rpc Get(Order) returns (Item) { option (x) = { a: 1 }; } }
"#;

fn order() -> Proto {
    Proto::new(ORDER.as_bytes(), &[], None).unwrap()
}

fn column(proto: &Proto, name: &str) -> Type {
    let Type::Struct(fields) = proto.to_type().unwrap() else { panic!("an order has fields") };
    fields.into_iter().find(|field| field.name == name).map(|field| field.of).unwrap()
}

fn of<'a>(node: &'a Node<'a>, name: &str) -> &'a Of<'a> {
    let Of::Object(entries) = &node.of else { panic!("{node:?} is no object") };
    &entries.iter().find(|(known, _)| known == name).unwrap().1.of
}

/// A field of counted bytes.
fn counted(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

#[test]
fn a_schema_becomes_columns() {
    let proto = order();
    assert_eq!(column(&proto, "id"), Type::Int64);
    assert_eq!(column(&proto, "counts"), Type::List(Box::new(Type::Int32)));
    assert_eq!((column(&proto, "kind"), column(&proto, "at"), column(&proto, "maybe")), (Type::String, Type::TimestampMicros, Type::Int32));
    assert_eq!(column(&proto, "big"), Type::Decimal { precision: 20, scale: 0 });
    let Type::Map(item) = column(&proto, "items") else { panic!("a map") };
    let Type::Struct(fields) = *item else { panic!("of items") };
    let names: Vec<_> = fields.iter().map(|Field { name, of, .. }| (name.as_str(), of.name())).collect();
    // An item within an item would be columns without end.
    assert_eq!(names, [("price", "float"), ("card", "struct"), ("other", "bytes")]);
}

#[test]
fn values_are_read_as_their_schema_says() {
    let proto = order();
    let item = [&[0x0d][..], &1.5_f32.to_le_bytes(), &counted(3, &[0x0d])].concat();
    let value = [
        vec![0x08, 0x96, 0x01],
        counted(3, &[1, 2, 3]),
        vec![0x18, 4],
        counted(4, &[counted(1, b"k"), counted(2, &item)].concat()),
        vec![0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        counted(6, &[0x08, 2, 0x10, 0xd0, 0x0f]),
        counted(8, &counted(1, b"\xff")),
        vec![0x48, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ]
    .concat();
    let node = proto.read(&value).unwrap();
    assert_eq!((of(&node, "id"), of(&node, "note"), of(&node, "cash")), (&Of::Integer(150), &Of::Null, &Of::Null));
    let Of::List(counts) = of(&node, "counts") else { panic!("a list") };
    assert_eq!(
        counts.iter().map(|count| &count.of).collect::<Vec<_>>(),
        [&Of::Integer(-1), &Of::Integer(1), &Of::Integer(-2), &Of::Integer(2)]
    );
    assert_eq!((of(&node, "kind"), of(&node, "at")), (&Of::Text("LOWEST".into()), &Of::Integer(2_000_002)));
    assert_eq!((of(&node, "big"), of(&node, "maybe")), (&Of::Decimal(u64::MAX.into()), &Of::Null));
    let Of::Object(items) = of(&node, "items") else { panic!("a map") };
    assert_eq!((&*items[0].0, of(&items[0].1, "price"), of(&items[0].1, "other")), ("k", &Of::Number(1.5), &Of::Bytes(&[0x0d])));
    let Of::Object(card) = of(&node, "card") else { panic!("a message") };
    assert_eq!(card[0].1.of, Of::Bytes(b"\xff"));
    // Nothing at all is an order with nothing in it: what has no presence of its own is zero.
    let empty = proto.read(&[]).unwrap();
    assert_eq!((of(&empty, "id"), of(&empty, "kind"), of(&empty, "at")), (&Of::Integer(0), &Of::Text("NONE".into()), &Of::Null));
}

#[test]
fn a_value_behind_indexes_is_of_the_message_that_they_name() {
    let proto = order();
    for (indexes, place) in
        [(&[0][..], vec![0]), (&[2, 0], vec![0]), (&[4, 0, 0], vec![0, 0]), (&[6, 0, 0, 0], vec![0, 0, 0]), (&[2, 2], vec![1])]
    {
        assert_eq!(indexes_of(indexes), (place, vec![7]));
    }
    let item = proto.read_indexed(&[2, 2, 0x0d, 0, 0, 0xc0, 0x3f]).unwrap();
    assert_eq!(of(&item, "price"), &Of::Number(1.5));
    let deep = proto.read_indexed(&[6, 0, 0, 0, 8, 1]).unwrap();
    assert_eq!(of(&deep, "is"), &Of::Boolean(true));
    for wrong in [&[2, 4][..], &[4, 0, 2], &[1], &[200, 1], &[], &[4, 0]] {
        proto.read_indexed(wrong).expect_err("no such message");
    }
}

fn indexes_of(bytes: &[u8]) -> (Vec<usize>, Vec<u8>) {
    let all = [bytes, &[7]].concat();
    let (path, rest) = read::indexes(&all).unwrap();
    (path, rest.to_vec())
}

#[test]
fn what_contradicts_its_schema_is_told() {
    let proto = order();
    for (value, why) in [
        (&[0x08][..], "cut"),
        (&[0x0a, 1, 0], "another type"),
        (&[0x12, 2, 0xff, 0xff], "UTF-8"),
        (&[0x12, 9, 0], "cut"),
        (&[0xa0, 0x06, 1], "field 100 is not in it"),
        (&[0x0b], "wire type 3"),
        (&[0x00], "no number"),
        (&[0x42, 0, 0x42, 0], "twice"),
    ] {
        let error = proto.read(value).expect_err(why);
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn what_is_no_schema_is_refused() {
    let refused = |text: &str| Proto::new(text.as_bytes(), &[], None).map(|proto| proto.to_type()).and_then(|of| of).unwrap_err();
    for (text, why) in [
        ("message A { B b = 1; }", "there is no type B"),
        ("message A { int32 a = 0; }", "number"),
        ("message A { int32 a = 1 }", "; should be"),
        ("message A {", "line 1"),
        ("?", "begins so"),
        ("message A { group G = 1 {} }", "groups"),
        ("syntax = \"proto3\";", "no message"),
        ("message A { string s = 1; } /* ", "comment"),
    ] {
        let error = refused(text);
        assert!(error.contains(why), "{text}: {error}");
    }
    // Twice as many at each level.
    let doubling: String = (0..30).map(|n| format!("message M{n} {{ M{} a = 1; M{} b = 2; }}\n", n + 1, n + 1)).collect();
    assert!(refused(&format!("{doubling} message M30 {{ int32 a = 1; }}")).contains("parts"));
    let deep: String = (0..150).map(|n| format!("message M{n} {{ M{} a = 1; }}\n", n + 1)).collect();
    assert!(refused(&format!("{deep} message M150 {{ int32 a = 1; }}")).contains("levels"));
    assert!(refused(&"message A { ".repeat(200)).contains("levels"));
}

#[test]
fn imports_are_looked_up_by_what_was_given_with_it() {
    let main = "import \"b.proto\"; package a; message A { b.B of = 1; }";
    let other = "package b; message B { optional int32 n = 1; } message C {}";
    let proto = Proto::new(main.as_bytes(), &[("b.proto".to_owned(), other.to_owned())], None).unwrap();
    assert_eq!(proto.read(&[0x0a, 2, 8, 5]).unwrap(), proto.read_indexed(&[0, 0x0a, 2, 8, 5]).unwrap());
    assert!(Proto::new(main.as_bytes(), &[], None).unwrap_err().contains("b.B"));
    let named = Proto::new(main.as_bytes(), &[("b.proto".to_owned(), other.to_owned())], Some("b.B")).unwrap();
    assert_eq!(of(&named.read(&[8, 5]).unwrap(), "n"), &Of::Integer(5));
}

#[test]
fn a_descriptor_set_is_the_same_schema() {
    // message A { map<string, sint64> m = 1; optional E e = 2; } enum E { X = 0; Y = 3; }, proto3.
    let field = |name: &[u8], number: u8, label: u8, kind: u8, more: &[u8]| {
        [counted(1, name), vec![0x18, number, 0x20, label, 0x28, kind], more.to_vec()].concat()
    };
    let entry = [
        counted(1, b"MEntry"),
        counted(2, &field(b"key", 1, 1, 9, &[])),
        counted(2, &field(b"value", 2, 1, 18, &[])),
        counted(7, &[0x38, 1]),
    ]
    .concat();
    let message = [
        counted(1, b"A"),
        counted(2, &field(b"m", 1, 3, 11, &counted(6, b".p.A.MEntry"))),
        counted(2, &field(b"e", 2, 1, 14, &[counted(6, b".p.E"), vec![0x48, 0, 0x88, 1, 1]].concat())),
        counted(3, &entry),
    ]
    .concat();
    let symbol = |name: &[u8], number: u8| counted(2, &[counted(1, name), vec![0x10, number]].concat());
    let enumeration = [counted(1, b"E"), symbol(b"X", 0), symbol(b"Y", 3)].concat();
    let file = [counted(1, b"p.proto"), counted(2, b"p"), counted(4, &message), counted(5, &enumeration), counted(12, b"proto3")].concat();
    let len = u8::try_from(file.len() & 0x7f).unwrap() | 0x80;
    let set = [&[0x0a, len, u8::try_from(file.len() >> 7).unwrap()][..], &file].concat();
    let proto = Proto::new(&set, &[], Some("p.A")).unwrap();
    let text = "syntax = \"proto3\"; package p; message A { map<string, sint64> m = 1; optional E e = 2; } enum E { X = 0; Y = 3; }";
    let same = Proto::new(text.as_bytes(), &[], None).unwrap();
    assert_eq!(proto.to_type(), same.to_type());
    let value = [counted(1, &[counted(1, b"k"), vec![0x10, 5]].concat()), vec![0x10, 3]].concat();
    assert_eq!(proto.read(&value), same.read(&value));
    assert_eq!(of(&proto.read(&value).unwrap(), "e"), &Of::Text("Y".into()));
    // As registries have a file that Confluent's Python client has registered.
    let registered = BASE64.encode(&file);
    assert_eq!(Proto::new(registered.as_bytes(), &[], None).unwrap().read(&value), same.read(&value));
    let importing = "import \"p.proto\"; package q; message B { p.A a = 1; }";
    let imported = Proto::new(importing.as_bytes(), &[("p.proto".to_owned(), registered)], None).unwrap();
    let wrapped = counted(1, &value);
    let of_b = imported.read(&wrapped).unwrap();
    assert!(matches!(of(&of_b, "a"), Of::Object(entries) if entries.len() == 2), "{of_b:?}");
    assert!(Proto::new(&set[..set.len() - 3], &[], None).is_err() && Proto::new(&[0], &[], None).is_err());
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_reading_ends_and_says_why(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "[a-z{}=;0-9 \"<>,.\\[\\]/*]{0,60}") {
        let proto = order();
        let _read = (proto.read(&bytes), proto.read_indexed(&bytes), Proto::new(&bytes, &[], None));
        let _parsed = (text::parse(&text), text::parse(&format!("message A {{ {text}")));
    }
}
