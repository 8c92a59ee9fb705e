//! Neither the archive's database nor its spool takes anything.

use std::{process::Command, time::Duration};

use chat_test_support::{Service, TempDir, Upstream, assert_eventually};
use serde_json::json;

use crate::{
    databases::{Kind, of_each_kind},
    scene::{SOON, archived, assert_unavailable, blocking, is_well, memory, operator, program, readiness},
};

of_each_kind!(without_database_and_spool_turns_are_refused_before_a_model_is_asked);

/// Starts the service in a way that a file which is too large is an error and not the end: what a full disk is like.
const UNDETERRED: &str = r#"trap '' XFSZ; exec "$0""#;

/// From now on files of the service may have so many bytes.
fn limit_files(service: &Service, bytes: &str) {
    let (pid, limit) = (service.pid().to_string(), format!("--fsize={bytes}:"));
    let limited = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(limited.is_ok_and(|status| status.success()), "prlimit: apt-get install util-linux");
}

async fn without_database_and_spool_turns_are_refused_before_a_model_is_asked(kind: Kind) {
    let database = blocking(|| kind.own());
    let (upstream, spool) = (Upstream::start().await, TempDir::new());
    let launch = program("/bin/sh", &upstream).arg("-c").arg(UNDETERRED).arg(env!("CARGO_BIN_EXE_chat-agent"));
    let service = database.given_to(launch).env("HISTORY_SPOOL_DIR", spool.path()).start().await;
    let (client, operator) = (service.client(), operator(&service));
    let (session, other) = (client.create_session().await, client.create_session().await);
    client.say(&session, "one").await.expect(200);
    assert_eventually!(is_well(&operator).await, SOON);

    // The spool takes what the database does not.
    blocking(|| database.stop());
    client.say(&session, "two").await.expect(200);
    assert_eventually!(readiness(&operator, "history").await.0 == "degraded", SOON);

    // And when it takes nothing either, nobody is asked for an answer that could not be kept.
    limit_files(&service, "0");
    // What the spool was found able to lately, it is taken to be able to: one turn may find out.
    assert_eventually!(client.say(&other, "finds out").await.status == 503, SOON);
    assert_eventually!(readiness(&operator, "history").await.0 == "unavailable", SOON);
    let asked = upstream.requests().len();
    for _ in 0..5 {
        let (body, path) = (json!({}), format!("/sessions/{session}/messages"));
        let said = json!({"content": "refused"});
        tokio::join!(
            assert_unavailable("create", async || client.post("/sessions", &body).await),
            assert_unavailable("say", async || client.post(&path, &said).await),
            assert_unavailable("say elsewhere", async || client.say(&other, "refused").await),
        );
        let (status, history) = readiness(&operator, "history").await;
        assert_eq!((status.as_str(), &history["state"]), ("unavailable", &json!("down")), "{history}");
        // Longer than the time between two attempts, so that some of these are attempts.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(upstream.requests().len(), asked, "no model was asked");
    // What there is can be read.
    assert_eq!(memory(&client, &session).await.len(), 4);

    // Room again: the spool takes it, the database is still away.
    limit_files(&service, "unlimited");
    assert_eventually!(client.say(&session, "three").await.status == 200, SOON);
    assert_eventually!(readiness(&operator, "history").await.0 == "degraded", SOON);

    // No room, but the database is back.
    limit_files(&service, "0");
    blocking(|| database.restart());
    assert_eventually!(is_well(&operator).await, SOON);
    assert_eventually!(client.say(&session, "four").await.status == 200, SOON);
    let remembered = memory(&client, &session).await;
    assert_eventually!(archived(&operator, &session).await.as_ref() == Some(&remembered), SOON);
    for said in ["one", "two", "three", "four"] {
        assert_eq!(remembered.iter().filter(|(_, content)| content == said).count(), 1, "{said}");
    }
}
