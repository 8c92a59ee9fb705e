//! What is archived, and how an operator reads it, over each database.

use std::time::Duration;

use chat_test_support::{Client, Service, Upstream, assert_eventually};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    databases::{Database, Kind, of_each_kind},
    scene::{SOON, agent, archived, echoed, memory, operator},
};

of_each_kind!(
    what_is_said_is_archived_and_the_system_prompt_is_never_shown,
    archived_sessions_are_listed_newest_first_by_date_and_in_pages,
    an_archived_session_names_its_provider,
    a_deleted_session_leaves_no_archive,
    a_session_that_only_the_archive_has_is_deleted,
    every_character_and_a_megabyte_are_archived_as_they_are,
);

struct Scene {
    // Before the database, which it would miss.
    service: Service,
    client: Client,
    operator: Client,
    upstream: Upstream,
    database: Database,
}

impl Scene {
    async fn of(kind: Kind, variables: &[(&str, &str)]) -> Self {
        let database = crate::scene::blocking(|| kind.shared());
        let upstream = Upstream::start().await;
        let service = database.given_to(agent(&upstream)).envs(variables.iter().copied()).start().await;
        Self { client: service.client(), operator: operator(&service), service, upstream, database }
    }

    async fn is_archived(&self, session: &str, messages: &[(String, String)]) -> bool {
        archived(&self.operator, session).await.is_some_and(|archived| archived == messages)
    }

    async fn list(&self, query: &str) -> Value {
        self.operator.get(&format!("/admin/history/sessions?{query}")).await.expect(200).body
    }
}

fn ids(page: &Value) -> Vec<&str> {
    let sessions = page["sessions"].as_array().expect("sessions");
    sessions.iter().map(|session| session["id"].as_str().expect("an id")).collect()
}

async fn what_is_said_is_archived_and_the_system_prompt_is_never_shown(kind: Kind) {
    let scene = Scene::of(kind, &[("INITIAL_SYSTEM_PROMPT", "sentinel of the prompt")]).await;
    let session = scene.client.create_session().await;
    for said in ["one", "two"] {
        scene.client.say(&session, said).await.expect(200);
    }
    assert_eq!(scene.upstream.last_request().conversation()[0], ("system", "sentinel of the prompt"));
    assert_eventually!(scene.is_archived(&session, &echoed(&["one", "two"])).await, SOON);

    let path = format!("/admin/history/sessions/{session}/messages");
    let whole = scene.operator.get(&path).await.expect(200);
    assert!(!whole.text.contains("sentinel of the prompt"), "{}", whole.text);
    assert_eq!((&whole.body["session_id"], &whole.body["total"]), (&json!(session), &json!(4)));
    let remembered = scene.client.get(&format!("/sessions/{session}")).await.expect(200).body;
    let times = |messages: &Value| -> Vec<Value> {
        messages.as_array().expect("messages").iter().map(|message| message["created_at"].clone()).collect()
    };
    assert_eq!(times(&whole.body["messages"]), times(&remembered["history"]));
    for message in whole.body["messages"].as_array().expect("messages") {
        let time = |field: &str| message[field].as_str().and_then(|time| time.parse::<DateTime<Utc>>().ok());
        let after = time("stored_at").expect("a time") - time("created_at").expect("a time");
        // Times of messages are made to increase: they may be a little ahead of the clock.
        assert!((-10..10_000).contains(&after.num_milliseconds()), "{message}");
    }
    let page = scene.operator.get(&format!("{path}?limit=2&offset=1")).await.expect(200).body;
    assert_eq!([&page["count"], &page["total"], &page["limit"], &page["offset"]], [2, 4, 2, 1]);
    assert_eq!([&page["messages"][0]["content"], &page["messages"][1]["content"]], ["echo: one", "two"]);

    if let Some(roles) = scene.database.roles(&session) {
        assert_eq!(roles, ["system", "user", "assistant", "user", "assistant"]);
    }
    let runtime = scene.operator.get("/admin/runtime").await.expect(200).body;
    let name = format!("{kind:?}").to_lowercase();
    assert_eq!((&runtime["history"]["backend"], &runtime["history"]["enabled"]), (&json!(name), &json!(true)));
    assert!(!scene.service.log_text().contains("sentinel of the prompt"));
}

async fn archived_sessions_are_listed_newest_first_by_date_and_in_pages(kind: Kind) {
    let scene = Scene::of(kind, &[]).await;
    let empty = scene.list("").await;
    assert_eq!((&empty["sessions"], &empty["total"]), (&json!([]), &json!(0)));
    let (mut sessions, mut times) = (Vec::new(), Vec::new());
    for number in 0..5 {
        let body = json!({"metadata": {"number": number}, "memory_limit": number + 1});
        let session = scene.client.post("/sessions", &body).await.expect(201).body;
        let id = session["id"].as_str().expect("an id").to_owned();
        // Nothing said to the last: it is listed all the same. A turn takes more than a millisecond, so the times differ.
        if number < 4 {
            scene.client.say(&id, "something").await.expect(200);
        }
        sessions.push(id);
        times.push(session["created_at"].as_str().expect("a time").to_owned());
    }
    assert_eventually!(scene.list("").await["total"] == 5, SOON);
    let newest_first =
        |range: std::ops::Range<usize>| -> Vec<&str> { sessions[range].iter().rev().map(String::as_str).collect() };
    let all = scene.list("").await;
    assert_eq!(ids(&all), newest_first(0..5));
    let first = &all["sessions"][4];
    assert_eq!((&first["metadata"], &first["memory_limit"]), (&json!({"number": 0}), &json!(1)));
    assert_eq!(first["created_at"], times[0]);

    let [start, end] = [format!("start_date={}", times[1]), format!("end_date={}", times[3])];
    for (query, expected, total) in [
        ("limit=2".to_owned(), newest_first(3..5), 5),
        ("limit=2&offset=2".to_owned(), newest_first(1..3), 5),
        ("limit=2&offset=4".to_owned(), newest_first(0..1), 5),
        ("offset=5".to_owned(), vec![], 5),
        (start.clone(), newest_first(1..5), 4),
        (end.clone(), newest_first(0..4), 4),
        (format!("{start}&{end}"), newest_first(1..4), 3),
        // Filtered first, then paged.
        (format!("{start}&{end}&limit=1&offset=1"), newest_first(2..3), 3),
        ("end_date=2001-01-01T00:00:00Z".to_owned(), vec![], 0),
    ] {
        let page = scene.list(&query).await;
        assert_eq!((ids(&page), &page["total"]), (expected, &json!(total)), "{query}");
        assert_eq!(page["count"], ids(&page).len(), "{query}");
    }
}

async fn an_archived_session_names_its_provider(kind: Kind) {
    let scene = Scene::of(kind, &[]).await;
    let session = scene.client.create_session().await;
    assert_eventually!(scene.list("").await["total"] == 1, SOON);
    let listed = &scene.list("").await["sessions"][0];
    assert_eq!((&listed["id"], &listed["provider"]), (&json!(session), &json!("mcp-agent")));
}

async fn a_deleted_session_leaves_no_archive(kind: Kind) {
    let scene = Scene::of(kind, &[]).await;
    let (kept, session) = (scene.client.create_session().await, scene.client.create_session().await);
    for session in [&kept, &session] {
        scene.client.say(session, "one").await.expect(200);
        assert_eventually!(scene.is_archived(session, &echoed(&["one"])).await, SOON);
    }
    let path = format!("/sessions/{session}");
    scene.client.delete(&path).await.expect(204);
    assert_eventually!(archived(&scene.operator, &session).await.is_none(), SOON);
    let page = scene.list("").await;
    assert_eq!((ids(&page), &page["total"]), (vec![kept.as_str()], &json!(1)));
    assert!(scene.database.roles(&session).is_none_or(|roles| roles.is_empty()));
    for answer in [
        scene.client.delete(&path).await,
        scene.client.get(&path).await,
        scene.client.say(&session, "two").await,
        scene.operator.get(&format!("/admin/history/sessions/{session}/messages")).await,
    ] {
        assert_eq!((answer.status, answer.code()), (404, "session_not_found"), "{}", answer.text);
    }
    assert!(scene.is_archived(&kept, &echoed(&["one"])).await);
}

async fn a_session_that_only_the_archive_has_is_deleted(kind: Kind) {
    let scene = Scene::of(kind, &[("SESSION_TTL_SECONDS", "3")]).await;
    let session = scene.client.create_session().await;
    scene.client.say(&session, "one").await.expect(200);
    assert_eventually!(scene.is_archived(&session, &echoed(&["one"])).await, SOON);
    let path = format!("/sessions/{session}");
    // Looking at it is use: only what is left alone expires.
    let mut looks = 0;
    while scene.client.get(&path).await.status != 404 {
        looks += 1;
        assert!(looks < 5, "it does not expire");
        tokio::time::sleep(Duration::from_millis(3_200)).await;
    }
    assert!(scene.is_archived(&session, &echoed(&["one"])).await, "what has expired stays in the archive");
    scene.client.delete(&path).await.expect(204);
    assert_eventually!(archived(&scene.operator, &session).await.is_none(), SOON);
    assert_eq!(scene.list("").await["total"], 0);
    scene.client.delete(&path).await.expect(404);
}

async fn every_character_and_a_megabyte_are_archived_as_they_are(kind: Kind) {
    let scene = Scene::of(kind, &[]).await;
    let session = scene.client.create_session().await;
    let long = "می‌خواهم 🧿 ".repeat(1_000_000 / "می‌خواهم 🧿 ".len());
    let contents = [
        "👩‍👩‍👧‍👦 🇮🇷 🏴󠁧󠁢󠁳󠁣󠁴󠁿 𝔘𝔫𝔦",
        "می‌خواهم نیم‌فاصله",
        "\u{200f}راست\u{200e} left \u{202e}turned\u{202c} \u{2066}isolated\u{2069}",
        "a\u{301} á \u{feff} \u{0} \u{7f} \r\n\t \\ \" ' ` % _ $ . \u{2028}",
        "'); DROP TABLE chat_messages; -- {\"$gt\": \"\"}",
        &long,
    ];
    for content in contents {
        scene.client.say(&session, content).await.expect(200);
    }
    let expected = echoed(&contents);
    assert!(memory(&scene.client, &session).await == expected, "the memory is as it was said");
    assert_eventually!(scene.is_archived(&session, &expected).await, SOON);
}
