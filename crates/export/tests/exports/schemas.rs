//! Schemas by a registry, and by files of Protocol Buffers and JSON Schema: columns come with the values that need them, and what has no
//! schema is kept.

use crate::json::{batches, names};
use crate::table::{check_offsets, files};
use crate::world::{World, record, run};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use async_trait::async_trait;
use bytes::Bytes;
use floe_export::{Answer, ExportError, ExportOptions, Folders, Mode, RegistryClient};
use floe_records::{Codec, Record};
use floe_types::TopicId;
use parking_lot::Mutex;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A registry; None: nobody is there.
#[derive(Debug, Default)]
struct Registry(Mutex<(Option<BTreeMap<u32, serde_json::Value>>, u32)>);

#[async_trait]
impl RegistryClient for Registry {
    async fn get(&self, path: &str) -> Result<Answer, String> {
        let mut registry = self.0.lock();
        registry.1 += 1;
        let known = registry.0.as_ref().ok_or("connection refused")?;
        let found = path.strip_prefix("/schemas/ids/").and_then(|id| known.get(&id.parse().ok()?));
        Ok(found.map_or(Answer { status: 404, body: Bytes::new() }, |body| Answer { status: 200, body: body.to_string().into() }))
    }
}

impl Registry {
    fn of(schemas: &[(u32, &str, &str)]) -> Arc<Self> {
        let known = schemas.iter().map(|(id, kind, text)| (*id, json!({"schema": text, "schemaType": kind})));
        Arc::new(Self(Mutex::new((Some(known.collect()), 0))))
    }
}

fn by(mode: Mode, registry: &Arc<Registry>) -> ExportOptions {
    ExportOptions { mode: Some(mode), registry: Some(registry.clone()), ..ExportOptions::default() }
}

fn with_id(id: u8, value: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, id], value].concat()
}

async fn produce(world: &mut World, topic: TopicId, values: &[Vec<u8>]) {
    for value in values {
        let one = Record { value: Some(Bytes::copy_from_slice(value)), ..record(Some("k"), None) };
        world.produce(topic, 0, Codec::None, &[one]).await;
    }
}

fn errors(world: &World) -> Vec<Option<String>> {
    files(&world.target).into_iter().flat_map(|file| file.rows).map(|row| row.error.map(|error| error.what)).collect()
}

const FIRST: &str = r#"{"type":"record","name":"A","fields":[{"name":"id","type":"long"}]}"#;
const SECOND: &str = r#"{"type":"record","name":"A","fields":[{"name":"id","type":"long"},{"name":"note","type":"string"}]}"#;

#[test]
fn avro_by_a_registry_grows_with_its_ids_and_keeps_what_has_none() {
    run(async {
        let mut world = World::new(1).await;
        let topic = world.topic("t", 1, &[]).await;
        let registry = Registry::of(&[(1, "AVRO", FIRST), (2, "AVRO", SECOND), (3, "AVRO", "{")]);
        let values = [
            with_id(1, &[2]),
            with_id(1, &[4]),
            with_id(2, &[6, 2, b'n']),
            with_id(9, &[2]),
            with_id(3, &[2]),
            with_id(1, &[]),
            vec![1, 2],
        ];
        produce(&mut world, topic, &values).await;
        world.export(by(Mode::Avro, &registry)).await.expect("exported");
        check_offsets(&world.target, &world.acknowledged);
        assert!(batches(&world).iter().all(|batch| names(batch) == ["id", "note", "_error"]), "the first look saw both");
        let errors = errors(&world);
        let is = |at: usize, why: &str| errors[at].as_deref().is_some_and(|what| what.contains(why));
        assert!(errors[..3].iter().all(Option::is_none), "{errors:?}");
        assert!(
            is(3, "schema 9: the registry does not have it") && is(4, "schema 3:") && is(5, "cut") && is(6, "no schema id"),
            "{errors:?}"
        );
        let raw: Vec<_> = files(&world.target).into_iter().flat_map(|file| file.rows).filter_map(|row| row.error?.value).collect();
        assert_eq!(raw, values[3..]);
        // The first look at the registry, one for each id, and those that failed once more: the file was begun again with room for its columns.
        assert_eq!(registry.0.lock().1, 7);
    });
}

#[test]
fn an_id_that_comes_later_ends_the_file_that_has_no_column_for_it() {
    run(async {
        let mut world = World::new(2).await;
        let topic = world.topic("t", 1, &[]).await;
        let registry = Registry::of(&[(1, "AVRO", FIRST), (2, "AVRO", SECOND)]);
        let mut values: Vec<Vec<u8>> = (0..3).map(|n| with_id(1, &[n * 2])).collect();
        // More than what is looked at before a file is begun.
        values.extend((0..5).map(|_| [&[7], vec![0; 2 << 20].as_slice()].concat()));
        values.extend([with_id(2, &[6, 2, b'n']), with_id(1, &[8])]);
        produce(&mut world, topic, &values).await;
        world.export(by(Mode::Avro, &registry)).await.expect("exported");
        check_offsets(&world.target, &world.acknowledged);
        let all: Vec<Vec<String>> = batches(&world).iter().map(names).collect();
        assert_eq!(all, [vec!["id", "_error"], vec!["id", "note", "_error"]]);
        assert_eq!(errors(&world).iter().flatten().count(), 5);
    });
}

#[test]
fn a_registry_that_is_silent_stops_nothing_that_has_begun() {
    run(async {
        let mut world = World::new(3).await;
        let topic = world.topic("t", 1, &[]).await;
        produce(&mut world, topic, &[with_id(1, &[2])]).await;
        let registry = Registry::of(&[(1, "AVRO", FIRST)]);
        world.export(by(Mode::Avro, &registry)).await.expect("exported");
        // Not there when an export begins: nothing is written.
        let known = registry.0.lock().0.take();
        produce(&mut world, topic, &[with_id(1, &[4]), with_id(1, &[6])]).await;
        assert!(matches!(world.export(by(Mode::Avro, &registry)).await, Err(ExportError::Registry(_))));
        assert_eq!(files(&world.target).len(), 1);
        // Gone after its first answer: rows keep their bytes.
        #[derive(Debug)]
        struct Once(Mutex<bool>);
        #[async_trait]
        impl RegistryClient for Once {
            async fn get(&self, _: &str) -> Result<Answer, String> {
                let is_first = std::mem::take(&mut *self.0.lock());
                if is_first { Ok(Answer { status: 404, body: Bytes::new() }) } else { Err("connection refused".to_owned()) }
            }
        }
        let once: Arc<dyn RegistryClient> = Arc::new(Once(Mutex::new(true)));
        world.export(ExportOptions { registry: Some(once), ..by(Mode::Avro, &registry) }).await.expect("exported");
        assert!(errors(&world)[1..].iter().all(|what| what.as_deref().is_some_and(|what| what.contains("cannot be reached"))));
        registry.0.lock().0 = known;
        produce(&mut world, topic, &[with_id(1, &[8])]).await;
        world.export(by(Mode::Avro, &registry)).await.expect("exported");
        assert_eq!(errors(&world).last(), Some(&None));
        check_offsets(&world.target, &world.acknowledged);
    });
}

const PROTO: &str = "syntax = \"proto3\"; message A { int32 n = 1; message In { string s = 1; } } message B { repeated int64 many = 2; }";

#[test]
fn protobuf_by_a_registry_has_the_columns_of_the_messages_that_come() {
    run(async {
        let mut world = World::new(4).await;
        let topic = world.topic("t", 1, &[]).await;
        let registry = Registry::of(&[(5, "PROTOBUF", PROTO)]);
        let values = [with_id(5, &[0, 8, 7]), with_id(5, &[4, 0, 0, 10, 1, b'x']), with_id(5, &[6, 1]), with_id(5, &[0, 8])];
        produce(&mut world, topic, &values).await;
        world.export(ExportOptions { drop_value: true, ..by(Mode::Protobuf, &registry) }).await.expect("exported");
        let batch = batches(&world).pop().expect("a file");
        assert_eq!(names(&batch), ["n", "s", "_error"]);
        assert_eq!(batch.column_by_name("n").unwrap().as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(7), None, None, None]);
        assert_eq!(batch.column_by_name("s").unwrap().as_string::<i32>().iter().collect::<Vec<_>>(), [None, Some("x"), None, None]);
        produce(&mut world, topic, &[with_id(5, &[2, 2, 18, 2, 3, 4])]).await;
        world.export(by(Mode::Protobuf, &registry)).await.expect("exported");
        assert_eq!(names(&batches(&world)[1]), ["n", "s", "many", "_error"]);
        let errors = errors(&world);
        assert!(errors[2].is_some() && errors[3].as_ref().is_some_and(|what| what.contains("cut")) && errors[4].is_none(), "{errors:?}");
        check_offsets(&world.target, &world.acknowledged);
    });
}

#[test]
fn protobuf_by_a_file_needs_no_registry() {
    run(async {
        let mut world = World::new(5).await;
        let topic = world.topic("t", 1, &[]).await;
        produce(&mut world, topic, &[vec![18, 2, 3, 4], vec![], vec![18, 9]]).await;
        let options = |message: Option<&str>, text: &str| ExportOptions {
            mode: Some(Mode::Protobuf),
            schemas: vec![(None, text.as_bytes().to_vec())],
            message: message.map(str::to_owned),
            ..ExportOptions::default()
        };
        for (message, text) in [(Some("C"), PROTO), (None, "message {"), (None, "")] {
            assert!(matches!(world.export(options(message, text)).await, Err(ExportError::Refused(why)) if why.starts_with("--schema")));
        }
        assert!(world.target.peek_keys("").is_empty(), "nothing is decided yet");
        world.export(options(Some("B"), PROTO)).await.expect("exported");
        let batch = batches(&world).pop().expect("a file");
        assert_eq!(names(&batch), ["many", "_error"]);
        let many = batch.column_by_name("many").unwrap().as_list::<i32>().value(0);
        assert_eq!(many.as_primitive::<Int64Type>().values(), &[3, 4]);
        assert_eq!(errors(&world).iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true]);
    });
}

#[test]
fn json_schema_says_which_columns_there_are() {
    run(async {
        let mut world = World::new(6).await;
        let topic = world.topic("t", 1, &[]).await;
        let schema = r#"{"properties":{"id":{"type":"integer"},"date":{"type":"string"},"never":{"type":"boolean"}}}"#;
        let values = [r#"{"id":1,"date":"x"}"#, r#"{"id":"text"}"#, r#"{"id":2,"more":1.5}"#];
        produce(&mut world, topic, &values.map(|value| value.as_bytes().to_vec())).await;
        let plain = ExportOptions {
            mode: Some(Mode::Json),
            schemas: vec![(None, schema.into())],
            folders: Some(Folders::Date),
            ..ExportOptions::default()
        };
        world.export(plain).await.expect("exported");
        let batch = batches(&world).pop().expect("a file");
        // In folders of days engines take `date` from the folder.
        assert_eq!(names(&batch), ["value_date", "id", "never", "more", "_error"]);
        assert_eq!(errors(&world), [None, Some("id is a text, not int64".to_owned()), None]);
    });
}

#[test]
fn json_by_a_registry_is_text_behind_an_id() {
    run(async {
        let mut world = World::new(7).await;
        let topic = world.topic("t", 1, &[]).await;
        let registry = Registry::of(&[(200, "JSON", r#"{"properties":{"id":{"type":"number"}}}"#)]);
        let values = [with_id(200, br#"{"id":1}"#), with_id(200, b"{"), br#"{"id":2}"#.to_vec()];
        produce(&mut world, topic, &values).await;
        world.export(by(Mode::Json, &registry)).await.expect("exported");
        let rows = files(&world.target).pop().expect("a file").rows;
        let texts: Vec<_> = rows.iter().map(|row| row.value.clone().map(|value| String::from_utf8(value).expect("text"))).collect();
        assert_eq!(texts, [r#"{"id":1}"#, "{", r#"{"id":2}"#].map(|text| Some(text.to_owned())));
        assert_eq!(names(&batches(&world)[0]), ["id", "_error"]);
        assert_eq!(rows[1].error.as_ref().and_then(|error| error.value.clone()), Some(values[1].clone()));
        assert!(rows[2].error.as_ref().is_some_and(|error| error.what == "no schema id before it"));
        let refused = world.export(ExportOptions::default()).await.expect_err("refused");
        assert!(matches!(&refused, ExportError::Refused(why) if why.contains("--registry")), "{refused}");
    });
}
