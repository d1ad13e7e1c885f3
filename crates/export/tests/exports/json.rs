//! JSON as columns: inferred, growing, and never losing what does not fit.

use crate::table::{check_offsets, files};
use crate::world::{World, export, record, run};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use floe_export::{ExportOptions, Mode};
use floe_records::Codec;
use floe_testkit::sim_store::SimFaults;
use floe_types::TopicId;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn json() -> ExportOptions {
    ExportOptions { mode: Some(Mode::Json), ..ExportOptions::default() }
}

async fn produce(world: &mut World, topic: TopicId, index: i32, values: &[&str]) {
    for value in values {
        world.produce(topic, index, Codec::None, &[record(Some("k"), Some(value))]).await;
    }
}

/// All files, each as one batch.
pub(crate) fn batches(world: &World) -> Vec<RecordBatch> {
    let keys = world.target.peek_keys("");
    let tables = keys.iter().filter(|key| key.ends_with(".parquet")).map(|key| world.target.peek(key).expect("listed"));
    let first = |bytes| ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a Parquet file").build().expect("readable").next();
    tables.map(|bytes| first(bytes).expect("it has rows").expect("sound")).collect()
}

pub(crate) fn names(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| field.name().clone()).skip(7).collect()
}

#[test]
fn fields_become_columns_of_their_types() {
    run(async {
        let mut world = World::new(1).await;
        let topic = world.topic("t", 1, &[]).await;
        let values = [
            r#"{"id": 1, "price": 2, "name": "a", "tags": ["x", null], "at": {"x": 1, "y": null}, "odd": 1}"#,
            r#"{"id": 2, "price": 2.5, "at": {"x": 3}, "odd": "1", "tags": []}"#,
            r#" {"name": "\u00e9\n", "id": null} "#,
        ];
        produce(&mut world, topic, 0, &values).await;
        world.produce(topic, 0, Codec::None, &[record(Some("k"), None)]).await;
        world.export(json()).await.expect("exported");
        let batch = batches(&world).pop().expect("a file");
        assert_eq!(names(&batch), ["id", "price", "name", "tags", "at", "odd", "_error"]);
        let column = |name: &str| batch.column_by_name(name).unwrap().clone();
        assert_eq!(column("id").as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), Some(2), None, None]);
        assert_eq!(column("price").as_primitive::<Float64Type>().iter().collect::<Vec<_>>(), [Some(2.0), Some(2.5), None, None]);
        assert_eq!(column("name").as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), None, Some("é\n"), None]);
        assert_eq!(column("odd").as_string::<i32>().iter().collect::<Vec<_>>(), [Some("1"), Some("1"), None, None]);
        assert_eq!((0..4).map(|at| column("tags").is_valid(at)).collect::<Vec<_>>(), [true, true, false, false]);
        let tags = column("tags").as_list::<i32>().value(0);
        assert_eq!(tags.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x"), None]);
        let at = column("at");
        assert_eq!(at.as_struct().column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), Some(3), None, None]);
        assert!(at.is_null(2) && column("_error").null_count() == 4);
        // The value itself is there as well.
        assert_eq!(column("value").as_string::<i32>().value(0), values[0]);
    });
}

#[test]
fn what_does_not_fit_is_kept_beside_it_and_stops_nothing() {
    run(async {
        let mut world = World::new(2).await;
        let topic = world.topic("t", 1, &[]).await;
        produce(&mut world, topic, 0, &[r#"{"id": 1}"#]).await;
        world.export(json()).await.expect("exported");
        let deep = format!("{{\"id\":{}{}}}", "[".repeat(300), "]".repeat(300));
        produce(&mut world, topic, 0, &[r#"{"id": "text"}"#, "{broken", "17", &deep, r#"{"id": 2}"#]).await;
        world.export(ExportOptions { drop_value: true, ..ExportOptions::default() }).await.expect("exported");
        let rows = files(&world.target).pop().expect("a file").rows;
        let whats: Vec<Option<String>> = rows.iter().map(|row| row.error.as_ref().map(|error| error.what.clone())).collect();
        let what = |at: usize| whats[at].as_deref().unwrap_or_default();
        assert_eq!(what(0), "id is a text, not int64");
        assert!(
            what(1).starts_with("no JSON") && what(2) == "the value is an integer, not struct" && what(3).contains("200 levels"),
            "{whats:?}"
        );
        assert_eq!(whats[4], None);
        let raw: Vec<_> = rows.iter().map(|row| row.error.as_ref().and_then(|error| error.value.clone())).collect();
        let known: Vec<_> =
            world.acknowledged[&0].values().skip(1).map(|record| record.value.as_ref().map(|value| value.to_vec())).collect();
        assert_eq!(raw[..4], known[..4]);
        // Whether values are left out was decided when the export began.
        assert!(rows.iter().all(|row| row.value.is_some()));
    });
}

#[test]
fn new_fields_get_columns_from_the_file_on_that_has_them() {
    run(async {
        let mut world = World::new(3).await;
        let topic = world.topic("t", 2, &[]).await;
        produce(&mut world, topic, 0, &[r#"{"a": 1}"#, r#"{"a": 2}"#]).await;
        let options = ExportOptions { drop_value: true, ..json() };
        world.export(options.clone()).await.expect("exported");
        produce(&mut world, topic, 0, &[r#"{"a": 3, "b": {"x": 1}}"#, r#"{"b": {"y": 2}}"#]).await;
        produce(&mut world, topic, 1, &[r#"{"c": true}"#]).await;
        world.export(options).await.expect("exported");
        check_offsets(&world.target, &world.acknowledged);
        let all: Vec<Vec<String>> = batches(&world).iter().map(names).collect();
        assert_eq!(all[0], ["a", "_error"]);
        // The partitions share what there is, in whichever order they came.
        let last: std::collections::BTreeSet<&String> = all.iter().flatten().collect();
        assert_eq!(last.into_iter().collect::<Vec<_>>(), ["_error", "a", "b", "c"]);
        let rows: Vec<_> = files(&world.target).into_iter().flat_map(|file| file.rows).collect();
        assert!(rows.iter().all(|row| row.error.is_none() && row.value.is_none()), "all of every value is in columns");
    });
}

#[test]
fn a_new_field_in_the_middle_of_much_ends_a_file_and_loses_nothing() {
    run(async {
        let mut world = World::new(4).await;
        let topic = world.topic("t", 1, &[]).await;
        let filler = "x".repeat(400 << 10);
        for n in 0..30 {
            let more = if n % 13 == 12 { format!(",\"f{n}\":1") } else { String::new() };
            produce(&mut world, topic, 0, &[&format!("{{\"n\":{n},\"filler\":\"{filler}\"{more}}}")]).await;
        }
        let report = world.export(ExportOptions { drop_value: true, ..json() }).await.expect("exported");
        assert_eq!(report.rows, 30);
        check_offsets(&world.target, &world.acknowledged);
        let rows: Vec<_> = files(&world.target).into_iter().flat_map(|file| file.rows).collect();
        assert!(rows.iter().all(|row| row.error.is_none()));
        assert_eq!(batches(&world).last().map(names).expect("a file"), ["n", "filler", "f12", "f25", "_error"]);
    });
}

#[test]
fn too_many_columns_are_told_by_row_and_files_stay_few() {
    run(async {
        let mut world = World::new(5).await;
        let topic = world.topic("t", 1, &[]).await;
        for n in 0..60 {
            let fields: Vec<String> = (0..100).map(|at| format!("\"f{}\":1", n * 100 + at)).collect();
            produce(&mut world, topic, 0, &[&format!("{{{}}}", fields.join(","))]).await;
        }
        let report = world.export(json()).await.expect("exported");
        assert!(report.files < 5, "{report:?}");
        let rows: Vec<_> = files(&world.target).into_iter().flat_map(|file| file.rows).collect();
        let refused: Vec<_> = rows.iter().filter_map(|row| row.error.as_ref()).collect();
        assert_eq!((rows.len(), refused.len()), (60, 50));
        assert!(refused.iter().all(|error| error.what.contains("has no column") && error.value.is_some()));
    });
}

#[test]
fn racing_exporters_agree_on_columns() {
    run(async {
        for seed in 0..10 {
            let mut world = World::new(100 + seed).await;
            let topic = world.topic("t", 3, &[]).await;
            for index in 0..3 {
                for n in 0..12 {
                    produce(&mut world, topic, index, &[&format!("{{\"f{index}\":{n},\"g{n}\":\"{}\"}}", "x".repeat(100))]).await;
                }
            }
            world.target.set_faults(SimFaults { way_ms: 1..40, ..SimFaults::none() });
            let options = ExportOptions { file_bytes: 2_000, ..json() };
            let racer = || export(world.env.process(), world.source.clone(), world.target.clone(), options.clone());
            let (a, b) = tokio::join!(racer(), racer());
            assert_eq!(a.expect("exported").rows + b.expect("exported").rows, 36);
            check_offsets(&world.target, &world.acknowledged);
            let schemas: Vec<String> = world.target.peek_keys("_floe").into_iter().filter(|key| key.contains("/schema/")).collect();
            assert!(schemas.iter().enumerate().all(|(at, key)| key.ends_with(&format!("{:08}.json", at + 1))), "{schemas:?}");
        }
    });
}
