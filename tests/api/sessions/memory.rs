//! What the model is sent, and what is kept.

use chat_test_support::Reply;
use serde_json::json;

use crate::scene::{Scene, pairs};

#[tokio::test]
async fn the_model_sees_the_last_messages_and_the_new_one() {
    let scene = Scene::start().await;
    let session = scene.client.post("/sessions", &json!({"memory_limit": 3})).await.expect(201);
    let session = session.body["id"].as_str().expect("an id");
    for (content, sent) in [
        ("1", &[("user", "1")][..]),
        ("2", &[("user", "1"), ("assistant", "echo: 1"), ("user", "2")]),
        ("3", &[("assistant", "echo: 1"), ("user", "2"), ("assistant", "echo: 2"), ("user", "3")]),
        ("4", &[("assistant", "echo: 2"), ("user", "3"), ("assistant", "echo: 3"), ("user", "4")]),
    ] {
        scene.client.say(session, content).await.expect(200);
        assert_eq!(scene.upstream.last_request().conversation(), sent, "turn {content}");
    }
    let kept = [("assistant", "echo: 3"), ("user", "4"), ("assistant", "echo: 4")];
    assert_eq!(scene.memory(session).await, pairs(&kept));
}

#[tokio::test]
async fn the_default_limit_is_the_operators() {
    let scene = Scene::with(&[("MEMORY_DEFAULT", "2")]).await;
    let session = scene.client.create_session().await;
    for content in ["1", "2", "3"] {
        scene.client.say(&session, content).await.expect(200);
    }
    let sent = [("user", "2"), ("assistant", "echo: 2"), ("user", "3")];
    assert_eq!(scene.upstream.last_request().conversation(), sent);
}

#[tokio::test]
async fn a_smaller_limit_of_a_message_forgets_for_good() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    for content in ["1", "2"] {
        scene.client.say(&session, content).await.expect(200);
    }
    let answer = scene.post(&session, json!({"content": "3", "memory_limit": 2})).await.expect(200);
    let sent = [("user", "2"), ("assistant", "echo: 2"), ("user", "3")];
    assert_eq!(scene.upstream.last_request().conversation(), sent, "the limit holds for what is sent, too");
    let kept = pairs(&[("user", "3"), ("assistant", "echo: 3")]);
    assert_eq!(crate::scene::said(&answer.body["history"]), kept);

    // The session's own limit is 10 as before, but there is nothing left to fill it with.
    scene.client.say(&session, "4").await.expect(200);
    let sent = [("user", "3"), ("assistant", "echo: 3"), ("user", "4")];
    assert_eq!(scene.upstream.last_request().conversation(), sent);
    scene.client.say(&session, "5").await.expect(200);
    assert_eq!(scene.memory(&session).await.len(), 6, "one message's limit is not the session's");
}

#[tokio::test]
async fn a_larger_limit_of_a_message_remembers_more() {
    let scene = Scene::with(&[("MEMORY_DEFAULT", "2")]).await;
    let session = scene.client.create_session().await;
    scene.client.say(&session, "1").await.expect(200);
    scene.post(&session, json!({"content": "2", "memory_limit": 4})).await.expect(200);
    assert_eq!(scene.memory(&session).await.len(), 4);
}

#[tokio::test]
async fn the_system_prompt_comes_first_and_is_never_counted_or_shown() {
    let variables = [("INITIAL_SYSTEM_PROMPT", "Speak like a sentinel."), ("MEMORY_DEFAULT", "2")];
    let (scene, operator) = Scene::with_operator(&variables).await;
    let session = scene.client.create_session().await;
    let prompt = ("system", "Speak like a sentinel.");
    let mut answers = Vec::new();
    for content in ["1", "2", "3"] {
        answers.push(scene.client.say(&session, content).await.expect(200).text);
        assert_eq!(scene.upstream.last_request().conversation()[0], prompt, "turn {content}");
    }
    let sent = [prompt, ("user", "2"), ("assistant", "echo: 2"), ("user", "3")];
    assert_eq!(scene.upstream.last_request().conversation(), sent, "it takes nobody's place");

    answers.push(scene.client.get(&format!("/sessions/{session}")).await.expect(200).text);
    answers.push(operator.get(&format!("/admin/sessions/{session}/messages")).await.expect(200).text);
    answers.push(operator.get("/admin/sessions").await.expect(200).text);
    for answer in answers {
        assert!(!answer.contains("sentinel") && !answer.contains("\"system\""), "{answer}");
    }
}

#[tokio::test]
async fn the_instruction_is_sent_instead_of_the_prompt() {
    let variables = [("INITIAL_SYSTEM_PROMPT", "the prompt"), ("MCP_AGENT_INSTRUCTION", "the instruction")];
    let scene = Scene::with(&variables).await;
    let session = scene.client.create_session().await;
    scene.client.say(&session, "1").await.expect(200);
    let sent = [("system", "the instruction"), ("user", "1")];
    assert_eq!(scene.upstream.last_request().conversation(), sent);
    assert_eq!(scene.memory(&session).await, pairs(&[("user", "1"), ("assistant", "echo: 1")]));
}

#[tokio::test]
async fn sessions_do_not_know_of_each_other() {
    let scene = Scene::start().await;
    let (one, other) = (scene.client.create_session().await, scene.client.create_session().await);
    assert_ne!(one, other);
    scene.client.say(&one, "a secret").await.expect(200);
    scene.client.say(&other, "hello").await.expect(200);
    assert_eq!(scene.upstream.last_request().conversation(), [("user", "hello")]);
}

#[tokio::test]
async fn contents_come_through_as_they_are() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    for content in
        [" blanks around \n", "برای من خلاصه بنویس 👩‍👩‍👧‍👦", "\u{0}\u{7f}\u{2028}\u{feff}", "\"quotes\" \\ </script>\r\n"]
    {
        scene.upstream.push(Reply::text(content));
        let answer = scene.client.say(&session, content).await.expect(200);
        assert_eq!(scene.upstream.last_request().last_user(), content);
        assert_eq!(answer.content(), content);
        let memory = scene.memory(&session).await;
        assert_eq!(memory[memory.len() - 2..], pairs(&[("user", content), ("assistant", content)]));
    }
}
