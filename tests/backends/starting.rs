//! Starts over databases that are wrong, closed, or not there yet.

use chat_test_support::{DeadPort, Exit, Launch, MariaDb, MongoDb, Upstream, assert_eventually, mariadb::Database};

use crate::{
    databases::Kind,
    scene::{SOON, agent, archived, blocking, echoed, is_well, operator, readiness},
};

/// A password that is not the right one.
const WRONG: &str = "sentinel-of-the-password";

/// The tables as the Python service makes them.
const PYTHON_TABLES: &str = "
    CREATE TABLE chat_sessions (
        namespace VARCHAR(64) NOT NULL, id CHAR(36) NOT NULL, provider VARCHAR(255) NOT NULL,
        fallback_provider VARCHAR(255), memory_limit INT NOT NULL, created_at DATETIME(6) NOT NULL, metadata JSON,
        PRIMARY KEY (namespace, id)
    ) CHARACTER SET utf8mb4;
    CREATE TABLE chat_messages (
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, namespace VARCHAR(64) NOT NULL,
        session_id CHAR(36) NOT NULL, role VARCHAR(32) NOT NULL, content LONGTEXT NOT NULL,
        created_at DATETIME(6) NOT NULL, stored_at DATETIME(6) NOT NULL, INDEX (namespace, session_id)
    ) CHARACTER SET utf8mb4;
    INSERT INTO chat_sessions VALUES ('chat_history', '11111111-1111-4111-8111-111111111111', 'openrouter', NULL, 10,
        '2025-01-01 10:00:00.123456', '{\"by\": \"python\"}');
    INSERT INTO chat_messages (namespace, session_id, role, content, created_at, stored_at) VALUES
        ('chat_history', '11111111-1111-4111-8111-111111111111', 'system', 'hidden', '2025-01-01 10:00:00', '2025-01-01 10:00:00'),
        ('chat_history', '11111111-1111-4111-8111-111111111111', 'user', 'hello', '2025-01-01 10:00:01', '2025-01-01 10:00:01');";

fn over(database: &Database<'_>, upstream: &Upstream) -> Launch {
    let server = database.server();
    agent(upstream)
        .envs([("HISTORY_STORAGE_BACKEND", "mysql"), ("HISTORY_MYSQL_HOST", server.host())])
        .env("HISTORY_MYSQL_PORT", server.port().to_string())
        .envs([("HISTORY_MYSQL_USER", server.user()), ("HISTORY_MYSQL_PASSWORD", server.password())])
        .env("HISTORY_MYSQL_DATABASE", database.name())
}

/// What a start that failed says besides its log: one line, without secrets.
fn why(exit: &Exit) -> String {
    assert!(!exit.status.success(), "{}", exit.stderr);
    let plain = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_err();
    let lines: Vec<&str> = exit.stderr.lines().filter(plain).collect();
    assert_eq!(lines.len(), 1, "{}", exit.stderr);
    assert!(!exit.stderr.contains(WRONG), "{}", exit.stderr);
    lines[0].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_the_wrong_mysql_password_or_database_says_so_and_ends() {
    let database = blocking(|| MariaDb::shared().database());
    let upstream = Upstream::start().await;
    let exit = over(&database, &upstream).env("HISTORY_MYSQL_PASSWORD", WRONG).run().await;
    let line = why(&exit);
    assert!(line.contains("history in MySQL") && line.to_lowercase().contains("password"), "{line}");
    println!("{:?} after {:?}: {line}", exit.status.code(), exit.took);
    let exit = over(&database, &upstream).env("HISTORY_MYSQL_DATABASE", "not_there").run().await;
    let line = why(&exit);
    assert!(line.contains("history in MySQL") && line.contains("Unknown database 'not_there'"), "{line}");
    println!("{:?} after {:?}: {line}", exit.status.code(), exit.took);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_the_right_to_change_a_python_table_names_the_statement() {
    let database = blocking(|| MariaDb::shared().database());
    let upstream = Upstream::start().await;
    database.sql(PYTHON_TABLES);
    let (name, user) = (database.name(), format!("u_{}", database.name()));
    database.sql(&format!(
        "CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'pw';
         GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON {name}.* TO '{user}'@'127.0.0.1';"
    ));
    let restricted = over(&database, &upstream).env("HISTORY_MYSQL_USER", &user).env("HISTORY_MYSQL_PASSWORD", "pw");
    let line = why(&restricted.clone().run().await);
    let statement = line.rsplit_once("run it as one who may: ").expect("a statement").1;
    assert!(statement.starts_with("USE `") && statement.contains("ADD COLUMN message_id"), "{line}");

    // Once somebody has run what it says, it starts, and reads what the other service wrote.
    database.sql(statement);
    let service = restricted.start().await;
    let operator = operator(&service);
    let session = service.client().create_session().await;
    service.client().say(&session, "one").await.expect(200);
    assert_eventually!(archived(&operator, &session).await == Some(echoed(&["one"])), SOON);
    let listed = operator.get("/admin/history/sessions").await.expect(200).body;
    assert_eq!(listed["total"], 2);
    let old = &listed["sessions"][1];
    assert_eq!((&old["provider"], &old["metadata"]["by"]), (&"openrouter".into(), &"python".into()));
    let id = old["id"].as_str().expect("an id");
    assert_eq!(archived(&operator, id).await, Some(vec![("user".to_owned(), "hello".to_owned())]));
    service.client().delete(&format!("/sessions/{id}")).await.expect(204);
    assert_eq!(archived(&operator, id).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_over_a_mysql_that_is_down_spools_until_it_is_there() {
    down_at_the_start(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_over_a_mongodb_that_is_down_spools_until_it_is_there() {
    down_at_the_start(Kind::MongoDb).await;
}

async fn down_at_the_start(kind: Kind) {
    let database = blocking(|| kind.own());
    let upstream = Upstream::start().await;
    blocking(|| database.stop());
    let service = database.given_to(agent(&upstream)).start().await;
    let operator = operator(&service);
    let session = service.client().create_session().await;
    service.client().say(&session, "one").await.expect(200);
    let (status, history) = readiness(&operator, "history").await;
    assert_eq!((status.as_str(), history["backlog"].as_u64()), ("degraded", Some(2)), "{history}");
    assert!(history["note"].as_str().is_some_and(|note| note.contains("not durable")), "{history}");
    blocking(|| database.restart());
    assert_eventually!(is_well(&operator).await, SOON);
    assert_eq!(archived(&operator, &session).await, Some(echoed(&["one"])));
}

/// However large its tables are: a use that prepared them would have the time of a call.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_late_is_prepared_without_being_used() {
    let server = blocking(MariaDb::start);
    let database = blocking(|| server.database());
    let upstream = Upstream::start().await;
    blocking(|| server.stop());
    let service = over(&database, &upstream).start().await;
    assert!(service.log_text().contains("history in MySQL is not ready"), "{}", service.log_text());
    blocking(|| server.restart());
    let tables = || blocking(|| database.sql("SHOW TABLES"));
    assert_eventually!(tables() == "chat_messages\nchat_sessions\nchat_sessions_forgotten\n", SOON);
    assert_eventually!(service.log_text().contains("history in MySQL is ready"), SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_database_that_is_down_from_the_start_shows_before_the_first_turn() {
    let (upstream, dead) = (Upstream::start().await, DeadPort::take());
    let port = dead.address().port();
    let mysql = agent(&upstream)
        .envs([("HISTORY_STORAGE_BACKEND", "mysql"), ("HISTORY_MYSQL_HOST", "127.0.0.1")])
        .env("HISTORY_MYSQL_PORT", port.to_string())
        .envs([("HISTORY_MYSQL_USER", "u"), ("HISTORY_MYSQL_PASSWORD", WRONG), ("HISTORY_MYSQL_DATABASE", "d")]);
    let mongodb = agent(&upstream)
        .env("HISTORY_STORAGE_BACKEND", "mongodb")
        .env("HISTORY_MONGODB_URI", format!("mongodb://u:{WRONG}@127.0.0.1:{port}"));
    let redis = agent(&upstream)
        .env("HISTORY_STORAGE_BACKEND", "redis")
        .env("HISTORY_REDIS_URL", format!("redis://:{WRONG}@127.0.0.1:{port}"));
    let mut unseen = Vec::new();
    for (name, launch) in [("mysql", mysql), ("mongodb", mongodb), ("redis", redis)] {
        let service = launch.start().await;
        let (status, history) = readiness(&operator(&service), "history").await;
        let ready = operator(&service).get("/health/ready").await;
        for text in [service.log_text(), ready.text, operator(&service).get("/admin/config").await.text] {
            assert!(!text.contains(WRONG), "{text}");
        }
        if status != "degraded" {
            unseen.push(format!("{name}: {status} {history}"));
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_wrong_mongodb_uri_says_so_and_ends() {
    let upstream = Upstream::start().await;
    let launch = agent(&upstream).env("HISTORY_STORAGE_BACKEND", "mongodb");
    for uri in [
        format!("mongo://u:{WRONG}@127.0.0.1"),
        format!("mongodb://u:{WRONG}/@127.0.0.1"),
        format!("mongodb://u:{WRONG}@127.0.0.1/?replicaSet"),
    ] {
        let exit = launch.clone().env("HISTORY_MONGODB_URI", &uri).run().await;
        assert!(!exit.status.success(), "{uri}: {}", exit.stderr);
        assert!(exit.stderr.contains("MONGODB_URI") || exit.stderr.contains("MongoDB URI"), "{uri}: {}", exit.stderr);
        assert!(!exit.stderr.contains(WRONG), "{}", exit.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_mongodb_password_that_is_refused_says_so_and_ends() {
    let server = blocking(MongoDb::start);
    blocking(|| server.restart_with("--auth"));
    let upstream = Upstream::start().await;
    let uri = server.uri().replace("mongodb://", &format!("mongodb://nobody:{WRONG}@"));
    let launch = agent(&upstream).env("HISTORY_STORAGE_BACKEND", "mongodb").env("HISTORY_MONGODB_URI", uri);
    let line = why(&launch.run().await);
    assert!(line.contains("history in MongoDB") && line.contains("password"), "{line}");
}
