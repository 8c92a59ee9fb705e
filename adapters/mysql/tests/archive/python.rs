//! Tables that the Python service made and filled, and goes on using.

use std::sync::Arc;

use chat_domain::{
    message::Role,
    ports::history::{HistoryStore, SessionQuery},
    session::{Metadata, SessionId},
    testing::samples::{forget, full_session, open as opening, said, turn},
    time::Timestamp,
};
use chat_test_support::MariaDb;
use uuid::Uuid;

use crate::scene::{ALL, PYTHON_TABLES, config, contents, keep, messages, open, sessions};

const ONE: &str = "7b0b8a4e-16c1-4c0e-9f34-0a3f5b1f6a01";
const TWO: &str = "7b0b8a4e-16c1-4c0e-9f34-0a3f5b1f6a02";

/// Two sessions, the older one with messages of all kinds.
fn fixture() -> String {
    format!(
        r#"{PYTHON_TABLES}
        INSERT INTO chat_sessions VALUES
            ('chat_history', '{ONE}', 'openrouter', 'unconfigured', 12, '2024-05-01 09:00:00.123456',
             '{{"user": "زهرا", "n": [1, 2.5, null]}}'),
            ('chat_history', '{TWO}', 'openrouter', NULL, 0, '2024-05-01 09:00:00.123999', NULL),
            ('other', '{ONE}', 'openrouter', NULL, 1, '2024-05-02 09:00:00', '{{}}');
        INSERT INTO chat_messages (namespace, session_id, role, content, created_at, stored_at) VALUES
            ('chat_history', '{ONE}', 'system', 'be brief', '2024-05-01 09:00:00', '2024-05-01 09:00:01'),
            ('chat_history', '{ONE}', 'user', 'سلام 😀', '2024-05-01 09:00:01.5', '2024-05-01 09:00:02.25'),
            ('chat_history', '{ONE}', 'assistant', 'a1', '2024-05-01 09:00:01.5', '2024-05-01 09:00:02.25'),
            ('chat_history', '{ONE}', 'tool', 'a result', '2024-05-01 09:00:02', '2024-05-01 09:00:02'),
            ('other', '{ONE}', 'user', 'somebody else', '2024-05-01 09:00:01', '2024-05-01 09:00:02');"#
    )
}

fn id(text: &str) -> SessionId {
    text.parse().expect("an id")
}

#[tokio::test]
async fn what_it_wrote_is_read() {
    let database = MariaDb::shared().database();
    database.sql(&fixture());
    let history = open(config(&database));

    let page = sessions(&history, &ALL).await;
    assert_eq!((page.total, page.items.len()), (2, 2));
    let [two, one] = &page.items[..] else { panic!("two sessions") };
    assert_eq!((one.session.id, two.session.id), (id(ONE), id(TWO)));
    assert_eq!((one.provider.as_deref(), one.fallback_provider.as_deref()), (Some("openrouter"), Some("unconfigured")));
    assert_eq!(one.session.created_at.to_string(), "2024-05-01T09:00:00.123Z");
    assert_eq!(one.session.memory_limit.get(), 12);
    let metadata: serde_json::Value = serde_json::from_str(one.session.metadata.as_json()).expect("JSON");
    assert_eq!(metadata, serde_json::json!({"user": "زهرا", "n": [1, 2.5, null]}));
    assert_eq!((two.session.memory_limit.get(), &two.session.metadata), (1, &Metadata::default()));

    let page = messages(&history, id(ONE)).await;
    assert_eq!(page.total, 2);
    let said: Vec<_> = page.items.iter().map(|archived| (archived.message.role, &*archived.message.content)).collect();
    assert_eq!(said, [(Role::User, "سلام 😀"), (Role::Assistant, "a1")]);
    let first = &page.items[0];
    assert_eq!(first.message.at.to_string(), "2024-05-01T09:00:01.500Z");
    assert_eq!(first.stored_at.to_string(), "2024-05-01T09:00:02.250Z");
    assert_eq!(first.message.id.0, Uuid::nil());
}

#[tokio::test]
async fn its_times_are_found_as_they_are_shown() {
    let database = MariaDb::shared().database();
    database.sql(&fixture());
    let history = open(config(&database));
    let shown: Timestamp = "2024-05-01T09:00:00.123Z".parse().expect("a time");
    let total = async |from, until| sessions(&history, &SessionQuery { from, until, ..ALL }).await.total;
    assert_eq!(total(Some(shown), Some(shown)).await, 2);
    let before = Timestamp::from_millis(shown.as_millis() - 1);
    assert_eq!(total(None, Some(before)).await, 0);
    assert_eq!(total(Some(Timestamp::from_millis(shown.as_millis() + 1)), None).await, 0);
    assert_eq!(total(None, Some(Timestamp::from_millis(i64::MAX))).await, 2);
}

#[tokio::test]
async fn both_go_on_in_one_session() {
    let database = MariaDb::shared().database();
    database.sql(&fixture());
    let history = open(config(&database));
    let mut session = full_session();
    session.id = id(ONE);
    let session = Arc::new(session);
    let ours = turn(1);
    for _ in 0..2 {
        keep(&history, &session, &ours).await;
    }
    // It knows nothing of our column, and its messages have no identity: two of them are two.
    let its = format!(
        "INSERT INTO chat_messages (namespace, session_id, role, content, created_at, stored_at)
         VALUES ('chat_history', '{ONE}', 'user', 'again', '2027-01-01', '2027-01-01');"
    );
    database.sql(&format!("{its}{its}"));
    assert_eq!(contents(&history, session.id).await, ["سلام 😀", "a1", "q1", "a1", "again", "again"]);
    // Its session was there first.
    assert_eq!(
        database.sql("SELECT provider, memory_limit FROM chat_sessions ORDER BY namespace, id LIMIT 1"),
        "openrouter\t12\n"
    );

    assert!(history.apply(&forget(&session)).await.expect("forgotten"));
    assert_eq!(database.sql("SELECT namespace, COUNT(*) FROM chat_messages GROUP BY 1"), "other\t1\n");
    assert_eq!(database.sql("SELECT namespace, id FROM chat_sessions"), format!("chat_history\t{TWO}\nother\t{ONE}\n"));
}

#[tokio::test]
async fn it_reads_what_we_wrote() {
    let database = MariaDb::shared().database();
    let history = open(config(&database));
    let session = Arc::new(full_session());
    history.apply(&opening(&session)).await.expect("archived");
    keep(&history, &session, &[said(Role::User, "سلام 😀", 1500)]).await;
    let id = session.id;
    assert_eq!(
        database.sql(
            "SELECT namespace, id, provider, fallback_provider, memory_limit, created_at,
                    JSON_VALUE(metadata, '$.user') FROM chat_sessions"
        ),
        format!("chat_history\t{id}\tmcp-agent\tNULL\t7\t2026-11-22 10:00:00.005000\tزهرا 😀\n")
    );
    let read = database.sql(
        "SELECT namespace, session_id, role, created_at, stored_at > '2020-01-01' FROM chat_messages ORDER BY created_at, id",
    );
    let expected = ["system\t2026-11-22 10:00:00.005000\t1\n", "user\t2026-11-22 10:00:01.500000\t1\n"];
    assert_eq!(read, expected.map(|rest| format!("chat_history\t{id}\t{rest}")).concat());
}

#[tokio::test]
async fn rows_that_are_none_do_not_break_the_list() {
    let database = MariaDb::shared().database();
    // A table of an older server, in which JSON is any text.
    database.sql(&PYTHON_TABLES.replace("metadata JSON", "metadata LONGTEXT"));
    let rows: Vec<_> =
        ["'{broken'", "'[1, 2]'", "''", "'null'", "NULL", "CONCAT('{\"a\":\"', REPEAT('x', 20000), '\"}')"]
            .iter()
            .map(|metadata| format!("('chat_history', UUID(), 'p', NULL, -3, '2024-05-01', {metadata})"))
            .collect();
    database.sql(&format!(
        "INSERT INTO chat_sessions VALUES {};
         INSERT INTO chat_sessions VALUES ('chat_history', 'no id', 'p', NULL, 10, '2024-05-01', '{{}}');",
        rows.join(",")
    ));
    let history = open(config(&database));
    let page = sessions(&history, &ALL).await;
    assert_eq!((page.items.len(), page.total), (rows.len(), rows.len() as u64));
    assert!(page.items.iter().all(|archived| archived.session.metadata == Metadata::default()));
}
