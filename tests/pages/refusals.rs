//! A key that is asked for, a limit that is reached, a service that cannot: what the pages say, and how it goes on.

use fantoccini::key::Key;
use reqwest::Method;

use crate::{
    browser::{Reader, browse},
    scene::{TOKEN, answer, box_has, demo, here, page, program, say},
};

#[tokio::test]
async fn a_chat_that_needs_a_key_asks_for_it() {
    let service = demo().env("API_KEYS", "the-right-key").start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 401");
        tab.open(&page(&service, "/chat")).await;
        say(tab, "Hello!").await;
        tab.sees("#key-problem", "This service asks for a key").await;
        tab.fill("#key-input", "the-wrong-key").await;
        tab.click("#key-save").await;
        tab.sees("#key-problem", "The key was not accepted").await;
        tab.fill("#key-input", "the-right-key").await;
        tab.click("#key-save").await;
        tab.sees(&answer("complete"), "demo model").await;
        tab.reload().await;
        tab.sees(&answer("complete"), "demo model").await;
        let stored = tab.script("return JSON.stringify(localStorage)", &[]).await;
        assert!(!stored.as_str().expect("text").contains("the-right-key"), "for this tab only: {stored}");
    })
    .await;
    browse(Reader::PERSIAN, async |tab| {
        tab.expecting("status of 401");
        tab.open(&page(&service, "/chat")).await;
        say(tab, "سلام").await;
        tab.sees("#key-problem", "این سرویس کلید می‌خواهد").await;
        tab.click("#key-cancel").await;
        tab.sees(&here("error"), "این سرویس کلید می‌خواهد").await;
    })
    .await;
}

#[tokio::test]
async fn a_chat_over_the_limit_counts_down() {
    // Time enough to look at the page while it counts.
    let service = demo().env("RATE_RPS", "0.1").env("RATE_BURST", "1").start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 429");
        tab.open(&page(&service, "/chat")).await;
        say(tab, "Hello!").await;
        tab.sees(&here("error"), "Too many requests").await;
        tab.sees(&here("retry"), "Try again in").await;
        assert!(tab.is(&format!("document.querySelector('{}').disabled", here("retry").replace('"', ""))).await);
        tab.click("#language-switch").await;
        tab.sees(&here("error"), "درخواست‌ها بیش از اندازه‌اند").await;
        // It can be pressed when the time is over.
        tab.click(&here("retry")).await;
        tab.sees(&answer("complete"), "demo model").await;
    })
    .await;
}

#[tokio::test]
async fn a_chat_without_a_model_says_so() {
    let service = program().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 503");
        tab.open(&page(&service, "/chat")).await;
        say(tab, "Hello!").await;
        tab.sees(&here("error"), "No model is set up yet").await;
        tab.finds(&here("request-id")).await;
        tab.finds(&here("retry")).await;
        tab.click("#language-switch").await;
        tab.sees(&here("error"), "هنوز مدلی تنظیم نشده است").await;
    })
    .await;
}

#[tokio::test]
async fn the_number_of_a_request_is_copied() {
    let service = program().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 503");
        tab.open(&page(&service, "/chat")).await;
        for clipboard in ["of the browser", "by selection"] {
            if clipboard == "by selection" {
                // As over plain HTTP from another machine.
                tab.script("Object.defineProperty(navigator, 'clipboard', {value: undefined})", &[]).await;
            }
            say(tab, "Hello!").await;
            tab.finds(&here("request-id")).await;
            let number = tab.text(&here("request-id")).await;
            tab.click(".conversation:not([hidden]) .request-id button").await;
            tab.until("document.querySelector('#announcer').textContent === 'Copied'").await;
            tab.click(&here("edit")).await;
            tab.fill(&here("message-input"), "").await;
            tab.press_with(Key::Control, "v").await;
            box_has(tab, &number).await;
            tab.script("document.querySelector('#announcer').textContent = ''", &[]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_administration_that_is_off_says_how_to_turn_it_on() {
    let service = demo().without_env("ADMIN_TOKEN").start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 503");
        tab.open(&page(&service, "/admin/ui")).await;
        tab.fill("#login-token", TOKEN).await;
        tab.click("#login-button").await;
        tab.sees("#login-error", "Administration is switched off").await;
        tab.sees("#login-error", "ADMIN_TOKEN").await;
        tab.click("#language-switch").await;
        tab.sees("#login-error", "مدیریت خاموش است").await;
    })
    .await;
}

#[tokio::test]
async fn who_guesses_tokens_has_to_wait() {
    let service = demo().start().await;
    let guesser = service.client().with_header("x-admin-token", "guess");
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 429");
        tab.open(&page(&service, "/admin/ui")).await;
        tab.finds("#login-token").await;
        // A lock lasts for a moment only: the guessing goes on until the page has met it.
        let guessing = async {
            loop {
                guesser.request(Method::GET, "/admin/bypass").send().await.expect("an answer");
            }
        };
        let meeting = async {
            let is_refused = "document.querySelector('#login-error').innerText.includes('Too many tries')";
            for _ in 0..10 {
                tab.fill("#login-token", TOKEN).await;
                tab.click("#login-button").await;
                tab.until(&format!("{is_refused} || !document.querySelector('#admin-work').hidden")).await;
                if tab.is(is_refused).await {
                    return;
                }
                // Between two locks the right token counts.
                tab.click("#logout").await;
            }
            panic!("let in again and again, however much is guessed");
        };
        tokio::select! {
            () = guessing => unreachable!("it goes on"),
            () = meeting => {}
        }
        tab.click("#language-switch").await;
        tab.sees("#login-error", "تلاش بیش از اندازه").await;
        tab.click("#login-error [data-testid=retry]").await;
        tab.finds("#admin-work").await;
    })
    .await;
}
