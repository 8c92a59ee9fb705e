//! Clients that go away before their answer is complete, and sessions that do.

use std::{
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use chat_test_support::{Client, Gate, Reply, Service, Upstream};
use tokio::task::JoinSet;

use crate::{
    common::{ONE_WORKER, SOON, agent, echoed, messages_of, request_log, wait_for_posts},
    raw::{EVENTS, Raw, say},
};

/// Says something and never waits for the answer: the connection, to be dropped.
async fn begin(service: &Service, session: &str, id: &str, headers: &str) -> Raw {
    let mut connection = Raw::connect(service.base_url()).await;
    connection.send(say(session, id, &format!("X-Request-ID: {id}\r\n{headers}"))).await;
    connection
}

/// The request of this id was given up by its client, and the log says so.
async fn is_given_up(service: &Service, session: &str, id: &str) {
    let line = request_log(service, id).await;
    assert_eq!((&line["status_code"], &line["path"]), (&499.into(), &messages_of(session).into()), "{line}");
    assert_eq!(line["session_id"], session);
    assert_eq!(service.events("request_completed").iter().filter(|line| line["request_id"] == id).count(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_turn() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).start().await;
    let client = service.client();
    let session = client.create_session().await;
    for (gone, (id, headers)) in [("plain", ""), ("streamed", EVENTS)].into_iter().enumerate() {
        upstream.push(Reply::never());
        let connection = begin(&service, &session, id, headers).await;
        upstream.wait_for_requests(2 * gone + 1).await;
        drop(connection);
        upstream.wait_for_aborted(gone + 1).await;
        is_given_up(&service, &session, id).await;
        // Nothing is remembered, and the next turn goes on.
        let next = format!("after {id}");
        client.say(&session, &next).await.expect(200);
        assert_eq!(upstream.last_request().last_user(), next);
        let sent: Vec<_> = upstream.last_request().conversation().iter().map(|(_, said)| said.to_string()).collect();
        assert!(!sent.iter().any(|said| said == id), "{sent:?}");
    }
    assert_eq!(echoed(&client, &session).await, ["after plain", "after streamed"]);
    // Nobody's error, and no response either.
    let health = client.get("/health").await.expect(200).body;
    assert_eq!(
        (&health["requests_total"], &health["responses_total"], &health["errors_total"]),
        (&5.into(), &3.into(), &0.into())
    );
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_of_a_stream_cancels_its_turn() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).start().await;
    let client = service.client();
    let session = client.create_session().await;
    upstream.push(Reply::events().delta("half an ").hang());
    let leaving = client.with_header("x-request-id", "left");
    let mut events = leaving.say_streaming(&session, "left").await.expect("a stream");
    assert_eq!(events.next().await.expect("an event").event, "message.started");
    assert_eq!(events.next().await.expect("an event").data["content"], "half an ");
    assert_eq!(upstream.aborted(), 0);
    drop((events, leaving));
    upstream.wait_for_aborted(1).await;
    is_given_up(&service, &session, "left").await;
    client.say(&session, "next").await.expect(200);
    assert_eq!(echoed(&client, &session).await, ["next"]);
    let health = client.get("/health").await.expect(200).body;
    assert_eq!((&health["responses_total"], &health["errors_total"]), (&2.into(), &0.into()), "{health}");
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_queue_leaves_its_place() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).envs([ONE_WORKER]).start().await;
    let client = service.client();
    let session = client.create_session().await;
    let gate = Gate::new();
    upstream.push(Reply::text("echo: first").held_by(&gate));
    let first = client.say(&session, "first");
    let leaving = async {
        upstream.wait_for_requests(1).await;
        let plain = begin(&service, &session, "queued-plain", "").await;
        let streamed = begin(&service, &session, "queued-streamed", EVENTS).await;
        wait_for_posts(&client, 4).await;
        drop((plain, streamed));
        is_given_up(&service, &session, "queued-plain").await;
        is_given_up(&service, &session, "queued-streamed").await;
        gate.open();
    };
    let (first, ()) = tokio::join!(first, leaving);
    first.expect(200);
    client.say(&session, "last").await.expect(200);
    assert_eq!(upstream.requests().len(), 2, "what has left the queue is never asked");
    assert_eq!(echoed(&client, &session).await, ["first", "last"]);
}

#[tokio::test]
async fn deleting_a_session_ends_its_turns() {
    let upstream = Upstream::answering(|_| Reply::never()).await;
    let service = agent(&upstream).envs([ONE_WORKER]).start().await;
    let client = service.client();
    let session = client.create_session().await;
    let with_id = |id: &str| client.with_header("x-request-id", id);
    let clients = ["running", "waiting", "waiting-streamed"].map(with_id);
    let streamed = async {
        // The headers are out before the turn's turn comes: the failure is an event.
        let events = clients[2].say_streaming(&session, "waiting").await.expect("a stream");
        events.collect().await.pop().expect("an event")
    };
    let deleting = async {
        upstream.wait_for_requests(1).await;
        wait_for_posts(&client, 4).await;
        client.delete(&format!("/sessions/{session}")).await.expect(204);
    };
    let running = async {
        let answer = clients[0].say(&session, "running").await;
        (answer.status, answer.code().to_owned())
    };
    let waiting = async {
        upstream.wait_for_requests(1).await;
        let answer = clients[1].say(&session, "waiting").await;
        (answer.status, answer.code().to_owned())
    };
    let streamed = async {
        upstream.wait_for_requests(1).await;
        streamed.await
    };
    let (running, waiting, streamed, ()) = tokio::join!(running, waiting, streamed, deleting);
    assert_eq!(running, (404, "session_not_found".to_owned()));
    assert_eq!(waiting, (404, "session_not_found".to_owned()));
    assert_eq!((streamed.event.as_str(), &streamed.data["error"]["code"]), ("error", &"session_not_found".into()));
    upstream.wait_for_aborted(1).await;
    for id in ["running", "waiting", "waiting-streamed"] {
        assert_eq!(request_log(&service, id).await["status_code"], 404);
    }
    assert_eq!(client.get(&format!("/sessions/{session}")).await.expect(404).code(), "session_not_found");
    assert_eq!(client.delete(&format!("/sessions/{session}")).await.status, 404);
    assert_eq!(client.say(&session, "hello?").await.status, 404);
    assert_eq!(upstream.requests().len(), 1);
}

/// How a client of the crowd below behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Waits,
    Streams,
    /// Closes its connection at once.
    LeavesAtOnce,
    /// Closes it a little later: in the queue, while its turn runs, or after.
    LeavesLater,
    /// Closes it after the first event of its stream.
    LeavesMidStream,
}

impl Manner {
    fn of(number: usize) -> Self {
        [Self::Waits, Self::LeavesAtOnce, Self::Streams, Self::LeavesLater, Self::LeavesMidStream][number * 7 % 11 % 5]
    }
}

/// One client of the crowd; tells whether it got its answer.
async fn one_of_many(base_url: String, session: String, number: usize) -> bool {
    let manner = Manner::of(number);
    let content = format!("{number} {manner:?}");
    let client = Client::new(&base_url);
    loop {
        match manner {
            Manner::Waits => {
                let answer = client.say(&session, &content).await;
                if answer.status == 200 {
                    assert_eq!(answer.content(), format!("echo: {content}"));
                    return true;
                }
                assert_eq!((answer.status, answer.code()), (409, "session_busy"));
            }
            Manner::Streams | Manner::LeavesMidStream => match client.say_streaming(&session, &content).await {
                Ok(mut events) => {
                    assert_eq!(events.next().await.expect("an event").event, "message.started");
                    if manner == Manner::LeavesMidStream {
                        return false;
                    }
                    let last = events.collect().await.pop().expect("an event");
                    assert_eq!(last.event, "message.completed", "{last:?}");
                    return true;
                }
                Err(answer) => assert_eq!((answer.status, answer.code()), (409, "session_busy")),
            },
            Manner::LeavesAtOnce | Manner::LeavesLater => {
                let mut connection = Raw::connect(&base_url).await;
                connection.send(say(&session, &content, "")).await;
                if manner == Manner::LeavesLater {
                    tokio::time::sleep(Duration::from_millis(number as u64)).await;
                }
                return false;
            }
        }
        // More than the queue holds: the answer says to come again.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_crowd_of_which_many_leave_is_remembered_in_pairs() {
    let pause = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::answering(move |request| {
        // Some answers take longer than others.
        let millis = pause.fetch_add(3, Ordering::Relaxed) % 8;
        Reply::text(format!("echo: {}", request.last_user())).after(Duration::from_millis(millis as u64))
    })
    .await;
    let service = agent(&upstream).start().await;
    let client = service.client();
    let session = client.create_session().await;
    let mut crowd = JoinSet::new();
    for number in 0..50 {
        let one = one_of_many(service.base_url().to_owned(), session.clone(), number);
        crowd.spawn(async move { (number, one.await) });
    }
    let outcomes = tokio::time::timeout(4 * SOON, crowd.join_all()).await.expect("nobody is stuck");
    // The last word is had when all others have been: turns run one at a time.
    client.say(&session, "the end").await.expect(200);
    let remembered = echoed(&client, &session).await;
    for (number, is_answered) in outcomes {
        let content = format!("{number} {:?}", Manner::of(number));
        let times = remembered.iter().filter(|said| **said == content).count();
        assert!(times <= 1, "{content} is there {times} times");
        assert!(times == 1 || !is_answered, "{content} was answered and is not there");
    }
    assert_eq!(remembered.last().map(String::as_str), Some("the end"));
    // What is remembered is what was sent: the model saw the same pairs in the same order.
    let sent = upstream.last_request().messages().len();
    assert_eq!(sent, 2 * (remembered.len() - 1) + 1);
}
