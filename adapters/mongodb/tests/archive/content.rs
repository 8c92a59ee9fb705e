//! What is said, however strange and however much.

use std::sync::Arc;

use chat_domain::{
    message::Role,
    ports::history::{HistoryOp, HistoryStore, SessionQuery},
    session::Session,
    testing::samples::{open as opening, said, session, turn},
};
use futures_util::future::join;
use serde_json::Value;

use crate::scene::{ALL, config, contents, keep, open, sessions};

#[tokio::test]
async fn everything_that_can_be_said_comes_back() {
    let history = open(config());
    let session = Arc::new(session(0));
    let texts = [
        "👩‍👩‍👧‍👦 🏳️‍🌈",
        "می‌خواهم \u{200f}RTL\u{200e} \u{202e}x\u{202c}",
        "nul \u{0} bell \u{7} \u{feff}",
        "{$where: '1'} $set a.b",
        " trailing \r\n\t ",
        &"😀é".repeat(180_000),
    ];
    let messages: Vec<_> = texts.iter().zip(1..).map(|(text, at)| said(Role::User, text, at)).collect();
    keep(&history, &session, &messages).await;
    assert!(contents(&history, session.id).await == texts);
}

#[tokio::test]
async fn metadata_may_be_what_no_document_can() {
    let history = open(config());
    let deep = |levels: usize| format!("{}\"\\u0000😀\"{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    let odd = [r#"{"$set":{"a.b":1}}"#, r#"{"a\u0000b":1}"#, r#"{"n":18446744073709551615,"i":-9007199254740993}"#];
    let all = [1, 59, 60, 61, 100].map(deep).into_iter().chain(odd.map(str::to_owned));
    for (json, millis) in all.zip(0..) {
        let metadata = serde_json::from_str(&json).expect("metadata");
        let session = Arc::new(Session { metadata, ..session(millis) });
        assert!(history.apply(&opening(&session)).await.unwrap_or_else(|error| panic!("{json}: {error:?}")));
        let newest = sessions(&history, &SessionQuery { limit: 1, ..ALL }).await;
        let read: Value = serde_json::from_str(newest.items[0].session.metadata.as_json()).expect("JSON");
        assert_eq!(read, serde_json::from_str::<Value>(&json).expect("JSON"));
    }
}

#[tokio::test]
async fn many_messages_are_archived_at_once_and_each_once() {
    let history = open(config());
    let session = Arc::new(session(0));
    let many: Vec<_> = (0..300).map(|n| said(Role::User, &format!("m{n}"), n)).collect();
    // A part of them is there already.
    keep(&history, &session, &many[100..150]).await;
    keep(&history, &session, &many).await;
    let page = history.messages(session.id, 0, 500).await.expect("an answer").expect("the session");
    let read: Vec<_> = page.items.iter().map(|archived| archived.message.id).collect();
    assert_eq!(read, many.iter().map(|message| message.id).collect::<Vec<_>>());
    let none = history.messages(session.id, 7, 0).await.expect("an answer").expect("the session");
    assert_eq!((none.total, none.items.len()), (300, 0));
}

#[tokio::test]
async fn pages_and_totals_agree_while_others_write() {
    let config = config();
    let (writing, reading) = (open(config.clone()), open(config));
    let talk = Arc::new(session(0));
    keep(&writing, &talk, &turn(0)).await;
    let write = async {
        for n in 1..40_usize {
            let opened = Arc::new(session(n as i64));
            writing.apply(&HistoryOp::Open { session: opened, prompt: None }).await.expect("archived");
            keep(&writing, &talk, &turn(n)).await;
        }
    };
    let read = async {
        let (mut sessions_seen, mut messages_seen) = (0_u64, 0_u64);
        while sessions_seen < 40 || messages_seen < 80 {
            let page = sessions(&reading, &ALL).await;
            assert!(page.total >= page.items.len() as u64 && page.total >= sessions_seen);
            assert!(page.items.is_sorted_by_key(|archived| std::cmp::Reverse(archived.session.created_at)));
            sessions_seen = page.total;
            let offset = messages_seen.saturating_sub(1);
            let page = reading.messages(talk.id, offset, 50).await.expect("an answer").expect("the session");
            assert!(page.total >= offset + page.items.len() as u64, "{}", page.total);
            assert!(page.items.is_sorted_by_key(|archived| archived.message.at));
            messages_seen = page.total;
        }
    };
    join(write, read).await;
}
