//! Answers, whole and in parts, and what can happen to a stream on its way.

use std::time::{Duration, Instant};

use chat_domain::{
    message::{FinishReason, ToolCall},
    ports::llm::{Delivery, LlmErrorKind, LlmEvent, LlmPort},
};
use chat_openai::OpenAiConfig;
use chat_test_support::{Cut, Gate, Reply, Upstream};
use futures_util::StreamExt;
use serde_json::json;

use crate::{BOTH, IMPATIENT, PATIENT, ask, config, drain, impatient, llm, llm_with, refusal, request};

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
}

async fn streamed(reply: Reply) -> (Vec<String>, Result<chat_domain::ports::llm::Completion, LlmErrorKind>) {
    let upstream = Upstream::scripted([reply]).await;
    let stream = llm(&upstream).stream(&request(Delivery::Streamed)).await.expect("a first part");
    let (texts, end) = drain(stream).await;
    (texts, end.map_err(|error| error.kind))
}

#[tokio::test]
async fn an_answer_is_the_same_whole_and_in_parts() {
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 4, "cost": 0.25, "details": {"cached": 1}});
    let reply = Reply::text("سلام 😀 world").with_usage_object(usage.clone()).with_finish("length");
    for delivery in BOTH {
        let upstream = Upstream::scripted([reply.clone()]).await;
        let completion = ask(&llm(&upstream), delivery).await.expect("an answer");
        assert_eq!(completion.text, "سلام 😀 world");
        assert_eq!(completion.finish, Some(FinishReason::Length));
        let reported = completion.usage.map(|usage| serde_json::to_value(usage).expect("JSON"));
        assert_eq!(reported, Some(usage.clone()));
        assert_eq!((completion.calls, completion.opaque), (vec![], None));
    }
}

#[tokio::test]
async fn usage_is_none_if_there_is_none() {
    for delivery in BOTH {
        let upstream = Upstream::scripted([Reply::text("a").without_usage()]).await;
        assert_eq!(ask(&llm(&upstream), delivery).await.expect("an answer").usage, None);
    }
}

#[tokio::test]
async fn texts_come_one_by_one() {
    let (texts, end) = streamed(Reply::stream(["a", " ", "b\n", "", "c"])).await;
    assert_eq!(texts, ["a", " ", "b\n", "c"]);
    assert_eq!(end.expect("an answer").text, "a b\nc");
}

#[tokio::test]
async fn several_tool_calls_come_whole_and_in_pieces() {
    let arguments = json!({"city": "تهران", "days": 3}).to_string();
    let reply = Reply::tool_calls([("weather", arguments.as_str()), ("time", "{}"), ("weather", "{broken")]);
    for delivery in BOTH {
        for (reply, text) in [(reply.clone(), ""), (reply.clone().with_text("let me see"), "let me see")] {
            let upstream = Upstream::scripted([reply]).await;
            let completion = ask(&llm(&upstream), delivery).await.expect("an answer");
            let expected = [
                call("call_1_0", "weather", &arguments),
                call("call_1_1", "time", "{}"),
                call("call_1_2", "weather", "{broken"),
            ];
            assert_eq!(completion.calls, expected);
            assert_eq!(completion.text, text);
            assert_eq!(completion.finish, Some(FinishReason::ToolCalls));
        }
    }
}

#[tokio::test]
async fn a_stream_of_single_bytes_is_read_all_the_same() {
    let (texts, end) = streamed(Reply::stream(["سلام ", "😀"]).drip(1, Duration::ZERO)).await;
    assert_eq!(texts, ["سلام ", "😀"]);
    assert!(end.expect("an answer").usage.is_some());
}

#[tokio::test]
async fn the_call_resolves_with_the_first_part_and_not_before() {
    let gate = Gate::new();
    let reply = Reply::events().comment("OPENROUTER PROCESSING").hold(&gate).delta("a").hang();
    let upstream = Upstream::scripted([reply]).await;
    let llm = llm(&upstream);
    let request = request(Delivery::Streamed);
    let mut asking = llm.stream(&request);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut asking).await;
    assert!(early.is_err(), "a comment is no part of an answer");
    gate.open();
    let mut stream = asking.await.expect("a first part");
    assert_eq!(stream.next().await.expect("an event").expect("a text"), LlmEvent::Text("a".into()));
}

#[tokio::test]
async fn comments_are_looked_over() {
    let comment = "OPENROUTER PROCESSING";
    let reply = Reply::events().comment(comment).delta("a").comment(comment).delta("b").finish("stop").done();
    let (texts, end) = streamed(reply).await;
    assert_eq!(texts, ["a", "b"]);
    assert_eq!(end.expect("an answer").finish, Some(FinishReason::Stop));
}

#[tokio::test]
async fn a_stream_that_is_cut_before_its_first_token_fails_the_call() {
    for reply in [
        Reply::events(),
        Reply::events().comment("OPENROUTER PROCESSING"),
        Reply::events().comment("OPENROUTER PROCESSING").cut(Cut::Reset),
        Reply::events().comment("OPENROUTER PROCESSING").cut(Cut::Close),
        Reply::events().tool_begin(0, "x", "weather").tool_arguments(0, "{\"ci"),
        Reply::events().raw("data: {\"choices\": [{\"delta\": {\"content\": \"a"),
    ] {
        let upstream = Upstream::scripted([reply.clone()]).await;
        let error = refusal(&llm(&upstream), Delivery::Streamed).await;
        assert_eq!(error.kind, LlmErrorKind::Unavailable, "{reply:?}");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_behind_its_first_token_fails() {
    let begun = Reply::events().delta("a");
    for reply in [begun.clone(), begun.clone().cut(Cut::Reset), begun.clone().cut(Cut::Close), begun.raw("data: {\"ch")]
    {
        let (texts, end) = streamed(reply.clone()).await;
        assert_eq!((texts, end), (vec!["a".to_owned()], Err(LlmErrorKind::Unavailable)), "{reply:?}");
    }
}

#[tokio::test]
async fn a_finished_answer_is_not_spoilt_by_how_its_stream_ends() {
    let finished = Reply::events().delta("a").finish("stop");
    for reply in [
        finished.clone(),
        finished.clone().cut(Cut::Reset),
        finished.clone().cut(Cut::Close),
        finished.raw("data: [DONE]"),
        Reply::events().delta("a").done(),
        Reply::events().delta("a").raw("data: [DONE]\n"),
        Reply::events().delta("a").done().cut(Cut::Reset),
        Reply::events().delta("a").done().data("nonsense"),
        Reply::events().raw(r#"data: {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}"#),
    ] {
        let (texts, end) = streamed(reply.clone()).await;
        assert_eq!((texts.concat(), end.map(|end| end.text)), ("a".to_owned(), Ok("a".to_owned())), "{reply:?}");
    }
}

#[tokio::test]
async fn a_finished_answer_does_not_wait_for_the_end_of_the_connection() {
    let finished = Reply::events().delta("a").finish("stop");
    for reply in [finished.clone().usage(1, 2).done().hang(), finished.clone().usage(1, 2).hang(), finished.hang()] {
        let start = Instant::now();
        let (_, end) = streamed(reply).await;
        assert_eq!(end.expect("an answer").text, "a");
        assert!(start.elapsed() < PATIENT / 2);
    }
}

#[tokio::test]
async fn an_error_chunk_fails_the_call_or_the_stream() {
    for (code, kind) in [(429, LlmErrorKind::RateLimited), (502, LlmErrorKind::Unavailable)] {
        let upstream = Upstream::scripted([Reply::events().error_chunk(code, "no").done()]).await;
        assert_eq!(refusal(&llm(&upstream), Delivery::Streamed).await.kind, kind);
        let (texts, end) = streamed(Reply::events().delta("a").error_chunk(code, "no").done()).await;
        assert_eq!((texts, end), (vec!["a".to_owned()], Err(kind)));
    }
    let (_, end) = streamed(Reply::events().delta("a").finish("error").done()).await;
    assert_eq!(end, Err(LlmErrorKind::Unavailable));
}

#[tokio::test]
async fn nonsense_in_the_middle_of_a_stream_is_an_invalid_response() {
    for nonsense in ["{\"choices\": [", "7", "nonsense", "{\"choices\": [{\"delta\": {\"content\": 12}}]}"] {
        let (_, end) = streamed(Reply::events().delta("a").data(nonsense).delta("b").done()).await;
        assert_eq!(end, Err(LlmErrorKind::InvalidResponse), "{nonsense}");
    }
}

#[tokio::test]
async fn a_stream_lives_as_long_as_bytes_come() {
    let gap = Duration::from_secs(2);
    let pause = gap / 6;
    let mut reply = Reply::events();
    for _ in 0..4 {
        reply = reply.comment("OPENROUTER PROCESSING").wait(pause);
    }
    for _ in 0..4 {
        reply = reply.delta("a").wait(pause);
    }
    let upstream = Upstream::scripted([reply.finish("stop").done()]).await;
    let completion = ask(&llm_with(config(upstream.base_url(), gap)), Delivery::Streamed).await.expect("an answer");
    assert_eq!(completion.text, "aaaa");
}

#[tokio::test]
async fn a_stream_that_goes_silent_is_a_timeout() {
    let upstream = Upstream::scripted([
        Reply::events().comment("OPENROUTER PROCESSING").hang(),
        Reply::events().delta("a").hang(),
    ])
    .await;
    let llm = impatient(&upstream);
    let start = Instant::now();
    assert_eq!(refusal(&llm, Delivery::Streamed).await.kind, LlmErrorKind::Timeout);
    let error = ask(&llm, Delivery::Streamed).await.expect_err("silence");
    assert_eq!(error.kind, LlmErrorKind::Timeout);
    assert!(start.elapsed() >= 2 * IMPATIENT);
    upstream.wait_for_aborted(2).await;
}

#[tokio::test]
async fn a_whole_answer_to_a_request_for_a_stream_is_taken() {
    let body = json!({"choices": [{"message": {"content": "hi", "refusal": null}, "finish_reason": "stop"}]});
    let calls = json!({"choices": [{"message": {"content": null,
        "tool_calls": [{"id": "x", "function": {"name": "a", "arguments": "{}"}}]}}]});
    let upstream = Upstream::scripted([Reply::json(200, &body), Reply::json(200, &calls)]).await;
    let llm = llm(&upstream);
    let (texts, end) = drain(llm.stream(&request(Delivery::Streamed)).await.expect("an answer")).await;
    assert_eq!(texts, ["hi"]);
    assert_eq!(end.expect("an answer").text, "hi");
    let (texts, end) = drain(llm.stream(&request(Delivery::Streamed)).await.expect("an answer")).await;
    assert_eq!((texts, end.expect("an answer").calls), (vec![], vec![call("x", "a", "{}")]));
}

#[tokio::test]
async fn an_endless_event_and_an_endless_answer_are_cut_off() {
    let endless_event = Reply::events().delta("a").raw(format!("data: {}", "x".repeat(5000)));
    let endless_answer = Reply::stream(vec!["0123456789"; 500]);
    for reply in [endless_event, endless_answer] {
        let upstream = Upstream::scripted([reply]).await;
        let small = OpenAiConfig { max_body: 1000, ..config(upstream.base_url(), PATIENT) };
        let error = ask(&llm_with(small), Delivery::Streamed).await.expect_err("too long");
        assert_eq!(error.kind, LlmErrorKind::InvalidResponse);
    }
}

#[tokio::test]
async fn dropping_the_call_or_the_stream_ends_the_exchange() {
    let upstream = Upstream::scripted([Reply::never(), Reply::never(), Reply::events().delta("a").hang()]).await;
    let llm = llm(&upstream);
    for (number, delivery) in BOTH.into_iter().enumerate() {
        let asked = tokio::time::timeout(Duration::from_millis(50), refusal(&llm, delivery)).await;
        assert!(asked.is_err());
        upstream.wait_for_aborted(number + 1).await;
    }
    let mut stream = llm.stream(&request(Delivery::Streamed)).await.expect("a first part");
    stream.next().await.expect("an event").expect("a text");
    assert_eq!(upstream.open(), 1);
    drop(stream);
    upstream.wait_for_aborted(3).await;
}
