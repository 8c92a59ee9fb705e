//! How the tables come to be, and what happens where they may not.

use std::sync::Arc;

use chat_domain::{
    ports::history::{HistoryStore, SessionQuery},
    testing::samples::{record, session, turn},
    time::Timestamp,
};
use chat_mysql::{BuildError, MySqlConfig, MySqlHistory, PrepareError};
use chat_test_support::{DeadPort, MariaDb, mariadb::Database};
use futures_util::future::join_all;

use crate::scene::{ALL, PYTHON_TABLES, clock, config, contents, keep, open, restricted, sessions, told};

fn forbidden(error: PrepareError) -> String {
    assert!(error.is_permanent());
    let PrepareError::Forbidden { statement, .. } = error else { panic!("{error}") };
    statement
}

#[tokio::test]
async fn the_tables_are_made_once_by_whoever_comes_first() {
    let database = MariaDb::shared().database();
    let processes: Vec<_> = (0..6).map(|_| open(config(&database))).collect();
    for prepared in join_all(processes.iter().map(MySqlHistory::prepare)).await {
        prepared.expect("prepared");
    }
    let tables = database.sql("SHOW TABLES");
    assert_eq!(tables, "chat_messages\nchat_sessions\nchat_sessions_forgotten\n");
    let columns = database.sql(
        "SELECT column_name, column_type, is_nullable FROM information_schema.columns
         WHERE table_schema = DATABASE() AND table_name = 'chat_messages' ORDER BY ordinal_position",
    );
    let expected = "id\tbigint(20) unsigned\tNO\nnamespace\tvarchar(64)\tNO\nsession_id\tchar(36)\tNO\n\
                    role\tvarchar(32)\tNO\ncontent\tlongtext\tNO\ncreated_at\tdatetime(6)\tNO\n\
                    stored_at\tdatetime(6)\tNO\nmessage_id\tchar(36)\tYES\n";
    assert_eq!(columns, expected);
}

#[tokio::test]
async fn a_table_of_the_python_service_is_changed_once_by_whoever_comes_first() {
    let database = MariaDb::shared().database();
    database.sql(PYTHON_TABLES);
    let processes: Vec<_> = (0..6).map(|_| open(config(&database))).collect();
    for prepared in join_all(processes.iter().map(MySqlHistory::prepare)).await {
        prepared.expect("prepared");
    }
    let indexes = database.sql(
        "SELECT table_name, non_unique, GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics
         WHERE table_schema = DATABASE() GROUP BY table_name, index_name ORDER BY 1, 2, 3",
    );
    let expected = "chat_messages\t0\tid\nchat_messages\t0\tnamespace,message_id\nchat_messages\t1\tnamespace,session_id\n\
                    chat_sessions\t0\tnamespace,id\nchat_sessions\t1\tnamespace,created_at,id\n\
                    chat_sessions_forgotten\t0\tnamespace,id\nchat_sessions_forgotten\t1\tforgotten_at\n";
    assert_eq!(indexes, expected);
}

/// Reading or deleting a session would look at all messages. Where it may not be made, all works without.
#[tokio::test]
async fn a_table_without_the_index_of_sessions_gets_it_unless_that_is_forbidden() {
    let database = MariaDb::shared().database();
    database.sql(&PYTHON_TABLES.replace(", INDEX (namespace, session_id)", ""));
    let indexes = || {
        database.sql(
            "SELECT index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics
             WHERE table_schema = DATABASE() AND table_name = 'chat_messages' GROUP BY index_name ORDER BY 1",
        )
    };
    let session_index = "chat_messages_session\tnamespace,session_id\n";
    open(config(&database)).prepare().await.expect("prepared");
    assert!(indexes().contains(session_index), "{}", indexes());

    // One that finds sessions without their namespace serves as well.
    database.sql("ALTER TABLE chat_messages DROP INDEX chat_messages_session, ADD INDEX theirs (session_id)");
    open(config(&database)).prepare().await.expect("prepared");
    assert!(!indexes().contains(session_index), "{}", indexes());

    database.sql("ALTER TABLE chat_messages DROP INDEX theirs");
    let history = open(restricted(&database, "g", "SELECT, INSERT, UPDATE, DELETE"));
    history.prepare().await.expect("prepared, although it may not make the index");
    assert!(!indexes().contains(session_index), "{}", indexes());
    let talk = Arc::new(session(0));
    keep(&history, &talk, &turn(1)).await;
    assert_eq!(contents(&history, talk.id).await, ["q1", "a1"]);
}

#[tokio::test]
async fn without_the_right_to_change_a_table_the_start_names_the_statement() {
    let database = MariaDb::shared().database();
    database.sql(PYTHON_TABLES);
    let history = open(restricted(&database, "a", "SELECT, INSERT, UPDATE, DELETE, CREATE"));
    let statement = forbidden(history.prepare().await.expect_err("no right"));
    assert!(
        statement.starts_with("USE ") && statement.contains("; ALTER TABLE `chat_messages` ADD COLUMN message_id"),
        "{statement}"
    );

    // At run time nothing is lost by it: it is spooled until somebody has done it.
    let (session, messages) = (Arc::new(session(0)), turn(1));
    let error = history.apply(&record(&session, &messages)).await.expect_err("no right");
    let (is_permanent, words) = told(error);
    assert!(!is_permanent && words.contains(&statement), "{words}");

    database.sql(&statement);
    history.prepare().await.expect("prepared, although it may not make the index for the list");
    keep(&history, &session, &messages).await;
    assert_eq!(contents(&history, session.id).await, ["q1", "a1"]);
}

#[tokio::test]
async fn without_the_right_to_make_tables_the_start_names_the_statements() {
    let database = MariaDb::shared().database();
    let history = open(restricted(&database, "b", "SELECT, INSERT, UPDATE, DELETE"));
    let statements = forbidden(history.prepare().await.expect_err("no right"));
    assert_eq!(statements.matches("CREATE TABLE").count(), 3, "{statements}");
    // As they stand, by somebody who is in no database.
    MariaDb::shared().sql("", &statements);
    history.prepare().await.expect("prepared");
    keep(&history, &Arc::new(session(0)), &turn(1)).await;
}

#[tokio::test]
async fn missing_rights_to_the_rows_show_at_the_start() {
    let database = MariaDb::shared().database();
    open(config(&database)).prepare().await.expect("tables");
    for (user, rights) in [("c", "SELECT, INSERT"), ("d", "SELECT"), ("e", "SELECT, INSERT, UPDATE")] {
        let history = open(restricted(&database, user, rights));
        let statement = forbidden(history.prepare().await.expect_err("no right"));
        assert!(statement.starts_with("GRANT SELECT, INSERT, UPDATE, DELETE ON"), "{statement}");
        MariaDb::shared().sql("", &statement);
        history.prepare().await.expect("the rights are there");
    }
}

#[tokio::test]
async fn a_needed_column_that_is_not_ours_shows_at_the_start_and_loses_nothing() {
    let database = MariaDb::shared().database();
    let early = open(config(&database));
    early.prepare().await.expect("tables");
    database.sql(
        "ALTER TABLE chat_messages ADD COLUMN tenant VARCHAR(8) NOT NULL, ADD COLUMN note VARCHAR(8) NOT NULL DEFAULT 'x',
             ADD COLUMN length INT AS (LENGTH(content)) STORED",
    );
    let error = open(config(&database)).prepare().await.expect_err("nothing can be written");
    assert!(error.is_permanent(), "{error}");
    let says = error.to_string();
    assert!(says.contains("ALTER TABLE `chat_messages` ALTER COLUMN `tenant` SET DEFAULT"), "{says}");
    // A process that was there before keeps what it has.
    let (session, messages) = (Arc::new(session(0)), turn(1));
    let (is_permanent, words) = told(early.apply(&record(&session, &messages)).await.expect_err("no value"));
    assert!(!is_permanent && words.contains("'tenant'"), "{words}");
    database.sql("ALTER TABLE chat_messages ALTER COLUMN tenant SET DEFAULT ''");
    open(config(&database)).prepare().await.expect("mended");
    keep(&early, &session, &messages).await;

    // One that a trigger fills is no trouble.
    database.sql(
        "ALTER TABLE chat_messages ALTER COLUMN tenant DROP DEFAULT;
         CREATE TRIGGER filled BEFORE INSERT ON chat_messages FOR EACH ROW SET NEW.tenant = 'us'",
    );
    keep(&early, &session, &turn(3)).await;
    let filled = open(config(&database));
    filled.prepare().await.expect("filled");
    keep(&filled, &session, &turn(2)).await;
}

#[tokio::test]
async fn a_wrong_configuration_is_permanent_and_a_server_that_is_down_is_not() {
    let database = MariaDb::shared().database();
    let dead = DeadPort::take();
    let right = config(&database);
    for (config, is_permanent, says) in [
        (MySqlConfig { password: Some("wr0ng-s3cret".into()), ..right.clone() }, true, "password"),
        (MySqlConfig { password: None, ..right.clone() }, true, "password"),
        (MySqlConfig { user: "nobody".into(), ..right.clone() }, true, "password"),
        (MySqlConfig { database: "not_there".into(), ..right.clone() }, true, "Unknown database 'not_there'"),
        (
            MySqlConfig { database: "not_there".into(), ..restricted(&database, "f", "SELECT") },
            true,
            "database 'not_there'",
        ),
        (MySqlConfig { port: dead.address().port(), ..right.clone() }, false, "refused"),
        (MySqlConfig { host: "not-there.invalid".into(), ..right.clone() }, false, "away"),
    ] {
        let history = open(config.clone());
        let error = history.prepare().await.expect_err("not there");
        assert_eq!(error.is_permanent(), is_permanent, "{error}");
        let error = format!("{error} {error:?}");
        assert!(error.contains(says), "{error}");
        let (_, words) = told(history.ping().await.expect_err("not there"));
        for text in [error, words, format!("{history:?}"), format!("{config:?}")] {
            assert!(!text.contains("wr0ng-s3cret") && !text.contains(MariaDb::shared().password()), "{text}");
        }
    }
}

#[tokio::test]
async fn names_that_would_be_sql_are_refused() {
    let database = MariaDb::shared().database();
    let right = config(&database);
    for name in ["chat_sessions; DROP TABLE x", "a` (x INT); -- ", "other.chat_sessions", "", "é", &"x".repeat(65)] {
        for config in [
            MySqlConfig { session_table: name.to_owned(), ..right.clone() },
            MySqlConfig { message_table: name.to_owned(), ..right.clone() },
        ] {
            assert!(matches!(MySqlHistory::new(config, clock()), Err(BuildError::TableName(_))), "{name}");
        }
    }
    // What is a value may be anything.
    let odd = "x'; DROP TABLE chat_sessions; -- `\"\\ %";
    let history = open(MySqlConfig { namespace: odd.into(), session_table: "Odd$1".into(), ..right.clone() });
    keep(&history, &Arc::new(session(0)), &turn(1)).await;
    assert_eq!(sessions(&history, &ALL).await.total, 1);
    assert_eq!(sessions(&open(right.clone()), &ALL).await.total, 0);
    for namespace in [String::new(), "x".repeat(65)] {
        let config = MySqlConfig { namespace, ..right.clone() };
        assert!(matches!(MySqlHistory::new(config, clock()), Err(BuildError::Namespace)));
    }
}

fn explained(database: &Database<'_>, query: &str) -> String {
    database.sql(&format!("ANALYZE TABLE chat_sessions, chat_messages; EXPLAIN {query}"))
}

#[tokio::test]
async fn lists_and_sessions_are_read_by_an_index() {
    let database = MariaDb::shared().database();
    let history = open(config(&database));
    history.prepare().await.expect("tables");
    database.sql(
        "INSERT INTO chat_sessions (namespace, id, memory_limit, created_at)
             SELECT IF(seq % 2, 'chat_history', 'other'), UUID(), 1, '2024-01-01' + INTERVAL seq MINUTE FROM seq_1_to_4000;
         INSERT INTO chat_messages (namespace, session_id, role, content, created_at, stored_at)
             SELECT namespace, id, 'user', 'x', created_at, created_at FROM chat_sessions;",
    );
    let session = database.sql("SELECT id FROM chat_sessions WHERE namespace = 'chat_history' LIMIT 1");
    // The statements are taken from the server's own log: what is explained is what is run.
    database.sql("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = 1");
    let hour = |hour: i64| Some(Timestamp::from_millis((19_723 * 24 + hour) * 3_600_000));
    sessions(&history, &ALL).await;
    // Two hours of the first of January 2024: half of their minutes are this namespace's.
    let filtered = sessions(&history, &SessionQuery { from: hour(10), until: hour(12), ..ALL }).await;
    assert_eq!(filtered.total, 60);
    contents(&history, session.trim().parse().expect("an id")).await;
    database.sql("SET GLOBAL general_log = 0");
    let name = database.name();
    let run = |part: &str| {
        let logged = database.sql(&format!(
            "SELECT argument FROM mysql.general_log WHERE command_type = 'Execute' AND argument LIKE '%{part}%'
             AND thread_id IN (SELECT thread_id FROM mysql.general_log WHERE argument LIKE '% on {name} %')"
        ));
        logged.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // Both pages and both totals.
    let lists = run("FROM `chat_sessions` WHERE namespace = % LIMIT ");
    let totals = run("COUNT(*) AS n FROM `chat_sessions` WHERE namespace = %");
    let totals: Vec<_> = totals.into_iter().filter(|statement| !statement.contains(" id = ")).collect();
    assert_eq!((lists.len(), totals.len()), (2, 2), "{lists:?} {totals:?}");
    for (number, statement) in lists.iter().chain(&totals).enumerate() {
        let plan = explained(&database, statement);
        assert!(plan.contains("chat_sessions_list") && !plan.contains("filesort"), "{statement}: {plan}");
        assert!(number % 2 == 0 || plan.contains("range"), "{statement}: {plan}");
    }
    let reads = run("FROM `chat_messages`");
    assert_eq!(reads.len(), 2, "{reads:?}");
    for statement in reads {
        let plan = explained(&database, &statement);
        assert!(plan.contains("chat_messages_session"), "{statement}: {plan}");
    }
}
