//! Everybody can use the pages: on a telephone, in the dark, with a screen reader.

use chat_test_support::{Reply, Service, Upstream, mcp::Servers};
use serde_json::json;

use crate::{
    browser::{Page, Reader, browse},
    scene::{TOKEN, answer, demo, here, over, page, say},
};

/// Languages, themes and widths, each at least once.
const READERS: [Reader; 4] = [
    Reader::ENGLISH,
    Reader::PERSIAN.in_the_dark(),
    Reader::ENGLISH.in_the_dark().on_the_phone(),
    Reader::PERSIAN.on_the_phone(),
];

async fn looks_right(tab: &Page, state: &str) {
    tab.fits().await;
    tab.is_accessible(state).await;
}

/// Of everything something.
const MARKDOWN: &str = "# A title\n\nSome *text* with `code`, a [link](https://example.org) and a very long \
    wordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordword.\n\n\
    ## چند خط فارسی\n\nاین یک متن فارسی است.\n\n- [x] done\n- [ ] open\n\n1. one\n2. two\n\n> quoted\n\n\
    | left | right |\n| --- | ---: |\n| a cell with quite a lot in it | another cell with even more in it than that |\n\n\
    ```rust\nfn main() { println!(\"a line of code that is longer than a telephone is wide, by far\"); }\n```\n\n---\n\n\
    The end.";

#[tokio::test]
async fn the_chat_can_be_used_by_everybody() {
    for reader in READERS {
        let upstream = Upstream::start().await;
        let servers = Servers::new().scripted("desk", &["--only", "echo,fail"]);
        let service = servers.given_to(over(&upstream)).start().await;
        browse(reader, async |tab| {
            tab.open(&page(&service, "/chat")).await;
            tab.finds(&here("empty")).await;
            looks_right(tab, "empty").await;
            tab.click(&here("options-toggle")).await;
            tab.fill(&here("tool"), "echo").await;
            looks_right(tab, "options").await;
            tab.fill(&here("tool"), "").await;
            tab.click(&here("settings-toggle")).await;
            tab.fill(&here("limit"), "4").await;
            tab.fill(&here("metadata"), "[]").await;
            say(tab, "x").await;
            tab.until(&format!("document.querySelector('{}').textContent", here("metadata-problem").replace('"', "")))
                .await;
            looks_right(tab, "settings, with something wrong").await;
            tab.fill(&here("metadata"), r#"{"a": "b"}"#).await;

            upstream.push(Reply::tool_calls([("desk_echo", r#"{"text": "hello"}"#), ("desk_fail", "{}")]));
            upstream.push(Reply::text(MARKDOWN));
            say(tab, "Show everything, and a wordwordwordwordwordwordwordwordwordwordwordwordwordwordwordword.").await;
            tab.sees(&answer("complete"), "The end.").await;
            tab.click(&format!("{} summary", here("tool-call"))).await;
            looks_right(tab, "an answer").await;

            upstream.push(Reply::status(500));
            say(tab, "And now?").await;
            tab.finds(&here("error")).await;
            looks_right(tab, "an error").await;

            upstream.push(Reply::events().delta("Still at it").hang());
            say(tab, "Go on").await;
            tab.sees(&answer("streaming"), "Still at it").await;
            looks_right(tab, "an answer that comes").await;
            tab.click(&here("stop")).await;
            tab.finds(&here("note")).await;
            looks_right(tab, "one that was stopped").await;

            if reader.width < 500 {
                tab.click(&here("sidebar-open")).await;
                looks_right(tab, "the list of conversations").await;
            }
            tab.click("#key-button").await;
            tab.finds("#key-input").await;
            looks_right(tab, "the key").await;
        })
        .await;
    }
}

#[tokio::test]
async fn the_metrics_can_be_used_by_everybody() {
    for reader in READERS {
        let mut service = demo().start().await;
        let client = service.client();
        browse(reader, async |tab| {
            tab.expecting("net::ERR_");
            tab.open(&page(&service, "/metrics/ui")).await;
            tab.finds("#metrics-state[data-state=live]").await;
            looks_right(tab, "nothing yet").await;
            for _ in 0..3 {
                let session = client.create_session().await;
                client.say(&session, "Hello!").await.expect(200);
                client.post("/sessions/nonsense/messages", &json!({})).await.expect(422);
                tab.click("#metrics-refresh").await;
            }
            tab.until("document.querySelector('#status-list').childElementCount >= 3").await;
            looks_right(tab, "numbers").await;
            service.kill().await;
            tab.click("#metrics-refresh").await;
            tab.finds("#metrics-trouble").await;
            looks_right(tab, "the service away").await;
        })
        .await;
    }
}

async fn busy_service() -> Service {
    let service = demo().start().await;
    let client = service.client();
    for metadata in [json!({}), json!({"topic": "travel", "long": "wordwordwordwordwordwordwordword".repeat(4)})] {
        let session = client.post("/sessions", &json!({"metadata": metadata})).await.expect(201).body;
        let session = session["id"].as_str().expect("an id");
        client.say(session, &"A long message. ".repeat(20)).await.expect(200);
        client.say(session, "اسم من سارا است").await.expect(200);
    }
    let operator = client.with_header("x-admin-token", TOKEN);
    for ip in ["203.0.113.7", "2001:db8:1111:2222:3333:4444:5555:6666", "10.0.0.0/8"] {
        operator.post("/admin/bypass", &json!({"ip": ip})).await.expect(201);
    }
    service
}

#[tokio::test]
async fn the_administration_can_be_used_by_everybody() {
    let service = busy_service().await;
    for reader in READERS {
        browse(reader, async |tab| {
            tab.expecting("status of 4");
            tab.open(&page(&service, "/admin/ui")).await;
            tab.fill("#login-token", "wrong").await;
            looks_right(tab, "login").await;
            tab.click("#login-button").await;
            tab.until("document.querySelector('#login-wrong').textContent").await;
            looks_right(tab, "a wrong token").await;
            tab.fill("#login-token", TOKEN).await;
            tab.click("#login-button").await;
            tab.finds("[data-testid=bypass-remove]").await;
            looks_right(tab, "bypass list").await;
            tab.click("[data-testid=bypass-remove]").await;
            tab.finds("#confirm-no").await;
            looks_right(tab, "a question").await;
            tab.click("#confirm-no").await;
            for (name, ready) in [
                ("sessions", "[data-testid=session-open]"),
                ("history", "#history-body .empty"),
                ("runtime", "#runtime-body *"),
                ("config", "#config-body tbody tr"),
            ] {
                tab.click(&format!("#tab-{name}")).await;
                tab.finds(ready).await;
                looks_right(tab, name).await;
            }
            tab.click("#tab-sessions").await;
            tab.click("[data-testid=session-open]").await;
            tab.finds("[data-testid=message]").await;
            looks_right(tab, "one session").await;
        })
        .await;
    }
}
