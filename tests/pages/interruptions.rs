//! Answers that nobody waited for, lines that break, services that freeze: nothing is lost, and nothing said twice.

use std::time::Duration;

use chat_test_support::{Gate, Reply, Upstream};
use serde_json::json;

use crate::{
    browser::{Page, Reader, browse},
    front::Front,
    scene::{answer, box_has, here, newest_session, over, page, remembered, say},
};

const STORY: &str = "Tell me a long story.";

/// From now on the page is ten times less patient.
async fn hurry(tab: &Page) {
    let hurry = "const real = window.setTimeout; \
        window.setTimeout = (work, after, ...rest) => real(work, after > 1000 ? after / 10 : after, ...rest)";
    tab.script(hurry, &[]).await;
}

#[tokio::test]
async fn a_page_that_is_closed_during_an_answer_gives_the_message_back() {
    let upstream = Upstream::start().await;
    upstream.push(Reply::events().delta("Once ").hang());
    let service = over(&upstream).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        say(tab, STORY).await;
        tab.sees(&answer("streaming"), "Once").await;
        tab.reload().await;
        tab.sees(&here("note"), "The page was closed before").await;
        box_has(tab, STORY).await;
        tab.click("#language-switch").await;
        tab.sees(&here("note"), "صفحه پیش از پاسخ").await;
        upstream.wait_for_aborted(1).await;
        // A draft like any other now: it is there again, and nothing is told of it.
        tab.reload().await;
        box_has(tab, STORY).await;
        tab.until("!document.querySelector('[data-testid=log][aria-busy=true]')").await;
        assert_eq!(tab.count(&here("note")).await, 0);
        tab.click(&here("send")).await;
        tab.sees(&answer("complete"), &format!("echo: {STORY}")).await;
        assert_eq!(remembered(&service, &newest_session(&service).await).await, 2);
    })
    .await;
}

#[tokio::test]
async fn an_answer_whose_end_was_not_seen_is_found_and_not_asked_for_again() {
    // With a memory of one message, the answer alone is left of it.
    for limit in ["", "1"] {
        let upstream = Upstream::start().await;
        let service = over(&upstream).start().await;
        let front = Front::before(&service).await;
        browse(Reader::ENGLISH, async |tab| {
            tab.expecting("net::ERR_");
            tab.expecting("status of 503");
            tab.open(&front.url("/chat")).await;
            tab.click(&here("settings-toggle")).await;
            tab.fill(&here("limit"), limit).await;
            say(tab, "Hello").await;
            tab.sees(&answer("complete"), "echo: Hello").await;

            // It is looked up at once …
            front.cut_streams(true);
            say(tab, "Are you there?").await;
            tab.sees(&answer("complete"), "echo: Are you there?").await;
            assert_eq!(tab.count(&here("error")).await, 0);

            // … or before it is sent again …
            let session = format!("/sessions/{}", newest_session(&service).await);
            front.answer(&session, 503, &[], "");
            say(tab, "And now?").await;
            tab.sees(&here("error"), "The connection broke off").await;
            tab.sees(&here("turn"), "is not known yet").await;
            front.pass(&session);
            tab.click(&here("retry")).await;
            tab.sees(&answer("complete"), "echo: And now?").await;
            tab.loses(&here("error")).await;

            // … or when the page is opened again.
            front.answer(&session, 503, &[], "");
            say(tab, "Goodbye").await;
            tab.sees(&here("turn"), "is not known yet").await;
            front.pass(&session);
            tab.reload().await;
            tab.sees(&answer("complete"), "echo: Goodbye").await;
            assert_eq!(tab.count(&here("note")).await, 0);
            box_has(tab, "").await;
            assert_eq!(upstream.requests().len(), 4, "nothing was said twice");
        })
        .await;
    }
}

#[tokio::test]
async fn an_old_message_is_not_looked_up_while_another_one_is_answered() {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    let service = over(&upstream).start().await;
    let front = Front::before(&service).await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("net::ERR_");
        tab.expecting("status of 503");
        tab.open(&front.url("/chat")).await;
        say(tab, "Hello").await;
        tab.sees(&answer("complete"), "echo: Hello").await;
        let session = format!("/sessions/{}", newest_session(&service).await);
        front.cut_streams(true);
        front.answer(&session, 503, &[], "");
        say(tab, "And now?").await;
        tab.sees(&here("turn"), "is not known yet").await;
        front.cut_streams(false);
        front.pass(&session);

        // One that fails for good, which is to stay …
        upstream.push(Reply::status(500));
        say(tab, "Not for you").await;
        tab.sees(&here("turn"), "Nothing of this was remembered").await;
        // … and one that is being answered.
        upstream.push(Reply::events().delta("First ").hold(&gate).delta("and last.").finish("stop").done());
        say(tab, STORY).await;
        tab.sees(&answer("streaming"), "First").await;
        tab.click(&here("retry")).await;
        gate.open();
        tab.sees(&answer("complete"), "First and last.").await;
        tab.click(&here("retry")).await;
        tab.sees(&answer("complete"), "echo: And now?").await;
        tab.sees(&answer("complete"), "First and last.").await;
        tab.sees(&here("turn"), "Not for you").await;
        assert_eq!(upstream.requests().len(), 4, "nothing was said twice");
    })
    .await;
}

#[tokio::test]
async fn a_service_that_falls_silent_is_not_waited_for_for_ever() {
    let upstream = Upstream::start().await;
    upstream.push(Reply::events().delta("Once ").hang());
    let service = over(&upstream).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("net::ERR_");
        tab.open(&page(&service, "/chat")).await;
        tab.finds(&here("empty")).await;
        hurry(tab).await;
        say(tab, STORY).await;
        tab.sees(&answer("streaming"), "Once").await;
        service.signal("STOP");
        tab.sees(&here("error"), "The connection broke off").await;
        tab.sees(&here("turn"), "is not known yet").await;
        tab.finds(&here("send")).await;

        // One that does not even begin to answer.
        tab.script("document.querySelector('.conversation:not([hidden]) .turn')?.remove()", &[]).await;
        say(tab, "Are you there?").await;
        tab.sees(&here("error"), "The service cannot be reached").await;
        service.signal("CONT");
        tab.click(&here("retry")).await;
        tab.sees(&answer("complete"), "echo: Are you there?").await;
    })
    .await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_service_that_is_frozen() {
    let upstream = Upstream::start().await;
    upstream.push(Reply::events().delta("Once ").hang());
    upstream.push(Reply::events().delta("Twice ").hang());
    let service = over(&upstream).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("net::ERR_");
        tab.open(&page(&service, "/chat")).await;
        say(tab, STORY).await;
        tab.sees(&answer("streaming"), "Once").await;
        service.signal("STOP");
        tab.click(&here("stop")).await;
        let sending = json!(here("send"));
        let soon = Duration::from_secs(4);
        tab.until_within(&format!("document.querySelector({sending}).checkVisibility()"), soon).await;
        tab.sees(&here("note"), "Stopped.").await;
        box_has(tab, STORY).await;

        // The next one is on its way before it is known what became of the first.
        say(tab, "Another one").await;
        tab.finds(&here("stop")).await;
        service.signal("CONT");
        tab.sees(&answer("streaming"), "Twice").await;
        upstream.wait_for_aborted(1).await;
        tab.reload().await;
        tab.sees(&here("note"), "The page was closed before").await;
        box_has(tab, "Another one").await;
    })
    .await;
}

#[tokio::test]
async fn what_is_sent_before_the_history_is_there_waits_for_it() {
    let upstream = Upstream::start().await;
    let service = over(&upstream).start().await;
    let front = Front::before(&service).await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 503");
        tab.open(&front.url("/chat")).await;
        say(tab, "Hello").await;
        tab.sees(&answer("complete"), "echo: Hello").await;
        let session = format!("/sessions/{}", newest_session(&service).await);
        front.answer(&session, 503, &[], "");
        tab.reload().await;
        tab.finds(&here("error")).await;
        front.pass(&session);
        say(tab, "And now?").await;
        tab.sees(&answer("complete"), "echo: And now?").await;
        tab.sees(&answer("complete"), "echo: Hello").await;
        assert_eq!(tab.count(&here("error")).await, 0);
    })
    .await;
}
