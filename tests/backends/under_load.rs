//! Redis stalls, or is killed, while clients talk through two replicas: no turn is lost, none is doubled.

use std::time::{Duration, Instant};

use chat_test_support::{RedisServer, Upstream, assert_eventually};

use crate::{
    load::Load,
    scene::{SOON, agent, blocking, is_well, operator},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_of_two_seconds_loses_and_doubles_no_turn() {
    let redis = RedisServer::start();
    let upstream = Upstream::start().await;
    let launch = agent(&upstream).env("REDIS_URL", redis.url()).env("HISTORY_STORAGE_BACKEND", "redis");
    let services = [launch.clone().start().await, launch.start().await];
    let operator = operator(&services[0]);
    let load = Load::new(&[services[0].client(), services[1].client()], 4).await;
    let running = load.start(12, usize::MAX, Duration::ZERO);
    let mut longest = Duration::ZERO;
    for _ in 0..2 {
        let answered = load.answered();
        assert_eventually!(load.answered() > answered + 100, SOON);
        let frozen = Instant::now();
        redis.freeze();
        tokio::time::sleep(Duration::from_secs(2)).await;
        redis.thaw();
        longest = longest.max(frozen.elapsed());
    }
    let (answered, thawed) = (load.answered(), Instant::now());
    assert_eventually!(load.answered() > answered + 100, SOON);
    let took = thawed.elapsed();
    load.end(running).await;
    assert_eventually!(is_well(&operator).await, SOON);
    let found = load.verify(&operator, true).await;
    // A client may fail twice in a stall, and once more when connections are made anew. In a longer stall than was meant, on
    // a busy machine, they are given up as they should be, and every attempt fails at once until it ends.
    let failures: usize = load.failures().values().sum();
    assert!(failures <= 2 * 12 * 3 || longest > Duration::from_millis(2_100), "{longest:?}: {:?}", load.failures());
    println!(
        "{found:?}, a hundred more answered {took:?} after the stall, slowest answer {:?}, failures {:?}",
        load.slowest(),
        load.failures()
    );
    assert!(load.failures().keys().all(|failure| failure == "503 \"storage_unavailable\""), "{:?}", load.failures());
    // Nobody is left waiting, nor holding a turn that nobody takes.
    assert_eventually!(places(&redis).is_empty(), SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_under_load_loses_and_doubles_no_turn() {
    let redis = RedisServer::start_with(&["--appendfsync", "always"]);
    let upstream = Upstream::start().await;
    let launch = agent(&upstream).env("REDIS_URL", redis.url()).env("HISTORY_STORAGE_BACKEND", "redis");
    let services = [launch.clone().start().await, launch.start().await];
    let operator = operator(&services[0]);
    let load = Load::new(&[services[0].client(), services[1].client()], 6).await;
    let running = load.start(12, usize::MAX, Duration::ZERO);
    for _ in 0..5 {
        let answered = load.answered();
        assert_eventually!(load.answered() > answered + 30, SOON);
        blocking(|| redis.restart());
    }
    let answered = load.answered();
    assert_eventually!(load.answered() > answered + 30, SOON);
    load.end(running).await;
    assert_eventually!(is_well(&operator).await, SOON);
    assert_eventually!(is_well(&crate::scene::operator(&services[1])).await, SOON);
    let found = load.verify(&operator, true).await;
    println!("{found:?}, slowest answer {:?}, failures {:?}", load.slowest(), load.failures());
    assert!(load.failures().keys().all(|failure| failure == "503 \"storage_unavailable\""), "{:?}", load.failures());
    assert_eventually!(places(&redis).is_empty(), SOON);
}

/// The places in the order of turns that anybody holds, running or waiting.
pub(crate) fn places(redis: &RedisServer) -> Vec<String> {
    let holder = |key: &str| redis.cli(&["HGET", key, "holder"]);
    let running = redis.cli(&["--scan", "--pattern", "chat:s:*:h"]);
    let waiting = redis.cli(&["--scan", "--pattern", "chat:s:*:q"]);
    running.lines().map(holder).chain(waiting.lines().map(str::to_owned)).filter(|place| !place.is_empty()).collect()
}
