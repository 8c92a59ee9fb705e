//! How the service is, on the operators' page: its tool servers, what it depends on, and how it is set up.

use std::path::Path;

use chat_test_support::{Upstream, mcp::Servers};
use serde_json::{Value, json};

use crate::{
    admin::{open_as_operator, operator},
    browser::{Page, Reader, SOON, browse},
    front::Front,
    scene::{HOSTILE, TOKEN, assert_harmless, demo, over},
};

fn server(name: &str) -> String {
    format!("#mcp-servers [data-testid=mcp-server][data-name='{name}']")
}

fn check(name: &str) -> String {
    format!("#runtime-checks [data-testid=check][data-name='{name}']")
}

/// Looks again until the element says this: states change by themselves, the page does not.
async fn comes_to_see(tab: &Page, css: &str, text: &str) {
    let deadline = std::time::Instant::now() + SOON;
    loop {
        tab.click("#runtime-refresh").await;
        tab.until("!document.querySelector('#panel-runtime [aria-busy]')").await;
        if tab.text(css).await.contains(text) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{css} does not come to say {text:?}");
    }
}

#[tokio::test]
async fn tool_servers_are_shown_with_what_is_wrong_with_them() {
    let upstream = Upstream::start().await;
    let servers = Servers::new()
        .scripted("desk", &["--only", "echo,fail"])
        .command("broken", Path::new("/no/such/program"), &[])
        .scripted("refusing", &["--refuse", HOSTILE]);
    let service = servers.given_to(over(&upstream)).start().await;
    browse(Reader::ENGLISH, async |tab| {
        open_as_operator(tab, &service).await;
        tab.click("#tab-runtime").await;
        tab.finds("#mcp-servers").await;
        comes_to_see(tab, &server("desk"), "ready").await;
        tab.sees(&server("desk"), "2 tools").await;
        tab.click(&format!("{} summary", server("desk"))).await;
        tab.sees(&server("desk"), "echo").await;
        comes_to_see(tab, &server("broken"), "down").await;
        comes_to_see(tab, &server("refusing"), "down").await;
        tab.sees("#mcp-servers", "1 of 3 are ready").await;
        tab.sees(&server("broken"), "No tools.").await;
        let known = operator(&service).get("/admin/runtime").await.expect(200).body;
        let known = known["mcp_servers"].as_array().expect("servers");
        for name in ["broken", "refusing"] {
            let known = known.iter().find(|server| server["name"] == name).expect("a server");
            let error = known["last_error"].as_str().expect("an error");
            let shown = format!("document.querySelector({}).textContent", json!(format!("{} .bad-text", server(name))));
            tab.until(&format!("{shown} === {}", json!(error))).await;
        }
        assert_harmless(tab).await;

        // Without them it is answered all the same, and that is said.
        tab.sees("#runtime-checks [data-state]", "degraded").await;
        tab.sees("#ready-text", "not everything works as it should").await;
        let ready = operator(&service).get("/health/ready").await.expect(200).body;
        for known in ready["checks"].as_array().expect("checks") {
            let [name, state] = ["name", "state"].map(|field| known[field].as_str().expect("text"));
            tab.finds(&format!("{} [data-state={state}]", check(name))).await;
            if let Some(error) = known["last_error"].as_str() {
                let card = json!(check(name));
                tab.until(&format!("document.querySelector({card}).textContent.includes({})", json!(error))).await;
            }
        }
        tab.click("#language-switch").await;
        tab.sees(&server("broken"), "از کار افتاده").await;
        tab.sees("#ready-text", "پیام‌ها پاسخ می‌گیرند").await;
    })
    .await;
}

#[tokio::test]
async fn a_service_that_is_not_ready_says_what_it_needs() {
    let upstream = Upstream::start().await;
    let servers = Servers::new().command("broken", Path::new("/no/such/program"), &[]).with("required", true);
    let service = servers.given_to(over(&upstream)).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 503");
        open_as_operator(tab, &service).await;
        tab.click("#tab-runtime").await;
        comes_to_see(tab, "#ready-text", "No message can be answered").await;
        tab.sees("#runtime-checks [data-testid=check]", "Last error").await;
        tab.click("#language-switch").await;
        tab.sees("#ready-text", "هیچ پیامی پاسخ نمی‌گیرد").await;
    })
    .await;
}

/// Every text of an answer is replaced by a hostile one.
fn poisoned(value: &Value) -> Value {
    match value {
        Value::String(_) => json!(HOSTILE),
        Value::Array(items) => items.iter().map(poisoned).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), poisoned(value))).collect())
        }
        other => other.clone(),
    }
}

/// The service checks the names of its servers and passes on little of what they say: here everything is passed on.
#[tokio::test]
async fn what_servers_say_is_shown_as_text() {
    let service = demo().start().await;
    let front = Front::before(&service).await;
    let answers = |path: &str, body: &Value| {
        front.answer(path, 200, &[("content-type", "application/json")], &body.to_string());
    };
    let mut runtime = operator(&service).get("/admin/runtime").await.expect(200).body;
    runtime["provider"]["uses_openrouter"] = json!(true);
    runtime["mcp_servers"] =
        json!([{"name": "a", "transport": "stdio", "status": "down", "tools": ["one"], "last_error": "no"}]);
    answers("/admin/runtime", &poisoned(&runtime));
    let checks = json!({"status": "ready", "checks": [{"name": "a", "state": "up", "since": null, "last_error": "no",
        "backlog": 1, "note": "so"}]});
    answers("/health/ready", &poisoned(&checks));
    let config = operator(&service).get("/admin/config").await.expect(200).body;
    answers("/admin/config", &poisoned(&config));
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&front.url("/admin/ui")).await;
        tab.fill("#login-token", TOKEN).await;
        tab.click("#login-button").await;
        tab.click("#tab-runtime").await;
        tab.sees("#mcp-servers h4", HOSTILE).await;
        tab.sees("#mcp-servers .badge", HOSTILE).await;
        tab.sees("#mcp-servers .bad-text", HOSTILE).await;
        tab.click("#mcp-servers summary").await;
        tab.sees("#mcp-servers .chip", HOSTILE).await;
        tab.sees("#runtime-checks h4", HOSTILE).await;
        tab.sees("#runtime-checks .bad-text", HOSTILE).await;
        tab.sees("#ready-text", HOSTILE).await;
        assert_harmless(tab).await;
        tab.click("#tab-config").await;
        tab.sees("#config-body tbody th", HOSTILE).await;
        tab.sees("#config-body tbody td", HOSTILE).await;
        assert_harmless(tab).await;
        tab.click("#language-switch").await;
        assert_harmless(tab).await;
    })
    .await;
}
