use std::sync::Arc;

use chat_domain::{
    agent::window::{PastRounds, Window},
    message::{FinishedCall, Message, MessageId, Role, Round, ToolOutcome},
    options::CompletionOptions,
    ports::{
        llm::ToolChoice,
        tools::{Tool, ToolCatalogue},
    },
    time::{Moment, Timestamp},
};
use futures_util::{FutureExt, TryStreamExt};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::*;

fn said(role: Role, content: &str) -> Arc<Message> {
    Arc::new(Message::said(MessageId(Uuid::nil()), Timestamp::default(), role, content))
}

/// A request whose last message is to be answered; clients and the model take turns.
fn request(messages: &[&str]) -> LlmRequest {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let mut messages: Vec<_> = messages.iter().zip(roles).map(|(content, role)| said(role, content)).collect();
    let newest = messages.pop().expect("a message");
    LlmRequest {
        window: Window::new(Some("a prompt of five words".into()), &messages, 50, newest, PastRounds::Replay),
        rounds: Vec::new(),
        tools: Arc::default(),
        tool_choice: ToolChoice::Auto,
        options: Arc::default(),
        delivery: Delivery::Whole,
        deadline: Moment::default(),
    }
}

fn with_tools(mut request: LlmRequest) -> LlmRequest {
    let schema = r#"{"type":"object","properties":{"query":{"type":"string"},"limit":{"type":"integer"}},"required":["query","limit"]}"#;
    let tool = |name: &str| Tool {
        function: format!("shop_{name}").into(),
        server: "shop".into(),
        name: name.into(),
        description: None,
        schema: RawValue::from_string(schema.to_owned()).expect("JSON").into(),
    };
    request.tools = Arc::new(ToolCatalogue::new(vec![tool("find"), tool("sell")], vec![]));
    request
}

fn answered(mut request: LlmRequest, outcome: ToolOutcome) -> LlmRequest {
    let call = ToolCall { id: "1".into(), name: "shop_find".into(), arguments: "{}".into() };
    let finished =
        FinishedCall { call, server: "shop".into(), tool: "find".into(), outcome, took: Duration::from_millis(1) };
    request.rounds.push(Round { text: "".into(), calls: vec![finished], opaque: None });
    request
}

fn events(request: &LlmRequest) -> Vec<LlmEvent> {
    let asked = async { DemoLlm::default().stream(request).await.expect("an answer").try_collect().await };
    asked.now_or_never().expect("at once").expect("no failure")
}

fn complete(request: &LlmRequest) -> Completion {
    match events(request).pop() {
        Some(LlmEvent::End(completion)) => completion,
        other => panic!("{other:?}"),
    }
}

fn answer(messages: &[&str]) -> String {
    complete(&request(messages)).text
}

#[test]
fn tells_what_it_is_and_what_it_remembers() {
    let first = answer(&["What can you do?"]);
    assert!(first.starts_with("Hello! I am the demo model"), "{first}");
    assert!(first.contains("“What can you do?”") && first.contains("I remember nothing"), "{first}");
    assert_eq!(answer(&["a", "b", "c"]), "You said: “c”. I remember 2 earlier messages of this conversation.");
    assert_eq!(answer(&["a", "b", "c"]), answer(&["x", "y", "c"]), "nothing but what it says decides");
}

#[test]
fn answers_in_the_language_it_is_spoken_to() {
    let first = answer(&["سلام، حالت چطور است؟"]);
    assert!(first.starts_with("سلام! من مدل نمایشی"), "{first}");
    assert_eq!(
        answer(&["a", "b", "یک OK دیگر"]),
        "شما گفتید: «یک OK دیگر». از این گفت‌وگو ۲ پیام پیشین را به یاد دارم."
    );
}

#[test]
fn knows_a_name_as_long_as_it_remembers_it() {
    assert!(answer(&["a", "b", "My name is Zahra Ahmadi, hello"]).contains("Nice to meet you, Zahra Ahmadi."));
    let told = ["my name is Ada", "ok", "my name is Zahra and I like tea", "ok", "What is my name?"];
    assert!(answer(&told).starts_with("Your name is Zahra."));
    assert!(answer(&told[3..]).contains("not in the messages I remember"));
    assert!(answer(&["اسم من زهرا است", "خب", "اسم من چیست؟"]).starts_with("نام شما زهرا است."));
    // What the model said is not what a client said.
    assert!(answer(&["a", "my name is Eve", "who am I"]).contains("not in the messages"));
}

#[test]
fn uses_the_tool_that_a_client_forces() {
    let mut forced = with_tools(request(&["red shoes"]));
    forced.tool_choice = ToolChoice::Function("shop_find".into());
    let completion = complete(&forced);
    assert_eq!((&*completion.text, completion.finish), ("", Some(FinishReason::ToolCalls)));
    assert_eq!(&*completion.calls[0].name, "shop_find");
    assert_eq!(&*completion.calls[0].arguments, r#"{"limit":1,"query":"red shoes"}"#);
    let mut forced = with_tools(request(&[r#"with {"query": "x"} "#]));
    forced.tool_choice = ToolChoice::Function("shop_find".into());
    assert_eq!(&*complete(&forced).calls[0].arguments, r#"{"query": "x"}"#);
}

#[test]
fn uses_the_tool_that_a_message_asks_for() {
    let asked = |message: &str| {
        let completion = complete(&with_tools(request(&[message])));
        completion.calls.first().map(|call| (call.name.to_string(), call.arguments.to_string()))
    };
    let call = |name: &str, arguments: &str| Some((name.to_owned(), arguments.to_owned()));
    assert_eq!(asked(r#"/tool shop_find {"query":"x"}"#), call("shop_find", r#"{"query":"x"}"#));
    assert_eq!(asked(r#"/tool find {broken"#), call("shop_find", "{broken"));
    assert_eq!(asked("use shop.sell now"), call("shop_sell", r#"{"limit":1,"query":"now"}"#));
    assert_eq!(asked("Use `sell`"), call("shop_sell", r#"{"limit":1,"query":""}"#));
    for talk in ["use your head", "tool find", "useful find", "/tools", "/tool none", "/tool"] {
        assert_eq!(asked(talk), None, "{talk}");
    }
    let text = complete(&with_tools(request(&["/tool none {}"]))).text;
    assert!(text.contains("no tool named “none”") && text.contains("shop_find, shop_sell"), "{text}");
    // On the last step it has to answer.
    let mut last = with_tools(request(&["/tool find {}"]));
    last.tool_choice = ToolChoice::None;
    assert!(complete(&last).calls.is_empty());
}

#[test]
fn quotes_what_a_tool_gave() {
    let found = answered(with_tools(request(&["/tool find {}"])), ToolOutcome::ok("3 shoes"));
    assert_eq!(complete(&found).text, "The tool find answered: 3 shoes");
    let failed = answered(with_tools(request(&["ابزار را به کار ببر"])), ToolOutcome::error("x".repeat(9_000)));
    let text = complete(&failed).text;
    assert!(text.starts_with("ابزار find خطا داد: xxx") && text.len() < 2_200, "{text}");
}

#[test]
fn streams_words_and_ends_with_the_whole() {
    let mut streamed = request(&["one\ntwo  three سلام"]);
    let whole = complete(&streamed);
    streamed.delivery = Delivery::Streamed;
    let mut events = events(&streamed);
    assert_eq!(events.pop(), Some(LlmEvent::End(whole.clone())));
    let pieces: Vec<String> = events
        .into_iter()
        .map(|event| match event {
            LlmEvent::Text(text) => text,
            LlmEvent::End(_) => panic!("two ends"),
        })
        .collect();
    assert!(pieces.len() > 20 && pieces.iter().all(|piece| !piece.is_empty()));
    assert_eq!(pieces.concat(), whole.text);
}

#[test]
fn counts_words_and_keeps_to_max_tokens() {
    let mut short = request(&["a", "b", "c d"]);
    let usage = complete(&short).usage.expect("usage");
    assert_eq!((usage.prompt_tokens(), usage.completion_tokens()), (9, 12));
    assert_eq!(serde_json::to_value(usage).expect("JSON")["total_tokens"], 21);
    for (name, limit, text) in [("max_tokens", "3", "You said: “c"), ("max_completion_tokens", "0", "You")] {
        let limit = RawValue::from_string(limit.to_owned()).expect("JSON");
        let rest = vec![(name.into(), limit)];
        short.options = Arc::new(CompletionOptions { rest, ..CompletionOptions::default() });
        let completion = complete(&short);
        assert_eq!((completion.text.as_str(), completion.finish), (text, Some(FinishReason::Length)));
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_between_words_but_not_before_the_first() {
    let mut streamed = request(&["a", "b", "c"]);
    streamed.delivery = Delivery::Streamed;
    let began = tokio::time::Instant::now();
    let mut answer = DemoLlm::new(Duration::from_millis(20)).stream(&streamed).await.expect("an answer");
    answer.next().await.expect("a piece").expect("no failure");
    assert_eq!(began.elapsed(), Duration::ZERO);
    let rest: Vec<LlmEvent> = answer.try_collect().await.expect("no failure");
    let words = u32::try_from(rest.len() - 1).expect("few");
    assert!(began.elapsed() >= words * Duration::from_millis(20), "{:?}", began.elapsed());
}
