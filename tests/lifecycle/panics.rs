//! A mistake of ours costs its own request and nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use chat_domain::{
    ports::llm::{LlmError, LlmEvent, LlmPort, LlmRequest, LlmStream},
    testing::llm::{Asked, Reply, ScriptedLlm},
};
use chat_local::system::SystemClock;
use chat_test_support::Client;
use futures_util::{StreamExt, stream};

use crate::in_process::{IMPATIENT, InProcess};

/// Panics when it is told to.
struct Mistaken(ScriptedLlm);

impl Mistaken {
    fn new() -> Self {
        Self(ScriptedLlm::improvising(Arc::new(SystemClock::new()), |_| Reply::text("fine")))
    }
}

#[async_trait]
impl LlmPort for Mistaken {
    async fn stream(&self, request: &LlmRequest) -> Result<LlmStream, LlmError> {
        let said = Asked::from(request).shown.pop().unwrap_or_default();
        assert!(!said.contains("at once"), "a planned mistake, with sesame in it");
        if said.contains("half-way") {
            let half = stream::iter([Ok(LlmEvent::Text("half".to_owned()))]);
            let mistake = stream::once(async { panic!("a planned mistake, with sesame in it") });
            return Ok(Box::pin(half.chain(mistake)));
        }
        self.0.stream(request).await
    }
}

async fn is_usable(client: &Client, session: &str, errors: u64) {
    assert_eq!(client.say(session, "and now?").await.expect(200).content(), "fine");
    let read = client.get(&format!("/sessions/{session}")).await.expect(200);
    let history = read.body["history"].as_array().expect("a history");
    assert_eq!(history.len(), 2, "nothing of the failed turn: {}", read.text);
    assert_eq!(client.get("/health").await.expect(200).body["errors_total"], errors);
}

#[tokio::test]
async fn a_panic_is_an_internal_error() {
    let server = InProcess::start(Mistaken::new(), IMPATIENT).await;
    let client = server.client().with_header("x-request-id", "mine");
    for (errors, content) in [(1, "at once"), (2, "half-way")] {
        let session = client.create_session().await;
        let answer = client.say(&session, content).await.expect(500);
        assert_eq!((answer.code(), answer.header("x-request-id")), ("internal_error", Some("mine")));
        assert_eq!(answer.body["request_id"], "mine");
        assert!(!answer.text.contains("sesame"), "{}", answer.text);
        is_usable(&client, &session, errors).await;
    }
    assert!(server.stop().await);
}

#[tokio::test]
async fn a_panic_in_a_stream_is_an_error_event() {
    let server = InProcess::start(Mistaken::new(), IMPATIENT).await;
    let client = server.client().with_header("x-request-id", "mine");
    for (errors, content) in [(1, "at once"), (2, "half-way")] {
        let session = client.create_session().await;
        let events = client.say_streaming(&session, content).await.expect("a stream").collect().await;
        let last = events.last().expect("an event");
        assert_eq!((last.event.as_str(), &last.data["error"]["code"]), ("error", &"internal_error".into()));
        assert_eq!(last.data["request_id"], "mine");
        assert!(!last.data.to_string().contains("sesame"), "{last:?}");
        is_usable(&client, &session, errors).await;
    }
    assert!(server.stop().await);
}
