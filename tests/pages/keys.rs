//! The operators' pages without a pointer: with keys alone.

use serde_json::json;

use crate::{
    admin::operator,
    browser::{Page, Reader, browse},
    scene::{TOKEN, demo, page},
};

/// Presses a key, wherever the focus is: its name, and its number on a keyboard.
async fn press(tab: &Page, key: &str) {
    let (number, text) = match key {
        "Tab" => (9, ""),
        "Enter" => (13, "\r"),
        "Escape" => (27, ""),
        "PageUp" => (33, ""),
        "PageDown" => (34, ""),
        "End" => (35, ""),
        "Home" => (36, ""),
        "ArrowLeft" => (37, ""),
        "ArrowUp" => (38, ""),
        "ArrowRight" => (39, ""),
        "ArrowDown" => (40, ""),
        other => panic!("{other} is not known here"),
    };
    for kind in ["keyDown", "keyUp"] {
        let mut event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": number});
        if kind == "keyDown" {
            event["text"] = json!(text);
        }
        tab.devtools("Input.dispatchKeyEvent", event).await;
    }
}

/// Waits until an element has the focus.
async fn is_at(tab: &Page, css: &str) {
    tab.until(&format!("document.activeElement.matches({})", json!(css))).await;
}

/// Presses Tab until an element has the focus.
async fn goes_to(tab: &Page, css: &str) {
    for _ in 0..40 {
        press(tab, "Tab").await;
        if tab.is(&format!("document.activeElement.matches({})", json!(css))).await {
            return;
        }
    }
    panic!("Tab does not lead to {css}");
}

#[tokio::test]
async fn the_administration_is_used_by_keys_alone() {
    let service = demo().start().await;
    let session = service.client().create_session().await;
    operator(&service).post("/admin/bypass", &json!({"ip": "203.0.113.7"})).await.expect(201);
    for (reader, forward, back) in
        [(Reader::ENGLISH, "ArrowRight", "ArrowLeft"), (Reader::PERSIAN, "ArrowLeft", "ArrowRight")]
    {
        browse(reader, async |tab| {
            tab.open(&page(&service, "/admin/ui")).await;
            is_at(tab, "#login-token").await;
            tab.devtools("Input.insertText", json!({"text": TOKEN})).await;
            press(tab, "Enter").await;
            for (key, at) in [
                ("", "bypass"),
                (forward, "sessions"),
                (forward, "history"),
                (back, "sessions"),
                ("End", "config"),
                (forward, "bypass"),
                (back, "config"),
                ("Home", "bypass"),
            ] {
                if !key.is_empty() {
                    press(tab, key).await;
                }
                is_at(tab, &format!("#tab-{at}[aria-selected=true]")).await;
                tab.finds(&format!("#panel-{at}")).await;
            }
            // The tabs are one stop on the way; the panel follows.
            press(tab, "Tab").await;
            is_at(tab, "#panel-bypass").await;
            goes_to(tab, "[data-testid=bypass-remove]").await;
            press(tab, "Enter").await;
            tab.finds("#confirm-yes").await;
            press(tab, "Escape").await;
            tab.loses("#confirm-yes").await;
            is_at(tab, "[data-testid=bypass-remove]").await;

            tab.click("#tab-sessions").await;
            tab.finds("[data-testid=session-open]").await;
            goes_to(tab, "[data-testid=session-open]").await;
            press(tab, "Enter").await;
            tab.sees("#panel-sessions [data-testid=session-id]", &session).await;
            is_at(tab, "#panel-sessions, #panel-sessions *").await;
            goes_to(tab, "[data-testid=back]").await;
            press(tab, "Enter").await;
            tab.finds("[data-testid=session-open]").await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_chart_is_read_by_keys_alone() {
    let service = demo().start().await;
    let client = service.client();
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/metrics/ui")).await;
        tab.finds("#metrics-state[data-state=live]").await;
        tab.click("#metrics-pause").await;
        // A few samples, and no more of them by themselves.
        for count in 1..=12 {
            client.create_session().await;
            tab.click("#metrics-refresh").await;
            tab.until(&format!("document.querySelector('#tile-requests').textContent === '{count}'")).await;
        }
        goes_to(tab, "#chart-traffic .chart-plot").await;
        let plot = "document.activeElement";
        let last = tab.script(&format!("return Number({plot}.ariaValueMax)"), &[]).await.as_i64().expect("a number");
        assert!(last >= 12, "{last}");
        for (key, at) in [
            ("", last),
            ("ArrowLeft", last - 1),
            ("ArrowDown", last - 2),
            ("ArrowRight", last - 1),
            ("ArrowUp", last),
            ("ArrowRight", last),
            ("PageDown", last - 10),
            ("Home", 0),
            ("ArrowLeft", 0),
            ("PageUp", 10),
            ("End", last),
            ("Home", 0),
            ("Escape", last),
        ] {
            if !key.is_empty() {
                press(tab, key).await;
            }
            tab.until(&format!("{plot}.ariaValueNow === '{at}'")).await;
            let is_chosen = !key.is_empty() && key != "Escape";
            assert_eq!(tab.count("#chart-traffic .chart-cursor").await, u64::from(is_chosen), "{key}");
            assert_eq!(!tab.text("#chart-traffic .chart-when").await.is_empty(), is_chosen, "{key}");
        }
        tab.until(&format!("{plot}.ariaValueText.includes('Requests')")).await;
        // Who goes on leaves the newest sample behind.
        press(tab, "ArrowLeft").await;
        press(tab, "Tab").await;
        is_at(tab, "#chart-latency .chart-plot").await;
        assert_eq!(tab.count("#chart-traffic .chart-cursor").await, 0);
    })
    .await;
}
