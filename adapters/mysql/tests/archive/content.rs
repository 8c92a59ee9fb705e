//! What is said, however strange and however much.

use std::sync::Arc;

use chat_domain::{
    message::Role,
    ports::history::{HistoryOp, HistoryStore, SessionQuery},
    session::Session,
    testing::samples::{open as opening, said, session, turn},
};
use chat_test_support::MariaDb;
use futures_util::future::join;

use crate::scene::{ALL, config, contents, keep, open, sessions};

#[tokio::test]
async fn everything_that_can_be_said_comes_back() {
    let database = MariaDb::shared().database();
    let history = open(config(&database));
    let session = Arc::new(session(0));
    let texts = [
        "👩‍👩‍👧‍👦 🏳️‍🌈",
        "می‌خواهم \u{200f}RTL\u{200e} \u{202e}x\u{202c}",
        "nul \u{0} bell \u{7} \u{feff}",
        "'; DROP TABLE chat_sessions; -- \\' \" ` % _ ?",
        " trailing \r\n\t ",
        &"😀é".repeat(180_000),
    ];
    let messages: Vec<_> = texts.iter().zip(1..).map(|(text, at)| said(Role::User, text, at)).collect();
    keep(&history, &session, &messages).await;
    assert!(contents(&history, session.id).await == texts);
}

#[tokio::test]
async fn metadata_may_nest_deeper_than_the_database_likes() {
    let database = MariaDb::shared().database();
    let history = open(config(&database));
    for levels in [1, 29, 30, 31, 32, 33, 60, 100] {
        let json = format!("{}\"\\u0000😀\"{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        let metadata = serde_json::from_str(&json).expect("metadata");
        let session = Arc::new(Session { metadata, ..session(levels as i64) });
        assert!(history.apply(&opening(&session)).await.unwrap_or_else(|error| panic!("{levels}: {error:?}")));
        let newest = sessions(&history, &SessionQuery { limit: 1, ..ALL }).await;
        assert_eq!(newest.items[0].session, *session);
    }
}

#[tokio::test]
async fn many_messages_are_one_statement() {
    let server = MariaDb::start();
    let database = server.database();
    let history = open(config(&database));
    let session = Arc::new(session(0));
    keep(&history, &session, &turn(1)).await;
    let inserts = || {
        let status = server.sql("", "SHOW GLOBAL STATUS LIKE 'Com_insert'");
        status.trim().rsplit('\t').next().and_then(|count| count.parse::<u64>().ok()).expect("a number")
    };
    let before = inserts();
    let many: Vec<_> = (0..300).map(|n| said(Role::User, &format!("m{n}"), 1000 + n)).collect();
    keep(&history, &session, &many).await;
    // One for the session, one for all messages.
    assert_eq!(inserts() - before, 2);

    // Beyond what one statement may hold it is several, and still all or nothing.
    let more: Vec<_> = (0..1200).map(|n| said(Role::User, "x", 2000 + n)).collect();
    keep(&history, &session, &more).await;
    assert_eq!(inserts() - before, 2 + 4);
    assert_eq!(database.sql("SELECT COUNT(*) FROM chat_messages"), "1502\n");
}

#[tokio::test]
async fn pages_and_totals_agree_while_others_write() {
    let database = MariaDb::shared().database();
    let (writing, reading) = (open(config(&database)), open(config(&database)));
    let talk = Arc::new(session(0));
    keep(&writing, &talk, &turn(0)).await;
    let write = async {
        for n in 1..60_usize {
            let opened = Arc::new(session(n as i64));
            writing.apply(&HistoryOp::Open { session: opened, prompt: None }).await.expect("archived");
            keep(&writing, &talk, &turn(n)).await;
        }
    };
    let read = async {
        let (mut sessions_seen, mut messages_seen) = (0_u64, 0_u64);
        while sessions_seen < 60 || messages_seen < 120 {
            let page = sessions(&reading, &ALL).await;
            assert!(page.total >= page.items.len() as u64 && page.total >= sessions_seen);
            assert!(page.items.is_sorted_by_key(|archived| std::cmp::Reverse(archived.session.created_at)));
            sessions_seen = page.total;
            let offset = messages_seen.saturating_sub(1);
            let page = reading.messages(talk.id, offset, 50).await.expect("an answer").expect("the session");
            // A turn is there whole, and what was there stays where it was.
            assert!(page.total % 2 == 0 && page.total >= offset + page.items.len() as u64, "{}", page.total);
            assert!(page.items.is_sorted_by_key(|archived| archived.message.at));
            messages_seen = page.total;
        }
    };
    join(write, read).await;
}
