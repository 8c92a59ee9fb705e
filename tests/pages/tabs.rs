//! The same conversation in two tabs of a browser.

use chat_test_support::{Gate, Reply, Upstream};

use crate::{
    browser::{Reader, browse},
    scene::{TOKEN, answer, box_has, demo, here, newest_session, over, page, remembered, say},
};

const STORY: &str = "Tell me a long story.";

#[tokio::test]
async fn two_tabs_do_not_lose_each_others_conversation() {
    let service = demo().start().await;
    let chat = page(&service, "/chat");
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&chat).await;
        tab.finds(&here("empty")).await;
        // The same blank conversation, in another tab.
        let first = tab.open_another_tab(&chat).await;
        tab.finds(&here("empty")).await;
        let second = tab.switch_to(first).await;
        say(tab, "My name is Sara.").await;
        tab.sees(&answer("complete"), "Nice to meet you, Sara").await;

        let first = tab.switch_to(second).await;
        tab.fill(&here("message-input"), "What is my name?").await;
        let second = tab.switch_to(first).await;
        tab.reload().await;
        tab.sees(&answer("complete"), "Nice to meet you, Sara").await;
        tab.sees("[data-testid=session]", "My name is Sara.").await;

        // What was said there is seen here, and what is said here belongs to it.
        tab.switch_to(second).await;
        tab.sees(&answer("complete"), "Nice to meet you, Sara").await;
        box_has(tab, "What is my name?").await;
        tab.click(&here("send")).await;
        tab.sees(&answer("complete"), "Your name is Sara.").await;
        assert_eq!(remembered(&service, &newest_session(&service).await).await, 4);
        assert_eq!(tab.count("[data-testid=session]").await, 1);
    })
    .await;
}

#[tokio::test]
async fn two_tabs_begin_one_conversation() {
    let upstream = Upstream::start().await;
    let service = over(&upstream).start().await;
    let chat = page(&service, "/chat");
    let operator = service.client().with_header("x-admin-token", TOKEN);
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&chat).await;
        tab.finds(&here("empty")).await;
        let first = tab.open_another_tab(&chat).await;
        tab.finds(&here("empty")).await;
        // It is slow: both have sent before either is begun.
        service.signal("STOP");
        let second = tab.switch_to(first).await;
        say(tab, "Number one").await;
        tab.finds(&here("stop")).await;
        let first = tab.switch_to(second).await;
        say(tab, "Number two").await;
        tab.finds(&here("stop")).await;
        service.signal("CONT");
        tab.sees(&answer("complete"), "echo: Number two").await;
        tab.switch_to(first).await;
        tab.sees(&answer("complete"), "echo: Number one").await;
        let sessions = operator.get("/admin/sessions").await.expect(200).body;
        assert_eq!(sessions.as_array().map(Vec::len), Some(1), "{sessions}");
        assert_eq!(remembered(&service, &newest_session(&service).await).await, 4);
    })
    .await;
}

#[tokio::test]
async fn a_second_tab_leaves_the_answer_to_the_first() {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    upstream.push(Reply::events().delta("Once ").hold(&gate).delta("upon a time.").finish("stop").done());
    let service = over(&upstream).start().await;
    let chat = page(&service, "/chat");
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&chat).await;
        say(tab, STORY).await;
        tab.sees(&answer("streaming"), "Once").await;
        tab.open_another_tab(&chat).await;
        tab.sees(&here("note"), "another tab").await;
        box_has(tab, "").await;
        tab.click("#language-switch").await;
        tab.sees(&here("note"), "برگهٔ دیگری").await;
        // What comes of it is seen here, too.
        gate.open();
        tab.sees(&answer("complete"), "Once upon a time.").await;
        tab.loses(&here("note")).await;
        box_has(tab, "").await;
        assert_eq!(upstream.requests().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_message_of_a_tab_that_was_closed_is_found_by_another() {
    let upstream = Upstream::start().await;
    upstream.push(Reply::events().delta("Once ").hang());
    let service = over(&upstream).start().await;
    let chat = page(&service, "/chat");
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&chat).await;
        say(tab, STORY).await;
        tab.sees(&answer("streaming"), "Once").await;
        let first = tab.open_another_tab(&chat).await;
        tab.sees(&here("note"), "another tab").await;
        tab.close_tab(first).await;
        tab.sees(&here("note"), "The page was closed before").await;
        box_has(tab, STORY).await;
        upstream.wait_for_aborted(1).await;
        tab.click(&here("send")).await;
        tab.sees(&answer("complete"), &format!("echo: {STORY}")).await;
        assert_eq!(remembered(&service, &newest_session(&service).await).await, 2);
    })
    .await;
}
