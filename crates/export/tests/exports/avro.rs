//! Avro as columns: by one schema, by ids, growing, and never losing what does not fit.

use crate::json::{batches, names};
use crate::table::{check_offsets, files};
use crate::world::{World, record, run};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type, Int64Type};
use bytes::Bytes;
use floe_export::{ExportError, ExportOptions, Mode};
use floe_records::{Codec, Record};
use floe_types::TopicId;

const FIRST: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"note","type":["null","string"]}]}"#;
const SECOND: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"price","type":
    {"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},{"name":"count","type":"int"}]}"#;

fn avro(schemas: &[(Option<u32>, &str)]) -> ExportOptions {
    let schemas = schemas.iter().map(|(id, text)| (*id, text.as_bytes().to_vec())).collect();
    ExportOptions { mode: Some(Mode::Avro), schemas, ..ExportOptions::default() }
}

async fn produce(world: &mut World, topic: TopicId, values: &[&[u8]]) {
    let records: Vec<Record> =
        values.iter().map(|value| Record { value: Some(Bytes::copy_from_slice(value)), ..record(Some("k"), None) }).collect();
    world.produce(topic, 0, Codec::None, &records).await;
}

#[test]
fn values_of_one_schema_become_columns_and_truncated_ones_are_kept() {
    run(async {
        let mut world = World::new(1).await;
        let topic = world.topic("t", 1, &[]).await;
        let broken: &[u8] = &[2, 2, 200, 1, b'x'];
        produce(&mut world, topic, &[&[2, 0], &[4, 2, 4, b'h', b'i'], broken, &[]]).await;
        world.produce(topic, 0, Codec::None, &[record(Some("k"), None)]).await;
        world.export(ExportOptions { drop_value: true, ..avro(&[(None, FIRST)]) }).await.expect("exported");
        let batch = batches(&world).pop().expect("a file");
        assert_eq!(names(&batch), ["id", "note", "_error"]);
        assert_eq!(batch.column(7).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), Some(2), None, None, None]);
        assert_eq!(batch.column(8).as_string::<i32>().iter().collect::<Vec<_>>(), [None, Some("hi"), None, None, None]);
        let rows = files(&world.target).pop().expect("a file").rows;
        let error = rows[2].error.as_ref().expect("it is cut");
        assert!(error.what.contains("it is cut at byte 4"), "{}", error.what);
        assert_eq!((error.value.as_deref(), rows[2].value.as_deref()), (Some(broken), Some(broken)));
        assert!(rows[3].error.is_some() && rows[0].value.is_none() && rows[4].error.is_none());
    });
}

#[test]
fn schemas_by_id_share_one_table_that_grows() {
    run(async {
        let mut world = World::new(2).await;
        let topic = world.topic("t", 1, &[]).await;
        let with_id = |id: u8, datum: &[u8]| [&[0, 0, 0, 0, id], datum].concat();
        produce(&mut world, topic, &[&with_id(1, &[2, 0]), &with_id(7, &[2])]).await;
        world.export(avro(&[(Some(1), FIRST)])).await.expect("exported");
        produce(&mut world, topic, &[&with_id(1, &[4, 2, 2, b'n']), &with_id(2, &[6, 2, 0x85, 8])]).await;
        world.export(avro(&[(Some(1), FIRST), (Some(2), SECOND)])).await.expect("exported");
        let all = batches(&world);
        assert_eq!(
            all.iter().map(names).collect::<Vec<_>>(),
            [vec!["id", "note", "_error"], vec!["id", "note", "price", "count", "_error"]]
        );
        let column = |name: &str| all[1].column_by_name(name).unwrap().clone();
        assert_eq!(column("id").as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(2), Some(3)]);
        assert_eq!(column("price").as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(), [None, Some(-123)]);
        assert_eq!(column("count").as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [None, Some(4)]);
        check_offsets(&world.target, &world.acknowledged);
        let unknown = files(&world.target)[0].rows[1].error.clone().expect("its schema was not given");
        assert_eq!(unknown.what, "schema 7 was not given");
    });
}

#[test]
fn an_export_of_avro_without_a_schema_is_refused_before_it_begins() {
    run(async {
        let mut world = World::new(3).await;
        let topic = world.topic("t", 1, &[]).await;
        produce(&mut world, topic, &[&[2, 0]]).await;
        for schemas in [&[][..], &[(None, "{")], &[(None, FIRST), (None, SECOND)]] {
            let refused = world.export(avro(schemas)).await.expect_err("refused");
            assert!(matches!(&refused, ExportError::Refused(why) if why.starts_with("--schema")), "{refused}");
            assert!(world.target.peek_keys("").is_empty(), "nothing is decided yet");
        }
    });
}
