//! Without a mouse: with keys alone.

use fantoccini::key::Key;
use serde_json::json;

use crate::{
    admin::operator,
    browser::{Page, Reader, browse},
    scene::{TOKEN, answer, box_has, demo, here, page, say},
};

/// Waits until an element has the focus.
async fn is_at(tab: &Page, css: &str) {
    tab.until(&format!("document.activeElement.matches({})", json!(css))).await;
}

/// Presses Tab until an element has the focus.
async fn goes_to(tab: &Page, css: &str) {
    for _ in 0..40 {
        tab.press("Tab").await;
        if tab.is(&format!("document.activeElement.matches({})", json!(css))).await {
            return;
        }
    }
    panic!("Tab does not lead to {css}");
}

#[tokio::test]
async fn enter_sends_and_with_shift_breaks_the_line() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        tab.fill(&here("message-input"), "My name").await;
        tab.press_with(Key::Shift, &char::from(Key::Enter).to_string()).await;
        tab.types("is Sara.").await;
        box_has(tab, "My name\nis Sara.").await;
        assert_eq!(tab.count(&here("user-message")).await, 0);
        tab.press("Enter").await;
        tab.sees(&here("user-message"), "My name\nis Sara.").await;
        tab.finds(&answer("complete")).await;
        box_has(tab, "").await;
    })
    .await;
}

#[tokio::test]
async fn on_a_screen_that_is_touched_enter_breaks_the_line() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.is_touched().await;
        tab.open(&page(&service, "/chat")).await;
        tab.fill(&here("message-input"), "My name").await;
        tab.press("Enter").await;
        tab.types("is Sara.").await;
        box_has(tab, "My name\nis Sara.").await;
        // Nobody is told otherwise.
        assert!(tab.is("!document.querySelector('.hint-keys').checkVisibility()").await);
        assert!(tab.is("document.querySelector('[data-testid=message-input]').enterKeyHint !== 'send'").await);
        // With a real keyboard there is a way.
        tab.press_with(Key::Control, &char::from(Key::Enter).to_string()).await;
        tab.sees(&here("user-message"), "My name\nis Sara.").await;
        say(tab, "Hello!").await;
        tab.sees(&here("user-message"), "Hello!").await;
    })
    .await;
}

#[tokio::test]
async fn escape_closes_the_list_on_a_telephone() {
    let service = demo().start().await;
    browse(Reader::ENGLISH.on_the_phone(), async |tab| {
        tab.open(&page(&service, "/chat")).await;
        tab.click(&here("sidebar-open")).await;
        tab.finds("#new-session").await;
        tab.until("document.activeElement.id === 'sidebar-close'").await;
        tab.press("Escape").await;
        tab.until("!document.querySelector('#new-session').checkVisibility({visibilityProperty: true})").await;
        tab.until("document.activeElement.dataset.testid === 'sidebar-open'").await;
    })
    .await;
}

#[tokio::test]
async fn the_tab_key_reaches_everything() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        say(tab, "Hello!").await;
        tab.finds(&answer("complete")).await;
        tab.click(&here("options-toggle")).await;
        tab.script("document.activeElement.blur(); getSelection().removeAllRanges()", &[]).await;
        tab.script("document.querySelector('.skip-link').focus()", &[]).await;
        let unreached = "[...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex=\"0\"]')]\
            .filter(e => e.checkVisibility({visibilityProperty: true}) && !e.disabled && !e.reached)";
        for _ in 0..60 {
            tab.script("document.activeElement.reached = true", &[]).await;
            if tab.is(&format!("{unreached}.length === 0")).await {
                return;
            }
            tab.press("Tab").await;
        }
        let left = tab.script(&format!("return {unreached}.map(e => e.outerHTML.slice(0, 200))"), &[]).await;
        panic!("not reached: {left:#}");
    })
    .await;
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
            tab.press("Enter").await;
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
                    tab.press(key).await;
                }
                is_at(tab, &format!("#tab-{at}[aria-selected=true]")).await;
                tab.finds(&format!("#panel-{at}")).await;
            }
            // The tabs are one stop on the way; the panel follows.
            tab.press("Tab").await;
            is_at(tab, "#panel-bypass").await;
            goes_to(tab, "[data-testid=bypass-remove]").await;
            tab.press("Enter").await;
            tab.finds("#confirm-yes").await;
            tab.press("Escape").await;
            tab.loses("#confirm-yes").await;
            is_at(tab, "[data-testid=bypass-remove]").await;

            tab.click("#tab-sessions").await;
            tab.finds("[data-testid=session-open]").await;
            goes_to(tab, "[data-testid=session-open]").await;
            tab.press("Enter").await;
            tab.sees("#panel-sessions [data-testid=session-id]", &session).await;
            is_at(tab, "#panel-sessions, #panel-sessions *").await;
            goes_to(tab, "[data-testid=back]").await;
            tab.press("Enter").await;
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
                tab.press(key).await;
            }
            tab.until(&format!("{plot}.ariaValueNow === '{at}'")).await;
            let is_chosen = !key.is_empty() && key != "Escape";
            assert_eq!(tab.count("#chart-traffic .chart-cursor").await, u64::from(is_chosen), "{key}");
            assert_eq!(!tab.text("#chart-traffic .chart-when").await.is_empty(), is_chosen, "{key}");
        }
        tab.until(&format!("{plot}.ariaValueText.includes('Requests')")).await;
        // Who goes on leaves the newest sample behind.
        tab.press("ArrowLeft").await;
        tab.press("Tab").await;
        is_at(tab, "#chart-latency .chart-plot").await;
        assert_eq!(tab.count("#chart-traffic .chart-cursor").await, 0);
    })
    .await;
}
