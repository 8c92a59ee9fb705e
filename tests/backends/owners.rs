//! Whose a session is, once only the archive still has it.

use chat_test_support::{Client, RedisServer, Service, Upstream, assert_eventually};

use crate::scene::{SOON, TOKEN, agent, archived, operator};

const KEYS: (&str, &str) = ("API_KEYS", "key-one,key-two");

fn key(service: &Service, key: &str) -> Client {
    service.client().with_header("x-api-key", key)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_archive_has_is_no_clients_but_the_operators() {
    let redis = RedisServer::start();
    let upstream = Upstream::start().await;
    let kept = agent(&upstream).env("REDIS_URL", redis.url()).env("HISTORY_STORAGE_BACKEND", "redis");
    let service = kept.clone().env(KEYS.0, KEYS.1).start().await;
    let session = key(&service, "key-one").create_session().await;
    key(&service, "key-one").say(&session, "private").await.expect(200);
    let operator = operator(&service);
    assert_eventually!(archived(&operator, &session).await.is_some_and(|archived| archived.len() == 2), SOON);
    let path = format!("/sessions/{session}");
    redis.cli(&["DEL", &format!("chat:s:{{{session}}}:h"), &format!("chat:s:{{{session}}}:m")]);
    for stranger in ["key-two", "key-one"] {
        key(&service, stranger).delete(&path).await.expect(404);
    }
    service.client().delete(&path).await.expect(401);
    assert!(archived(&operator, &session).await.is_some());
    operator.delete(&path).await.expect(204);
    assert_eq!(archived(&operator, &session).await, None);
    operator.delete(&path).await.expect(404);

    // A live one of anybody's, too, and a client's key beside the token changes nothing.
    let session = key(&service, "key-one").create_session().await;
    let path = format!("/sessions/{session}");
    key(&service, "key-two").with_header("x-admin-token", TOKEN).delete(&path).await.expect(204);
    key(&service, "key-one").get(&path).await.expect(404);

    // Where clients are not told apart, whoever knows the id may delete.
    let open = kept.start().await;
    let session = open.client().create_session().await;
    redis.cli(&["DEL", &format!("chat:s:{{{session}}}:h")]);
    open.client().delete(&format!("/sessions/{session}")).await.expect(204);
}

/// Redis carries out what it was too slow to answer. The client knows of an error alone, and has nothing but the id.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_answered_too_late_is_finished_by_asking_again() {
    let (redis, archive) = (RedisServer::start(), RedisServer::start());
    let upstream = Upstream::start().await;
    let launch = agent(&upstream).env("REDIS_URL", redis.url()).env("HISTORY_STORAGE_BACKEND", "redis");
    let service = launch.env("HISTORY_REDIS_URL", archive.url()).env(KEYS.0, KEYS.1).start().await;
    let (owner, stranger, operator) = (key(&service, "key-one"), key(&service, "key-two"), operator(&service));
    let session = owner.create_session().await;
    owner.say(&session, "private").await.expect(200);
    assert_eventually!(archived(&operator, &session).await.is_some_and(|archived| archived.len() == 2), SOON);
    // So that the script is there, and what is sent is carried out.
    let other = owner.create_session().await;
    owner.delete(&format!("/sessions/{other}")).await.expect(204);

    let path = format!("/sessions/{session}");
    redis.freeze();
    owner.delete(&path).await.expect(503);
    redis.thaw();
    let kept = format!("chat:s:{{{session}}}:h");
    assert_eventually!(redis.cli(&["HEXISTS", &kept, "s"]) == "0", SOON);
    assert!(archived(&operator, &session).await.is_some(), "it was too late for the archive");
    assert_eventually!(stranger.get(&path).await.status == 404, SOON);
    stranger.delete(&path).await.expect(404);
    assert!(archived(&operator, &session).await.is_some());

    owner.delete(&path).await.expect(204);
    assert_eq!(archived(&operator, &session).await, None);
    owner.delete(&path).await.expect(404);
    assert_eq!(redis.cli(&["EXISTS", &kept]), "0");
}
