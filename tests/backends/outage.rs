//! The archive's database goes away, and the service dies meanwhile.

use std::time::{Duration, Instant};

use chat_test_support::{RedisServer, Service, TempDir, Upstream, assert_eventually};

use crate::{
    databases::{Kind, of_each_kind},
    load::Load,
    scene::{SOON, agent, blocking, is_well, operator, readiness, start_again},
};

of_each_kind!(
    history_loses_nothing_while_its_database_is_away_and_the_service_dies,
    #[ignore = "keeps a database away for half a minute"]
    history_loses_nothing_while_its_database_is_away_for_half_a_minute_and_the_service_dies,
);

async fn history_loses_nothing_while_its_database_is_away_and_the_service_dies(kind: Kind) {
    keep_away(kind, Duration::from_secs(3)).await;
}

async fn history_loses_nothing_while_its_database_is_away_for_half_a_minute_and_the_service_dies(kind: Kind) {
    keep_away(kind, Duration::from_secs(30)).await;
}

async fn keep_away(kind: Kind, time: Duration) {
    const CLIENTS: usize = 8;
    let database = blocking(|| kind.own());
    let (redis, upstream, spool) = (RedisServer::start(), Upstream::start().await, TempDir::new());
    let launch = database.given_to(agent(&upstream)).env("REDIS_URL", redis.url());
    let launch = launch.env("HISTORY_SPOOL_DIR", spool.path());
    let mut service = launch.clone().start().await;
    let operator = operator(&service);
    let load = Load::new(&[service.client()], CLIENTS).await;
    let running = load.start(CLIENTS, usize::MAX, Duration::from_millis(100));
    assert_eventually!(load.answered() >= 3 * CLIENTS, SOON);
    assert_eventually!(is_well(&operator).await, SOON);

    blocking(|| database.stop());
    let stopped = Instant::now();
    let answered = load.answered();
    // The chat goes on, and what it leaves waits.
    assert_eventually!(load.answered() >= answered + 3 * CLIENTS, SOON);
    assert_eventually!(!is_well(&operator).await, SOON);
    let (status, history) = readiness(&operator, "history").await;
    assert_eq!((status.as_str(), &history["state"]), ("degraded", &"degraded".into()), "{history}");
    let backlog = history["backlog"].as_u64().expect("a number");
    assert!(backlog > 0 && history["last_error"].is_string() && history["since"].is_string(), "{history}");
    assert!(load.failures().is_empty(), "{:?}", load.failures());

    service.kill().await;
    let service = start_again(&launch, &service).await;
    let (status, history) = readiness(&operator, "history").await;
    assert!(history["backlog"].as_u64() >= Some(backlog), "what was left is taken up: {status} {history}");
    let answered = load.answered();
    assert_eventually!(load.answered() >= answered + 3 * CLIENTS, SOON);
    assert!(load.failures().keys().all(|failure| failure.ends_with("answer")), "{:?}", load.failures());
    tokio::time::sleep(time.saturating_sub(stopped.elapsed())).await;
    assert_eq!(readiness(&operator, "history").await.0, "degraded");

    let away = stopped.elapsed();
    let (_, history) = readiness(&operator, "history").await;
    blocking(|| database.restart());
    let restarted = Instant::now();
    let answered = load.answered();
    assert_eventually!(load.answered() >= answered + 3 * CLIENTS, SOON);
    load.end(running).await;
    assert_eventually!(is_well(&operator).await, SOON);
    let drained = restarted.elapsed();
    let found = load.verify(&operator, true).await;
    println!(
        "{kind:?}: {found:?}, away {away:?} with a backlog of {}, well again after {drained:?}, slowest answer {:?}, failures {:?}",
        history["backlog"],
        load.slowest(),
        load.failures(),
    );
    assert!(service.events("panic").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_answers_too_late_has_nothing_twice() {
    const CLIENTS: usize = 6;
    let (redis, history, upstream) = (RedisServer::start(), RedisServer::start(), Upstream::start().await);
    let launch = agent(&upstream).env("REDIS_URL", redis.url());
    let launch = launch.env("HISTORY_STORAGE_BACKEND", "redis").env("HISTORY_REDIS_URL", history.url());
    let services = [launch.clone().start().await, launch.start().await];
    let operators = services.each_ref().map(operator);
    let load = Load::new(&services.each_ref().map(Service::client), CLIENTS).await;
    let running = load.start(CLIENTS, usize::MAX, Duration::ZERO);
    for _ in 0..3 {
        let answered = load.answered();
        assert_eventually!(load.answered() > answered + 10 * CLIENTS, SOON);
        // What is under way is carried out when nobody waits for it any more, and is written once more from the spool.
        history.freeze();
        let answered = load.answered();
        assert_eventually!(load.answered() > answered + 10 * CLIENTS, SOON);
        history.thaw();
        for operator in &operators {
            assert_eventually!(is_well(operator).await, SOON);
        }
    }
    load.end(running).await;
    for operator in &operators {
        assert_eventually!(is_well(operator).await, SOON);
    }
    let found = load.verify(&operators[0], true).await;
    println!("{found:?}, slowest answer {:?}", load.slowest());
    assert!(load.failures().is_empty(), "{:?}", load.failures());
}
