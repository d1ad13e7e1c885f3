//! Real etcd, as Debian packages it (`etcd-server`; `cargo xtask test` installs it). Without it these tests are skipped, and say so.

mod server;

use floe_env::Env;
use floe_metadata::cluster::conformance::conforms;
use floe_metadata::cluster::{BackendError, Cluster, ClusterError, ClusterOptions};
use floe_types::Incarnation;
use server::Servers;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_conforms() {
    let env = Env::real();
    let Some(servers) = Servers::started(&env, 1).await else { return };
    conforms(&env, &servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t20_without_a_quorum_nothing_changes_and_afterwards_everything_goes_on() {
    let env = Env::real();
    let Some(servers) = Servers::started(&env, 3).await else { return };
    let options = ClusterOptions { deadline: Duration::from_secs(3), ..ClusterOptions::default() };
    let cluster = Cluster::new(env.clone(), servers.client(), options);
    assert_eq!(cluster.announce_catalog(1).await, Ok(1));
    let mut watch = cluster.watch().await.unwrap();
    servers.stop_member(0).await;
    let patient =
        Cluster::new(env.clone(), servers.client(), ClusterOptions { deadline: Duration::from_secs(30), ..ClusterOptions::default() });
    assert_eq!(patient.announce_catalog(2).await, Ok(2), "two of three are a quorum");
    servers.stop_member(1).await;
    for _ in 0..2 {
        let answer = cluster.announce_catalog(3).await;
        assert!(matches!(answer, Err(ClusterError::Unavailable { .. })), "{answer:?}");
    }
    servers.start_member(1).await;
    assert_eq!(patient.announce_catalog(4).await, Ok(4));
    servers.start_member(0).await;
    while watch.view().catalog() != 4 {
        match watch.next().await {
            Ok(_) | Err(ClusterError::Unavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(patient.greatest_incarnation().await, Ok(Incarnation(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_given_up_and_found_again() {
    let env = Env::real();
    let Some(servers) = Servers::started(&env, 1).await else { return };
    let options =
        ClusterOptions { attempt_timeout: Duration::from_millis(500), deadline: Duration::from_secs(2), ..ClusterOptions::default() };
    let cluster = Cluster::new(env.clone(), servers.client(), options);
    assert_eq!(cluster.announce_catalog(1).await, Ok(1));
    servers.signal(0, "STOP").await;
    let begun = env.monotonic();
    let answer = cluster.announce_catalog(2).await;
    assert!(matches!(answer, Err(ClusterError::Unavailable { .. })), "{answer:?}");
    assert!(env.monotonic() - begun < Duration::from_secs(4));
    servers.signal(0, "CONT").await;
    let patient = Cluster::new(env.clone(), servers.client(), ClusterOptions::default());
    assert_eq!(patient.announce_catalog(2).await, Ok(2));
}

/// etcd closes a connection that is pinged more often than every five seconds, and with it every watch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_of_what_does_not_change_is_left_open() {
    let env = Env::real();
    let Some(servers) = Servers::started(&env, 1).await else { return };
    let mut watching = servers.client().watch("/nothing/", 1).await.unwrap();
    let told = env.timeout(Duration::from_secs(25), watching.next()).await;
    assert!(told.is_err(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lags_behind_is_not_taken_for_an_etcd_that_was_set_back() {
    let env = Env::real();
    let Some(servers) = Servers::started(&env, 3).await else { return };
    for round in 0..4 {
        let lags = round % 3;
        servers.signal(lags, "STOP").await;
        let cluster = Cluster::new(env.clone(), servers.client_without(lags), ClusterOptions::default());
        for version in 100 * round + 1..=100 * round + 100 {
            assert_eq!(cluster.announce_catalog(version as u64).await, Ok(version as u64));
        }
        servers.signal(lags, "CONT").await;
        // At once, while it knows little of what was announced.
        let watching = servers.client_of(lags).watch("/floe/", cluster.seen() + 1).await;
        assert!(!matches!(watching, Err(BackendError::Future { .. })), "{watching:?}");
    }
}
