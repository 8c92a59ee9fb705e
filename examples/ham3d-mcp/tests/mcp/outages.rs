//! A database that is down, slow, or another one than expected.

use std::time::{Duration, Instant};

use chat_test_support::{MariaDb, assert_eventually};
use serde_json::json;

use crate::common::{PATIENCE, binary, call, client, found, load, over_stdio, refused, shop_with, variables};

const UNAVAILABLE: &str = "The product catalogue cannot be reached at the moment. Try again later.";

#[tokio::test]
async fn down_at_start_later_and_back() {
    let server = MariaDb::start();
    let database = server.database();
    assert!(load(&database).status().expect("load.sh").success());
    server.stop();

    let client = client(&database).await;
    assert_eq!(client.list_all_tools().await.expect("tools").len(), 1);
    for _ in 0..3 {
        assert_eq!(refused(&client, json!({})).await, UNAVAILABLE);
    }
    server.restart();
    assert_ne!(found(&client, json!({})).await["total"], 0, "at the first call after it is back");
    server.stop();
    assert_eq!(refused(&client, json!({})).await, UNAVAILABLE);
    server.restart();
    assert_ne!(found(&client, json!({})).await["total"], 0);
}

#[tokio::test]
async fn a_wrong_password_says_nothing_of_it_to_the_model() {
    let database = MariaDb::shared().database();
    let mut variables = variables(&database);
    variables.retain(|(name, _)| *name != "HAM3D_DB_PASSWORD");
    variables.push(("HAM3D_DB_PASSWORD", "hunter2".to_owned()));
    let client = over_stdio(binary(variables)).await;
    assert_eq!(refused(&client, json!({})).await, UNAVAILABLE);
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_given_up() {
    // It accepts, and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let database = MariaDb::shared().database();
    let mut variables = variables(&database);
    variables.retain(|(name, _)| *name != "HAM3D_DB_PORT");
    variables.push(("HAM3D_DB_PORT", listener.local_addr().expect("an address").port().to_string()));
    variables.push(("HAM3D_DB_CONNECT_TIMEOUT", "1".to_owned()));
    let client = over_stdio(binary(variables)).await;
    let start = Instant::now();
    assert_eq!(refused(&client, json!({})).await, UNAVAILABLE);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn other_tables_are_a_fault_without_sql() {
    let database = shop_with("ALTER TABLE ham3d_product DROP COLUMN seo_keywords");
    let client = client(&database).await;
    let refusal = refused(&client, json!({"query": "secret words"})).await;
    assert_eq!(
        refusal,
        "The product catalogue could not be searched because of a fault in the server. Its log says more."
    );
    assert_eq!(found(&client, json!({})).await["total"], 0);
}

/// What holds the search up here is a lock, which the statement's time limit ends.
#[tokio::test]
async fn a_search_that_takes_too_long_is_ended_by_the_database() {
    let database = shop_with("INSERT INTO ham3d_product (title) VALUES ('a')");
    let client = client(&database).await;
    found(&client, json!({})).await;
    let name = database.name().to_owned();
    let lock = tokio::task::spawn_blocking(move || {
        MariaDb::shared().sql(&name, "LOCK TABLES ham3d_product WRITE; SELECT SLEEP(12)")
    });
    let held = || {
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(12)%'";
        database.server().sql("", waiting).trim() == "1"
    };
    assert_eventually!(held(), PATIENCE);
    let start = Instant::now();
    let refusal = refused(&client, json!({})).await;
    assert!(refusal.starts_with("The search took too long."), "{refusal}");
    assert!(start.elapsed() < Duration::from_millis(11_500), "{:?}", start.elapsed());
    lock.await.expect("the lock");
    assert_eq!(call(&client, json!({})).await.is_error, Some(false));
}

/// Whatever were to get through, it could not write.
#[tokio::test]
async fn connections_only_read() {
    let database = MariaDb::shared().database();
    database.sql("CREATE TABLE log (a INT)");
    // A function that writes, in place of a table's column.
    database.sql(include_str!("../../catalogue/schema.sql"));
    database.sql(
        "DROP TABLE ham3d_product;
         CREATE TABLE p AS SELECT 1 AS id, 1 AS active, 'x' AS title;
         CREATE FUNCTION f() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO log VALUES (1); RETURN 1; END;
         CREATE VIEW ham3d_product AS SELECT id, f() AS active, title FROM p;"
            .replace("; RETURN 1; END;", "; RETURN 1; END //\nDELIMITER ;\n")
            .replace("CREATE FUNCTION", "DELIMITER //\nCREATE FUNCTION")
            .as_str(),
    );
    let client = client(&database).await;
    let refusal = refused(&client, json!({"language": null, "only_visible_colors": false})).await;
    assert!(refusal.contains("fault"), "{refusal}");
    assert_eq!(database.sql("SELECT COUNT(*) FROM log"), "0\n");
}
