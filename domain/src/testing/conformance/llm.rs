//! The promises of [`LlmPort`].

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;

use super::{Held, eventually, not_yet, soon};
use crate::{
    agent::window::{PastRounds, Window},
    message::{Role, ToolCall},
    ports::{
        Clock,
        llm::{Completion, Delivery, LlmErrorKind, LlmEvent, LlmPort, LlmRequest, LlmStream, ToolChoice},
    },
    testing::samples::said,
    time::Moment,
};

/// A model whose backend does as it is told.
pub struct Subject {
    /// The model.
    pub llm: Arc<dyn LlmPort>,
    /// The clock it tells deadlines by.
    pub clock: Arc<dyn Clock>,
    /// Sets what the backend does with the next call; those set before come first.
    pub script: Box<dyn Fn(Scene) + Send + Sync>,
    /// How many calls were broken off by us, as far as the backend has noticed.
    pub stopped: Box<dyn Fn() -> usize + Send + Sync>,
    /// What has to live as long.
    pub held: Held,
}

/// What a backend does with a call. Each piece of text is one part of a streamed answer; they are one text where it is
/// wanted whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scene {
    /// It says this and stops.
    Says(Vec<&'static str>),
    /// It says this, asks for these tools (id, name, arguments) and stops.
    Asks(&'static str, Vec<(&'static str, &'static str, &'static str)>),
    /// It answers properly, and says nothing and asks for nothing.
    SaysNothing,
    /// It answers with a failure that a retry may cure (HTTP 503).
    Fails,
    /// It says this and breaks off, without an end.
    BreaksOff(Vec<&'static str>),
    /// It says this and then nothing more, for ever; with nothing to say not even that it is there.
    Hangs(Vec<&'static str>),
}

impl Subject {
    fn request(&self, delivery: Delivery) -> LlmRequest {
        self.request_until(delivery, self.clock.moment().plus(Duration::from_secs(60)))
    }

    fn request_until(&self, delivery: Delivery, deadline: Moment) -> LlmRequest {
        LlmRequest {
            window: Window::new(Some("be brief".into()), &[], 10, said(Role::User, "hi", 0), PastRounds::Replay),
            rounds: vec![],
            tools: Arc::default(),
            tool_choice: ToolChoice::Auto,
            options: Arc::default(),
            delivery,
            deadline,
        }
    }

    async fn ask(&self, scene: Scene, delivery: Delivery) -> LlmStream {
        (self.script)(scene);
        let request = self.request(delivery);
        soon(&*self.clock, "the first part", self.llm.stream(&request)).await.expect("an answer")
    }

    /// All events up to the first error, which is the last.
    async fn all(&self, mut stream: LlmStream) -> (Vec<LlmEvent>, Option<LlmErrorKind>) {
        let mut events = Vec::new();
        let mut error = None;
        while let Some(event) = soon(&*self.clock, "the next part", stream.next()).await {
            assert!(error.is_none(), "something comes after an error");
            match event {
                Ok(event) => events.push(event),
                Err(broken) => error = Some(broken.kind),
            }
        }
        (events, error)
    }
}

const BOTH: [Delivery; 2] = [Delivery::Whole, Delivery::Streamed];

/// The texts and the end of a complete answer.
fn parts(events: Vec<LlmEvent>) -> (Vec<String>, Completion) {
    let mut events = events.into_iter().rev();
    let Some(LlmEvent::End(end)) = events.next() else { panic!("an answer without an end") };
    let texts = events.rev().map(|event| match event {
        LlmEvent::Text(text) => text,
        LlmEvent::End(_) => panic!("an answer with two ends"),
    });
    (texts.collect(), end)
}

/// An answer that is wanted whole is one end and nothing else.
pub async fn a_whole_answer_is_one_end(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let stream = it.ask(Scene::Says(vec!["سلا", "م 😀"]), Delivery::Whole).await;
    let (events, error) = it.all(stream).await;
    assert_eq!((events.len(), error), (1, None));
    let (_, end) = parts(events);
    assert_eq!((&*end.text, end.calls.len()), ("سلام 😀", 0));
}

/// A streamed answer is pieces of text that are not empty, and one end that says them joined.
pub async fn a_streamed_answer_is_text_and_one_end(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let stream = it.ask(Scene::Says(vec!["Hel", "lo ", "سلام 😀"]), Delivery::Streamed).await;
    let (events, error) = it.all(stream).await;
    assert_eq!(error, None);
    let (texts, end) = parts(events);
    assert!(texts.iter().all(|text| !text.is_empty()));
    assert_eq!(texts.concat(), "Hello سلام 😀");
    assert_eq!(end.text, "Hello سلام 😀");
}

/// Calls come in the model's order, with or without text.
pub async fn tools_are_asked_for_in_order(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let calls = vec![("c2", "s_b", r#"{"x":1}"#), ("c1", "s_a", ""), ("c3", "s_b", "{broken")];
    for delivery in BOTH {
        for text in ["", "let me see"] {
            let stream = it.ask(Scene::Asks(text, calls.clone()), delivery).await;
            let (events, error) = it.all(stream).await;
            assert_eq!(error, None);
            let (texts, end) = parts(events);
            if delivery == Delivery::Streamed {
                assert_eq!(texts.concat(), text);
            }
            assert_eq!(end.text, text);
            let call = |(id, name, arguments): &(&str, &str, &str)| ToolCall {
                id: (*id).into(),
                name: (*name).into(),
                arguments: (*arguments).into(),
            };
            assert_eq!(end.calls, calls.iter().map(call).collect::<Vec<_>>());
        }
    }
}

/// The future waits for the first part, and once that is there does not wait for more.
pub async fn it_resolves_when_the_first_part_is_there(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for delivery in BOTH {
        (it.script)(Scene::Hangs(vec![]));
        let request = it.request(delivery);
        not_yet(&*it.clock, "an answer", &mut it.llm.stream(&request)).await;
    }
    let mut stream = it.ask(Scene::Hangs(vec!["first"]), Delivery::Streamed).await;
    let first = soon(&*it.clock, "the first part", stream.next()).await.expect("a part").expect("text");
    assert_eq!(first, LlmEvent::Text("first".to_owned()));
    not_yet(&*it.clock, "another part", &mut stream.next()).await;
}

/// What fails before the first part fails the future: whoever retries has nothing to take back.
pub async fn a_failure_before_the_first_part_is_the_futures(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for scene in [Scene::Fails, Scene::BreaksOff(vec![])] {
        for delivery in BOTH {
            (it.script)(scene.clone());
            let request = it.request(delivery);
            let answer = soon(&*it.clock, "a failure", it.llm.stream(&request)).await;
            assert!(answer.is_err(), "{scene:?}, {delivery:?}");
        }
    }
}

/// An answer that breaks off says so after what had come, and then ends: it never ends without an end or an error.
pub async fn an_answer_that_breaks_off_is_an_error_and_the_end(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let stream = it.ask(Scene::BreaksOff(vec!["half an"]), Delivery::Streamed).await;
    let (events, error) = it.all(stream).await;
    assert_eq!(events, [LlmEvent::Text("half an".to_owned())]);
    assert!(error.is_some_and(|kind| kind != LlmErrorKind::Rejected), "{error:?}");
    // What is wanted whole is not there before it is whole.
    (it.script)(Scene::BreaksOff(vec!["half an"]));
    let request = it.request(Delivery::Whole);
    assert!(soon(&*it.clock, "a failure", it.llm.stream(&request)).await.is_err());
}

/// An answer without text and without a call is no answer.
pub async fn an_empty_answer_is_an_error(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for delivery in BOTH {
        (it.script)(Scene::SaysNothing);
        let request = it.request(delivery);
        let error = match soon(&*it.clock, "a failure", it.llm.stream(&request)).await {
            Ok(stream) => it.all(stream).await.1,
            Err(error) => Some(error.kind),
        };
        assert_eq!(error, Some(LlmErrorKind::InvalidResponse), "{delivery:?}");
    }
}

/// At the request's deadline it ends, before the first part or after.
pub async fn it_gives_up_at_the_deadline(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for delivery in BOTH {
        (it.script)(Scene::Hangs(vec![]));
        let deadline = it.clock.moment().plus(Duration::from_millis(100));
        let request = it.request_until(delivery, deadline);
        let error = soon(&*it.clock, "the deadline", it.llm.stream(&request)).await.err().map(|error| error.kind);
        assert_eq!(error, Some(LlmErrorKind::Timeout));
        assert!(it.clock.moment() >= deadline);
    }
    (it.script)(Scene::Hangs(vec!["first"]));
    // Real backends need some time for the first part.
    let request = it.request_until(Delivery::Streamed, it.clock.moment().plus(Duration::from_millis(500)));
    let stream = soon(&*it.clock, "the first part", it.llm.stream(&request)).await.expect("a first part");
    let (events, error) = it.all(stream).await;
    assert_eq!((events.len(), error), (1, Some(LlmErrorKind::Timeout)));
}

/// A future that is dropped stops its call, so that nobody pays for what nobody reads.
pub async fn dropping_the_future_stops_the_call(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let before = (it.stopped)();
    (it.script)(Scene::Hangs(vec![]));
    let request = it.request(Delivery::Streamed);
    let mut call = it.llm.stream(&request);
    not_yet(&*it.clock, "an answer", &mut call).await;
    drop(call);
    eventually(&*it.clock, "the end of the call", async || (it.stopped)() == before + 1).await;
}

/// A stream that is dropped stops its call.
pub async fn dropping_the_stream_stops_the_call(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let before = (it.stopped)();
    let mut stream = it.ask(Scene::Hangs(vec!["first"]), Delivery::Streamed).await;
    soon(&*it.clock, "the first part", stream.next()).await.expect("a part").expect("text");
    drop(stream);
    eventually(&*it.clock, "the end of the call", async || (it.stopped)() == before + 1).await;
}

/// A call that hangs keeps no other one waiting.
pub async fn answers_do_not_wait_for_each_other(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let _hanging = it.ask(Scene::Hangs(vec!["first"]), Delivery::Streamed).await;
    for delivery in BOTH {
        let stream = it.ask(Scene::Says(vec!["done"]), delivery).await;
        let (events, error) = it.all(stream).await;
        assert_eq!((parts(events).1.text.as_str(), error), ("done", None));
    }
}
