//! What replicas share in Redis, and find again after a restart.

use std::time::Duration;

use chat_test_support::{Launch, RedisServer, Service, Upstream, assert_eventually};
use serde_json::json;
use tokio::task::JoinSet;

use crate::scene::{SOON, agent, echoed, memory, operator};

/// Changes of the bypass list are promised within the second; a busy machine may take more.
const TOLD: Duration = Duration::from_secs(5);

struct Scene {
    replicas: [Service; 2],
    launch: Launch,
    _upstream: Upstream,
    redis: RedisServer,
}

impl Scene {
    async fn with(variables: &[(&str, &str)]) -> Self {
        let redis = RedisServer::start();
        let upstream = Upstream::start().await;
        let launch = agent(&upstream).env("REDIS_URL", redis.url()).envs(variables.iter().copied());
        let replicas = [launch.clone().start().await, launch.clone().start().await];
        Self { replicas, launch, _upstream: upstream, redis }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_one_replica_is_there_at_the_other_and_after_a_restart() {
    let mut scene = Scene::with(&[]).await;
    let [a, b] = scene.replicas.each_ref().map(Service::client);
    let session = a.post("/sessions", &json!({"memory_limit": 6, "metadata": {"of": "a"}})).await.expect(201).body;
    let id = session["id"].as_str().expect("an id").to_owned();
    a.say(&id, "one").await.expect(200);
    let answer = b.say(&id, "two").await.expect(200);
    assert_eq!(crate::scene::said(&answer.body["history"]), echoed(&["one", "two"]));
    a.say(&id, "three").await.expect(200);

    for replica in &scene.replicas {
        let seen = replica.client().get(&format!("/sessions/{id}")).await.expect(200).body;
        assert_eq!(crate::scene::said(&seen["history"]), echoed(&["one", "two", "three"]));
        for field in ["id", "memory_limit", "created_at", "metadata"] {
            assert_eq!(seen[field], session[field], "{field}");
        }
        let messages = operator(replica).get(&format!("/admin/sessions/{id}/messages")).await.expect(200).body;
        assert_eq!(messages, seen["history"]);
        let runtime = operator(replica).get("/admin/runtime").await.expect(200).body;
        assert_eq!(runtime["memory"]["backend"], "redis");
    }
    for replica in &mut scene.replicas {
        replica.kill().await;
    }
    let again = scene.launch.clone().start().await;
    let answer = again.client().say(&id, "four").await.expect(200);
    // The session's own limit is known as well.
    assert_eq!(crate::scene::said(&answer.body["history"]), echoed(&["two", "three", "four"]));
    again.client().delete(&format!("/sessions/{id}")).await.expect(204);
    again.client().get(&format!("/sessions/{id}")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_lists_and_counts_the_sessions_of_all() {
    let scene = Scene::with(&[]).await;
    let mut sessions = Vec::new();
    for number in 0..5 {
        let client = scene.replicas[number % 2].client();
        sessions.push(client.create_session().await);
        client.say(&sessions[number], "so that times differ").await.expect(200);
    }
    sessions.reverse();
    for replica in &scene.replicas {
        let list = async |query: &str| {
            let answer = operator(replica).get(&format!("/admin/sessions{query}")).await.expect(200);
            assert_eq!(answer.header("x-total-count"), Some("5"));
            let sessions = answer.body.as_array().expect("sessions").clone();
            sessions.iter().map(|session| session["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(list("").await, sessions);
        assert_eq!(list("?limit=2&offset=1").await, sessions[1..3]);
        assert_eq!(list("?offset=5").await, [""; 0]);
        assert_eq!(replica.client().get("/metrics").await.expect(200).body["active_sessions"], 5);
    }
    scene.replicas[0].client().delete(&format!("/sessions/{}", sessions[0])).await.expect(204);
    assert_eq!(scene.replicas[1].client().get("/metrics").await.expect(200).body["active_sessions"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_let_through_what_one_would() {
    const BURST: usize = 20;
    // A decision that takes longer than 150 ms on a busy machine is none: such a request is refused, and told apart.
    let limits = [("RATE_RPS", "0.001"), ("RATE_BURST", "20"), ("RATE_LIMIT_ON_ERROR", "deny")];
    let scene = Scene::with(&limits).await;
    let (clients, mut requests) = (scene.replicas.each_ref().map(Service::client), JoinSet::new());
    for number in 0..4 * BURST {
        let client = clients[number % 2].clone();
        requests.spawn(async move { client.post("/sessions", &json!({})).await.status });
    }
    let statuses = requests.join_all().await;
    let [let_through, refused, undecided] =
        [201, 429, 503].map(|wanted| statuses.iter().filter(|status| **status == wanted).count());
    assert_eq!(let_through + refused + undecided, 4 * BURST, "{statuses:?}");
    // What was not told in time may have been let through by Redis.
    assert!(let_through <= BURST && let_through + undecided >= BURST && refused > 0, "{statuses:?}");
    // A replica that comes later knows what the others let through.
    let late = scene.launch.clone().start().await;
    assert_eventually!(
        {
            let told = late.client().post("/sessions", &json!({})).await.status;
            assert_ne!(told, 201);
            told == 429
        },
        TOLD
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bypass_list_is_shared_and_outlives_a_restart() {
    let mut scene = Scene::with(&[("RATE_RPS", "0.001"), ("RATE_BURST", "1")]).await;
    let [a, b] = scene.replicas.each_ref().map(Service::client);
    let admin = operator(&scene.replicas[0]);
    a.create_session().await;
    // A decision that takes longer than 150 ms on a busy machine lets a request pass.
    assert_eventually!(b.post("/sessions", &json!({})).await.status == 429, TOLD);

    admin.post("/admin/bypass", &json!({"ip": "::ffff:127.0.0.1"})).await.expect(201);
    admin.post("/admin/bypass", &json!({"ip": "10.1.0.0/16"})).await.expect(201);
    for replica in &scene.replicas {
        assert_eventually!(replica.client().post("/sessions", &json!({})).await.status == 201, TOLD);
        let listed = operator(replica).get("/admin/bypass").await.expect(200).body;
        assert_eq!(listed, json!(["10.1.0.0/16", "127.0.0.1"]));
    }
    for replica in &mut scene.replicas {
        replica.kill().await;
    }
    let again = scene.launch.clone().start().await;
    let admin = operator(&again);
    assert_eq!(admin.get("/admin/bypass").await.expect(200).body, json!(["10.1.0.0/16", "127.0.0.1"]));
    assert_eventually!(again.client().post("/sessions", &json!({})).await.status == 201, TOLD);
    let other = scene.launch.clone().start().await;
    assert_eventually!(other.client().post("/sessions", &json!({})).await.status == 201, TOLD);
    admin.delete("/admin/bypass/127.0.0.1").await.expect(204);
    admin.delete("/admin/bypass/127.0.0.1").await.expect(404);
    for replica in [&again, &other] {
        assert_eventually!(replica.client().post("/sessions", &json!({})).await.status == 429, TOLD);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_belongs_to_its_key_at_every_replica() {
    let scene = Scene::with(&[("API_KEYS", "key-one,key-two")]).await;
    let [a, b] = scene.replicas.each_ref().map(Service::client);
    let [own, foreign] = ["key-one", "key-two"].map(|key| b.with_header("x-api-key", key));
    let session = a.with_header("authorization", "Bearer key-one").create_session().await;
    own.say(&session, "one").await.expect(200);
    let path = format!("/sessions/{session}");
    for answer in [foreign.get(&path).await, foreign.say(&session, "two").await, foreign.delete(&path).await] {
        assert_eq!((answer.status, answer.code()), (404, "session_not_found"), "{}", answer.text);
    }
    b.get(&path).await.expect(401);
    assert_eq!(memory(&own, &session).await, echoed(&["one"]));
    own.delete(&path).await.expect(204);
    own.get(&path).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_stored_or_logged_as_it_is() {
    // Slow enough for a bucket to be seen: a full one is none.
    let scene = Scene::with(&[("API_KEYS", "sentinel-of-a-key"), ("RATE_RPS", "0.01"), ("RATE_BURST", "100")]).await;
    let client = scene.replicas[0].client().with_header("x-api-key", "sentinel-of-a-key");
    let session = client.create_session().await;
    client.say(&session, "one").await.expect(200);
    let keys = scene.redis.cli(&["--scan"]);
    assert!(keys.contains("chat:{rl}:key:"), "{keys}");
    let hash = scene.redis.cli(&["HGETALL", &format!("chat:s:{{{session}}}:h")]);
    for text in [keys, hash, scene.replicas[0].log_text()] {
        assert!(!text.contains("sentinel-of-a-key"), "{text}");
    }
    assert_eventually!(scene.replicas[0].events("request_completed").len() >= 2, SOON);
}
