//! Cluster and Sentinel: a master is killed while clients talk through two replicas of the service.

use std::time::{Duration, Instant};

use chat_test_support::{RedisCluster, RedisSentinels, Service, Upstream, assert_eventually};

use crate::{
    databases::{Database, Kind},
    load::{Load, Loss},
    scene::{agent, blocking, is_well, operator},
};

/// A failover takes some seconds, and a busy machine takes more.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a cluster of six and waits for a failover"]
async fn turns_go_on_when_a_master_of_a_cluster_is_killed() {
    let cluster = blocking(|| RedisCluster::start(1));
    // The one in whose slots the index of sessions lies, of which everything new has need.
    goes_on(&cluster.url(), None, || cluster.master_of("chat:sessions").kill()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a cluster of six and waits for a failover"]
async fn an_archive_in_mysql_loses_nothing_when_a_master_of_a_cluster_is_killed() {
    let (cluster, archive) = blocking(|| (RedisCluster::start(1), Kind::MySql.shared()));
    goes_on(&cluster.url(), Some(&archive), || cluster.master_of("chat:sessions").kill()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts five servers and waits for a failover"]
async fn turns_go_on_when_the_master_under_sentinels_is_killed() {
    let sentinels = blocking(RedisSentinels::start);
    goes_on(&sentinels.url(), None, || sentinels.servers()[0].kill()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts five servers and waits for a failover"]
async fn an_archive_in_mysql_loses_nothing_when_the_master_under_sentinels_is_killed() {
    let (sentinels, archive) = blocking(|| (RedisSentinels::start(), Kind::MySql.shared()));
    goes_on(&sentinels.url(), Some(&archive), || sentinels.servers()[0].kill()).await;
}

/// Sessions are in the Redis that loses its master, and so is the archive unless it is elsewhere.
async fn goes_on(url: &str, archive: Option<&Database>, kill: impl FnOnce()) {
    let upstream = Upstream::start().await;
    let launch = agent(&upstream).env("REDIS_URL", url);
    let launch = match archive {
        Some(database) => database.given_to(launch),
        None => launch.env("HISTORY_STORAGE_BACKEND", "redis"),
    };
    let services = [launch.clone().start().await, launch.start().await];
    let operators = services.each_ref().map(operator);
    assert_eventually!(is_well(&operators[0]).await && is_well(&operators[1]).await, PATIENCE);
    let load = Load::new(&services.each_ref().map(Service::client), 12).await;
    let running = load.start(24, usize::MAX, Duration::ZERO);
    assert_eventually!(load.answered() > 200, PATIENCE);
    blocking(kill);
    let (killed, before) = (Instant::now(), load.answered());
    assert_eventually!(!load.failures().is_empty(), PATIENCE);
    assert_eventually!(load.answered() > before + 400, PATIENCE);
    let took = killed.elapsed();
    load.end(running).await;
    assert_eventually!(is_well(&operators[0]).await && is_well(&operators[1]).await, PATIENCE);
    // Redis lets go of what its replica has not yet got, and of nothing else.
    let loss = if archive.is_some() { Loss::None } else { Loss::OfSome };
    let found = load.verify_after_failover(&operators[1], loss).await;
    println!(
        "{found:?}, four hundred more after {took:?}, slowest {:?}, failures {:?}",
        load.slowest(),
        load.failures()
    );
    assert!(load.failures().keys().all(|failure| failure == "503 \"storage_unavailable\""), "{:?}", load.failures());
    let total = operators[0].get("/admin/sessions").await.expect(200);
    assert_eq!(total.header("x-total-count"), Some("12"));
}
