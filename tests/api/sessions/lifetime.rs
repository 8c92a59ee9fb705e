//! How sessions end, and how many there can be.

use chat_test_support::{Gate, Reply, assert_eventually};
use serde_json::json;

use crate::scene::{NO_SESSION, SOON, Scene, assert_error, message};

#[tokio::test]
async fn a_deleted_session_is_gone() {
    let scene = Scene::start().await;
    let (session, other) = (scene.client.create_session().await, scene.client.create_session().await);
    scene.client.say(&session, "hello").await.expect(200);
    let path = format!("/sessions/{session}");
    let answer = scene.client.delete(&path).await.expect(204);
    assert!(answer.text.is_empty() && answer.header("x-request-id").is_some());
    assert_error(&scene.client.delete(&path).await, 404, "session_not_found");
    assert_error(&scene.client.get(&path).await, 404, "session_not_found");
    assert_error(&scene.client.say(&session, "still there?").await, 404, "session_not_found");
    assert_error(&scene.client.delete(&format!("/sessions/{NO_SESSION}")).await, 404, "session_not_found");
    scene.client.get(&format!("/sessions/{other}")).await.expect(200);
    assert_eq!(scene.upstream.requests().len(), 1);
}

#[tokio::test]
async fn deleting_a_session_ends_its_running_and_waiting_turns() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    let never = Gate::new();
    scene.upstream.push(Reply::text("too late").held_by(&never));
    let turn = async |content| scene.client.say(&session, content).await;
    let delete = async {
        scene.upstream.wait_for_requests(1).await;
        scene.client.delete(&format!("/sessions/{session}")).await.expect(204);
    };
    let (first, second, ()) = tokio::join!(turn("first"), turn("second"), delete);
    assert_error(&first, 404, "session_not_found");
    assert_error(&second, 404, "session_not_found");
    scene.upstream.wait_for_aborted(1).await;
    assert_eq!(scene.upstream.requests().len(), 1, "the waiting turn never got to the model");
    assert_error(&scene.client.get(&format!("/sessions/{session}")).await, 404, "session_not_found");
}

#[tokio::test]
async fn an_idle_session_expires() {
    // Long enough for a busy machine to look at it in time.
    let (scene, operator) = Scene::with_operator(&[("SESSION_TTL_SECONDS", "5")]).await;
    let session = scene.client.create_session().await;
    let path = format!("/sessions/{session}");
    scene.client.get(&path).await.expect(200);
    // Looking at the list does not keep a session alive, as reading it would. What is idle is freed every 30 s only:
    // that it cannot be found before is the promise.
    let listed = async || operator.get("/admin/sessions").await.expect(200).body;
    assert_eventually!(listed().await == json!([]), SOON);
    assert_error(&scene.client.get(&path).await, 404, "session_not_found");
    assert_error(&scene.client.say(&session, "still there?").await, 404, "session_not_found");
    assert_error(&scene.client.delete(&path).await, 404, "session_not_found");
    assert_eq!(scene.upstream.requests().len(), 0);
}

#[tokio::test]
async fn there_are_at_most_so_many_sessions() {
    let scene = Scene::with(&[("MAX_SESSIONS", "2")]).await;
    let first = scene.client.create_session().await;
    let second = scene.client.create_session().await;
    let refused = scene.client.post("/sessions", &json!({})).await;
    assert_error(&refused, 503, "capacity");
    // Those that are there go on, and one that goes makes room.
    scene.post(&second, message("hello")).await.expect(200);
    scene.client.delete(&format!("/sessions/{first}")).await.expect(204);
    scene.client.create_session().await;
    assert_error(&scene.client.post("/sessions", &json!({})).await, 503, "capacity");
}
