//! An answer while it comes: watched, stopped, broken off, long.

use std::time::Duration;

use chat_test_support::{Cut, Gate, Reply, Upstream, mcp::Servers};
use serde_json::json;

use crate::{
    browser::{Reader, SOON, browse},
    scene::{answer, here, newest_session, over, page, port, remembered, say},
};

#[tokio::test]
async fn an_answer_is_watched_while_it_comes() {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    let slowly =
        Reply::events().delta("Slowly ").hold(&gate).delta("but **surely**.").finish("stop").usage(7, 5).done();
    upstream.push(slowly);
    let service = over(&upstream).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        say(tab, "How?").await;
        tab.sees(&answer("streaming"), "Slowly").await;
        tab.finds(&here("stop")).await;
        assert!(!tab.text(&answer("streaming")).await.contains("surely"));
        gate.open();
        tab.sees(&answer("complete"), "Slowly but surely.").await;
        tab.sees(&here("tokens"), "12").await;
        tab.loses(&here("stop")).await;
        assert_eq!(remembered(&service, &newest_session(&service).await).await, 2);
    })
    .await;
}

#[tokio::test]
async fn a_tool_is_seen_at_work() {
    let upstream = Upstream::start().await;
    upstream.push(Reply::tool_call("desk_slow", &json!({"until": "finished"})));
    upstream.push(Reply::tool_call("desk_fail", &json!({})));
    upstream.push(Reply::text("One worked, one did not."));
    let servers = Servers::new().scripted("desk", &["--only", "slow,fail"]);
    let service = servers.given_to(over(&upstream)).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        say(tab, "Use your tools.").await;
        let tool = |state: &str| format!("{}[data-state={state}]", here("tool-call"));
        tab.sees(&tool("running"), "slow").await;
        tab.sees(&tool("running"), "running").await;
        std::fs::write(service.folder().join("finished"), "").expect("a file");
        tab.sees(&tool("done"), "slow").await;
        tab.sees(&tool("failed"), "fail").await;
        tab.sees(&answer("complete"), "One worked, one did not.").await;
        tab.click(&format!("{} summary", tool("done"))).await;
        tab.sees(&tool("done"), "\"until\": \"finished\"").await;
        tab.click("#language-switch").await;
        tab.sees(&tool("done"), "انجام شد").await;
        // Afterwards they are still told of.
        tab.reload().await;
        tab.sees(&tool("done"), "slow").await;
        tab.sees(&tool("failed"), "fail").await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_stopped_leaves_nothing_behind() {
    let upstream = Upstream::start().await;
    upstream.push(Reply::events().delta("On and on ").hang());
    let service = over(&upstream).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        say(tab, "Tell me a long story.").await;
        tab.sees(&answer("streaming"), "On and on").await;
        tab.click(&here("stop")).await;
        tab.sees(&here("note"), "Stopped.").await;
        upstream.wait_for_aborted(1).await;
        assert_eq!(remembered(&service, &newest_session(&service).await).await, 0);
        // The message is back in the box, to be changed or sent again.
        let input = json!(here("message-input"));
        tab.until(&format!("document.querySelector({input}).value === 'Tell me a long story.'")).await;
        tab.click("#language-switch").await;
        tab.sees(&here("note"), "متوقف شد").await;
        tab.click(&here("send")).await;
        tab.sees(&answer("complete"), "echo: Tell me a long story.").await;
        tab.loses(&answer("broken")).await;
    })
    .await;
}

#[tokio::test]
async fn a_model_that_breaks_off_can_be_asked_again() {
    let upstream = Upstream::start().await;
    upstream.push(Reply::events().delta("Half an ans").cut(Cut::Reset));
    let service = over(&upstream).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        say(tab, "Say it all.").await;
        tab.sees(&answer("broken"), "Half an ans").await;
        tab.sees(&here("error"), "The model did not answer").await;
        tab.finds(&here("request-id")).await;
        tab.click("#language-switch").await;
        tab.sees(&here("error"), "مدل پاسخ نداد").await;
        assert_eq!(remembered(&service, &newest_session(&service).await).await, 0);
        tab.click(&here("retry")).await;
        tab.sees(&answer("complete"), "echo: Say it all.").await;
        tab.loses(&here("error")).await;
    })
    .await;
}

#[tokio::test]
async fn a_service_that_dies_in_mid_answer_is_missed() {
    let upstream = Upstream::start().await;
    upstream.push(Reply::events().delta("Half an ans").hang());
    let mut service = over(&upstream).start().await;
    let port = port(&service);
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("net::ERR_");
        tab.expecting("status of 404");
        tab.open(&page(&service, "/chat")).await;
        say(tab, "Say it all.").await;
        tab.sees(&answer("streaming"), "Half an ans").await;
        service.kill().await;
        tab.sees(&here("error"), "The connection broke off").await;
        tab.finds("#away-banner").await;
        tab.click("#language-switch").await;
        tab.sees(&here("error"), "ارتباط قطع شد").await;
        tab.click("#language-switch").await;
        let _again = over(&upstream).env("PORT", &port).start().await;
        tab.loses("#away-banner").await;
        // Its memory was the process's: the conversation begins anew.
        tab.click(&here("retry")).await;
        tab.click(&here("begin-anew")).await;
        tab.sees(&answer("complete"), "echo: Say it all.").await;
    })
    .await;
}

/// How long the page may stand still while a long answer comes. A machine with nothing else to do needs a
/// fiftieth of it; what this is about is work that grows with the square of the text, which takes minutes.
const RESPONSIVE: Duration = Duration::from_secs(20);

async fn long_answer(pieces: Vec<String>) {
    let length = pieces.iter().map(String::len).sum::<usize>();
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    let middle = pieces.len() / 2;
    let reply = pieces[..middle].iter().fold(Reply::events(), |reply, piece| reply.delta(piece));
    let reply = pieces[middle..].iter().fold(reply.hold(&gate), |reply, piece| reply.delta(piece));
    upstream.push(reply.finish("stop").done());
    let service = over(&upstream).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        tab.finds(&here("empty")).await;
        let watch = "window.longest = 0; let last = performance.now(); setInterval(() => { const now = performance.now(); \
            window.longest = Math.max(window.longest, now - last); last = now; }, 10); \
            addEventListener('click', event => { window.waited = performance.now() - event.timeStamp; }, true)";
        tab.script(watch, &[]).await;
        say(tab, "Go on.").await;
        let shown = "document.querySelector('[data-testid=answer]')?.textContent.length";
        tab.until(&format!("{shown} > {}", length / 4)).await;
        gate.open();
        tab.click(&here("options-toggle")).await;
        tab.finds(&here("options-panel")).await;
        tab.until_within("document.querySelector('[data-testid=answer][data-state=complete]')", 3 * SOON).await;
        for (what, measured) in [("a click waited", "waited"), ("nothing moved", "longest")] {
            let took = tab.script(&format!("return window.{measured}"), &[]).await.as_f64().expect("milliseconds");
            println!("{what} {took}");
            assert!(took < RESPONSIVE.as_secs_f64() * 1000.0, "{what} for {took} ms");
        }
        assert!(tab.is(&format!("{shown} > {}", length * 9 / 10)).await, "all of it is there");
        say(tab, "Thank you.").await;
        tab.sees(&answer("complete"), "echo: Thank you.").await;
    })
    .await;
}

#[tokio::test]
async fn a_megabyte_of_markdown_does_not_freeze_the_page() {
    let paragraph = |index: usize| {
        let words = "some words that fill a line, and a `bit` of *everything*, ".repeat(8);
        format!("## Part {index}\n\n{words}\n\n- one\n- two\n\n```rust\nfn part_{index}() {{}}\n```\n\n")
    };
    long_answer((0..1900).map(paragraph).collect()).await;
}

#[tokio::test]
async fn a_megabyte_in_one_line_does_not_freeze_the_page() {
    long_answer((0..2000).map(|index| format!("{index} {}", "word ".repeat(100))).collect()).await;
}

#[tokio::test]
async fn loose_marks_of_emphasis_do_not_freeze_the_page() {
    long_answer(vec!["*a_".repeat(40); 2000]).await;
}

#[tokio::test]
async fn a_second_conversation_goes_on_beside_the_first() {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    upstream.push(Reply::events().delta("First ").hold(&gate).delta("done.").finish("stop").done());
    let service = over(&upstream).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        say(tab, "Number one").await;
        tab.sees(&answer("streaming"), "First").await;
        tab.click("#new-session").await;
        tab.finds(&here("empty")).await;
        say(tab, "Number two").await;
        tab.sees(&answer("complete"), "echo: Number two").await;
        gate.open();
        tab.finds("[data-testid=session][data-state=unread]").await;
        tab.click("[data-testid=session][data-state=unread]").await;
        tab.sees(&answer("complete"), "First done.").await;
        tab.loses("[data-testid=session][data-state=unread]").await;
    })
    .await;
}

#[tokio::test]
async fn two_conversations_are_held_beside_each_other() {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    let service = over(&upstream).start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        for word in ["Number one", "Number two"] {
            tab.click("#new-session").await;
            tab.finds(&here("empty")).await;
            say(tab, word).await;
            tab.sees(&answer("complete"), &format!("echo: {word}")).await;
        }
        let column = |word: &str| {
            let find = format!(
                "[...document.querySelectorAll('[data-testid=session]')].find(e => e.innerText.includes('{word}'))"
            );
            format!("{find}.parentElement.dataset.key")
        };
        let key = tab.script(&format!("return {}", column("Number one")), &[]).await;
        let one = format!(".conversation[data-key=\"{}\"]", key.as_str().expect("a key"));
        let key = tab.script(&format!("return {}", column("Number two")), &[]).await;
        let two = format!(".conversation[data-key=\"{}\"]", key.as_str().expect("a key"));

        // Nothing can be opened beside itself.
        tab.click("li:has([aria-current=true]) [data-testid=session-beside]").await;
        assert_eq!(tab.count(".columns.two").await, 0);
        tab.click("li:has([aria-current=false]) [data-testid=session-beside]").await;
        tab.finds(".columns.two").await;
        tab.finds(&one).await;
        tab.finds(&two).await;
        tab.fits().await;
        tab.is_accessible("two columns").await;

        // Both are answered at the same time.
        for _ in 0..2 {
            upstream.push(Reply::events().delta("Wait ").hold(&gate).delta("and see.").finish("stop").done());
        }
        for column in [&one, &two] {
            tab.fill(&format!("{column} [data-testid=message-input]"), "Go on").await;
            tab.click(&format!("{column} [data-testid=send]")).await;
            tab.sees(&format!("{column} [data-testid=answer][data-state=streaming]"), "Wait").await;
        }
        assert_eq!(upstream.open(), 2);
        tab.is_accessible("two columns at work").await;
        gate.open();
        for column in [&one, &two] {
            tab.sees(&format!("{column} [data-testid=answer][data-state=complete]"), "Wait and see.").await;
        }

        // Both are there again after a reload; one is closed, the other one stays.
        tab.reload().await;
        for column in [&one, &two] {
            tab.sees(&format!("{column} [data-testid=answer][data-state=complete]"), "Wait and see.").await;
        }
        tab.click(&format!("{two} [data-testid=column-close]")).await;
        tab.loses(".columns.two").await;
        tab.loses(&two).await;
        tab.sees(&format!("{one} [data-testid=answer]"), "echo: Number one").await;
        assert_eq!(tab.count("[data-testid=session]").await, 2);
    })
    .await;
}
