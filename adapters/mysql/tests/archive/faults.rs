//! A database that is away, slow, or at odds with itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_domain::{
    message::Role,
    ports::history::HistoryStore,
    testing::samples::{forget, record, said, session, turn},
};
use chat_mysql::MySqlConfig;
use chat_test_support::{MariaDb, assert_eventually, mariadb::Database};
use futures_util::future::join_all;
use mysql_async::{Conn, prelude::Queryable};
use tokio::{sync::Mutex, time::timeout};

use crate::scene::{config, contents, keep, open, restricted, stranger, told};

/// Connections of anybody to the database, but for who asks.
fn connections(database: &Database<'_>) -> Vec<u64> {
    let name = database.name();
    let ids = database
        .sql(&format!("SELECT id FROM information_schema.processlist WHERE db = '{name}' AND id <> CONNECTION_ID()"));
    ids.lines().map(|id| id.parse().expect("a number")).collect()
}

/// How many transactions wait for a lock, of a server that is nobody else's.
async fn waiting(watcher: &mut Conn) -> usize {
    let status = watcher.query_first("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'").await;
    let (_, count): (String, String) = status.expect("an answer").expect("a row");
    count.parse().expect("a number")
}

#[tokio::test]
async fn it_may_be_down_at_the_start_killed_and_restarted() {
    let server = MariaDb::start();
    let database = server.database();
    server.stop();
    let history = open(config(&database));
    let (session, messages) = (Arc::new(session(0)), turn(1));
    let op = record(&session, &messages);

    let began = Instant::now();
    assert!(!history.prepare().await.expect_err("down").is_permanent());
    let (is_permanent, words) = told(history.apply(&op).await.expect_err("down"));
    assert!(!is_permanent && words.contains("refused"), "{words}");
    assert!(history.ping().await.is_err() && history.messages(session.id, 0, 1).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    server.restart();
    assert!(history.apply(&op).await.expect("archived"));
    // All connections of the pool are dead now.
    for _ in 0..2 {
        server.stop();
        assert!(!told(history.apply(&op).await.expect_err("down")).0);
        server.restart();
        assert!(history.apply(&op).await.expect("archived"));
    }
    assert_eq!(contents(&history, session.id).await, ["q1", "a1"]);
}

#[tokio::test]
async fn killed_connections_are_replaced_unseen() {
    let database = MariaDb::shared().database();
    let history = open(config(&database));
    let mut killer = stranger(MariaDb::shared(), "").await;
    for n in 0..3 {
        keep(&history, &Arc::new(session(n)), &turn(1)).await;
        let open = connections(&database);
        assert!(!open.is_empty());
        for id in open {
            let killed = killer.query_drop(format!("KILL {id}")).await.map_err(|error| error.to_string());
            // The one that made the tables may have ended by itself.
            assert!(killed.as_ref().err().is_none_or(|error| error.contains("Unknown thread id")), "{killed:?}");
        }
    }
}

#[tokio::test]
async fn a_silent_server_stops_nothing() {
    let database = MariaDb::shared().database();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let history = open(MySqlConfig { port: silent.local_addr().expect("bound").port(), ..config(&database) });
    let began = Instant::now();
    let (is_permanent, words) =
        told(history.apply(&record(&Arc::new(session(0)), &turn(1))).await.expect_err("silent"));
    assert!(!is_permanent && words.contains("in time"), "{words}");
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_deadlock_is_solved_without_anybody_noticing() {
    let server = MariaDb::start();
    let database = server.database();
    let history = open(config(&database));
    let session = Arc::new(session(0));
    let messages = turn(1);
    keep(&history, &session, &messages).await;
    let (mut other, mut watcher) = (stranger(&server, database.name()).await, stranger(&server, "").await);
    // The one who has changed less loses: that will be us.
    other.query_drop("CREATE TABLE heavy AS SELECT seq FROM seq_1_to_1000").await.expect("a table");
    other.query_drop("BEGIN").await.expect("begun");
    other.query_drop("UPDATE heavy SET seq = seq + 1").await.expect("updated");
    let id = messages[0].id.0;
    let row = format!("SELECT id FROM chat_messages WHERE message_id = '{id}' FOR UPDATE");
    other.query_drop(row).await.expect("locked");

    let more = [messages[0].clone(), said(Role::User, "more", 100)];
    let op = record(&session, &more);
    let applying = history.apply(&op);
    let meeting = async {
        assert_eventually!(waiting(&mut watcher).await == 1, Duration::from_secs(10));
        let row = format!("SELECT id FROM chat_sessions WHERE id = '{}' FOR UPDATE", session.id);
        other.query_drop(row).await.expect("the other one wins");
        other.query_drop("COMMIT").await.expect("committed");
    };
    let (applied, ()) = futures_util::future::join(applying, meeting).await;
    assert!(applied.expect("archived"));
    assert_eq!(contents(&history, session.id).await, ["q1", "a1", "more"]);
    let deadlocks = server.sql("", "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'");
    assert_eq!(deadlocks.trim(), "Innodb_deadlocks\t1");
}

#[tokio::test]
async fn a_deletion_waits_for_what_is_being_written_and_leaves_nothing_of_it() {
    let server = MariaDb::start();
    let database = server.database();
    let (one, two) = (open(config(&database)), open(config(&database)));
    // So that each has its connection: what follows has the time of a lock.
    one.ping().await.expect("tables");
    two.ping().await.expect("tables");
    let session = Arc::new(session(0));
    let message = said(Role::User, "q1", 1);
    // Somebody writes the same message first, and has not decided yet.
    let (mut other, watcher) = (stranger(&server, database.name()).await, stranger(&server, "").await);
    let watcher = Mutex::new(watcher);
    let waiting = async || waiting(&mut *watcher.lock().await).await;
    other.query_drop("BEGIN").await.expect("begun");
    let id = message.id.0;
    let row = format!(
        "INSERT INTO chat_messages (namespace, session_id, message_id, role, content, created_at, stored_at)
         VALUES ('chat_history', 'x', '{id}', 'user', 'x', NOW(), NOW())"
    );
    other.query_drop(row).await.expect("inserted");

    let (writing, deleting) = (record(&session, &[message]), forget(&session));
    let deleting = async {
        assert_eventually!(waiting().await == 1, Duration::from_secs(10));
        two.apply(&deleting).await
    };
    let deciding = async {
        assert_eventually!(waiting().await == 2, Duration::from_secs(10));
        other.query_drop("ROLLBACK").await
    };
    let (written, deleted, decided) = futures_util::join!(one.apply(&writing), deleting, deciding);
    assert!(written.expect("archived") && deleted.expect("forgotten"));
    decided.expect("rolled back");
    assert_eq!(database.sql("SELECT id FROM chat_sessions; SELECT id FROM chat_messages"), "");
}

#[tokio::test]
async fn a_lock_that_is_not_given_up_is_waited_for_with_a_bound() {
    let database = MariaDb::shared().database();
    let history = open(config(&database));
    let session = Arc::new(session(0));
    keep(&history, &session, &turn(1)).await;
    let mut other = stranger(MariaDb::shared(), database.name()).await;
    other.query_drop("BEGIN").await.expect("begun");
    other.query_drop("SELECT * FROM chat_sessions FOR UPDATE").await.expect("locked");
    let began = Instant::now();
    let (is_permanent, words) = told(history.apply(&record(&session, &turn(2))).await.expect_err("locked"));
    assert!(!is_permanent && words.contains("Lock wait timeout"), "{words}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    // Reading waits for nobody.
    assert_eq!(contents(&history, session.id).await, ["q1", "a1"]);
}

#[tokio::test]
async fn what_is_given_up_holds_no_lock_and_no_broken_connection() {
    let database = MariaDb::shared().database();
    let history = open(config(&database));
    let session = Arc::new(session(0));
    let messages = turn(1);
    keep(&history, &session, &messages).await;
    let mut other = stranger(MariaDb::shared(), database.name()).await;
    other.query_drop("BEGIN").await.expect("begun");
    other.query_drop("SELECT * FROM chat_messages FOR UPDATE").await.expect("locked");
    // It holds the session's row by then, and waits for the message's.
    let op = record(&session, &messages);
    assert!(timeout(Duration::from_millis(500), history.apply(&op)).await.is_err());
    other.query_drop("ROLLBACK").await.expect("rolled back");

    let row = format!("SELECT id FROM chat_sessions WHERE id = '{}' FOR UPDATE", session.id);
    let locked = timeout(Duration::from_secs(3), other.query_drop(row)).await;
    locked.expect("nobody else holds the row").expect("locked");
    other.disconnect().await.expect("bye");

    for polls in 0..40 {
        let applying = history.apply(&op);
        let given_up = timeout(Duration::from_millis(polls), applying).await;
        assert!(!matches!(given_up, Ok(Err(_))));
        assert_eq!(contents(&history, session.id).await, ["q1", "a1"]);
    }
    let open = connections(&database).len();
    assert!(open <= 16, "{open} connections");
}

#[tokio::test]
async fn what_the_database_never_takes_is_permanent_and_the_next_goes_on() {
    let server = MariaDb::start();
    let database = server.database();
    // Also where the server would by itself cut what does not fit.
    server.sql("", "SET GLOBAL max_allowed_packet = 1048576; SET GLOBAL sql_mode = ''");
    let history = open(config(&database));
    let talk = Arc::new(session(0));
    let large = said(Role::User, &"secret words ".repeat(200_000), 1);
    let (is_permanent, words) = told(history.apply(&record(&talk, &[large])).await.expect_err("too large"));
    assert!(is_permanent, "{words}");
    assert!(!words.contains("secret words"), "{words}");
    keep(&history, &talk, &turn(1)).await;

    database.sql("ALTER TABLE chat_messages MODIFY content VARCHAR(10)");
    let op = record(&talk, &[said(Role::User, "secret secret secret", 1)]);
    let (is_permanent, words) = told(history.apply(&op).await.expect_err("does not fit"));
    assert!(is_permanent && words.contains("content") && !words.contains("secret"), "{words}");
    // The first of its two statements is not left behind.
    let mut many: Vec<_> = (0..500).map(|n| said(Role::User, "fits", n)).collect();
    many.push(said(Role::User, "does not fit", 500));
    let fresh = Arc::new(session(1));
    assert!(told(history.apply(&record(&fresh, &many)).await.expect_err("does not fit")).0);
    assert!(history.messages(fresh.id, 0, 1).await.expect("an answer").is_none());
    assert_eq!(database.sql("SELECT COUNT(*) FROM chat_messages"), "2\n");

    // A table that is gone can be brought back: that is not for good.
    database.sql("RENAME TABLE chat_messages TO elsewhere");
    let op = record(&talk, &turn(2));
    assert!(!told(history.apply(&op).await.expect_err("no table")).0);
    database.sql("RENAME TABLE elsewhere TO chat_messages");
    assert!(history.apply(&op).await.expect("archived"));
    assert!(history.apply(&forget(&talk)).await.expect("forgotten"));
}

/// How much a connection takes is settled when it is made: those of the pool are from before.
#[tokio::test]
async fn what_was_too_large_is_taken_as_soon_as_somebody_has_mended_that() {
    let server = MariaDb::start();
    let database = server.database();
    server.sql("", "SET GLOBAL max_allowed_packet = 1048576");
    let history = open(config(&database));
    let several: Vec<_> = (0..4).map(|n| record(&Arc::new(session(n)), &turn(1))).collect();
    for kept in join_all(several.iter().map(|op| history.apply(op))).await {
        assert!(kept.expect("archived"));
    }
    assert!(connections(&database).len() > 1);
    let (talk, large) = (Arc::new(session(9)), "large ".repeat(200_000));
    let op = record(&talk, &[said(Role::User, &large, 1)]);
    for _ in 0..2 {
        let (is_permanent, words) = told(history.apply(&op).await.expect_err("too large"));
        assert!(is_permanent && words.contains("max_allowed_packet of 1048576"), "{words}");
    }
    server.sql("", "SET GLOBAL max_allowed_packet = 16777216");
    assert!(history.apply(&op).await.expect("archived"));
    assert_eq!(contents(&history, talk.id).await, [large]);
    for kept in join_all(several.iter().map(|op| history.apply(op))).await {
        assert!(kept.expect("archived"));
    }
}

/// A session of years is removed some thousand messages at a time: what an attempt did is done, also if it is given up.
#[tokio::test]
async fn attempts_at_removing_a_large_session_add_up() {
    let server = MariaDb::start();
    let database = server.database();
    let history = open(config(&database));
    let session = Arc::new(session(0));
    keep(&history, &session, &turn(1)).await;
    database.sql(&format!(
        "INSERT INTO chat_messages (namespace, session_id, role, content, created_at, stored_at)
         SELECT 'chat_history', '{}', 'user', seq, UTC_TIMESTAMP(), UTC_TIMESTAMP() FROM seq_1_to_12000",
        session.id
    ));
    let left = || database.sql("SELECT COUNT(*) FROM chat_messages").trim().parse::<u32>().expect("a number");
    // Somebody holds on to the last one.
    let mut stranger = stranger(&server, database.name()).await;
    stranger.query_drop("START TRANSACTION").await.expect("begun");
    stranger.query_drop("SELECT id FROM chat_messages ORDER BY id DESC LIMIT 1 FOR UPDATE").await.expect("locked");
    let op = forget(&session);
    assert!(!told(history.apply(&op).await.expect_err("a lock is in the way")).0);
    assert_eq!(left(), 2_002, "what could be removed is gone");
    assert!(history.messages(session.id, 0, 1).await.expect("an answer").is_none(), "and nothing of it is shown");
    assert!(history.apply(&record(&session, &turn(2))).await.is_ok());
    stranger.query_drop("ROLLBACK").await.expect("let go");
    history.apply(&op).await.expect("forgotten");
    assert_eq!(left(), 0);
    assert_eq!(database.sql("SELECT COUNT(*) FROM chat_sessions"), "0\n");
}

/// After a failover by name, connections to the server of before still answer.
#[tokio::test]
async fn connections_to_a_server_that_only_reads_are_left() {
    let server = MariaDb::start();
    let database = server.database();
    open(config(&database)).prepare().await.expect("tables");
    let history = open(restricted(&database, "ro", "SELECT, INSERT, UPDATE, DELETE"));
    let (first, second) = (Arc::new(session(0)), Arc::new(session(1)));
    keep(&history, &first, &turn(1)).await;
    // The one that made the tables ends by itself.
    assert_eventually!(connections(&database).len() == 1, Duration::from_secs(10));
    let before = connections(&database);
    server.sql("", "SET GLOBAL read_only = 1");
    let refused = told(history.apply(&record(&second, &turn(1))).await.expect_err("read only"));
    assert!(!refused.0 && refused.1.contains("read-only"), "{refused:?}");
    assert_eventually!(connections(&database).is_empty(), Duration::from_secs(5));
    server.sql("", "SET GLOBAL read_only = 0");
    keep(&history, &second, &turn(1)).await;
    assert_ne!(connections(&database), before);
}

#[tokio::test]
async fn what_somebody_did_to_the_tables_waits_until_somebody_mends_it() {
    let database = MariaDb::shared().database();
    let history = open(config(&database));
    let talk = Arc::new(session(0));
    keep(&history, &talk, &turn(1)).await;
    for (n, (done, mended, says)) in [
        (
            "MODIFY content LONGTEXT CHARACTER SET latin1",
            "MODIFY content LONGTEXT CHARACTER SET utf8mb4",
            "`content` (its character set must be utf8mb4)",
        ),
        ("ADD CONSTRAINT short CHECK (content NOT LIKE '%سلام 1')", "DROP CONSTRAINT short", "short"),
        (
            "ADD COLUMN tenant INT DEFAULT 7, ADD CONSTRAINT known FOREIGN KEY (tenant) REFERENCES tenants (id)",
            "DROP FOREIGN KEY known",
            "foreign key",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        database.sql("CREATE TABLE IF NOT EXISTS tenants (id INT PRIMARY KEY)");
        database.sql(&format!("SET foreign_key_checks = 0; ALTER TABLE chat_messages {done}"));
        let op = record(&talk, &[said(Role::User, &format!("secret سلام {n}"), 10 + n as i64)]);
        let (is_permanent, words) = told(history.apply(&op).await.expect_err("in the way"));
        assert!(!is_permanent && words.contains(says) && !words.contains("secret"), "{words}");
        database.sql(&format!("ALTER TABLE chat_messages {mended}"));
        assert!(history.apply(&op).await.expect("archived"));
    }
    assert_eq!(contents(&history, talk.id).await.len(), 5);
}
