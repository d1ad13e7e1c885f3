//! What a target must be, and what is found in it.

use crate::world::{World, run};
use async_trait::async_trait;
use bytes::Bytes;
use floe_export::{Export, ExportError, ExportOptions, Mode};
use floe_objstore::{Backend, BackendError, ObjectInfo, Payload, Store, StoreOptions};
use floe_testkit::sim_store::SimStore;
use std::ops::Range;
use std::sync::Arc;

/// A store that takes "create only if absent" for "create".
#[derive(Debug)]
struct Overwriting(SimStore, Arc<dyn Backend>);

#[async_trait]
impl Backend for Overwriting {
    async fn create(&self, key: &str, body: Payload) -> Result<(), BackendError> {
        self.0.plant(key, body.to_bytes());
        Ok(())
    }
    async fn get(&self, key: &str) -> Result<Bytes, BackendError> {
        self.1.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BackendError> {
        self.1.get_range(key, range).await
    }
    async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        self.1.get_start(key, len).await
    }
    async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        self.1.get_tail(key, len).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>, BackendError> {
        self.1.list(prefix, after, limit).await
    }
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BackendError> {
        self.1.list_folders(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<(), BackendError> {
        self.1.delete(key).await
    }
}

#[test]
fn a_target_that_overwrites_is_refused_before_any_file() {
    run(async {
        let mut world = World::new(1).await;
        let topic = world.topic("t", 1, &[]).await;
        world.produce_some(topic, 0, 5).await;
        let env = world.env.process();
        let source = Store::new(env.clone(), world.source.backend(), StoreOptions::default());
        let target: Arc<dyn Backend> = Arc::new(Overwriting(world.target.clone(), world.target.backend()));
        let target = Store::new(env.clone(), target, StoreOptions::default());
        for _ in 0..2 {
            let export = Export::open(env.clone(), &source, "t", target.clone(), ExportOptions::default()).await.expect("opened");
            assert!(matches!(export.run(|_| {}).await, Err(ExportError::UnsafeTarget(_))));
        }
        assert!(!world.target.peek_keys("").iter().any(|key| key.ends_with(".parquet")));
    });
}

#[test]
fn an_export_goes_on_in_the_mode_that_it_began_with() {
    run(async {
        let mut world = World::new(2).await;
        let topic = world.topic("t", 1, &[]).await;
        world.produce_some(topic, 0, 5).await;
        let mode = |mode| ExportOptions { mode: Some(mode), ..ExportOptions::default() };
        world.export(mode(Mode::String)).await.expect("exported");
        assert!(matches!(world.export(mode(Mode::Raw)).await, Err(ExportError::Refused(_))));
        world.produce_some(topic, 0, 5).await;
        assert_eq!(world.export(ExportOptions::default()).await.expect("exported").rows, 15);
    });
}

#[test]
fn files_that_no_export_made_are_refused() {
    run(async {
        let mut world = World::new(3).await;
        let topic = world.topic("t", 1, &[]).await;
        world.produce_some(topic, 0, 5).await;
        for name in ["mine.parquet".to_owned(), format!("{:020}.parquet", 0)] {
            let key = format!("{topic}/0/{name}");
            world.target.plant(&key, Bytes::from_static(&[7; 100]));
            let refused = world.export(ExportOptions::default()).await.expect_err("refused");
            assert!(matches!(&refused, ExportError::Foreign { key: found, .. } if *found == key), "{refused}");
            world.target.uproot(&key);
        }
        assert_eq!(world.export(ExportOptions::default()).await.expect("exported").rows, 15);
    });
}

#[test]
fn topics_and_partitions_that_are_not_there_are_told() {
    run(async {
        let world = World::new(4).await;
        assert!(matches!(world.export(ExportOptions::default()).await, Err(ExportError::NoTopic(name)) if name == "t"));
        world.topic("t", 2, &[]).await;
        let only = |partitions| ExportOptions { partitions: Some(partitions), ..ExportOptions::default() };
        assert!(matches!(world.export(only(vec![1, 2])).await, Err(ExportError::NoPartition { partition: 2, .. })));
        assert_eq!(world.export(only(vec![1, 1])).await.expect("nothing is there").partitions, 1);
    });
}
