//! The archive's database stops answering and keeps its connections, as a machine does that has no time for it.

use std::time::{Duration, Instant};

use chat_test_support::{Upstream, assert_eventually};

use crate::{
    databases::{Kind, of_each_kind},
    load::Load,
    scene::{SOON, agent, blocking, is_well, operator, readiness},
};

/// Every adapter gives up by then: eight seconds, and what a busy machine adds. Less than two such calls in a row.
const GIVEN_UP: Duration = Duration::from_secs(14);

/// A write is waited for half a second. The rest is for a busy machine, and stays below the five seconds that a turn would
/// take which waits until an adapter gives up.
const NOT_WAITED_FOR: Duration = Duration::from_millis(4_500);

of_each_kind!(
    a_frozen_history_database_stops_no_chat_and_has_everything_once_when_it_goes_on,
    #[ignore = "freezes a database for a minute, under load"]
    a_history_database_that_is_frozen_for_a_minute_has_everything_once_when_it_goes_on,
);

async fn a_frozen_history_database_stops_no_chat_and_has_everything_once_when_it_goes_on(kind: Kind) {
    freeze(kind, 4, Duration::ZERO).await;
}

async fn a_history_database_that_is_frozen_for_a_minute_has_everything_once_when_it_goes_on(kind: Kind) {
    freeze(kind, 16, Duration::from_secs(60)).await;
}

/// Freezes the database until an operator was told so, and for this time at least.
async fn freeze(kind: Kind, clients: usize, at_least: Duration) {
    let database = blocking(|| kind.own());
    let upstream = Upstream::start().await;
    let service = database.given_to(agent(&upstream)).start().await;
    let operator = operator(&service);
    let load = Load::new(&[service.client()], clients).await;
    let running = load.start(clients, usize::MAX, Duration::from_millis(100));
    assert_eventually!(load.answered() >= 3 * clients, SOON);
    assert_eventually!(is_well(&operator).await, SOON);

    database.freeze();
    let (frozen, answered) = (Instant::now(), load.answered());
    let told = async {
        let refused = operator.get("/admin/history/sessions").await;
        (refused, frozen.elapsed())
    };
    let goes_on = async {
        assert_eventually!(load.answered() >= answered + 10 * clients, SOON);
        assert_eventually!(!is_well(&operator).await, SOON);
        let (status, history) = readiness(&operator, "history").await;
        assert_eq!((status.as_str(), &history["state"]), ("degraded", &"degraded".into()), "{history}");
        assert!(history["backlog"].as_u64() > Some(0) && history["last_error"].is_string(), "{history}");
    };
    let ((refused, told), ()) = tokio::join!(told, goes_on);
    assert_eq!((refused.status, refused.code()), (503, "storage_unavailable"), "{}", refused.text);
    assert!(told < GIVEN_UP, "{told:?}");
    tokio::time::sleep(at_least.saturating_sub(frozen.elapsed())).await;
    let (answered, backlog) = (load.answered() - answered, readiness(&operator, "history").await.1["backlog"].clone());

    database.thaw();
    let thawed = Instant::now();
    load.end(running).await;
    assert_eventually!(is_well(&operator).await, SOON + at_least);
    let drained = thawed.elapsed();
    let found = load.verify(&operator, true).await;
    println!(
        "{kind:?}: {found:?}, {answered} answers meanwhile and a backlog of {backlog}, an operator told after {told:?}, \
         well again after {drained:?}, slowest answer {:?}",
        load.slowest()
    );
    assert!(load.failures().is_empty(), "{:?}", load.failures());
    assert!(load.slowest() < NOT_WAITED_FOR, "{:?}", load.slowest());
    assert!(service.events("panic").is_empty());
}
