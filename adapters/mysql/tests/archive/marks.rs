//! The marks of deleted sessions: where there is a reason for one, and as long as there is.

use std::sync::Arc;

use chat_domain::{
    ports::history::{HistoryOp, HistoryStore},
    testing::samples::{forget, open, record, session, session_id, turn},
};
use chat_test_support::{MariaDb, mariadb::Database};

use crate::scene::{config, keep, open as archive, restricted};

/// The table as an earlier version made it.
const WITHOUT_INDEX: &str = "
    CREATE TABLE chat_sessions_forgotten (
        namespace VARCHAR(64) NOT NULL, id CHAR(36) NOT NULL, forgotten_at DATETIME(6) NOT NULL, PRIMARY KEY (namespace, id)
    ) CHARACTER SET utf8mb4;";

fn marks(database: &Database<'_>, condition: &str) -> u32 {
    let count = database.sql(&format!("SELECT COUNT(*) FROM chat_sessions_forgotten WHERE {condition}"));
    count.trim().parse().expect("a number")
}

fn add_marks(database: &Database<'_>, count: u32, days: u32) {
    database.sql(&format!(
        "INSERT INTO chat_sessions_forgotten (namespace, id, forgotten_at)
         SELECT 'chat_history', UUID(), UTC_TIMESTAMP() - INTERVAL {days} DAY FROM seq_1_to_{count}"
    ));
}

#[tokio::test]
async fn ids_that_were_made_up_leave_no_row() {
    let database = MariaDb::shared().database();
    let history = archive(config(&database));
    for _ in 0..5 {
        let unknown = HistoryOp::Forget { session: session_id(), is_known: false };
        assert!(!history.apply(&unknown).await.expect("an answer"));
    }
    let tables = ["chat_sessions", "chat_messages", "chat_sessions_forgotten"];
    let rows = tables.map(|table| database.sql(&format!("SELECT COUNT(*) FROM {table}")));
    assert_eq!(rows, ["0\n", "0\n", "0\n"]);

    // Neither are those left that lost their session, and what is archived leaves a mark.
    let (archived, stray) = (Arc::new(session(0)), Arc::new(session(1)));
    keep(&history, &archived, &turn(1)).await;
    keep(&history, &stray, &turn(2)).await;
    database.sql(&format!("DELETE FROM chat_sessions WHERE id = '{}'", stray.id));
    for session in [&archived, &stray] {
        let unknown = HistoryOp::Forget { session: session.id, is_known: false };
        assert!(history.apply(&unknown).await.expect("an answer"));
    }
    assert_eq!((database.sql("SELECT COUNT(*) FROM chat_messages"), marks(&database, "TRUE")), ("0\n".to_owned(), 2));
}

#[tokio::test]
async fn marks_are_removed_a_few_at_a_time_when_they_are_a_month_old() {
    let database = MariaDb::shared().database();
    database.sql(WITHOUT_INDEX);
    let history = archive(config(&database));
    history.prepare().await.expect("prepared");
    add_marks(&database, 50, 31);
    add_marks(&database, 500, 29);
    let old = "forgotten_at < UTC_TIMESTAMP() - INTERVAL 30 DAY";
    for left in [30, 10, 0, 0] {
        history.apply(&forget(&Arc::new(session(0)))).await.expect("forgotten");
        assert_eq!(marks(&database, old), left);
    }
    assert_eq!(marks(&database, "TRUE"), 504);
    // A record prunes nothing.
    add_marks(&database, 1, 31);
    keep(&history, &Arc::new(session(0)), &turn(1)).await;
    assert_eq!(marks(&database, old), 1);
    let plan = database.sql(
        "ANALYZE TABLE chat_sessions_forgotten;
         EXPLAIN DELETE FROM chat_sessions_forgotten WHERE forgotten_at < UTC_TIMESTAMP() - INTERVAL 30 DAY
         ORDER BY forgotten_at LIMIT 20",
    );
    assert!(plan.contains("chat_forgotten_times") && !plan.contains("filesort"), "{plan}");
}

/// Who may not make the index is not kept from starting by it, and searches no table without one.
#[tokio::test]
async fn without_their_index_marks_stay() {
    let database = MariaDb::shared().database();
    archive(config(&database)).prepare().await.expect("tables");
    database.sql("DROP TABLE chat_sessions_forgotten");
    database.sql(WITHOUT_INDEX);
    add_marks(&database, 3, 31);
    let history = archive(restricted(&database, "m", "SELECT, INSERT, UPDATE, DELETE"));
    history.prepare().await.expect("prepared");
    let session = Arc::new(session(0));
    keep(&history, &session, &turn(1)).await;
    assert!(history.apply(&forget(&session)).await.expect("forgotten"));
    assert_eq!(marks(&database, "TRUE"), 4);
    assert!(history.apply(&open(&session)).await.is_ok() && history.apply(&record(&session, &turn(1))).await.is_ok());
    assert_eq!(database.sql("SELECT COUNT(*) FROM chat_sessions"), "0\n");
}
