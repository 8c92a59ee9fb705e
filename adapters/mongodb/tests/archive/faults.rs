//! A deployment that is away.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_domain::{
    message::Role,
    ports::history::HistoryStore,
    testing::samples::{forget, record, said, session, turn},
};
use chat_mongodb::MongoDbConfig;
use chat_test_support::{MongoDb, assert_eventually};
use mongodb::bson::{Document, doc};
use tokio::time::timeout;

use crate::scene::{config, config_of, contents, keep, open, stranger, told};

#[tokio::test]
async fn it_may_be_down_at_the_start_killed_and_restarted() {
    let server = MongoDb::start();
    server.stop();
    let history = open(config_of(&server));
    let (session, messages) = (Arc::new(session(0)), turn(1));
    let op = record(&session, &messages);

    let began = Instant::now();
    assert!(!history.prepare().await.expect_err("down").is_permanent());
    let (is_permanent, words) = told(history.apply(&op).await.expect_err("down"));
    assert!(!is_permanent && words.contains("refused"), "{words}");
    assert!(history.messages(session.id, 0, 1).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());

    server.restart();
    assert_eventually!(history.apply(&op).await.is_ok(), Duration::from_secs(20));
    server.stop();
    assert!(!told(history.apply(&op).await.expect_err("down")).0);
    server.restart();
    assert_eventually!(history.apply(&op).await.is_ok(), Duration::from_secs(20));
    assert_eq!(contents(&history, session.id).await, ["q1", "a1"]);
}

#[tokio::test]
async fn a_silent_server_stops_nothing() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let uri = format!("mongodb://{}/", silent.local_addr().expect("bound"));
    let history = open(MongoDbConfig { uri: uri.into(), ..config() });
    let began = Instant::now();
    assert!(!told(history.apply(&record(&Arc::new(session(0)), &turn(1))).await.expect_err("silent")).0);
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_given_up_is_whole_when_it_is_applied_again() {
    let history = open(config());
    let session = Arc::new(session(0));
    let messages = turn(1);
    let op = record(&session, &messages);
    history.prepare().await.expect("prepared");
    for millis in 0..30 {
        let given_up = timeout(Duration::from_millis(millis), history.apply(&op)).await;
        assert!(!matches!(given_up, Ok(Err(_))));
    }
    keep(&history, &session, &messages).await;
    assert_eq!(contents(&history, session.id).await, ["q1", "a1"]);
}

#[tokio::test]
async fn what_the_database_never_takes_is_permanent_and_the_next_goes_on() {
    let history = open(config());
    let talk = Arc::new(session(0));
    let large = said(Role::User, &"secret words ".repeat(1_400_000), 1);
    let (is_permanent, words) = told(history.apply(&record(&talk, &[large])).await.expect_err("too large"));
    assert!(is_permanent && !words.contains("secret"), "{words}");
    keep(&history, &talk, &turn(1)).await;
}

#[tokio::test]
async fn a_session_forgotten_by_another_process_halfway_through_is_not_revived() {
    let config = config();
    let (one, other) = (open(config.clone()), open(config.clone()));
    let database = stranger(&config).await;
    for n in 0..20 {
        let session = Arc::new(session(n));
        let (recording, forgetting) = (turn(1), chat_domain::testing::samples::forget(&session));
        let op = record(&session, &recording);
        let (recorded, forgotten) = futures_util::future::join(one.apply(&op), async {
            // A little later each time, so that it comes between other commands.
            for _ in 0..n {
                tokio::task::yield_now().await;
            }
            other.apply(&forgetting).await
        })
        .await;
        assert!(recorded.is_ok() && forgotten.is_ok());
        for (collection, member) in [("chat_sessions", "id"), ("chat_messages", "session_id")] {
            let collection = database.collection::<Document>(collection);
            let left = collection.count_documents(doc! {member: session.id.to_string()}).await.expect("a number");
            assert_eq!(left, 0, "{}", collection.name());
        }
    }
}

/// An attempt that was given up on can leave something after the deletion, before its second look at the marks. The next
/// attempt, which comes since the first had no answer, removes it.
#[tokio::test]
async fn what_an_attempt_left_of_a_deleted_session_is_removed_by_the_next() {
    let config = config();
    let history = open(config.clone());
    let database = stranger(&config).await;
    let session = Arc::new(session(0));
    keep(&history, &session, &turn(1)).await;
    let sessions = database.collection::<Document>("chat_sessions");
    let messages = database.collection::<Document>("chat_messages");
    let left = sessions.find_one(doc! {}).await.expect("an answer").expect("the session");
    let said = messages.find_one(doc! {}).await.expect("an answer").expect("a message");
    assert!(history.apply(&forget(&session)).await.expect("forgotten"));
    sessions.insert_one(left).await.expect("left");
    messages.insert_one(said).await.expect("left");
    history.apply(&record(&session, &turn(1))).await.expect("nothing to do");
    assert!(history.messages(session.id, 0, 1).await.expect("an answer").is_none());
    for collection in [sessions, messages] {
        assert_eq!(collection.count_documents(doc! {}).await.expect("an answer"), 0);
    }
}

#[tokio::test]
async fn what_somebody_did_to_the_collections_waits_until_somebody_mends_it() {
    let config = config();
    let history = open(config.clone());
    let database = stranger(&config).await;
    let talk = Arc::new(session(0));
    keep(&history, &talk, &turn(1)).await;
    for (collection, rule) in [
        ("chat_messages", doc! {"tenant": {"$exists": true}}),
        ("chat_sessions", doc! {"$jsonSchema": {"required": ["tenant"]}}),
    ] {
        database.run_command(doc! {"collMod": collection, "validator": rule}).await.expect("a rule");
        let other = Arc::new(session(1));
        let op = record(&other, &[said(Role::User, "secret", 1)]);
        let (is_permanent, words) = told(history.apply(&op).await.expect_err("the rule is in the way"));
        assert!(!is_permanent && words.contains("121") && !words.contains("secret"), "{words}");
        database.run_command(doc! {"collMod": collection, "validator": {}}).await.expect("no rule");
        assert!(history.apply(&op).await.expect("archived"));
        assert_eq!(contents(&history, other.id).await, ["secret"]);
    }
}
