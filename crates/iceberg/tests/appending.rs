//! Each file once, whatever a catalog does: by simulated stores, and a catalog in memory that refuses, loses answers, and is raced for.

#[path = "../../export/tests/exports/world.rs"]
#[expect(dead_code, reason = "the tests of exports use all of it")]
mod world;

use async_trait::async_trait;
use floe_env::Env;
use floe_export::{ExportOptions, Exported, Mode};
use floe_iceberg::{Appended, Appender, IcebergError, StoreAt, offsets};
use floe_objstore::{Store, StoreOptions, StoreUrl};
use floe_records::Codec;
use floe_testkit::sim_store::{SimFaults, SimStore};
use futures::TryStreamExt;
use iceberg::memory::MemoryCatalogBuilder;
use iceberg::table::Table;
use iceberg::transaction::{ApplyTransactionAction, Transaction};
use iceberg::{Catalog, CatalogBuilder, Error, ErrorKind, Namespace, NamespaceIdent, Result, TableCommit, TableCreation, TableIdent};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use world::{World, record, run};

/// A catalog that fails so often, in per mille: before it does what it was asked to, and after.
#[derive(Debug)]
struct Flaky {
    inner: Arc<dyn Catalog>,
    env: Env,
    before: u64,
    after: u64,
}

impl Flaky {
    fn chance(&self, of: u64) -> Result<()> {
        if self.env.random_below(1000) < of { Err(Error::new(ErrorKind::Unexpected, "no answer")) } else { Ok(()) }
    }
}

#[async_trait]
impl Catalog for Flaky {
    async fn list_namespaces(&self, parent: Option<&NamespaceIdent>) -> Result<Vec<NamespaceIdent>> {
        self.inner.list_namespaces(parent).await
    }
    async fn create_namespace(&self, namespace: &NamespaceIdent, properties: HashMap<String, String>) -> Result<Namespace> {
        let made = self.inner.create_namespace(namespace, properties).await?;
        self.chance(self.after).map(|()| made)
    }
    async fn get_namespace(&self, namespace: &NamespaceIdent) -> Result<Namespace> {
        self.inner.get_namespace(namespace).await
    }
    async fn namespace_exists(&self, namespace: &NamespaceIdent) -> Result<bool> {
        self.inner.namespace_exists(namespace).await
    }
    async fn update_namespace(&self, namespace: &NamespaceIdent, properties: HashMap<String, String>) -> Result<()> {
        self.inner.update_namespace(namespace, properties).await
    }
    async fn drop_namespace(&self, namespace: &NamespaceIdent) -> Result<()> {
        self.inner.drop_namespace(namespace).await
    }
    async fn list_tables(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        self.inner.list_tables(namespace).await
    }
    async fn create_table(&self, namespace: &NamespaceIdent, creation: TableCreation) -> Result<Table> {
        self.chance(self.before)?;
        let made = self.inner.create_table(namespace, creation).await?;
        self.chance(self.after).map(|()| made)
    }
    async fn load_table(&self, table: &TableIdent) -> Result<Table> {
        self.inner.load_table(table).await
    }
    async fn drop_table(&self, table: &TableIdent) -> Result<()> {
        self.inner.drop_table(table).await
    }
    async fn purge_table(&self, table: &TableIdent) -> Result<()> {
        self.inner.purge_table(table).await
    }
    async fn table_exists(&self, table: &TableIdent) -> Result<bool> {
        self.inner.table_exists(table).await
    }
    async fn rename_table(&self, from: &TableIdent, to: &TableIdent) -> Result<()> {
        self.inner.rename_table(from, to).await
    }
    async fn register_table(&self, table: &TableIdent, metadata: String) -> Result<Table> {
        self.inner.register_table(table, metadata).await
    }
    async fn update_table(&self, commit: TableCommit) -> Result<Table> {
        self.chance(self.before)?;
        let done = self.inner.update_table(commit).await?;
        self.chance(self.after).map(|()| done)
    }
}

fn at(env: &Env, place: &str, store: &SimStore) -> StoreAt {
    let url: StoreUrl = format!("s3://lake/{place}").parse().expect("a place");
    StoreAt { url, store: Store::new(env.clone(), store.backend(), StoreOptions::default()) }
}

/// A warehouse, and the catalog that knows its tables.
struct Lake {
    warehouse: SimStore,
    catalog: Arc<dyn Catalog>,
}

impl Lake {
    async fn new(world: &World) -> Self {
        let warehouse = SimStore::new(&world.env, SimFaults::none());
        let places = Appender::places(&at(&world.env, "warehouse", &warehouse), &at(&world.env, "exported", &world.target));
        let properties = HashMap::from([("warehouse".to_owned(), "s3://lake/warehouse".to_owned())]);
        let catalog =
            MemoryCatalogBuilder::default().with_storage_factory(Arc::new(places)).load("lake", properties).await.expect("a catalog");
        Self { warehouse, catalog: Arc::new(catalog) }
    }

    async fn appender(&self, world: &World, (before, after): (u64, u64)) -> Appender {
        let env = world.env.process();
        let export = at(&env, "exported", &world.target);
        let catalog = Arc::new(Flaky { inner: self.catalog.clone(), env: env.clone(), before, after });
        let exported = Exported::find(env.clone(), export.store.clone(), "t").await.expect("exported");
        let (table, warehouse) = (table(), at(&env, "warehouse", &self.warehouse));
        Appender { env, catalog, table, warehouse, export, exported }
    }

    async fn append(&self, world: &World) -> std::result::Result<Appended, IcebergError> {
        self.appender(world, (0, 0)).await.run().await
    }

    async fn load(&self) -> Table {
        self.catalog.load_table(&table()).await.expect("a table")
    }

    /// The table's files, as a reader plans them: address and rows.
    async fn files(&self) -> Vec<(String, u64)> {
        let table = self.load().await;
        let scan = table.scan().select_empty().build().expect("a scan");
        let tasks: Vec<_> = scan.plan_files().await.expect("planned").try_collect().await.expect("planned");
        tasks.into_iter().map(|task| (task.data_file_path().to_owned(), task.record_count.unwrap_or(0))).collect()
    }

    /// Every file once; how many rows.
    async fn check(&self, when: &str) -> u64 {
        let files = self.files().await;
        let names: BTreeSet<&String> = files.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), files.len(), "{when}: a file is there twice");
        files.iter().map(|(_, rows)| rows).sum()
    }
}

fn table() -> TableIdent {
    TableIdent::from_strs(["db", "t"]).expect("a name")
}

fn count(world: &World) -> u64 {
    world.acknowledged.values().map(|records| records.len() as u64).sum()
}

fn small() -> ExportOptions {
    ExportOptions { file_bytes: 400, ..world::small_files() }
}

#[test]
fn what_is_new_is_appended_and_nothing_twice() {
    run(async {
        let mut world = World::new(1).await;
        let topic = world.topic("t", 2, &[]).await;
        for partition in [0, 1, 0] {
            world.produce_some(topic, partition, 5).await;
        }
        world.export(small()).await.expect("exported");
        let lake = Lake::new(&world).await;
        let appended = lake.append(&world).await.expect("appended");
        assert!(appended.files > 2 && appended.snapshots == 1 && appended.rows == count(&world), "{appended:?}");
        assert_eq!(lake.append(&world).await.expect("nothing to do"), Appended::default());
        let store = at(&world.env, "exported", &world.target).store;
        assert_eq!(Exported::find(world.env.clone(), store, &topic.to_string()).await.expect("by its id").topic(), topic);
        world.produce_some(topic, 1, 4).await;
        world.export(small()).await.expect("exported");
        lake.append(&world).await.expect("appended");
        assert_eq!(lake.check("later").await, count(&world));
        let next = offsets::read(lake.load().await.metadata(), topic);
        assert_eq!(next.into_iter().collect::<Vec<_>>(), [(0, 30), (1, 27)]);
    });
}

#[test]
fn racing_appenders_and_a_catalog_that_loses_answers_add_each_file_once() {
    for seed in 0..20 {
        run(async {
            let mut world = World::new(seed).await;
            let topic = world.topic("t", 3, &[]).await;
            world.produce_some(topic, 0, 1).await;
            world.export(small()).await.expect("exported");
            let lake = Lake::new(&world).await;
            for round in 0..5 {
                for partition in 0..3 {
                    world.produce_some(topic, partition, 3).await;
                }
                world.export(small()).await.expect("exported");
                let racers =
                    [lake.appender(&world, (200, 300)).await, lake.appender(&world, (100, 400)).await, lake.appender(&world, (0, 0)).await];
                // Some are stopped anywhere.
                let patience = std::time::Duration::from_millis(world.env.random_below(600));
                let (a, b, c) = (racers[0].run(), racers[1].run(), racers[2].run());
                let _in_time = Box::pin(world.env.timeout(patience, async { tokio::join!(a, b, c) })).await;
                if lake.catalog.table_exists(&table()).await.unwrap_or(false) {
                    lake.check(&format!("seed {seed}, round {round}")).await;
                }
            }
            lake.append(&world).await.expect("appended");
            assert_eq!(lake.check(&format!("seed {seed}")).await, count(&world), "seed {seed}");
        });
    }
}

async fn produce(world: &mut World, topic: floe_types::TopicId, value: &str) {
    world.produce(topic, 0, Codec::None, &[record(None, Some(value))]).await;
    world.export(ExportOptions { mode: Some(Mode::Json), ..ExportOptions::default() }).await.expect("exported");
}

#[test]
fn columns_that_come_later_get_ids_of_their_own_and_another_type_is_refused() {
    run(async {
        let mut world = World::new(3).await;
        let topic = world.topic("t", 1, &[]).await;
        produce(&mut world, topic, r#"{"id":1,"at":{"x":1},"list":[{"a":1}]}"#).await;
        let lake = Lake::new(&world).await;
        lake.append(&world).await.expect("appended");
        let first = lake.load().await.metadata().current_schema().clone();
        produce(&mut world, topic, r#"{"id":2,"at":{"x":1,"y":"t"},"more":true,"list":[{"a":1,"b":2}]}"#).await;
        lake.append(&world).await.expect("appended");
        let table = lake.load().await;
        let second = table.metadata().current_schema();
        for name in ["id", "at.x", "list.element.a", "offset"] {
            assert_eq!(first.field_id_by_name(name), second.field_id_by_name(name), "{name}");
        }
        let ids: BTreeSet<i32> =
            ["at.y", "more", "list.element.b"].iter().map(|name| second.field_id_by_name(name).expect("it is there")).collect();
        assert!(ids.len() == 3 && ids.iter().all(|id| *id > first.highest_field_id()), "{ids:?}");
        let mapping = &table.metadata().properties()["schema.name-mapping.default"];
        assert!(ids.iter().all(|id| mapping.contains(&format!("\"field-id\":{id},"))), "{mapping}");
        assert_eq!(lake.check("columns").await, 2);
        // Somebody has made a table of that name before, with an `id` that is a text.
        let other = Lake::new(&world).await;
        let text = iceberg::spec::NestedField::optional(1, "id", iceberg::spec::Type::Primitive(iceberg::spec::PrimitiveType::String));
        let schema = iceberg::spec::Schema::builder().with_fields([Arc::new(text)]).build().expect("a schema");
        other.catalog.create_namespace(table.identifier().namespace(), HashMap::new()).await.expect("made");
        let creation = TableCreation::builder().name("t".to_owned()).schema(schema).build();
        other.catalog.create_table(table.identifier().namespace(), creation).await.expect("made");
        let refused = other.append(&world).await.expect_err("refused");
        assert!(matches!(&refused, IcebergError::Column { column, .. } if column == "id"), "{refused}");
    });
}

#[test]
fn snapshots_of_others_may_lie_between() {
    run(async {
        let mut world = World::new(4).await;
        let topic = world.topic("t", 1, &[]).await;
        world.produce_some(topic, 0, 3).await;
        world.export(ExportOptions::default()).await.expect("exported");
        let lake = Lake::new(&world).await;
        lake.append(&world).await.expect("appended");
        // Another writer's, which says nothing of offsets.
        let table = lake.load().await;
        let transaction = Transaction::new(&table);
        let append = transaction.fast_append().set_snapshot_properties(HashMap::from([("by".to_owned(), "others".to_owned())]));
        append.apply(transaction).expect("applied").commit(lake.catalog.as_ref()).await.expect("committed");
        assert_eq!(lake.append(&world).await.expect("nothing to do"), Appended::default());
        assert_eq!(offsets::read(lake.load().await.metadata(), topic)[&0], 9);
    });
}

#[test]
fn an_export_with_a_file_gone_is_not_appended_as_if_it_were_whole() {
    run(async {
        let mut world = World::new(5).await;
        let topic = world.topic("t", 1, &[]).await;
        world.produce_some(topic, 0, 6).await;
        let files = world.export(small()).await.expect("exported").files;
        assert!(files > 1);
        let first = format!("{topic}/0/{:020}.parquet", 0);
        world.target.backend().delete(&first).await.expect("deleted");
        let lake = Lake::new(&world).await;
        let refused = lake.append(&world).await.expect_err("refused");
        assert!(refused.to_string().contains("partition 0 that begins at offset 0 is missing"), "{refused}");
        assert_eq!(lake.catalog.list_namespaces(None).await.expect("told"), []);
    });
}
