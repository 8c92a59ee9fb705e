//! How the service ends, and that it starts again.

use std::time::Duration;

use chat_test_support::{Client, Gate, Launch, Reply, Service, Upstream, assert_eventually};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::{
    common::{SOON, agent, echoed, program, wait_for_posts},
    raw::{Raw, get},
};

/// Well above what an end takes that waits for nobody, well below the time that would be waited for.
const AT_ONCE: Duration = Duration::from_secs(8);

/// A bound that a test never waits for.
const LONG: &str = "18";

async fn refuses_connections(service: &Service) -> bool {
    let address = service.base_url().strip_prefix("http://").expect("a URL");
    TcpStream::connect(address).await.is_err()
}

/// What the log says of the end.
fn stopped(service: &Service) -> Value {
    service.events("stopped").pop().expect("the end is told")
}

#[tokio::test]
async fn a_signal_drains_first_and_a_second_one_ends_the_delay() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let upstream = Upstream::start().await;
        let mut service = agent(&upstream).env("SHUTDOWN_DELAY_SECONDS", LONG).start().await;
        let client = service.client();
        assert_eq!(client.get("/health/ready").await.expect(200).body["status"], "ready");
        let session = client.create_session().await;

        service.signal(first);
        let draining = service.wait_for_log(|line| line["event"] == "draining").await;
        assert_eq!(draining["signal"], format!("SIG{first}"));
        assert_eq!(client.get("/health/ready").await.expect(503).body["status"], "draining");
        assert_eq!(client.get("/health").await.expect(200).body["status"], "ok");
        // Served as before, on old connections and on new ones.
        client.say(&session, "one").await.expect(200);
        service.client().say(&session, "two").await.expect(200);

        service.signal(second);
        let exit = service.wait().await;
        assert!(exit.status.success() && exit.took < AT_ONCE, "{exit:?}");
        stopped(&service);
    }
}

#[tokio::test]
async fn the_delay_ends_by_itself() {
    let mut service = program().env("SHUTDOWN_DELAY_SECONDS", "0.6").start().await;
    let exit = service.terminate().await;
    assert!(exit.status.success(), "{exit:?}");
    assert!((Duration::from_millis(600)..AT_ONCE).contains(&exit.took), "{exit:?}");
}

#[tokio::test]
async fn running_turns_are_finished() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    let mut service = agent(&upstream).env("SHUTDOWN_GRACE_SECONDS", LONG).start().await;
    let client = service.client();
    let sessions = [client.create_session().await, client.create_session().await, client.create_session().await];
    for _ in &sessions {
        upstream.push(Reply::text("echo: finish").held_by(&gate));
    }
    // The third one waits behind the first one's turn, and is as welcome.
    let [plain, streamed, _] = &sessions;
    let mut events = client.say_streaming(streamed, "finish").await.expect("a stream");
    let finishing = async {
        tokio::join!(client.say(plain, "finish"), client.say(plain, "finish"), async {
            let mut last = None;
            while let Some(event) = events.next().await {
                last = Some(event);
            }
            last.expect("events")
        })
    };
    let ending = async {
        upstream.wait_for_requests(2).await;
        // The third one's message has come as well; each session was a post, too.
        wait_for_posts(&client, 6).await;
        service.signal("TERM");
        service.wait_for_log(|line| line["event"] == "draining").await;
        assert_eventually!(refuses_connections(&service).await, SOON);
        gate.open();
    };
    let ((one, two, last), ()) = tokio::join!(finishing, ending);
    assert_eq!(one.expect(200).content(), "echo: finish");
    assert_eq!(two.expect(200).content(), "echo: finish");
    assert_eq!(last.event, "message.completed");
    assert_eq!(last.data["message"]["content"], "echo: finish");
    let exit = service.wait().await;
    assert!(exit.status.success() && exit.took < AT_ONCE, "{exit:?}");
    assert_eq!(stopped(&service)["message"], "stopped");
    assert_eq!(upstream.aborted(), 0);
}

#[tokio::test]
async fn a_turn_that_takes_longer_than_the_grace_is_cut() {
    let upstream = Upstream::answering(|_| Reply::never()).await;
    let mut service = agent(&upstream).env("SHUTDOWN_GRACE_SECONDS", "0.5").start().await;
    let client = service.client();
    let session = client.create_session().await;
    let mut connection = Raw::connect(service.base_url()).await;
    connection.send(crate::raw::say(&session, "for ever", "")).await;
    upstream.wait_for_requests(1).await;

    let exit = service.terminate().await;
    assert!(exit.status.success(), "{exit:?}");
    assert!((Duration::from_millis(500)..AT_ONCE).contains(&exit.took), "{exit:?}");
    assert_eq!(connection.rest().await, "", "cut, not answered");
    upstream.wait_for_aborted(1).await;
    let stopped = stopped(&service);
    assert_eq!((&stopped["level"], &stopped["requests_ended"]), (&"WARNING".into(), &false.into()), "{stopped}");
}

#[tokio::test]
async fn connections_without_a_request_do_not_delay_the_end() {
    let mut service = program().env("SHUTDOWN_GRACE_SECONDS", LONG).start().await;
    let mut kept_alive = Raw::connect(service.base_url()).await;
    kept_alive.send(get("/health")).await;
    assert_eq!(kept_alive.answer().await.status, 200);
    // As browsers open them ahead of need.
    let mut silent = Raw::connect(service.base_url()).await;
    // Both have been accepted: they were before this one.
    service.client().get("/health").await.expect(200);

    let exit = service.terminate().await;
    assert!(exit.status.success() && exit.took < AT_ONCE, "{exit:?}");
    assert_eq!(stopped(&service)["message"], "stopped");
    for connection in [&mut kept_alive, &mut silent] {
        assert_eq!(connection.rest().await, "");
    }
}

#[tokio::test]
async fn after_a_crash_it_starts_again_on_the_same_port() {
    let upstream = Upstream::start().await;
    let launch: Launch = agent(&upstream);
    let mut service = launch.clone().start().await;
    let base_url = service.base_url().to_owned();
    let client = service.client();
    let lost = client.create_session().await;
    client.say(&lost, "remember").await.expect(200);
    // The side that closes first keeps the port busy for a minute: here it is the service's.
    let mut closed = Raw::connect(&base_url).await;
    closed.send("GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await;
    assert!(closed.rest().await.starts_with("HTTP/1.1 200"));
    upstream.push(Reply::never());
    let mut cut = Raw::connect(&base_url).await;
    cut.send(crate::raw::say(&lost, "crash", "")).await;
    upstream.wait_for_requests(2).await;

    let exit = service.kill().await;
    assert!(!exit.status.success());
    assert_eq!(cut.rest().await, "");

    let port = base_url.rsplit(':').next().expect("a port");
    let service = launch.env("PORT", port).start().await;
    assert_eq!(service.base_url(), base_url);
    let client = Client::new(&base_url);
    // Sessions in process memory end with the process.
    assert_eq!(client.say(&lost, "remember?").await.expect(404).code(), "session_not_found");
    let session = client.create_session().await;
    client.say(&session, "again").await.expect(200);
    assert_eq!(echoed(&client, &session).await, ["again"]);
}
