//! What ends a call before its tool does.

use std::time::{Duration, Instant};

use chat_test_support::{Reply, Upstream, assert_eventually, mcp::Servers};
use serde_json::json;

use crate::scene::{SOON, Scene, messages_of, obey, program, tool_calls};

fn one() -> Servers {
    Servers::new().scripted("one", &[])
}

/// The server was told that nobody waits for these calls any more, and still serves.
async fn was_cancelled(scene: &Scene, times: usize) {
    assert_eventually!(scene.journal("one", "cancelled").len() == times, SOON);
    assert_eq!(scene.call("one_echo", &json!({"text": "on"})).await, ("on".to_owned(), false));
    assert_eq!(scene.journal("one", "start ").len(), 1, "it was not started anew");
}

#[tokio::test]
async fn a_tool_that_hangs_is_an_error_result_and_the_server_is_told() {
    // The call beside it has no more time than that, and is to succeed.
    let scene = Scene::with(&one(), &[("MCP_TOOL_TIMEOUT_SECONDS", "3")]).await;
    let answer = scene.ask("/one_hang {}\n/one_echo {\"text\": \"beside\"}").await;
    assert_eq!(answer.content(), "The tool did not answer within 3.0 s.\nbeside");
    assert_eq!(
        (&tool_calls(&answer)[0]["is_error"], &tool_calls(&answer)[1]["is_error"]),
        (&json!(true), &json!(false))
    );
    let took = tool_calls(&answer)[0]["duration_ms"].as_u64().expect("milliseconds");
    assert!((3000..20_000).contains(&took), "{took}");
    was_cancelled(&scene, 1).await;
}

#[tokio::test]
async fn a_turn_ends_in_time_while_a_tool_hangs() {
    let scene = Scene::with(&one(), &[("TURN_TIMEOUT_SECONDS", "2")]).await;
    // Its own time is not to be spent on the start of the server.
    assert_eventually!(scene.is_ready("one").await, SOON);
    let session = scene.client.create_session().await;
    let began = Instant::now();
    let answer = scene.client.say(&session, "/one_hang {}").await.expect(504);
    assert_eq!(answer.code(), "turn_timeout");
    assert!((Duration::from_millis(1900)..Duration::from_secs(6)).contains(&began.elapsed()), "{:?}", began.elapsed());
    let events = scene.client.say_streaming(&session, "/one_hang {}").await.expect("a stream").collect().await;
    let last = events.last().expect("events");
    assert_eq!((last.event.as_str(), &last.data["error"]["code"]), ("error", &json!("turn_timeout")));
    assert_eq!(scene.remembered(&session).await, 0);
    was_cancelled(&scene, 2).await;
}

#[tokio::test]
async fn the_models_time_is_for_each_of_its_answers_and_not_for_tools() {
    let model = Upstream::answering(|request| match request.last_user() {
        "never" => Reply::never(),
        _ => obey(request).after(Duration::from_millis(900)),
    })
    .await;
    let scene = Scene::over(model, one().given_to(program()).env("PROVIDER_TIMEOUT_SECONDS", "2")).await;
    let session = scene.client.create_session().await;
    let began = Instant::now();
    let answer = scene.client.say(&session, "/one_slow {\"seconds\": 1.5}").await.expect(200);
    assert_eq!(answer.content(), "at last");
    assert!(began.elapsed() > Duration::from_secs(3), "longer than one answer may take: {:?}", began.elapsed());
    let answer = scene.client.say(&session, "never").await.expect(502);
    assert_eq!(answer.body["error"]["details"]["kind"], "timeout");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_tools() {
    let scene = Scene::of(&one()).await;
    let session = scene.client.create_session().await;
    for (gone, streamed) in [false, true].into_iter().enumerate() {
        let leaving = async {
            match streamed {
                false => drop(scene.client.say(&session, "/one_hang {}").await),
                true => {
                    let mut events = scene.client.say_streaming(&session, "/one_hang {}").await.expect("a stream");
                    while events.next().await.is_some() {}
                }
            }
        };
        let called = async { assert_eventually!(scene.journal("one", "call hang").len() == gone + 1, SOON) };
        tokio::select! {
            () = leaving => panic!("it was answered"),
            () = called => {}
        }
        was_cancelled(&scene, gone + 1).await;
        assert_eq!(scene.remembered(&session).await, 0);
    }
    // The session is free, and the model never sees what was taken back.
    scene.client.say(&session, "still here").await.expect(200);
    assert_eq!(scene.upstream.last_request().messages().len(), 1);
}

#[tokio::test]
async fn deleting_a_session_cancels_its_tools() {
    let scene = Scene::of(&one()).await;
    let session = scene.client.create_session().await;
    let body = json!({"content": "/one_hang {}"});
    let path = messages_of(&session);
    let deleting = async {
        assert_eventually!(scene.journal("one", "call hang").len() == 1, SOON);
        scene.client.delete(&format!("/sessions/{session}")).await.expect(204);
    };
    let (answer, ()) = tokio::join!(scene.client.post(&path, &body), deleting);
    assert_eq!(answer.expect(404).code(), "session_not_found");
    was_cancelled(&scene, 1).await;
    scene.client.get(&format!("/sessions/{session}")).await.expect(404);
}
