//! The promises of [`ToolPort`].

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::join;
use serde_json::{json, value::RawValue};

use super::{Held, PATIENCE, eventually, not_yet, soon};
use crate::{
    message::ToolOutcome,
    ports::{
        Clock,
        tools::{Tool, ToolPort},
    },
    time::Moment,
};

/// A port, started, whose servers offer these tools, by their plain names:
/// - `echo`: answers with its argument `text`;
/// - `fail`: answers that it failed;
/// - `hang`: never answers;
/// - `meet`: answers once two calls of it run at one time;
/// - `big`: answers with more bytes than [`Subject::result_max`].
pub struct Subject {
    /// The port.
    pub port: Arc<dyn ToolPort>,
    /// The clock it tells deadlines by.
    pub clock: Arc<dyn Clock>,
    /// What the port lets through of a result, in bytes.
    pub result_max: usize,
    /// How many calls the servers were told are no longer wanted.
    pub cancelled: Box<dyn Fn() -> usize + Send + Sync>,
    /// What has to live as long.
    pub held: Held,
}

impl Subject {
    fn tool(&self, name: &str) -> Tool {
        let catalogue = self.port.catalogue();
        catalogue.tools().iter().find(|tool| &*tool.name == name).expect("the tool is on offer").clone()
    }

    fn later(&self) -> Moment {
        self.clock.moment().plus(PATIENCE * 3)
    }

    async fn call(&self, tool: &Tool, arguments: serde_json::Value, deadline: Moment) -> ToolOutcome {
        let arguments = raw(&arguments);
        soon(&*self.clock, "an outcome", self.port.call("call_1", tool, &arguments, deadline)).await
    }
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("JSON")
}

/// Function names are unique, of at most 64 characters, and made of what backends take.
pub async fn function_names_are_unique_and_valid(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let catalogue = it.port.catalogue();
    let mut seen = HashSet::new();
    for tool in catalogue.tools() {
        let name = &*tool.function;
        assert!((1..=64).contains(&name.len()), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{name}");
        assert!(seen.insert(name.to_owned()), "{name} twice");
        let schema: serde_json::Value = serde_json::from_str(tool.schema.get()).expect("a schema is JSON");
        assert_eq!(schema["type"], "object", "{name}");
        assert_eq!(catalogue.by_function(name).map(|found| &found.server), Some(&tool.server));
    }
}

/// A catalogue that was taken does not change, and is the same as long as nothing does.
pub async fn a_catalogue_never_changes(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let before = it.port.catalogue();
    let names = |catalogue: &crate::ports::tools::ToolCatalogue| {
        catalogue.tools().iter().map(|tool| tool.function.to_string()).collect::<Vec<_>>()
    };
    let expected = names(&before);
    it.call(&it.tool("echo"), json!({"text": "x"}), it.later()).await;
    assert_eq!(names(&before), expected);
    assert_eq!(names(&it.port.catalogue()), expected);
}

/// A tool is called with its arguments, and its answer is the outcome.
pub async fn a_tool_answers(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for text in ["hello", "سلام 😀 \"'\\\n"] {
        let outcome = it.call(&it.tool("echo"), json!({"text": text}), it.later()).await;
        assert_eq!(outcome, ToolOutcome::ok(text));
    }
}

/// A tool that fails is an outcome with words for the model.
pub async fn a_failing_tool_is_an_outcome(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let outcome = it.call(&it.tool("fail"), json!({}), it.later()).await;
    assert!(outcome.is_error && !outcome.content.is_empty(), "{outcome:?}");
}

/// A tool of a catalogue of yesterday is an outcome, too, and so is one of a server that never was.
pub async fn an_unknown_tool_is_an_outcome(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let known = it.tool("echo");
    let gone = Tool { function: "gone".into(), name: "gone".into(), ..known.clone() };
    let nowhere = Tool { function: "nowhere".into(), server: "nowhere".into(), ..known };
    for tool in [gone, nowhere] {
        let outcome = it.call(&tool, json!({}), it.later()).await;
        assert!(outcome.is_error && !outcome.content.is_empty(), "{outcome:?}");
    }
}

/// A tool that does not answer is given up at the deadline at the latest.
pub async fn a_hanging_tool_is_an_outcome_at_the_deadline(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let deadline = it.clock.moment().plus(Duration::from_millis(150));
    let outcome = it.call(&it.tool("hang"), json!({}), deadline).await;
    assert!(outcome.is_error && !outcome.content.is_empty(), "{outcome:?}");
    let late = it.clock.moment().since(deadline);
    assert!(late < Duration::from_secs(2), "{late:?} after the deadline");
    // What did not answer is in nobody's way.
    assert_eq!(it.call(&it.tool("echo"), json!({"text": "x"}), it.later()).await, ToolOutcome::ok("x"));
}

/// Calls run in parallel: two that wait for each other both answer.
pub async fn calls_run_in_parallel(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let meet = it.tool("meet");
    let (one, other) = join(it.call(&meet, json!({}), it.later()), it.call(&meet, json!({}), it.later())).await;
    assert!(!one.is_error && !other.is_error, "{one:?} {other:?}");
}

/// A call whose future is dropped is cancelled at its server.
pub async fn dropping_a_call_cancels_it(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let before = (it.cancelled)();
    let (tool, arguments) = (it.tool("hang"), raw(&json!({})));
    let mut call = it.port.call("call_1", &tool, &arguments, it.later());
    not_yet(&*it.clock, "an outcome", &mut call).await;
    drop(call);
    eventually(&*it.clock, "the cancellation", async || (it.cancelled)() == before + 1).await;
}

/// A result is cut to what the model can bear, at a character's end, and says so.
pub async fn results_are_bounded(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let outcome = it.call(&it.tool("big"), json!({}), it.later()).await;
    assert!(!outcome.is_error, "{:.200}", outcome.content);
    // A hundred bytes for the mark.
    assert!(outcome.content.len() <= it.result_max + 100, "{} bytes", outcome.content.len());
    assert!(outcome.content.len() >= it.result_max / 2, "{} bytes", outcome.content.len());
    assert!(outcome.content.contains("cut"), "not marked as cut");
}

/// Once all is started nobody waits for it; a deadline that has passed is no wait at all.
pub async fn starting_is_waited_for_no_longer_than_the_deadline(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for deadline in [it.clock.moment(), it.later()] {
        soon(&*it.clock, "the start", it.port.started(deadline)).await;
    }
}
