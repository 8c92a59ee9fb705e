//! The promises of the ports.

use std::{sync::Arc, time::Duration};

use chat_domain::{
    admission::BucketPolicy,
    conformance_tests,
    ports::{health::HealthCheck, limits::BypassList},
    testing::conformance,
};
use chat_redis::{PATIENCE, Redis, RedisConfig, SessionPolicy};
use chat_test_support::RedisServer;

use crate::scene::{clock, fresh, prefix, replica, sessions};

async fn sessions_subject() -> conformance::sessions::Subject {
    let redis = fresh().await;
    conformance::sessions::Subject::new(sessions(&redis), clock()).holding(redis)
}

async fn forgetful_subject() -> conformance::session_expiry::Subject {
    let redis = fresh().await;
    let idle = Duration::from_secs(3);
    let store = redis.sessions(SessionPolicy { ttl: Some(idle), lease: SessionPolicy::LEASE });
    conformance::session_expiry::Subject::new(Arc::new(store), clock(), idle).holding(redis)
}

async fn limiter_subject(policy: BucketPolicy) -> conformance::limits::Subject {
    let redis = fresh().await;
    // What it decides is tested here, on a machine that may be busy; how soon it has to is tested elsewhere.
    let limiter = Arc::new(redis.limiter(policy).with_patience(PATIENCE));
    conformance::limits::Subject::new(limiter, clock()).within(Duration::from_millis(100)).holding(redis)
}

async fn bypass_subject() -> conformance::bypass::Subject {
    let redis = fresh().await;
    conformance::bypass::Subject::new(Arc::new(redis.bypass()), clock()).holding(redis)
}

async fn shared_bypass_subject() -> conformance::shared_bypass::Subject {
    let prefix = prefix();
    conformance::shared_bypass::Subject {
        open: Box::new(move || {
            let prefix = prefix.clone();
            Box::pin(async move {
                let list: Arc<dyn BypassList> = Arc::new(replica(&RedisServer::shared().url(), &prefix).await.bypass());
                list
            })
        }),
        clock: clock(),
        held: Box::new(()),
    }
}

async fn history_subject() -> conformance::history::Subject {
    let redis = fresh().await;
    conformance::history::Subject::new(Arc::new(redis.history(&prefix(), "test")), clock()).holding(redis)
}

async fn health_subject() -> conformance::health::Subject {
    const PASSWORD: &str = "p@ss:w/rd-5f3a";
    let check = async |url: &str| {
        let redis = Redis::connect(&RedisConfig::new(url.into()), clock()).await.expect("a URL of Redis");
        let check: Arc<dyn HealthCheck> = Arc::new(redis.health());
        (check, redis)
    };
    let well = RedisServer::start_with(&["--requirepass", PASSWORD]);
    let with_password = |address: String| format!("redis://:p%40ss%3Aw%2Frd-5f3a@{address}/0");
    let (well_check, ours) = check(&with_password(well.address())).await;
    let dead = RedisServer::start();
    dead.kill();
    let frozen = RedisServer::start();
    let follower = RedisServer::start_with(&["--replicaof", "127.0.0.1", "1"]);
    let full = RedisServer::start_with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    let mut unwell: Vec<Arc<dyn HealthCheck>> = Vec::new();
    let mut held = vec![ours];
    for url in [
        with_password(dead.address()),
        frozen.url(),
        follower.url(),
        full.url(),
        format!("redis://:{PASSWORD}-wrong@{}/0", well.address()).replace("p@ss:w/rd", "p"),
    ] {
        let (one, redis) = check(&url).await;
        unwell.push(one);
        held.push(redis);
    }
    frozen.freeze();
    conformance::health::Subject {
        well: well_check,
        unwell,
        secrets: vec![PASSWORD.into(), "p%40ss".into(), "5f3a".into()],
        clock: clock(),
        held: Box::new((held, well, dead, frozen, follower, full)),
    }
}

conformance_tests!(sessions, sessions_subject);
conformance_tests!(session_expiry, forgetful_subject);
conformance_tests!(limits, limiter_subject);
conformance_tests!(bypass, bypass_subject);
conformance_tests!(shared_bypass, shared_bypass_subject);
conformance_tests!(history, history_subject);
conformance_tests!(health, health_subject);

/// The same store with real threads.
mod at_once {
    use super::*;

    conformance_tests!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        sessions,
        sessions_subject
    );
}
