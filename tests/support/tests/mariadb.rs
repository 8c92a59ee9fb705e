//! A MariaDB of one's own.

use std::net::TcpStream;

use chat_test_support::MariaDb;

fn listens(server: &MariaDb) -> bool {
    TcpStream::connect((server.host(), server.port())).is_ok()
}

#[test]
fn databases_are_apart() {
    let server = MariaDb::shared();
    let (one, other) = (server.database(), server.database());
    one.sql("CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('سلام 🙂')");
    assert_eq!(one.sql("SELECT a FROM t"), "سلام 🙂\n");
    assert_eq!(other.sql("SHOW TABLES"), "");
    assert!(one.url().starts_with("mysql://tester:%70%40") && one.url().ends_with(one.name()), "{}", one.url());
}

#[test]
fn stops_and_comes_back_with_its_data() {
    let server = MariaDb::start();
    let port = server.port();
    let database = server.database();
    database.sql("CREATE TABLE t (a INT); INSERT INTO t VALUES (7)");
    server.stop();
    assert!(!listens(&server));
    server.restart();
    assert_eq!(server.port(), port);
    assert_eq!(database.sql("SELECT a FROM t"), "7\n");
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
#[should_panic(expected = "doesn't exist")]
fn a_statement_that_fails_fails_the_test() {
    let _ = MariaDb::shared().database().sql("SELECT 1 FROM nowhere");
}
