//! The client against a scripted endpoint over real HTTP.

mod conformance;
mod connections;
mod faults;
mod requests;
mod secrets;
mod streams;

use std::{sync::Arc, time::Duration};

use chat_domain::{
    agent::window::{PastRounds, Window},
    message::{Message, MessageId, Role},
    ports::{
        Clock,
        llm::{Completion, Delivery, LlmError, LlmErrorKind, LlmEvent, LlmPort, LlmRequest, LlmStream, ToolChoice},
    },
    testing::samples::THEN,
    time::{Moment, Timestamp},
};
use chat_openai::{HttpClient, ModelChoice, OpenAiConfig, OpenAiLlm};
use chat_test_support::{Reply, Upstream};
use futures_util::{StreamExt, future::BoxFuture};
use tokio::time::Instant;

/// What all backends here have for a key.
const KEY: &str = "or-v1-5ecre7-0123456789abcdef";

/// A timeout that is not meant to pass.
const PATIENT: Duration = Duration::from_secs(20);

/// A timeout that is meant to pass.
const IMPATIENT: Duration = Duration::from_millis(300);

/// Both ways to ask.
const BOTH: [Delivery; 2] = [Delivery::Whole, Delivery::Streamed];

fn config(base_url: String, attempt_timeout: Duration) -> OpenAiConfig {
    OpenAiConfig {
        api_key: Some(KEY.into()),
        attempt_timeout,
        ..OpenAiConfig::new(base_url, ModelChoice::Default("vendor/model".into()))
    }
}

fn llm(upstream: &Upstream) -> OpenAiLlm {
    llm_with(config(upstream.base_url(), PATIENT))
}

fn impatient(upstream: &Upstream) -> OpenAiLlm {
    llm_with(config(upstream.base_url(), IMPATIENT))
}

fn llm_with(config: OpenAiConfig) -> OpenAiLlm {
    OpenAiLlm::new(config, &HttpClient::direct(), clock()).expect("a backend")
}

fn llm_with_clock(upstream: &Upstream, clock: Arc<dyn Clock>) -> OpenAiLlm {
    OpenAiLlm::new(config(upstream.base_url(), PATIENT), &HttpClient::direct(), clock).expect("a backend")
}

/// The time of the runtime.
struct RuntimeClock(Instant);

fn clock() -> Arc<dyn Clock> {
    Arc::new(RuntimeClock(Instant::now()))
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(THEN)
    }

    fn moment(&self) -> Moment {
        Moment(self.0.elapsed())
    }

    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(self.0 + until.0))
    }
}

fn said(role: Role, text: &str) -> Arc<Message> {
    Arc::new(Message::said(MessageId(uuid::Uuid::nil()), Timestamp::default(), role, text))
}

fn request(delivery: Delivery) -> LlmRequest {
    saying("hello", delivery)
}

fn saying(text: &str, delivery: Delivery) -> LlmRequest {
    LlmRequest {
        window: Window::new(None, &[], 9, said(Role::User, text), PastRounds::Replay),
        rounds: Vec::new(),
        tools: Arc::default(),
        tool_choice: ToolChoice::Auto,
        options: Arc::default(),
        delivery,
        deadline: Moment(Duration::MAX),
    }
}

/// All of a stream, which must keep the port's promises: texts, none of them empty, then an end that they add up to, or
/// an error, then nothing.
async fn drain(mut stream: LlmStream) -> (Vec<String>, Result<Completion, LlmError>) {
    let mut texts = Vec::new();
    let end = loop {
        match stream.next().await.expect("a stream does not end without an end") {
            Ok(LlmEvent::Text(text)) => texts.push(text),
            Ok(LlmEvent::End(completion)) => break Ok(completion),
            Err(error) => break Err(error),
        }
    };
    assert!(stream.next().await.is_none(), "nothing comes after the end");
    assert!(stream.next().await.is_none(), "and that does not change");
    assert!(texts.iter().all(|text| !text.is_empty()), "{texts:?}");
    (texts, end)
}

/// What a whole answer, or a stream with its texts, comes to.
async fn ask(llm: &OpenAiLlm, delivery: Delivery) -> Result<Completion, LlmError> {
    let (texts, end) = drain(llm.stream(&request(delivery)).await?).await;
    match (&end, delivery) {
        (_, Delivery::Whole) => assert!(texts.is_empty(), "a whole answer is one event"),
        (Ok(completion), Delivery::Streamed) => assert_eq!(texts.concat(), completion.text),
        _ => {}
    }
    end
}

/// The failure of the call itself, before anything of an answer.
async fn refusal(llm: &OpenAiLlm, delivery: Delivery) -> LlmError {
    match llm.stream(&request(delivery)).await {
        Ok(stream) => panic!("an answer: {:?}", drain(stream).await),
        Err(error) => error,
    }
}

/// A reply that fails both ways to ask alike, before anything of an answer.
async fn assert_refused(reply: Reply, kind: LlmErrorKind) {
    for delivery in BOTH {
        let upstream = Upstream::scripted([reply.clone()]).await;
        let error = refusal(&llm(&upstream), delivery).await;
        assert_eq!((error.kind, error.retry_after), (kind, None), "{delivery:?}: {error:?}");
        assert!(error.source.is_some(), "the log wants a cause");
    }
}
