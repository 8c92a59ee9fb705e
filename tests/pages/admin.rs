//! The operators' page.

use chat_test_support::{Client, RedisServer, Service};
use serde_json::json;

use crate::{
    browser::{Page, Reader, browse},
    scene::{HOSTILE, TOKEN, assert_harmless, demo, page, port},
};

async fn log_in(tab: &Page, token: &str) {
    tab.fill("#login-token", token).await;
    tab.click("#login-button").await;
}

pub(crate) async fn open_as_operator(tab: &Page, service: &Service) {
    tab.open(&page(service, "/admin/ui")).await;
    log_in(tab, TOKEN).await;
    tab.finds("#admin-work").await;
}

pub(crate) fn operator(service: &Service) -> Client {
    service.client().with_header("x-admin-token", TOKEN)
}

#[tokio::test]
async fn the_right_token_opens_and_a_wrong_one_does_not() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 401");
        tab.open(&page(&service, "/admin/ui")).await;
        log_in(tab, "wrong").await;
        tab.sees("#login-wrong", "The token was not accepted").await;
        tab.loses("#admin-work").await;
        tab.click("#language-switch").await;
        tab.sees("#login-wrong", "توکن پذیرفته نشد").await;
        tab.click("#language-switch").await;
        log_in(tab, TOKEN).await;
        tab.finds("#panel-bypass").await;
        tab.loses("#admin-login").await;
        // For this tab, it stays.
        tab.reload().await;
        tab.finds("#panel-bypass").await;
        let stored = tab.script("return JSON.stringify(localStorage)", &[]).await;
        assert!(!stored.as_str().expect("text").contains(TOKEN), "for this tab only: {stored}");
        tab.click("#logout").await;
        tab.finds("#login-token").await;
        let kept = tab.script("return JSON.stringify(sessionStorage) + document.body.innerHTML", &[]).await;
        assert!(!kept.as_str().expect("text").contains(TOKEN), "{kept}");
    })
    .await;
}

#[tokio::test]
async fn a_token_that_changes_leads_back_to_the_login() {
    let mut service = demo().start().await;
    let port = port(&service);
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 401");
        // The page may look how the service is just while there is none.
        tab.expecting("net::ERR_");
        open_as_operator(tab, &service).await;
        service.kill().await;
        let _again = demo().env("PORT", &port).env("ADMIN_TOKEN", "another").start().await;
        tab.click("#tab-runtime").await;
        tab.sees("#login-ended", "not accepted any more").await;
        log_in(tab, "another").await;
        tab.finds("#panel-runtime").await;
    })
    .await;
}

#[tokio::test]
async fn the_bypass_list_is_kept() {
    let service = demo().start().await;
    let listed = async || operator(&service).get("/admin/bypass").await.expect(200).body;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 400");
        open_as_operator(tab, &service).await;
        tab.sees("#bypass-list", "Nobody").await;
        tab.fill("#bypass-ip", "203.0.113.7").await;
        tab.sees("#bypass-hint", "IPv4 address").await;
        tab.click("#bypass-submit").await;
        tab.finds("[data-ip='203.0.113.7']").await;
        tab.fill("#bypass-ip", "2001:DB8::/32").await;
        tab.click("#bypass-submit").await;
        tab.finds("[data-ip='2001:db8::/32']").await;
        assert_eq!(listed().await, json!(["203.0.113.7", "2001:db8::/32"]));

        tab.fill("#bypass-ip", "300.1.1.1").await;
        tab.sees("#bypass-hint", "does not look like").await;
        tab.click("#bypass-submit").await;
        tab.sees("#bypass-error", "That is no address").await;
        tab.click("#language-switch").await;
        tab.sees("#bypass-error", "این نه نشانی است").await;
        tab.click("#language-switch").await;

        tab.click("[data-ip='2001:db8::/32'] [data-testid=bypass-remove]").await;
        tab.click("#confirm-no").await;
        tab.click("[data-ip='2001:db8::/32'] [data-testid=bypass-remove]").await;
        tab.click("#confirm-yes").await;
        tab.loses("[data-ip='2001:db8::/32']").await;
        assert_eq!(listed().await, json!(["203.0.113.7"]));
    })
    .await;
}

#[tokio::test]
async fn what_clients_wrote_is_shown_as_text() {
    let service = demo().env("API_KEYS", "its-key").start().await;
    let client = service.client().with_header("x-api-key", "its-key");
    let metadata = json!({"metadata": {"note": HOSTILE, "<img src=x onerror=window.ran=1>": [HOSTILE]}});
    let session = client.post("/sessions", &metadata).await.expect(201).body;
    let session = session["id"].as_str().expect("an id");
    client.say(session, HOSTILE).await.expect(200);
    browse(Reader::ENGLISH, async |tab| {
        open_as_operator(tab, &service).await;
        tab.click("#tab-sessions").await;
        tab.sees("#panel-sessions", "<script>window.ran = 1</script>").await;
        assert_harmless(tab).await;
        tab.click(&format!("[data-testid=session-open][data-id='{session}']")).await;
        tab.sees("[data-testid=message]", HOSTILE).await;
        tab.sees("#panel-sessions .json", "<script>window.ran = 1</script>").await;
        assert_harmless(tab).await;
        // Deleted here, it is gone, though it is another one's.
        tab.click("[data-testid=session-delete]").await;
        tab.click("#confirm-yes").await;
        tab.sees("#panel-sessions", "No active sessions.").await;
        client.get(&format!("/sessions/{session}")).await.expect(404);
    })
    .await;
}

#[tokio::test]
async fn the_archive_is_read_and_exported() {
    let redis = RedisServer::start();
    let service = demo().env("HISTORY_STORAGE_BACKEND", "redis").env("HISTORY_REDIS_URL", redis.url()).start().await;
    let client = service.client();
    let session = client.post("/sessions", &json!({"metadata": {"note": HOSTILE}})).await.expect(201).body;
    let session = session["id"].as_str().expect("an id");
    client.say(session, HOSTILE).await.expect(200);
    browse(Reader::PERSIAN, async |tab| {
        open_as_operator(tab, &service).await;
        tab.click("#tab-history").await;
        tab.sees("#history-body", session).await;
        tab.click("#export-json").await;
        tab.sees("#export-result", "۱ نشست").await;
        tab.click(&format!("[data-testid=session-open][data-id='{session}']")).await;
        tab.sees("[data-testid=message]", HOSTILE).await;
        assert_harmless(tab).await;
    })
    .await;
}

#[tokio::test]
async fn how_all_is_set_up_is_shown_without_secrets() {
    let service = demo().env("OPENAI_API_KEY", "sentinel-of-a-key").start().await;
    browse(Reader::ENGLISH, async |tab| {
        open_as_operator(tab, &service).await;
        tab.click("#tab-history").await;
        tab.sees("#history-body", "HISTORY_STORAGE_BACKEND").await;
        tab.click("#tab-runtime").await;
        tab.sees("#runtime-body", "demo").await;
        tab.click("#tab-config").await;
        tab.fill("#config-filter", "OPENAI_API_KEY").await;
        tab.sees("#config-body tr[data-name=OPENAI_API_KEY]", "***").await;
        tab.until("document.querySelectorAll('#config-body tbody tr').length === 1").await;
        let all = tab.script("return document.documentElement.innerHTML", &[]).await;
        assert!(!all.as_str().expect("text").contains("sentinel-of-a"));
    })
    .await;
}

#[tokio::test]
async fn a_service_that_goes_and_comes_is_seen_to() {
    let mut service = demo().start().await;
    let port = port(&service);
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("net::ERR_");
        open_as_operator(tab, &service).await;
        tab.click("#tab-sessions").await;
        tab.sees("#panel-sessions", "No active sessions.").await;
        service.kill().await;
        tab.click("#sessions-refresh").await;
        tab.sees("#panel-sessions [data-testid=error]", "The service cannot be reached").await;
        tab.click("#language-switch").await;
        tab.sees("#panel-sessions [data-testid=error]", "سرویس در دسترس نیست").await;
        tab.click("#language-switch").await;
        let again = demo().env("PORT", &port).start().await;
        let session = again.client().create_session().await;
        tab.click("#panel-sessions [data-testid=retry]").await;
        tab.sees("#panel-sessions", &session).await;
    })
    .await;
}
