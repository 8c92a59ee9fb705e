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
