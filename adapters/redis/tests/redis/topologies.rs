//! Cluster and Sentinel: the same promises, and a master that is killed.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use chat_domain::{admission::BucketPolicy, conformance_tests, ports::sessions::SessionStore, testing::conformance};
use chat_redis::Redis;
use chat_test_support::{RedisCluster, RedisSentinels};

use crate::{
    load::Load,
    scene::{clock, prefix, replica, sessions},
};

async fn in_cluster() -> Redis {
    static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
    let url = tokio::task::spawn_blocking(|| CLUSTER.get_or_init(|| RedisCluster::start(0)).url()).await;
    replica(&url.expect("a cluster"), &prefix()).await
}

async fn sessions_subject() -> conformance::sessions::Subject {
    let redis = in_cluster().await;
    conformance::sessions::Subject::new(sessions(&redis), clock()).holding(redis)
}

async fn history_subject() -> conformance::history::Subject {
    let redis = in_cluster().await;
    conformance::history::Subject::new(Arc::new(redis.history(&prefix(), "test")), clock()).holding(redis)
}

async fn limiter_subject(policy: BucketPolicy) -> conformance::limits::Subject {
    let redis = in_cluster().await;
    let limiter = Arc::new(redis.limiter(policy));
    conformance::limits::Subject::new(limiter, clock()).within(Duration::from_millis(100)).holding(redis)
}

async fn bypass_subject() -> conformance::bypass::Subject {
    let redis = in_cluster().await;
    conformance::bypass::Subject::new(Arc::new(redis.bypass()), clock()).holding(redis)
}

conformance_tests!(
    #[tokio::test]
    #[ignore = "starts a cluster of three"]
    sessions,
    sessions_subject
);
conformance_tests!(
    #[tokio::test]
    #[ignore = "starts a cluster of three"]
    history,
    history_subject
);
conformance_tests!(
    #[tokio::test]
    #[ignore = "starts a cluster of three"]
    limits,
    limiter_subject
);
conformance_tests!(
    #[tokio::test]
    #[ignore = "starts a cluster of three"]
    bypass,
    bypass_subject
);

/// Turns go on after the master of a slot was killed and its replica has taken over.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts six servers and waits for a failover"]
async fn a_cluster_goes_on_after_a_failover() {
    let cluster = RedisCluster::start(1);
    let load = Load::begin(&cluster.url()).await;
    load.goes_on(100, Duration::from_secs(20)).await;
    let index = format!("{}:sessions", load.prefix);
    cluster.master_of(&index).kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    load.goes_on(100, Duration::from_secs(30)).await;
    assert_eq!(load.replicas[1].list(0, 100).await.expect("a list").1, 6);
    load.end(true).await;
}

/// Turns go on after the master was killed and sentinels have put its replica in its place.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts five servers and waits for a failover"]
async fn sentinels_lead_to_the_new_master() {
    let sentinels = RedisSentinels::start();
    let load = Load::begin(&sentinels.url()).await;
    load.goes_on(100, Duration::from_secs(20)).await;
    sentinels.servers()[0].kill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.goes_on(100, Duration::from_secs(30)).await;
    load.end(true).await;
}
