//! The chat page opened as a file: it asks where the service is.

use std::path::Path;

use crate::{
    browser::{Reader, browse},
    scene::{answer, demo, say},
};

fn file(name: &str) -> String {
    format!("file://{}", Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).display())
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
        tab.fill("#service-address", service.base_url()).await;
        tab.click("#service-address-form button").await;
        tab.until(&format!("agent.root() === '{}/'", service.base_url())).await;
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
