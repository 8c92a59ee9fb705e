//! What was deleted stays so, whatever still waits for the archive, and wherever.

use chat_test_support::{Client, RedisServer, TempDir, Upstream, assert_eventually};

use crate::{
    databases::{Database, Kind, of_each_kind},
    scene::{SOON, agent, archived, blocking, echoed, is_well, operator, readiness, start_again},
};

of_each_kind!(
    what_is_deleted_while_the_database_is_away_is_gone_after_a_crash,
    what_another_replica_still_has_of_a_deleted_session_revives_nothing,
);

async fn what_is_deleted_while_the_database_is_away_is_gone_after_a_crash(kind: Kind) {
    let (database, redis) = blocking(|| (kind.own(), RedisServer::start()));
    let (upstream, spool) = (Upstream::start().await, TempDir::new());
    let launch = database.given_to(agent(&upstream)).env("REDIS_URL", redis.url());
    let launch = launch.env("HISTORY_SPOOL_DIR", spool.path());
    let mut service = launch.clone().start().await;
    let client = operator(&service);
    let (kept, deleted) = (client.create_session().await, client.create_session().await);
    for session in [&kept, &deleted] {
        client.say(session, "one").await.expect(200);
        assert_eventually!(archived(&client, session).await == Some(echoed(&["one"])), SOON);
    }

    blocking(|| database.stop());
    for session in [&kept, &deleted] {
        client.say(session, "two").await.expect(200);
    }
    client.delete(&format!("/sessions/{deleted}")).await.expect(204);
    service.kill().await;
    let service = start_again(&launch, &service).await;
    let client = operator(&service);
    assert_eventually!(readiness(&client, "history").await.1["backlog"].as_u64() >= Some(3), SOON);
    blocking(|| database.restart());
    assert_eventually!(is_well(&client).await, SOON);
    is_gone(&client, &database, &deleted).await;
    assert_eq!(archived(&client, &kept).await, Some(echoed(&["one", "two"])));
}

async fn what_another_replica_still_has_of_a_deleted_session_revives_nothing(kind: Kind) {
    let (database, redis) = blocking(|| (kind.own(), RedisServer::start()));
    let (upstream, spools) = (Upstream::start().await, [TempDir::new(), TempDir::new()]);
    let launch = database.given_to(agent(&upstream)).env("REDIS_URL", redis.url());
    let [first, second] = spools.each_ref().map(|spool| launch.clone().env("HISTORY_SPOOL_DIR", spool.path()));
    let (first, mut other) = (first.start().await, second.clone().start().await);
    let (client, elsewhere) = (operator(&first), operator(&other));
    let session = client.create_session().await;
    client.say(&session, "one").await.expect(200);
    assert_eventually!(archived(&client, &session).await == Some(echoed(&["one"])), SOON);

    // It dies with a turn in its spool.
    blocking(|| database.stop());
    elsewhere.say(&session, "two").await.expect(200);
    other.kill().await;
    blocking(|| database.restart());
    assert_eventually!(is_well(&client).await, SOON);
    assert_eq!(archived(&client, &session).await, Some(echoed(&["one"])));
    client.delete(&format!("/sessions/{session}")).await.expect(204);
    assert_eventually!(archived(&client, &session).await.is_none(), SOON);

    let other = start_again(&second, &other).await;
    assert!(other.log_text().contains("history left in the spool is being written"), "{}", other.log_text());
    assert_eventually!(is_well(&operator(&other)).await, SOON);
    for service in [&first, &other] {
        is_gone(&operator(service), &database, &session).await;
    }
}

/// Fails the test unless nothing is left of a session.
async fn is_gone(operator: &Client, database: &Database, session: &str) {
    assert_eq!(archived(operator, session).await, None);
    assert!(database.roles(session).is_none_or(|roles| roles.is_empty()));
    let listed = operator.get("/admin/history/sessions?limit=200").await.expect(200);
    assert!(!listed.text.contains(session), "{}", listed.text);
    for answer in [
        operator.get(&format!("/sessions/{session}")).await,
        operator.say(session, "three").await,
        operator.delete(&format!("/sessions/{session}")).await,
    ] {
        assert_eq!((answer.status, answer.code()), (404, "session_not_found"), "{}", answer.text);
    }
}
