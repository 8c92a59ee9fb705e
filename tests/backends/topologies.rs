//! Cluster and Sentinel: two replicas of the service go on when a master is killed.

use std::time::{Duration, Instant};

use chat_test_support::{RedisCluster, RedisSentinels, Upstream, assert_eventually};

use crate::{
    load::Load,
    scene::{agent, blocking, is_well, operator},
};

/// A failover takes some seconds, and a busy machine takes more.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a cluster of six and waits for a failover"]
async fn turns_go_on_when_a_master_of_a_cluster_is_killed() {
    let cluster = blocking(|| RedisCluster::start(1));
    let url = cluster.url();
    // The one in whose slots the index of sessions lies, of which everything new has need.
    goes_on(&url, || cluster.master_of("chat:sessions").kill()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts five servers and waits for a failover"]
async fn turns_go_on_when_the_master_under_sentinels_is_killed() {
    let sentinels = blocking(RedisSentinels::start);
    let url = sentinels.url();
    goes_on(&url, || sentinels.servers()[0].kill()).await;
}

async fn goes_on(url: &str, kill: impl FnOnce()) {
    let upstream = Upstream::start().await;
    let launch = agent(&upstream).env("REDIS_URL", url).env("HISTORY_STORAGE_BACKEND", "redis");
    let services = [launch.clone().start().await, launch.start().await];
    let operators = services.each_ref().map(operator);
    assert_eventually!(is_well(&operators[0]).await && is_well(&operators[1]).await, PATIENCE);
    let load = Load::new(&services.each_ref().map(chat_test_support::Service::client), 12).await;
    let running = load.start(12, usize::MAX, Duration::from_millis(20));
    assert_eventually!(load.answered() > 100, PATIENCE);
    // What was acknowledged in the last moment may be lost with a master: nobody speaks just now.
    load.end(running).await;
    let before = load.answered();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let killed = Instant::now();
    blocking(kill);
    let load = load.begin_again();
    let running = load.start(12, usize::MAX, Duration::from_millis(20));
    assert_eventually!(load.answered() > before + 200, PATIENCE);
    let took = killed.elapsed();
    load.end(running).await;
    assert_eventually!(is_well(&operators[0]).await && is_well(&operators[1]).await, PATIENCE);
    let found = load.verify(&operators[1], true).await;
    println!(
        "{found:?}, two hundred more after {took:?}, slowest {:?}, failures {:?}",
        load.slowest(),
        load.failures()
    );
    let total = operators[0].get("/admin/sessions").await.expect(200);
    assert_eq!(total.header("x-total-count"), Some("12"));
}
