//! The archive on the operators' page: turned over page by page, between two days, and saved as a file.

use std::path::Path;

use chat_test_support::{Client, RedisServer, Service, TempDir, assert_eventually};
use serde_json::{Value, json};

use crate::{
    admin::{open_as_operator, operator},
    browser::{Page, Reader, SOON, browse},
    export::cells,
    scene::demo,
};

const NEXT: &str = "#history-pager [data-testid='page.next']";
const PREVIOUS: &str = "#history-pager [data-testid='page.previous']";
const RANGE: &str = "#history-pager [data-testid=page-range]";

async fn archiving(redis: &RedisServer) -> Service {
    demo().env("HISTORY_STORAGE_BACKEND", "redis").env("HISTORY_REDIS_URL", redis.url()).start().await
}

async fn create(client: &Client, number: usize) -> String {
    let body = json!({"metadata": {"number": number}});
    let session = client.post("/sessions", &body).await.expect(201).body;
    session["id"].as_str().expect("an id").to_owned()
}

/// What the service itself tells of its archive, from the newest session to the oldest, once there are so many. Where a
/// write takes long, it is put aside and made later.
async fn archived(service: &Service, number: usize) -> Vec<Value> {
    let mut sessions;
    assert_eventually!(
        {
            sessions = listed(service).await;
            sessions.len() == number
        },
        SOON
    );
    sessions
}

/// The same as it is now.
async fn listed(service: &Service) -> Vec<Value> {
    both_pages(service, "/admin/history/sessions", "sessions").await
}

/// What a list of up to 400 has, which the service tells on two pages.
async fn both_pages(service: &Service, path: &str, name: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for offset in [0, 200] {
        let page = operator(service).get(&format!("{path}?limit=200&offset={offset}")).await.expect(200).body;
        all.extend(page[name].as_array().expect("a list").iter().cloned());
    }
    all
}

fn ids(sessions: &[Value]) -> Vec<&str> {
    sessions.iter().map(|session| session["id"].as_str().expect("an id")).collect()
}

/// Waits until just these sessions are listed, in this order.
async fn lists(tab: &Page, sessions: &[Value]) {
    let listed = "[...document.querySelectorAll('#history-body [data-testid=session-open]')].map(e => e.dataset.id)";
    tab.until(&format!("JSON.stringify({listed}) === JSON.stringify({})", json!(ids(sessions)))).await;
}

async fn is_disabled(tab: &Page, css: &str) -> bool {
    tab.is(&format!("document.querySelector({}).disabled", json!(css))).await
}

/// A day by the reader's clock, so many days from now, as the field for it has it.
async fn day(tab: &Page, from_today: i32) -> String {
    let script = "const day = new Date(); day.setDate(day.getDate() + arguments[0]); \
        return [day.getFullYear(), day.getMonth() + 1, day.getDate()].map(n => String(n).padStart(2, '0')).join('-')";
    tab.script(script, &[json!(from_today)]).await.as_str().expect("a day").to_owned()
}

/// Picks the days, "" for none, as from the browser's calendar; what is typed there depends on its language.
async fn pick(tab: &Page, from: &str, to: &str) {
    let script = "for (const [id, day] of Object.entries(arguments[0])) { const field = document.getElementById(id); \
        field.value = day; field.dispatchEvent(new Event('input', {bubbles: true})); }";
    tab.script(script, &[json!({"history-from": from, "history-to": to})]).await;
}

#[tokio::test]
async fn the_archive_is_turned_over_page_by_page() {
    let redis = RedisServer::start();
    let service = archiving(&redis).await;
    let client = service.client();
    for number in 0..41 {
        create(&client, number).await;
    }
    let sessions = archived(&service, 41).await;
    browse(Reader::ENGLISH, async |tab| {
        open_as_operator(tab, &service).await;
        tab.click("#tab-history").await;
        tab.choose("#history-size", "20").await;
        lists(tab, &sessions[..20]).await;
        tab.sees(RANGE, "1–20 of 41").await;
        assert!(is_disabled(tab, PREVIOUS).await);
        tab.click(NEXT).await;
        lists(tab, &sessions[20..40]).await;
        tab.sees(RANGE, "21–40 of 41").await;
        tab.click(NEXT).await;
        lists(tab, &sessions[40..]).await;
        tab.sees(RANGE, "41–41 of 41").await;
        assert!(is_disabled(tab, NEXT).await);
        tab.click("#language-switch").await;
        tab.sees(RANGE, "۴۱ تا ۴۱ از ۴۱").await;
        tab.click(PREVIOUS).await;
        lists(tab, &sessions[20..40]).await;
        // Another page size begins at the first page, and is remembered.
        tab.choose("#history-size", "50").await;
        lists(tab, &sessions).await;
        assert!(is_disabled(tab, NEXT).await);
        tab.reload().await;
        lists(tab, &sessions).await;
        // A page whose last session goes is no page any more: the one before it is shown.
        tab.choose("#history-size", "20").await;
        lists(tab, &sessions[..20]).await;
        tab.click(NEXT).await;
        lists(tab, &sessions[20..40]).await;
        tab.click(NEXT).await;
        lists(tab, &sessions[40..]).await;
        client.delete(&format!("/sessions/{}", ids(&sessions)[40])).await.expect(204);
        archived(&service, 40).await;
        tab.click("#history-refresh").await;
        lists(tab, &sessions[20..40]).await;
    })
    .await;
}

#[tokio::test]
async fn a_long_conversation_is_turned_over_page_by_page() {
    let redis = RedisServer::start();
    let service = archiving(&redis).await;
    let client = service.client();
    let session = create(&client, 0).await;
    for number in 0..26 {
        client.say(&session, &format!("Message number {number}.")).await.expect(200);
    }
    assert_eventually!(messages_of(&service, &session).await.len() == 52, SOON);
    browse(Reader::ENGLISH, async |tab| {
        open_as_operator(tab, &service).await;
        tab.click("#tab-history").await;
        tab.click(&format!("[data-testid=session-open][data-id='{session}']")).await;
        tab.sees(RANGE, "1–50 of 52").await;
        tab.sees("[data-testid=message]", "Message number 0.").await;
        tab.click(NEXT).await;
        tab.sees(RANGE, "51–52 of 52").await;
        tab.sees("[data-testid=message]", "Message number 25.").await;
        assert_eq!(tab.count("[data-testid=message]").await, 2);
        tab.click("#panel-history [data-testid=back]").await;
        tab.sees(RANGE, "1–1 of 1").await;
    })
    .await;
}

#[tokio::test]
async fn the_archive_is_shown_between_two_days_of_the_readers() {
    let redis = RedisServer::start();
    let service = archiving(&redis).await;
    let client = service.client();
    for number in 0..2 {
        create(&client, number).await;
    }
    let sessions = archived(&service, 2).await;
    browse(Reader::ENGLISH, async |tab| {
        // Where it is another day than by the service's clock, and neither day is about to end.
        let hour = tab.script("return new Date().getUTCHours()", &[]).await.as_u64().expect("an hour");
        let zone = if hour < 11 { "Etc/GMT+12" } else { "Etc/GMT-14" };
        tab.devtools("Emulation.setTimezoneOverride", json!({"timezoneId": zone})).await;
        open_as_operator(tab, &service).await;
        tab.click("#tab-history").await;
        lists(tab, &sessions).await;
        let [yesterday, today, tomorrow] = [day(tab, -1).await, day(tab, 0).await, day(tab, 1).await];
        let none = String::new();
        for (from, to, expected) in [
            (&today, &today, &*sessions),
            (&tomorrow, &none, &[]),
            (&yesterday, &tomorrow, &sessions),
            (&none, &yesterday, &[]),
            (&none, &today, &sessions),
            (&yesterday, &yesterday, &[]),
            (&today, &none, &sessions),
        ] {
            pick(tab, from, to).await;
            tab.click("#history-apply").await;
            if expected.is_empty() {
                tab.sees("#history-body", "Nothing was archived in this time.").await;
            }
            lists(tab, expected).await;
        }
        pick(tab, &tomorrow, &today).await;
        tab.click("#history-apply").await;
        tab.sees("#history-wrong", "The end lies before the beginning.").await;
        lists(tab, &sessions).await;
        tab.click("#language-switch").await;
        tab.sees("#history-wrong", "پایان پیش از آغاز است").await;
        // In Persian the day is told by the Persian calendar, too.
        tab.until("/[۰-۹]/.test(document.querySelector('#history-from-hint').textContent)").await;
        tab.click("#history-clear").await;
        tab.loses("#history-wrong:not(:empty)").await;
        lists(tab, &sessions).await;
    })
    .await;
}

/// The file that was saved there, once it is whole: until then the browser keeps its name with an empty one.
async fn saved(folder: &Path, kind: &str) -> String {
    let read = || {
        let mut files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
        let file = files.find(|file| file.extension().is_some_and(|found| found == kind));
        file.map(|file| std::fs::read_to_string(file).expect("text")).unwrap_or_default()
    };
    assert_eventually!(!read().is_empty(), 3 * SOON);
    read()
}

/// The archived messages of a session, as the service itself tells them.
async fn messages_of(service: &Service, session: &str) -> Vec<Value> {
    both_pages(service, &format!("/admin/history/sessions/{session}/messages"), "messages").await
}

/// The lines of a file of comma-separated values.
fn rows(file: &str) -> Vec<Vec<String>> {
    let cells = cells(file, ',');
    // A line ends in two characters, and between them there seems to be one cell more.
    let width = cells.iter().position(String::is_empty).expect("the end of the first line");
    let lines = cells.chunks(width + 1).filter(|line| line.len() > width);
    lines.map(|line| line[..width].to_vec()).collect()
}

/// More sessions and more messages than the service gives at once.
#[tokio::test]
async fn an_export_holds_all_that_was_archived() {
    let redis = RedisServer::start();
    let service = archiving(&redis).await;
    let client = service.client();
    for number in 0..201 {
        create(&client, number).await;
    }
    let talkative = ids(&archived(&service, 201).await)[200].to_owned();
    for number in 0..101 {
        client.say(&talkative, &format!("سلام، number {number}")).await.expect(200);
    }
    assert_eventually!(messages_of(&service, &talkative).await.len() == 202, SOON);
    let mut expected = archived(&service, 201).await;
    for session in &mut expected {
        session["messages"] = json!(messages_of(&service, session["id"].as_str().expect("an id")).await);
    }
    let folder = TempDir::new();
    browse(Reader::ENGLISH, async |tab| {
        let place = json!({"behavior": "allow", "downloadPath": folder.path()});
        tab.devtools("Browser.setDownloadBehavior", place).await;
        open_as_operator(tab, &service).await;
        tab.click("#tab-history").await;
        tab.click("#export-json").await;
        let exported = "document.querySelector('#export-result').innerText.includes('Exported: 201 sessions.')";
        tab.until_within(exported, 3 * SOON).await;
        let file: Value = serde_json::from_str(&saved(folder.path(), "json").await).expect("JSON");
        assert_eq!(file["filter"], json!({"from": null, "to": null}));
        assert_eq!(file["sessions"], json!(expected));

        tab.click("#export-csv").await;
        let file = saved(folder.path(), "csv").await;
        let rows = rows(file.strip_prefix('\u{feff}').expect("a byte order mark"));
        assert_eq!(rows.len(), 1 + 200 + 202, "a line for each message, and one for each session without");
        let column = |name: &str| rows[0].iter().position(|cell| cell == name).expect("a column");
        let [id, role, content] = ["session_id", "message_role", "message_content"].map(column);
        let told: Vec<[&str; 3]> = rows[1..].iter().map(|row| [&*row[id], &*row[role], &*row[content]]).collect();
        let said = |session: &Value, message: &Value| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            [text(&session["id"]), text(&message["role"]), text(&message["content"])]
        };
        let silence = [Value::Null];
        let expected: Vec<[String; 3]> = expected
            .iter()
            .flat_map(|session| {
                let messages = session["messages"].as_array().expect("messages");
                let messages = if messages.is_empty() { &silence[..] } else { messages };
                messages.iter().map(move |message| said(session, message))
            })
            .collect();
        assert_eq!(told, expected);

        // What the filter leaves out is left out of the file.
        pick(tab, &day(tab, 1).await, "").await;
        tab.click("#history-apply").await;
        tab.sees("#history-body", "Nothing was archived in this time.").await;
        tab.click("#export-csv").await;
        tab.sees("#export-result", "Exported: 0 sessions.").await;
    })
    .await;
}
