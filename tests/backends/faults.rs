//! Redis away, silent, empty, closed to us or to writes: answers in the promised time, nothing lost, and back by itself.

use std::time::Instant;

use chat_test_support::{
    Answer, Client, Gate, RedisServer, Reply, Service, Upstream, assert_eventually, assert_in_time,
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    scene::{PROMISED, SOON, agent, assert_unavailable, blocking, echoed, is_well, memory, operator, readiness},
    under_load::places,
};

/// What Redis wants to hear, where it wants anything.
const PASSWORD: &str = "sentinel-of-the-password";

struct Scene {
    service: Service,
    client: Client,
    operator: Client,
    upstream: Upstream,
}

impl Scene {
    async fn over(url: &str) -> Self {
        let upstream = Upstream::start().await;
        let service = agent(&upstream).env("REDIS_URL", url).start().await;
        Self { client: service.client(), operator: operator(&service), service, upstream }
    }

    /// Fails the test unless whatever needs Redis is refused in time, all at once, and no model is asked.
    async fn refuses(&self, session: &str) {
        let asked = self.upstream.requests().len();
        let (path, memory) = (format!("/sessions/{session}"), format!("/admin/sessions/{session}/messages"));
        let create = json!({});
        let stream = async || {
            let refused = self.client.say_streaming(session, "streamed").await;
            *refused.expect_err("refused before a stream begins")
        };
        tokio::join!(
            assert_unavailable("create", async || self.client.post("/sessions", &create).await),
            assert_unavailable("read", async || self.client.get(&path).await),
            assert_unavailable("say", async || self.client.say(session, "refused").await),
            assert_unavailable("stream", stream),
            assert_unavailable("delete", async || self.client.delete(&path).await),
            assert_unavailable("list", async || self.operator.get("/admin/sessions").await),
            assert_unavailable("list messages", async || self.operator.get(&memory).await),
            assert_unavailable("list bypass", async || self.operator.get("/admin/bypass").await),
        );
        assert_eq!(self.upstream.requests().len(), asked, "no model was asked");
    }

    /// Fails the test unless readiness says that Redis is down, and the service is there all the same.
    async fn is_unavailable(&self) {
        for path in ["/health", "/metrics"] {
            assert_in_time(path, PROMISED, async || {
                let began = Instant::now();
                self.client.get(path).await.expect(200);
                began.elapsed()
            })
            .await;
        }
        let (status, redis) = readiness(&self.operator, "redis").await;
        assert_eq!((status.as_str(), &redis["state"]), ("unavailable", &json!("down")), "{redis}");
        self.client.get("/health/ready").await.expect(503);
    }

    /// A turn of a new session that has its answer when the gate is opened.
    async fn running(&self) -> (String, JoinHandle<Answer>, Gate) {
        let (session, gate) = (self.client.create_session().await, Gate::new());
        self.upstream.push(Reply::text("echo: running").held_by(&gate));
        let asked = self.upstream.requests().len();
        let turn = tokio::spawn({
            let (client, session) = (self.client.clone(), session.clone());
            async move { client.say(&session, "running").await }
        });
        self.upstream.wait_for_requests(asked + 1).await;
        (session, turn, gate)
    }

    async fn is_back(&self) {
        assert_eventually!(is_well(&self.operator).await, SOON);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_down_at_the_start_is_waited_for() {
    let redis = RedisServer::start();
    redis.kill();
    let scene = Scene::over(&redis.url()).await;
    scene.is_unavailable().await;
    scene.refuses("00000000-0000-4000-8000-000000000000").await;
    // An operator who reads the log learns why, of every one of them.
    let told = || scene.service.logs().into_iter().filter(|line| line["message"] == "request failed");
    assert_eventually!(told().count() >= 8, SOON);
    assert!(told().all(|line| line["error"].as_str().is_some_and(|error| error.contains("Redis"))));
    blocking(|| redis.restart());
    scene.is_back().await;
    let session = scene.client.create_session().await;
    scene.client.say(&session, "one").await.expect(200);
    assert_eq!(memory(&scene.client, &session).await, echoed(&["one"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_redis_acknowledged_is_there_when_it_is_back() {
    let redis = RedisServer::start_with(&["--appendfsync", "always"]);
    let scene = Scene::over(&redis.url()).await;
    let session = scene.client.create_session().await;
    scene.client.say(&session, "one").await.expect(200);
    let logged = |message: &str| scene.service.logs().iter().filter(|line| line["message"] == message).count();
    for round in ["two", "three"] {
        let known = logged("Redis is away");
        redis.kill();
        scene.refuses(&session).await;
        scene.is_unavailable().await;
        // Once, however many requests fail.
        assert_eventually!(logged("Redis is away") == known + 1, SOON);
        blocking(|| redis.restart());
        scene.is_back().await;
        assert_eventually!(logged("Redis is back") == known + 1, SOON);
        scene.client.say(&session, round).await.expect(200);
    }
    assert_eq!(memory(&scene.client, &session).await, echoed(&["one", "two", "three"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_redis_is_an_error_in_the_promised_time() {
    let redis = RedisServer::start();
    let scene = Scene::over(&redis.url()).await;
    let session = scene.client.create_session().await;
    scene.client.say(&session, "one").await.expect(200);
    assert_in_time("the first requests after a freeze", PROMISED, async || {
        redis.freeze();
        // At first nobody knows, then the connections are given up.
        let began = Instant::now();
        scene.refuses(&session).await;
        let took = began.elapsed();
        for _ in 0..2 {
            scene.refuses(&session).await;
        }
        redis.thaw();
        scene.is_back().await;
        took
    })
    .await;
    // What was sent meanwhile may have been carried out: a session that somebody deleted is gone.
    let session = scene.client.create_session().await;
    scene.client.say(&session, "two").await.expect(200);
    assert_eventually!(places(&redis).is_empty(), SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_runs_when_redis_is_killed_ends_in_the_promised_time_or_is_kept() {
    let redis = RedisServer::start_with(&["--appendfsync", "always"]);
    let scene = Scene::over(&redis.url()).await;
    assert_in_time("a turn that cannot be stored", PROMISED, async || {
        let (session, turn, gate) = scene.running().await;
        blocking(|| redis.kill());
        let began = Instant::now();
        gate.open();
        let answer = turn.await.expect("an answer");
        let took = began.elapsed();
        assert_eq!((answer.status, answer.code()), (503, "storage_unavailable"), "{}", answer.text);
        blocking(|| redis.restart());
        scene.is_back().await;
        assert_eq!(memory(&scene.client, &session).await, []);
        // The place of the turn that could not be stored is given up as well.
        scene.client.say(&session, "next").await.expect(200);
        took
    })
    .await;

    let (session, turn, gate) = scene.running().await;
    blocking(|| redis.restart());
    // Before the model has answered: what is stored has not long to wait for a connection.
    scene.is_back().await;
    gate.open();
    assert_eq!(turn.await.expect("an answer").expect(200).content(), "echo: running");
    assert_eq!(memory(&scene.client, &session).await, echoed(&["running"]));
    scene.client.say(&session, "next").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_empty_has_no_sessions_and_takes_new_ones() {
    let redis = RedisServer::start_with(&["--appendonly", "no"]);
    let scene = Scene::over(&redis.url()).await;
    let session = scene.client.create_session().await;
    scene.client.say(&session, "one").await.expect(200);
    blocking(|| redis.restart());
    scene.is_back().await;
    for answer in [
        scene.client.get(&format!("/sessions/{session}")).await,
        scene.client.say(&session, "two").await,
        scene.client.delete(&format!("/sessions/{session}")).await,
    ] {
        assert_eq!((answer.status, answer.code()), (404, "session_not_found"), "{}", answer.text);
    }
    let session = scene.client.create_session().await;
    scene.client.say(&session, "one").await.expect(200);
    assert_eq!(memory(&scene.client, &session).await, echoed(&["one"]));
    let listed = scene.operator.get("/admin/sessions").await.expect(200);
    assert_eq!((listed.header("x-total-count"), &listed.body[0]["id"]), (Some("1"), &json!(session)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_without_showing_it() {
    let redis = RedisServer::start_with(&["--requirepass", "another"]);
    let url = redis.url().replace("redis://", &format!("redis://:{PASSWORD}@"));
    let scene = Scene::over(&url).await;
    scene.is_unavailable().await;
    scene.refuses("00000000-0000-4000-8000-000000000000").await;
    let config = scene.operator.get("/admin/config").await.expect(200);
    let shown = config.body.as_array().expect("entries").iter().find(|entry| entry["name"] == "REDIS_URL");
    assert!(
        shown.expect("it is shown")["value"].as_str().is_some_and(|value| value.contains("***")),
        "{}",
        config.text
    );
    let ready = scene.operator.get("/health/ready").await;
    for text in [config.text, ready.text, scene.service.log_text()] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    // Put right at the server, it is found out without a restart.
    redis.cli(&["-a", "another", "CONFIG", "SET", "requirepass", PASSWORD]);
    scene.is_back().await;
    scene.client.create_session().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_says_that_redis_refuses_the_credentials() {
    let redis = RedisServer::start_with(&["--requirepass", "another"]);
    let url = redis.url().replace("redis://", &format!("redis://:{PASSWORD}@"));
    let scene = Scene::over(&url).await;
    // In one line, which tells a wrong password from a Redis that is down.
    let is_told = |line: &str| line.contains("WARN") && line.contains("Redis") && line.contains("credentials");
    assert_eventually!(scene.service.log_text().lines().any(is_told), SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_refuses_what_is_new_and_keeps_what_is_there() {
    let redis = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let scene = Scene::over(&redis.url()).await;
    let sessions = [scene.client.create_session().await, scene.client.create_session().await];
    for session in &sessions {
        scene.client.say(session, "one").await.expect(200);
    }
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let asked = scene.upstream.requests().len();
    for session in &sessions {
        assert_unavailable("create", async || scene.client.post("/sessions", &json!({})).await).await;
        assert_unavailable("say", async || scene.client.say(session, "refused").await).await;
        assert_eq!(memory(&scene.client, session).await, echoed(&["one"]), "what is there can be read");
    }
    assert_eq!(scene.upstream.requests().len(), asked, "no model was asked");
    assert_eventually!(readiness(&scene.operator, "redis").await.0 == "unavailable", SOON);
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    scene.is_back().await;
    let listed = scene.operator.get("/admin/sessions").await.expect(200);
    assert_eq!(listed.header("x-total-count"), Some("2"), "nothing is lost, and nothing was made by halves");
    for session in &sessions {
        scene.client.say(session, "two").await.expect(200);
        assert_eq!(memory(&scene.client, session).await, echoed(&["one", "two"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_redis_is_unavailable_until_it_takes_writes() {
    let redis = RedisServer::start();
    let scene = Scene::over(&redis.url()).await;
    let session = scene.client.create_session().await;
    scene.client.say(&session, "one").await.expect(200);
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let create = json!({});
    tokio::join!(
        assert_unavailable("create", async || scene.client.post("/sessions", &create).await),
        assert_unavailable("say", async || scene.client.say(&session, "refused").await),
    );
    scene.is_unavailable().await;
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    scene.is_back().await;
    scene.client.say(&session, "two").await.expect(200);
    assert_eq!(memory(&scene.client, &session).await, echoed(&["one", "two"]));
}
