//! The catalog over an in-memory store: every change is in the store before it is answered, whoever else writes.

use floe_env::Env;
use floe_formats::{CatalogChange, Topic, keys};
use floe_metadata::{Catalog, MetadataError, View};
use floe_objstore::{Backend, MemoryBackend, Store, StoreOptions};
use floe_types::{BrokerId, Incarnation, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;

const ME: Incarnation = Incarnation(1);

fn world() -> (Env, Arc<MemoryBackend>) {
    (Env::real(), Arc::new(MemoryBackend::new()))
}

fn store(env: &Env, backend: &Arc<MemoryBackend>) -> Store {
    let backend: Arc<dyn Backend> = backend.clone();
    Store::new(env.clone(), backend, StoreOptions::default())
}

async fn open(env: &Env, backend: &Arc<MemoryBackend>) -> Catalog {
    Catalog::open(env.clone(), store(env, backend)).await.expect("readable")
}

fn topic(id: u128, name: &str) -> Topic {
    Topic { id: TopicId(id), name: name.into(), partitions: 1, configs: BTreeMap::new(), created_ms: 0 }
}

/// Creates the topic unless its name is taken.
async fn create(catalog: &Catalog, id: u128, name: &str) -> Result<(), String> {
    let plan = |view: &View| match view.by_name(name) {
        Some(_) => Err(format!("{name} exists")),
        None => Ok((vec![CatalogChange::CreateTopic(topic(id, name))], ())),
    };
    catalog.change(ME, plan).await.expect("the store answers")
}

fn names(view: &View) -> Vec<String> {
    view.topics().map(|topic| topic.name.clone()).collect()
}

#[tokio::test]
async fn t60_a_topic_that_was_answered_is_in_the_bucket() {
    let (env, backend) = world();
    create(&open(&env, &backend).await, 1, "a").await.expect("created");
    assert_eq!(names(&open(&env, &backend).await.view()), ["a"]);
}

#[tokio::test]
async fn t70_whoever_comes_second_rebases_and_asks_again() {
    let (env, backend) = world();
    let (first, second) = (open(&env, &backend).await, open(&env, &backend).await);
    create(&first, 1, "a").await.expect("created");
    assert_eq!(create(&second, 2, "a").await, Err("a exists".into()), "the plan is asked on the newer view");
    create(&second, 3, "b").await.expect("created");
    assert_eq!(names(&second.view()), ["a", "b"]);
    first.refresh().await.expect("readable");
    assert_eq!(names(&first.view()), ["a", "b"]);
}

#[tokio::test]
async fn t16_whoever_finds_a_newer_owners_mark_changes_nothing_any_more() {
    let (env, backend) = world();
    let (old, new) = (open(&env, &backend).await, open(&env, &backend).await);
    create(&old, 1, "a").await.expect("created");
    let newer = Incarnation(2);
    new.take(newer).await.expect("the store answers");
    assert_eq!(names(&new.view()), ["a"], "what was changed until then is taken in");
    let nothing = |_: &View| Ok::<_, String>((vec![CatalogChange::DeleteTopic { id: TopicId(1), deleted_ms: 5 }], ()));
    let refused = old.change(ME, nothing).await.expect_err("it is not its catalog any more");
    assert!(matches!(refused, MetadataError::Fenced { by } if by == newer), "{refused}");
    new.change(newer, |_| Ok::<_, String>((vec![CatalogChange::CreateTopic(topic(2, "b"))], ()))).await.expect("answers").expect("created");
    assert_eq!(names(&open(&env, &backend).await.view()), ["a", "b"]);
}

#[tokio::test]
async fn a_refusal_writes_nothing() {
    let (env, backend) = world();
    let catalog = open(&env, &backend).await;
    create(&catalog, 1, "a").await.expect("created");
    let before = backend.peek_keys("").len();
    create(&catalog, 2, "a").await.expect_err("taken");
    assert_eq!(backend.peek_keys("").len(), before);
}

#[tokio::test]
async fn a_plan_without_changes_writes_nothing_and_is_answered() {
    let (env, backend) = world();
    let catalog = open(&env, &backend).await;
    create(&catalog, 1, "a").await.expect("created");
    let before = backend.peek_keys("").len();
    let answer = catalog.change(ME, |view| Ok::<_, String>((vec![], view.topics().count()))).await.expect("the store is not asked");
    assert_eq!((answer, backend.peek_keys("").len(), catalog.view().version), (Ok(1), before, 1));
}

#[tokio::test]
async fn loading_reads_back_to_a_checkpoint_and_no_further() {
    let (env, backend) = world();
    let catalog = open(&env, &backend).await;
    for id in 1..=70 {
        create(&catalog, id, &format!("t{id:02}")).await.expect("created");
    }
    for version in 1..64 {
        backend.plant(&keys::catalog(version), None);
    }
    let reloaded = open(&env, &backend).await;
    assert_eq!((reloaded.view().version, reloaded.view().topics().count()), (70, 70));
}

#[tokio::test]
async fn settings_of_brokers_are_kept_by_broker_across_checkpoints() {
    let (env, backend) = world();
    let catalog = open(&env, &backend).await;
    let set = async |broker: Option<i32>, value: Option<&str>| {
        let change = CatalogChange::SetBrokerConfig { broker: broker.map(BrokerId), key: "k".into(), value: value.map(Into::into) };
        catalog.change(ME, |_| Ok::<_, String>((vec![change.clone()], ()))).await.expect("the store answers").expect("set");
    };
    set(None, Some("all")).await;
    for n in 0..70 {
        set(Some(1), Some(&n.to_string())).await;
    }
    set(Some(2), Some("gone")).await;
    set(Some(2), None).await;
    let view = open(&env, &backend).await.view();
    let of = |broker: Option<i32>| view.broker_configs(broker.map(BrokerId)).get("k").cloned();
    assert_eq!((of(None), of(Some(1)), of(Some(2))), (Some("all".into()), Some("69".into()), None));
}

#[tokio::test]
async fn t24_a_version_that_is_missing_is_an_error_and_not_an_empty_catalog() {
    let (env, backend) = world();
    let catalog = open(&env, &backend).await;
    create(&catalog, 1, "a").await.expect("created");
    create(&catalog, 2, "b").await.expect("created");
    backend.plant(&keys::catalog(1), None);
    let error = Catalog::open(env.clone(), store(&env, &backend)).await.expect_err("a version is missing");
    assert!(matches!(error, MetadataError::Store(_)), "{error}");
}

#[tokio::test]
async fn t29_a_deleted_topic_leaves_its_name_and_keeps_its_id_known() {
    let (env, backend) = world();
    let catalog = open(&env, &backend).await;
    create(&catalog, 1, "a").await.expect("created");
    let delete = |_: &View| Ok::<_, String>((vec![CatalogChange::DeleteTopic { id: TopicId(1), deleted_ms: 5 }], ()));
    catalog.change(ME, delete).await.expect("the store answers").expect("deleted");
    create(&catalog, 2, "a").await.expect("the name is free");
    let view = open(&env, &backend).await.view();
    assert_eq!(view.by_name("a").map(|topic| topic.id), Some(TopicId(2)));
    assert!(view.is_deleted(TopicId(1)) && !view.is_deleted(TopicId(2)));
}
