//! The pictures of the README, taken of the real pages.

use std::{path::Path, time::Duration};

use chat_test_support::{
    Reply, Upstream,
    mcp::{Servers, filesystem_server},
};
use serde_json::json;

use crate::{
    browser::{Page, Reader, browse},
    scene::{TOKEN, answer, demo, here, over, page, say},
};

/// Room for a page's first things whole.
async fn make_tall(tab: &Page) {
    let metrics = json!({"width": 1280, "height": 940, "deviceScaleFactor": 1, "mobile": false});
    tab.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
}

async fn take(tab: &Page, name: &str) {
    // Nothing is being pointed at.
    tab.devtools("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": 1, "y": 1})).await;
    let picture = tab.devtools("Page.captureScreenshot", json!({"format": "webp", "quality": 80})).await;
    let picture = decode(picture["data"].as_str().expect("a picture"));
    assert!(picture.len() <= 60 * 1024, "{name} has {} bytes", picture.len());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(format!("{name}.webp")), picture).expect("a file");
}

/// Base64, without a dependency for the one place that needs it.
fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u32> = text
        .bytes()
        .filter_map(|byte| ALPHABET.iter().position(|known| *known == byte))
        .map(|digit| u32::try_from(digit).expect("less than 64"))
        .collect();
    let group = |digits: &[u32]| {
        let bits = digits.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - digits.len()));
        bits.to_be_bytes()[1..digits.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

#[test]
fn base64_is_read() {
    for (text, bytes) in [("aGVsbG8h", "hello!"), ("aGVsbG8=", "hello"), ("aGVsbA==", "hell"), ("", "")] {
        assert_eq!(decode(text), bytes.as_bytes());
    }
}

/// A conversation about a file that a real tool server reads.
async fn chat(reader: Reader, name: &str, [file, notes, question, reply, thanks, last]: [&str; 6]) {
    let upstream = Upstream::start().await;
    let launch = over(&upstream).file(&format!("notes/{file}"), notes);
    // The folder is known only when the service has one: servers start there.
    let servers = Servers::new().command("notes", &filesystem_server(), &["notes"]);
    let service = servers.given_to(launch).start().await;
    upstream.push(Reply::tool_call("notes_read_text_file", &json!({"path": file})));
    upstream.push(Reply::text(reply).with_usage(412, 96));
    upstream.push(Reply::text(last).with_usage(540, 31));
    browse(reader, async |tab| {
        make_tall(tab).await;
        tab.open(&page(&service, "/chat")).await;
        tab.click(&here("settings-toggle")).await;
        tab.fill(&here("limit"), "20").await;
        say(tab, question).await;
        tab.finds(&format!("{}[data-state=done]", here("tool-call"))).await;
        tab.finds(&answer("complete")).await;
        say(tab, thanks).await;
        tab.until("document.querySelectorAll('[data-testid=answer][data-state=complete]').length === 2").await;
        tab.script("document.activeElement.blur()", &[]).await;
        take(tab, name).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "writes the README's pictures"]
async fn the_chat_in_english() {
    let notes = "# Trip\n\n- Isfahan: Friday to Sunday, hotel booked\n- Shiraz: Sunday to Wednesday, hotel open\n";
    let reply = "Here is what your notes say about the trip:\n\n| City | Days | Hotel |\n| --- | --- | --- |\n\
        | Isfahan | Friday – Sunday | booked |\n| Shiraz | Sunday – Wednesday | **still open** |\n\n\
        One thing is left to do: the hotel in *Shiraz*.";
    let words = [
        "trip.md",
        notes,
        "What do my notes say about the trip?",
        reply,
        "When do I have to leave Isfahan?",
        "On **Sunday**: that is when Shiraz begins.",
    ];
    chat(Reader::ENGLISH, "chat", words).await;
}

#[tokio::test]
#[ignore = "writes the README's pictures"]
async fn the_chat_in_persian() {
    let notes = "# سفر\n\n- اصفهان: جمعه تا یکشنبه، هتل رزرو شده\n- شیراز: یکشنبه تا چهارشنبه، هتل مانده\n";
    let reply = "یادداشت‌هایتان دربارهٔ سفر این را می‌گوید:\n\n| شهر | روزها | هتل |\n| --- | --- | --- |\n\
        | اصفهان | جمعه تا یکشنبه | رزرو شده |\n| شیراز | یکشنبه تا چهارشنبه | **هنوز نه** |\n\n\
        تنها یک کار مانده است: هتل شیراز.";
    let words = [
        "trip.md",
        notes,
        "یادداشت‌هایم دربارهٔ سفر چه می‌گوید؟",
        reply,
        "کی باید از اصفهان راه بیفتم؟",
        "روز **یکشنبه**: شیراز از همان روز آغاز می‌شود.",
    ];
    chat(Reader::PERSIAN.in_the_dark(), "chat-fa", words).await;
}

#[tokio::test]
#[ignore = "writes the README's pictures"]
async fn the_metrics() {
    let service = demo().start().await;
    let client = service.client();
    browse(Reader::ENGLISH, async |tab| {
        make_tall(tab).await;
        tab.open(&page(&service, "/metrics/ui")).await;
        tab.choose("#metrics-interval", "5").await;
        tab.finds("#metrics-state[data-state=live]").await;
        for step in 0..40_u32 {
            // A day in a minute: some hours are busier.
            let busy = 2 + (f64::from(step) / 5.0).sin().mul_add(3.0, 3.0) as u32 + step % 3;
            for _ in 0..busy {
                let session = client.create_session().await;
                client.say(&session, "Hello! My name is Sara.").await.expect(200);
            }
            if step % 4 == 1 {
                client.post("/sessions/nonsense/messages", &json!({"content": "x"})).await.expect(422);
            }
            tokio::time::sleep(Duration::from_millis(1800)).await;
            tab.click("#metrics-refresh").await;
        }
        tab.script("document.activeElement.blur(); scrollTo(0, 0)", &[]).await;
        take(tab, "metrics").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "writes the README's pictures"]
async fn the_administration() {
    let service = demo().start().await;
    let client = service.client();
    for (topic, language) in
        [("travel", "en"), ("cooking", "fa"), ("invoices", "en"), ("homework", "fa"), ("travel", "fa")]
    {
        let metadata = json!({"metadata": {"topic": topic, "language": language}});
        let session = client.post("/sessions", &metadata).await.expect(201).body;
        client.say(session["id"].as_str().expect("an id"), "Hello!").await.expect(200);
    }
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/admin/ui")).await;
        tab.fill("#login-token", TOKEN).await;
        tab.click("#login-button").await;
        tab.click("#tab-sessions").await;
        tab.finds("[data-testid=session-open]").await;
        tab.script("document.activeElement.blur()", &[]).await;
        take(tab, "admin").await;
    })
    .await;
}
