//! Redis over TLS: a certificate that is trusted, one that is not, and a server that does not speak it.

use std::time::Instant;

use chat_test_support::{Launch, RedisServer, Service, Upstream, assert_eventually, assert_in_time};
use serde_json::json;

use crate::scene::{
    PROMISED, SOON, agent, archived, assert_unavailable, blocking, echoed, is_well, memory, operator, readiness,
};

/// Sessions and archive in a Redis.
fn over(url: &str, upstream: &Upstream) -> Launch {
    agent(upstream).env("REDIS_URL", url).env("HISTORY_STORAGE_BACKEND", "redis")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_kept_and_archived_over_tls() {
    let (redis, upstream) = (blocking(RedisServer::start_tls), Upstream::start().await);
    let service = over(&redis.url(), &upstream).env("SSL_CERT_FILE", redis.root()).start().await;
    let (client, operator) = (service.client(), operator(&service));
    let session = client.create_session().await;
    client.say(&session, "one").await.expect(200);
    assert_eq!(memory(&client, &session).await, echoed(&["one"]));
    assert_eventually!(archived(&operator, &session).await == Some(echoed(&["one"])), SOON);

    blocking(|| redis.restart());
    assert_eventually!(is_well(&operator).await, SOON);
    client.say(&session, "two").await.expect(200);
    assert_eventually!(archived(&operator, &session).await == Some(echoed(&["one", "two"])), SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_vouches_for_is_told_and_not_waited_for() {
    let (redis, upstream) = (blocking(RedisServer::start_tls), Upstream::start().await);
    let service = told_of(over(&redis.url(), &upstream), "its certificate is not trusted").await;
    assert_eq!(redis.cli(&["DBSIZE"]), "0", "{}", service.log_text());

    // One that is good for another name is not good for this one.
    let url = redis.url().replace("127.0.0.1", "localhost");
    told_of(over(&url, &upstream).env("SSL_CERT_FILE", redis.root()), "its certificate is not trusted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_told_and_not_waited_for() {
    let (redis, upstream) = (RedisServer::start(), Upstream::start().await);
    told_of(over(&redis.url().replace("redis:", "rediss:"), &upstream), "no answer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_nothing_but_tls_is_told_and_not_waited_for() {
    let (redis, upstream) = (blocking(RedisServer::start_tls), Upstream::start().await);
    told_of(over(&redis.url().replace("rediss:", "redis:"), &upstream), "connection").await;
}

/// Fails the test unless the service starts all the same, says why Redis cannot be reached, and refuses in time.
async fn told_of(launch: Launch, word: &str) -> Service {
    let service = launch.start().await;
    let operator = operator(&service);
    let is_told = |line: &serde_json::Value| {
        let error = line["error"].as_str().unwrap_or_default();
        line["message"] == "Redis cannot be connected to" && error.to_lowercase().contains(word)
    };
    println!("{}", service.wait_for_log(is_told).await);
    assert_unavailable("create", async || operator.post("/sessions", &json!({})).await).await;
    assert_in_time("readiness", PROMISED, async || {
        let began = Instant::now();
        let (status, redis) = readiness(&operator, "redis").await;
        let took = began.elapsed();
        assert_eq!((status.as_str(), &redis["state"]), ("unavailable", &json!("down")), "{redis}");
        took
    })
    .await;
    service
}
