//! Pages opened as files: they ask where the service is, and tell no service another one's secrets.

use std::path::Path;

use crate::{
    browser::{Page, Reader, browse},
    front::Front,
    scene::{TOKEN, answer, demo, say},
};

fn file(name: &str) -> String {
    format!("file://{}", Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).display())
}

async fn point_at(tab: &Page, service: &str) {
    tab.fill("#service-address", service).await;
    tab.click("#service-address-form button").await;
    tab.until(&format!("agent.root() === '{service}/'")).await;
}

#[tokio::test]
async fn a_page_from_disk_chats_with_the_service() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        // Until it knows better it looks where the service usually is, and nobody need be there.
        tab.expecting("net::ERR_");
        tab.open(&file("chat.html")).await;
        tab.fill("#service-address", "nowhere").await;
        tab.click("#service-address-form button").await;
        tab.sees("#service-address-hint", "no web address").await;
        point_at(tab, service.base_url()).await;
        say(tab, "My name is Sara.").await;
        tab.sees(&answer("complete"), "Nice to meet you, Sara").await;
        tab.reload().await;
        tab.sees(&answer("complete"), "Nice to meet you, Sara").await;
        // Its neighbours lie beside it.
        tab.click("[data-testid=nav-metrics]").await;
        tab.sees("#tile-requests", "2").await;
        tab.click("[data-testid=nav-admin]").await;
        tab.finds("#login-token").await;
    })
    .await;
}

#[tokio::test]
async fn a_key_is_told_to_no_other_service() {
    let [first, second] = [demo().env("API_KEYS", "key-of-the-first"), demo().env("API_KEYS", "key-of-the-second")];
    let (first, second) = (first.start().await, second.start().await);
    let front = Front::before(&second).await;
    let sent = |what: &str| front.heads().iter().any(|head| head.contains(what));
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("net::ERR_");
        tab.expecting("status of 401");
        tab.open(&file("chat.html")).await;
        point_at(tab, first.base_url()).await;
        say(tab, "Hello!").await;
        tab.sees("#key-dialog .secret-target", first.base_url()).await;
        tab.fill("#key-input", "key-of-the-first").await;
        tab.click("#key-save").await;
        tab.sees(&answer("complete"), "demo model").await;

        // Another tab chooses another service: this one goes on with its own until it is loaded anew.
        tab.script("agent.store.set('root', arguments[0])", &[front.url("/").into()]).await;
        say(tab, "My name is Sara.").await;
        tab.sees(&answer("complete"), "Nice to meet you, Sara").await;
        assert_eq!(front.heads(), Vec::<String>::new());

        tab.reload().await;
        tab.until(&format!("agent.root() === '{}'", front.url("/"))).await;
        say(tab, "Hello!").await;
        tab.sees("#key-dialog .secret-target", &front.url("/")).await;
        assert!(tab.is("document.querySelector('#key-input').value === ''").await, "it knows none for this service");
        assert!(sent("post /sessions ") && !sent("x-api-key:"), "{:?}", front.heads());
        tab.fill("#key-input", "key-of-the-second").await;
        tab.click("#key-save").await;
        tab.sees(&answer("complete"), "demo model").await;
        assert!(sent("x-api-key: key-of-the-second") && !sent("key-of-the-first"), "{:?}", front.heads());
    })
    .await;
}

#[tokio::test]
async fn a_token_is_told_to_no_other_service() {
    let (first, second) = (demo().start().await, demo().start().await);
    let front = Front::before(&second).await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&file("admin.html")).await;
        point_at(tab, first.base_url()).await;
        tab.sees("#admin-login .secret-target", first.base_url()).await;
        tab.fill("#login-token", TOKEN).await;
        tab.click("#login-button").await;
        tab.finds("#admin-work").await;
        point_at(tab, &front.url("")).await;
        tab.sees("#admin-login .secret-target", &front.url("")).await;
        tab.loses("#admin-work").await;
        tab.click("[data-testid=nav-metrics]").await;
        tab.sees("#tile-requests", "0").await;
        assert!(!front.heads().is_empty() && !front.heads().concat().contains(TOKEN), "{:?}", front.heads());
    })
    .await;
}
