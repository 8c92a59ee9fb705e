//! The archive, and that of the Python service, in one another's hands.

use std::{collections::HashSet, sync::Arc, time::Duration};

use chat_domain::{
    message::Role,
    ports::history::{HistoryError, HistoryOp, HistoryStore, SessionQuery},
    session::SessionId,
    testing::samples::{THEN, forget, open, record, session, turn},
    time::Timestamp,
};
use chat_redis::RedisHistory;
use chat_test_support::RedisServer;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    line::Line,
    scene::{fresh, prefix},
};

const ALL: SessionQuery = SessionQuery { from: None, until: None, offset: 0, limit: 200 };

async fn listed(history: &RedisHistory, query: SessionQuery) -> (Vec<SessionId>, u64) {
    let page = history.sessions(&query).await.expect("an answer");
    (page.items.iter().map(|archived| archived.session.id).collect(), page.total)
}

/// What the archive has of a session.
async fn said(history: &RedisHistory, session: SessionId) -> Vec<String> {
    let page = history.messages(session, 0, 50).await.expect("an answer").expect("the session");
    page.items.into_iter().map(|archived| String::from(archived.message.content)).collect()
}

/// What the Python service leaves in Redis of a session that was made so many minutes after nine.
fn by_python(namespace: &str, minutes: usize) -> SessionId {
    let (server, id) = (RedisServer::shared(), session(0).id);
    let at = format!("2024-05-01T09:{minutes:02}:00.123456+00:00");
    let hash = format!("{namespace}:session:{id}");
    server.cli(&[
        "HSET",
        &hash,
        "id",
        &id.to_string(),
        "provider",
        "mcp-agent",
        "fallback_provider",
        "",
        "memory_limit",
        "12",
        "created_at",
        &at,
        "metadata",
        r#"{"user": "sara", "n": 1}"#,
    ]);
    let list = format!("{namespace}:messages:{id}");
    for (role, content) in
        [("system", "be brief"), ("user", r"\u0633\u0644\u0627\u0645 \ud83d\ude00"), ("assistant", "hi")]
    {
        let message = format!(r#"{{"role": "{role}", "content": "{content}", "created_at": "{at}"}}"#);
        server.cli(&["RPUSH", &list, &message]);
    }
    server.cli(&["SADD", &format!("{namespace}:sessions"), &id.to_string()]);
    id
}

#[tokio::test]
async fn what_the_python_service_wrote_is_read() {
    let (redis, namespace) = (fresh().await, prefix());
    let history = redis.history(&namespace, "test");
    let (early, late) = (by_python(&namespace, 1), by_python(&namespace, 2));
    let ours = Arc::new(session(0));
    history.apply(&open(&ours)).await.expect("archived");
    assert_eq!(listed(&history, ALL).await, (vec![ours.id, late, early], 3));
    let until = SessionQuery { until: Some("2024-05-01T09:01:30Z".parse().expect("a time")), ..ALL };
    assert_eq!(listed(&history, until).await, (vec![early], 1));

    let found = history.sessions(&ALL).await.expect("an answer").items.pop().expect("the early one");
    assert_eq!(found.provider.as_deref(), Some("mcp-agent"));
    assert_eq!((found.fallback_provider, found.session.memory_limit.get()), (None, 12));
    assert_eq!(found.session.metadata.as_json(), r#"{"n":1,"user":"sara"}"#);
    assert_eq!(found.session.created_at.to_string(), "2024-05-01T09:01:00.123Z");

    let page = history.messages(early, 0, 50).await.expect("an answer").expect("the session");
    let said: Vec<_> = page.items.iter().map(|one| (one.message.role, &*one.message.content)).collect();
    assert_eq!(said, [(Role::User, "سلام 😀"), (Role::Assistant, "hi")]);
    assert_eq!((page.total, page.items[0].stored_at.to_string()), (2, "2024-05-01T09:01:00.123Z".to_owned()));

    // It takes one of them away, and a new one comes.
    let server = RedisServer::shared();
    server.cli(&["DEL", &format!("{namespace}:session:{late}"), &format!("{namespace}:messages:{late}")]);
    server.cli(&["SREM", &format!("{namespace}:sessions"), &late.to_string()]);
    assert_eq!(listed(&history, ALL).await, (vec![ours.id, early], 2));
    let third = by_python(&namespace, 3);
    assert_eq!(listed(&history, ALL).await, (vec![ours.id, third, early], 3));
    assert!(
        history
            .apply(&forget(&Arc::new(chat_domain::session::Session { id: early, ..session(0) })))
            .await
            .expect("forgotten")
    );
    assert_eq!(listed(&history, ALL).await, (vec![ours.id, third], 2));
}

#[tokio::test]
async fn what_cannot_be_read_of_a_session_hides_nothing_else_of_it() {
    let (redis, namespace) = (fresh().await, prefix());
    let history = redis.history(&namespace, "test");
    let id = by_python(&namespace, 1);
    let list = format!("{namespace}:messages:{id}");
    let at = r#""created_at": "2024-05-01T09:02:00Z""#;
    for message in [
        format!(r#"{{"role": "assistant", "content": null, {at}}}"#),
        format!(r#"{{"role": "user", "content": "without an id", "id": null, {at}}}"#),
        format!(r#"{{"role": "user", "content": "with another id", "id": "m-7", {at}}}"#),
        "no JSON".to_owned(),
        format!(r#"{{"role": "user", "content": "with a number for a time", "id": 7, "stored_at": 7, {at}}}"#),
    ] {
        RedisServer::shared().cli(&["RPUSH", &list, &message]);
    }
    let page = history.messages(id, 0, 50).await.expect("an answer").expect("the session");
    let said: Vec<_> = page.items.iter().map(|one| &*one.message.content).collect();
    assert_eq!(said, ["سلام 😀", "hi", "without an id", "with another id", "with a number for a time"]);
    assert_eq!(page.total, 5);
    let page = history.messages(id, 3, 1).await.expect("an answer").expect("the session");
    assert_eq!((&*page.items[0].message.content, page.items.len(), page.total), ("with another id", 1, 5));
}

/// A name in the set that has no session is looked for once, and not again whenever a session is archived.
#[tokio::test]
async fn a_name_without_a_session_makes_no_listing_slow() {
    let server = RedisServer::start();
    let redis = crate::scene::replica(&server.url(), &prefix()).await;
    let history = redis.history("archive", "test");
    server.cli(&["SADD", "archive:sessions", &session(0).id.to_string()]);
    for n in 1..=5 {
        history.apply(&open(&Arc::new(session(n)))).await.expect("archived");
        assert_eq!(listed(&history, ALL).await.1, n as u64);
        assert_eq!(server.calls("sscan"), 1);
    }
}

/// The index is completed in steps, between which others archive: all of it is found afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn completing_the_index_loses_nothing_that_is_archived_meanwhile() {
    const ROUNDS: usize = 3;
    const NAMED: usize = 1_500;
    const ARCHIVERS: usize = 8;
    const EACH: usize = 100;
    let server = RedisServer::start();
    let redis = crate::scene::replica(&server.url(), &prefix()).await;
    let history = Arc::new(redis.history("archive", "test"));
    // As the Python service does.
    let name = "for i = 1, ARGV[2] do
                    local id = string.format('00000000-0000-4000-%04d-%012d', ARGV[1], i)
                    redis.call('HSET', 'archive:session:' .. id, 'created_at', '2024-05-01T09:00:00Z')
                    redis.call('SADD', 'archive:sessions', id)
                end";
    for round in 1..=ROUNDS {
        server.cli(&["EVAL", name, "0", &round.to_string(), &NAMED.to_string()]);
        let mut archivers = JoinSet::new();
        for archiver in 0..ARCHIVERS {
            let history = history.clone();
            archivers.spawn(async move {
                for n in 0..EACH {
                    // The newest come in where a listing begins.
                    let millis = (round * EACH + n) * ARCHIVERS + archiver;
                    history.apply(&open(&Arc::new(session(millis as i64)))).await.expect("archived");
                }
            });
        }
        while !archivers.is_empty() {
            listed(&history, ALL).await;
            while let Some(archived) = archivers.try_join_next() {
                archived.expect("no panic");
            }
        }
        let expected = round * (NAMED + ARCHIVERS * EACH);
        let mut seen = HashSet::new();
        while let (page, total) = listed(&history, SessionQuery { offset: seen.len() as u64, ..ALL }).await
            && !page.is_empty()
        {
            assert_eq!(total, expected as u64, "in round {round}");
            seen.extend(page);
        }
        assert_eq!(seen.len(), expected);
    }
}

#[tokio::test]
async fn what_we_write_the_python_service_reads() {
    let (redis, namespace) = (fresh().await, prefix());
    let history = redis.history(&namespace, "test");
    let session = Arc::new(session(0));
    history.apply(&record(&session, &turn(1))).await.expect("archived");
    let (server, id) = (RedisServer::shared(), session.id);
    assert_eq!(server.cli(&["SISMEMBER", &format!("{namespace}:sessions"), &id.to_string()]), "1");
    let field = |name: &str| server.cli(&["HGET", &format!("{namespace}:session:{id}"), name]);
    assert_eq!(field("created_at"), Timestamp::from_millis(THEN).to_string());
    assert_eq!((field("memory_limit").as_str(), field("metadata").as_str()), ("10", "{}"));
    let list = server.cli(&["LRANGE", &format!("{namespace}:messages:{id}"), "0", "-1"]);
    let messages: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(messages.len(), 2);
    assert_eq!((&messages[0]["role"], &messages[0]["content"]), (&"user".into(), &"q1".into()));
    assert_eq!(messages[0]["created_at"], Timestamp::from_millis(THEN + 20).to_string());
}

#[tokio::test]
async fn forgetting_leaves_nothing_but_the_mark() {
    let (redis, namespace) = (fresh().await, prefix());
    let history = redis.history(&namespace, "test");
    let session = Arc::new(session(0));
    history.apply(&open(&session)).await.expect("archived");
    history.apply(&record(&session, &turn(1))).await.expect("archived");
    assert!(history.apply(&forget(&session)).await.expect("forgotten"));
    let keys = RedisServer::shared().cli(&["KEYS", &format!("*{namespace}*")]);
    assert_eq!(keys, format!("{{{namespace}:messages:{}}}:forgotten", session.id));
    let ttl: i64 = RedisServer::shared().cli(&["PTTL", &keys]).parse().expect("a time");
    assert!(ttl > 29 * 24 * 60 * 60 * 1000, "{ttl}");
}

/// What only the archive still has: whether it is a deletion must not depend on a connection.
#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_one() {
    let server = RedisServer::start();
    let line = Line::to(&server, Duration::ZERO).await;
    let redis = crate::scene::replica(&line.url(), &prefix()).await;
    let history = redis.history("archive", "test");
    let forget = |session| HistoryOp::Forget { session, is_known: false };
    let (first, second) = (Arc::new(session(0)), Arc::new(session(1)));
    for session in [&first, &second] {
        history.apply(&open(session)).await.expect("archived");
    }
    // So that Redis knows the script.
    assert!(history.apply(&forget(first.id)).await.expect("an answer"));
    line.lose_next_answer();
    assert!(history.apply(&forget(second.id)).await.expect("an answer"), "it was there");
    assert_eq!(line.lost(), 1);
    for session in [first, second] {
        assert!(!history.apply(&forget(session.id)).await.expect("an answer"), "it is gone");
    }
}

/// Whatever prefix of its steps an operation was cut off after, applied again it is there once, and forgotten it is gone.
#[tokio::test]
async fn an_operation_that_was_cut_off_anywhere_is_completed() {
    let (redis, namespace) = (fresh().await, prefix());
    let history = redis.history(&namespace, "test");
    let server = RedisServer::shared();
    for cut in 0..3 {
        let session = Arc::new(session(cut));
        let (hash, name) = (format!("{namespace}:session:{}", session.id), session.id.to_string());
        let steps: [&[&str]; 2] = [&["HSET", &hash, "id", &name], &["SADD", &format!("{namespace}:sessions"), &name]];
        for step in steps.iter().take(cut as usize) {
            server.cli(step);
        }
        history.apply(&record(&session, &turn(1))).await.expect("archived");
        let page = history.messages(session.id, 0, 10).await.expect("an answer").expect("the session");
        assert_eq!(page.total, 2);
        assert_eq!(listed(&history, ALL).await, (vec![session.id], 1));
        // Of forgetting, the first step alone.
        server.cli(&["DEL", &format!("{namespace}:messages:{name}"), &format!("{{{namespace}:messages:{name}}}:ids")]);
        assert!(history.apply(&forget(&session)).await.expect("forgotten"));
        assert_eq!(listed(&history, ALL).await, (vec![], 0));
    }
}

#[tokio::test]
async fn a_sessions_own_key_of_another_kind_is_a_permanent_error() {
    let (redis, namespace) = (fresh().await, prefix());
    let history = redis.history(&namespace, "test");
    for key in ["{ns}:messages:{id}", "{{ns}:messages:{id}}:ids", "{ns}:session:{id}"] {
        let session = Arc::new(session(0));
        let key = key.replace("{ns}", &namespace).replace("{id}", &session.id.to_string());
        RedisServer::shared().cli(&["SET", &key, "x"]);
        let record = record(&session, &turn(1));
        let applied = history.apply(&record).await;
        assert!(matches!(applied, Err(HistoryError::Permanent(_))), "{key}: {applied:?}");
        // As an operator does who mends it, and has the service take the record once more.
        RedisServer::shared().cli(&["DEL", &key]);
        history.apply(&record).await.expect("archived");
        assert_eq!(said(&history, session.id).await, ["q1", "a1"], "{key}");
    }
}

/// A script that is refused half way is not undone: what it did by then must not keep the rest from being done later.
#[tokio::test]
async fn a_right_that_is_missing_loses_and_doubles_nothing_once_it_is_given() {
    let server = RedisServer::start();
    let url = server.url().replace("redis://", "redis://archivist:secret@");
    for command in ["rpush", "sadd", "zadd", "hset", "sismember"] {
        server.cli(&["ACL", "SETUSER", "archivist", "on", ">secret", "~*", "&*", "+@all", &format!("-{command}")]);
        let redis = crate::scene::replica(&url, &prefix()).await;
        let history = redis.history(&prefix(), "test");
        let session = Arc::new(session(0));
        let record = record(&session, &turn(1));
        for _ in 0..3 {
            let applied = history.apply(&record).await;
            assert!(matches!(applied, Err(HistoryError::Unavailable(_))), "{command}: {applied:?}");
        }
        server.cli(&["ACL", "SETUSER", "archivist", &format!("+{command}")]);
        history.apply(&record).await.expect("archived");
        assert_eq!(said(&history, session.id).await, ["q1", "a1"], "{command}");
    }
}

#[tokio::test]
async fn a_key_of_all_sessions_of_another_kind_waits_until_somebody_mends_it() {
    let redis = fresh().await;
    let server = RedisServer::shared();
    for key in ["{ns}:sessions", "{{ns}:sessions}:by_time"] {
        let namespace = prefix();
        let history = redis.history(&namespace, "test");
        let session = Arc::new(session(0));
        let key = key.replace("{ns}", &namespace);
        server.cli(&["SET", &key, "x"]);
        let applied = history.apply(&record(&session, &turn(1))).await;
        assert!(matches!(applied, Err(HistoryError::Unavailable(_))), "{key}: {applied:?}");
        server.cli(&["DEL", &key]);
        history.apply(&record(&session, &turn(1))).await.expect("archived");
        assert_eq!(listed(&history, ALL).await, (vec![session.id], 1));
        assert_eq!(history.messages(session.id, 0, 9).await.expect("an answer").expect("the session").total, 2);
    }
}

#[tokio::test]
async fn a_long_session_is_read_in_pages_whatever_the_order_in_which_it_came() {
    let redis = fresh().await;
    let history = redis.history(&prefix(), "test");
    let session = Arc::new(session(0));
    assert!(history.apply(&open(&session)).await.expect("archived"));
    let turns: Vec<usize> = (0..160).collect();
    for turns in turns.chunks(20).rev() {
        let messages: Vec<_> = turns.iter().flat_map(|n| turn(*n).to_vec()).collect();
        assert!(history.apply(&record(&session, &messages)).await.expect("archived"));
    }
    let mut read = Vec::new();
    while read.len() < 320 {
        let page = history.messages(session.id, read.len() as u64, 90).await.expect("an answer").expect("the session");
        assert_eq!(page.total, 320);
        read.extend(page.items.into_iter().map(|archived| String::from(archived.message.content)));
    }
    let said: Vec<_> = turns.iter().flat_map(|n| [format!("q{n}"), format!("a{n}")]).collect();
    assert_eq!(read, said);
}
