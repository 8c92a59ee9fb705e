//! A conversation: begun, held, lost.

use chat_test_support::{Reply, Upstream, mcp::Servers};
use serde_json::json;

use crate::{
    browser::{Reader, browse},
    front::Front,
    scene::{HOSTILE, TOKEN, answer, assert_harmless, demo, here, newest_session, over, page, port, remembered, say},
};

#[tokio::test]
async fn a_conversation_is_set_up_held_and_found_again() {
    let service = demo().start().await;
    let operator = service.client().with_header("x-admin-token", TOKEN);
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        tab.click(&here("settings-toggle")).await;
        tab.fill(&here("metadata"), r#"{"topic": "travel"}"#).await;
        tab.fill(&here("limit"), "4").await;
        say(tab, "My name is Sara.").await;
        tab.sees(&answer("complete"), "Nice to meet you, Sara").await;
        tab.sees(&here("memory-limit"), "4 messages").await;
        tab.sees("[data-testid=session]", "My name is Sara.").await;
        say(tab, "What is my name?").await;
        tab.sees(&answer("complete"), "Your name is Sara.").await;
        let sessions = operator.get("/admin/sessions").await.expect(200).body;
        assert_eq!(sessions.as_array().map(Vec::len), Some(1), "{sessions}");
        assert_eq!((&sessions[0]["metadata"], &sessions[0]["memory_limit"]), (&json!({"topic": "travel"}), &json!(4)));

        tab.reload().await;
        tab.sees(&answer("complete"), "Your name is Sara.").await;
        say(tab, "And now?").await;
        // The model remembers four messages of six.
        tab.finds(&here("beyond-memory")).await;
        tab.until("document.querySelectorAll('[data-testid=answer][data-state=complete]').length === 3").await;

        // A second one, and the first one is still there.
        tab.click("#new-session").await;
        tab.finds(&here("empty")).await;
        say(tab, "Hello!").await;
        tab.sees(&answer("complete"), "demo model").await;
        assert_eq!(tab.count("[data-testid=session]").await, 2);
        let sessions = operator.get("/admin/sessions").await.expect(200).body;
        assert_eq!(sessions.as_array().map(Vec::len), Some(2), "{sessions}");

        // Deleted here, it is gone from the service.
        tab.click(&here("delete-session")).await;
        tab.click("#confirm-yes").await;
        tab.until("document.querySelectorAll('[data-testid=session]').length === 1").await;
        let sessions = operator.get("/admin/sessions").await.expect(200).body;
        assert_eq!(sessions.as_array().map(Vec::len), Some(1), "{sessions}");
    })
    .await;
}

#[tokio::test]
async fn a_conversation_is_held_in_persian() {
    let service = demo().start().await;
    browse(Reader::PERSIAN, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        tab.click(&here("settings-toggle")).await;
        tab.fill(&here("limit"), "۴").await;
        say(tab, "اسم من سارا است").await;
        tab.sees(&answer("complete"), "خوشوقتم، سارا").await;
        tab.sees(&here("memory-limit"), "۴ پیام").await;
        let sessions = service.client().with_header("x-admin-token", TOKEN).get("/admin/sessions").await.expect(200);
        assert_eq!(sessions.body[0]["memory_limit"], 4);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_object_is_told_before_it_is_sent() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        for (toggle, field, problem) in [
            ("settings-toggle", "metadata", "metadata-problem"),
            ("options-toggle", "options.json", "options.json-problem"),
        ] {
            tab.click(&here(toggle)).await;
            for (typed, english, persian) in [
                ("[1, 2]", "a list", "یک فهرست"),
                ("\"text\"", "a text", "یک متن"),
                ("12", "a number", "یک عدد"),
                ("null", "null", "null"),
                ("{\"a\":", "not JSON", "JSON نیست"),
            ] {
                tab.fill(&here(field), typed).await;
                say(tab, "Hello!").await;
                tab.sees(&here(problem), english).await;
                tab.click("#language-switch").await;
                say(tab, "Hello!").await;
                tab.sees(&here(problem), persian).await;
                tab.click("#language-switch").await;
            }
            tab.fill(&here(field), "{}").await;
        }
        let health = service.client().get("/health").await.expect(200).body;
        assert_eq!(health["requests_total"], 0, "nothing of it was sent: {health}");
        say(tab, "Hello!").await;
        tab.sees(&answer("complete"), "demo model").await;
    })
    .await;
}

#[tokio::test]
async fn what_is_chosen_for_a_message_is_sent_with_it() {
    let upstream = Upstream::start().await;
    let servers = Servers::new().scripted("desk", &["--only", "echo,fail"]);
    let service = servers.given_to(over(&upstream)).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        for word in ["One", "Two"] {
            say(tab, word).await;
            tab.sees(&answer("complete"), &format!("echo: {word}")).await;
        }
        assert_eq!(upstream.last_request().body["tool_choice"], json!(null));
        tab.click(&here("options-toggle")).await;
        tab.fill(&here("options.json"), r#"{"temperature": 0.25}"#).await;
        tab.choose(&here("role"), "assistant").await;
        tab.fill(&here("limit.message"), "3").await;
        tab.fill(&here("tool"), "echo").await;
        upstream.push(Reply::tool_call("desk_echo", &json!({"text": "hello"})));
        upstream.push(Reply::text("As I said."));
        say(tab, "I know it all.").await;
        tab.sees(&answer("complete"), "As I said.").await;
        tab.sees(&here("user-message"), "said as the assistant").await;
        let request = &upstream.requests()[2];
        assert_eq!(request.body["temperature"], 0.25, "{}", request.body);
        assert_eq!(request.body["tool_choice"]["function"]["name"], "desk_echo", "{}", request.body);
        assert_eq!(request.conversation().last(), Some(&("assistant", "I know it all.")));
        assert_eq!(remembered(&service, &newest_session(&service).await).await, 3);

        // They hold for the messages after it, and are there again after a reload, until they are taken back.
        tab.reload().await;
        tab.click(&here("options-toggle")).await;
        for (field, was) in [("options.json", r#"{"temperature": 0.25}"#), ("limit.message", "3"), ("tool", "echo")] {
            let field = here(field);
            tab.until(&format!("document.querySelector({}).value === {}", json!(field), json!(was))).await;
            tab.fill(&field, "").await;
        }
        tab.choose(&here("role"), "user").await;
        say(tab, "Three").await;
        tab.sees(&answer("complete"), "echo: Three").await;
        let request = upstream.last_request();
        assert_eq!((&request.body["temperature"], &request.body["tool_choice"]), (&json!(null), &json!(null)));
        assert_eq!(request.conversation().last(), Some(&("user", "Three")));
    })
    .await;
}

#[tokio::test]
async fn text_that_looks_like_markup_stays_text() {
    let upstream = Upstream::start().await;
    let quoted = format!(
        "{HOSTILE}\n\n[a](javascript:window.ran=1) [b](data:text/html,x) ![c](http://127.0.0.1:1/c.png)\n\n\
         <a href=\"javascript:window.ran=1\">d</a>\n\n`{HOSTILE}`\n\n| {HOSTILE} |\n| --- |\n| e |"
    );
    upstream.push(Reply::text(&quoted));
    let service = over(&upstream).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        tab.click(&here("settings-toggle")).await;
        tab.fill(&here("metadata"), &json!({ "<img src=x onerror=window.ran=1>": HOSTILE }).to_string()).await;
        say(tab, HOSTILE).await;
        tab.sees(&here("user-message"), HOSTILE).await;
        tab.sees(&answer("complete"), "<script>window.ran = 1</script>").await;
        tab.click(&format!("{} summary", ".conversation:not([hidden]) .about-metadata")).await;
        tab.sees(".conversation:not([hidden]) .about-metadata pre", "<script>").await;
        assert_harmless(tab).await;
        tab.click(&format!("{} a", answer("complete"))).await; // the picture, as a link
        tab.reload().await;
        tab.sees(&answer("complete"), "<script>window.ran = 1</script>").await;
        assert_harmless(tab).await;
    })
    .await;
}

#[tokio::test]
async fn whatever_a_service_names_stays_text() {
    let service = demo().start().await;
    let front = Front::before(&service).await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 500");
        tab.open(&front.url("/chat")).await;
        say(tab, "Hello!").await;
        tab.finds(&answer("complete")).await;
        let session = format!("/sessions/{}", newest_session(&service).await);
        let tool = json!({"call_id": HOSTILE, "server": HOSTILE, "tool": HOSTILE, "arguments": {HOSTILE: HOSTILE}});
        let finished =
            json!({"call_id": HOSTILE, "server": HOSTILE, "tool": HOSTILE, "is_error": true, "duration_ms": 1});
        let call =
            json!({"server": HOSTILE, "tool": HOSTILE, "arguments": HOSTILE, "is_error": false, "duration_ms": 1});
        let metadata =
            json!({"finish_reason": HOSTILE, "unavailable_servers": [HOSTILE, HOSTILE], "tool_calls": [call]});
        let message = json!({"role": "assistant", "content": HOSTILE, "created_at": "2030-01-01T00:00:00Z",
            "metadata": metadata});
        let completed = json!({"message": message, "usage": {"total_tokens": 3}, "history": [message]});
        let events = [("tool.started", &tool), ("tool.finished", &finished), ("message.completed", &completed)];
        let events: String = events.map(|(name, data)| format!("event: {name}\ndata: {data}\n\n")).concat();
        front.answer(&format!("{session}/messages"), 200, &[("content-type", "text/event-stream")], &events);
        say(tab, "Who are you?").await;
        tab.sees(&here("finish-reason"), HOSTILE).await;
        tab.sees(&here("unavailable-servers"), HOSTILE).await;
        tab.click(&format!("{} summary", here("tool-call"))).await;
        for part in ["code", ".muted", "pre"] {
            tab.sees(&format!("{} {part}", here("tool-call")), "<script>window.ran = 1</script>").await;
        }
        assert_harmless(tab).await;

        let error = json!({"error": {"code": HOSTILE, "message": HOSTILE, "details": {"kind": HOSTILE}},
            "request_id": HOSTILE});
        let json = [("content-type", "application/json")];
        front.answer(&format!("{session}/messages"), 500, &json, &error.to_string());
        say(tab, "And now?").await;
        tab.sees(&here("request-id"), HOSTILE).await;
        tab.click(&format!("{} summary", here("error"))).await;
        tab.sees(&format!("{} .said", here("error")), HOSTILE).await;
        assert_harmless(tab).await;

        let history = json!({"id": session.rsplit('/').next(), "memory_limit": 3, "metadata": {HOSTILE: HOSTILE},
            "history": [message]});
        front.answer(&session, 200, &json, &history.to_string());
        tab.reload().await;
        tab.sees(&here("finish-reason"), HOSTILE).await;
        tab.sees(&here("tool-call"), "<script>window.ran = 1</script>").await;
        assert_harmless(tab).await;
    })
    .await;
}

#[tokio::test]
async fn a_conversation_that_was_deleted_elsewhere_can_be_begun_anew() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 404");
        tab.open(&page(&service, "/chat")).await;
        say(tab, "Hello!").await;
        tab.sees(&answer("complete"), "demo model").await;
        let session = newest_session(&service).await;
        service.client().delete(&format!("/sessions/{session}")).await.expect(204);
        say(tab, "My name is Sara.").await;
        tab.sees(&here("error"), "This conversation is gone").await;
        tab.click("#language-switch").await;
        tab.sees(&here("error"), "این گفت‌وگو دیگر نیست").await;
        tab.click(&here("begin-anew")).await;
        tab.sees(&answer("complete"), "Nice to meet you, Sara").await;
        assert_ne!(newest_session(&service).await, session);

        // The same, found out when the page is opened.
        let session = newest_session(&service).await;
        service.client().delete(&format!("/sessions/{session}")).await.expect(204);
        tab.reload().await;
        tab.finds(&here("begin-anew")).await;
    })
    .await;
}

#[tokio::test]
async fn while_the_service_is_away_nothing_is_lost() {
    let mut service = demo().start().await;
    let port = port(&service);
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("net::ERR_CONNECTION_REFUSED");
        tab.open(&page(&service, "/chat")).await;
        tab.finds(&here("empty")).await;
        service.kill().await;
        say(tab, "Are you there?").await;
        tab.finds("#away-banner").await;
        tab.sees(&here("error"), "The service cannot be reached").await;
        tab.click("#language-switch").await;
        tab.sees(&here("error"), "سرویس در دسترس نیست").await;
        tab.sees("#away-banner", "سرویس در دسترس نیست").await;
        tab.click("#language-switch").await;
        let _again = demo().env("PORT", &port).start().await;
        // It finds out by itself.
        tab.loses("#away-banner").await;
        tab.click(&here("retry")).await;
        tab.sees(&answer("complete"), "Are you there?").await;
    })
    .await;
}
