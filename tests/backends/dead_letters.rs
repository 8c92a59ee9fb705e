//! What a database refuses for good: laid aside, told, in nobody's way, and written once the reason is gone.

use std::{fs, path::PathBuf};

use chat_test_support::{Client, RedisServer, TempDir, Upstream, assert_eventually};

use crate::{
    databases::Kind,
    scene::{SOON, agent, archived, blocking, echoed, is_well, operator, readiness, start_again},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_for_mysql_is_laid_aside_and_written_when_it_is_not() {
    refused_for_good(Kind::MySql, "max_allowed_packet of 1048576").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_key_in_redis_is_of_another_kind_is_laid_aside_and_written_when_it_is_not() {
    refused_for_good(Kind::Redis, "WRONGTYPE").await;
}

async fn refused_for_good(kind: Kind, reason: &str) {
    let (database, redis) = blocking(|| (kind.own(), RedisServer::start()));
    let (upstream, spool) = (Upstream::start().await, TempDir::new());
    let launch = database.given_to(agent(&upstream)).env("REDIS_URL", redis.url());
    let launch = launch.env("HISTORY_SPOOL_DIR", spool.path());
    let mut service = launch.clone().start().await;
    let client = service.client();
    let (refused, other) = (client.create_session().await, client.create_session().await);
    assert_eventually!(archived(&operator(&service), &refused).await == Some(vec![]), SOON);
    service.terminate().await;
    // A connection of before would still take it.
    blocking(|| database.refuse(&refused));
    let mut service = start_again(&launch, &service).await;
    let (client, watcher) = (service.client(), operator(&service));
    assert_eq!(dead_letters(&watcher).await, 0);
    let large = ["sentinel one ".repeat(100_000), "sentinel two ".repeat(100_000)];
    for said in &large {
        client.say(&refused, said).await.expect(200);
        // Nobody else notices.
        client.say(&other, "fine").await.expect(200);
    }
    assert_eventually!(dead_letters(&watcher).await == 2, SOON);
    assert_eventually!(archived(&watcher, &other).await == Some(echoed(&["fine", "fine"])), SOON);
    assert_eventually!(is_well(&watcher).await, SOON);
    // What readiness says may be a second old.
    let note = async || readiness(&watcher, "history").await.1["note"].as_str().unwrap_or_default().to_owned();
    assert_eventually!(note().await.contains("refused for good"), SOON);
    assert!(!service.log_text().contains("sentinel one"), "a log shows what was said");

    // As the handbook has it: the reason is beside each; mended, the records are put where the next process looks.
    let letters = letters(&spool);
    assert_eq!(letters.len(), 2, "{letters:?}");
    for letter in &letters {
        let told = fs::read_to_string(letter.with_extension("txt")).expect("a reason");
        assert!(told.contains(reason) && !told.contains("sentinel one"), "{told}");
    }
    service.kill().await;
    blocking(|| database.take_again(&refused));
    let again = spool.path().join("process-again");
    fs::create_dir(&again).expect("a folder");
    for letter in letters {
        fs::rename(&letter, again.join(letter.file_name().expect("a name"))).expect("a move");
    }
    let service = start_again(&launch, &service).await;
    let operator = operator(&service);
    assert_eventually!(is_well(&operator).await, SOON);
    assert!(
        archived(&operator, &refused).await == Some(echoed(&[&large[0], &large[1]])),
        "both turns are there once, and in their order"
    );
    assert_eq!(dead_letters(&operator).await, 0);
}

async fn dead_letters(client: &Client) -> u64 {
    let metrics = client.with_header("accept", "text/plain").get("/metrics").await.expect(200).text;
    let line = metrics.lines().find_map(|line| line.strip_prefix("chat_history_dead_letters_total "));
    line.expect("a count of dead letters").parse().expect("a number")
}

/// The records that were laid aside.
fn letters(spool: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(spool.path().join("dead-letter")).expect("a folder of dead letters");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}
