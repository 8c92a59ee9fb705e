use super::*;
use chat_domain::message::ToolCall;
use serde_json::json;

fn nobody() -> Redactor {
    Redactor::new(None)
}

fn read(body: &str) -> Result<Completion, LlmErrorKind> {
    whole(body.as_bytes(), &nobody()).map_err(|error| error.kind)
}

fn message(message: &str) -> Result<Completion, LlmErrorKind> {
    read(&format!(r#"{{"choices": [{{"message": {message}}}]}}"#))
}

fn streamed(deltas: &[&str]) -> Result<Completion, LlmErrorKind> {
    let mut gathered = Gathered::new(1 << 20);
    for delta in deltas {
        let chunk = format!(r#"{{"choices": [{{"index": 0, "delta": {delta}, "finish_reason": null}}]}}"#);
        gathered.add(chunk.as_bytes(), &nobody()).map_err(|error| error.kind)?;
    }
    gathered.complete().map_err(|error| error.kind)
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
}

fn calls(deltas: &[&str]) -> Vec<ToolCall> {
    streamed(deltas).expect("an answer").calls
}

#[test]
fn a_whole_answer_is_read_to_the_last_member() {
    let body = r#" {"id": "gen-1", "choices": [{"index": 0, "finish_reason": "length", "native_finish_reason": "MAX",
        "message": {"role": "assistant", "content": "a \"b\" \u0633😀", "refusal": null,
            "reasoning": "hm", "reasoning_details": [ {"type": "reasoning.text", "text": "hm",  "n": 1.50} ],
            "tool_calls": [{"id": "c1", "type": "function", "index": 0,
                "function": {"name": "read", "arguments": "{\"a\": \"b\"}"}}]}}, {"message": 7}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "cost": 0.00012, "details": {"cached_tokens": 1}},
        "error": null}"#;
    let completion = read(body).expect("an answer");
    assert_eq!(completion.text, "a \"b\" س😀");
    assert_eq!(completion.finish, Some(FinishReason::Length));
    assert_eq!(completion.calls, [call("c1", "read", r#"{"a": "b"}"#)]);
    let opaque = completion.opaque.expect("reasoning");
    assert_eq!(opaque.0.get(), r#"[ {"type": "reasoning.text", "text": "hm",  "n": 1.50} ]"#);
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 4, "cost": 0.00012, "details": {"cached_tokens": 1}});
    assert_eq!(completion.usage.map(|usage| serde_json::to_value(usage).expect("JSON")), Some(usage));
}

#[test]
fn text_comes_in_several_forms() {
    for (json, text) in [
        (r#"{"content": "a"}"#, "a"),
        (r#"{"content": " a\n"}"#, " a\n"),
        (r#"{"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "\u0062"}]}"#, "ab"),
        (r#"{"content": [{"type": "thinking", "text": "hm"}, {"text": "a"}, {"type": "image_url"}]}"#, "a"),
        (r#"{"content": null, "refusal": "I won't"}"#, "I won't"),
        (r#"{"content": "", "refusal": "I won't"}"#, "I won't"),
        (r#"{"content": "a", "refusal": "b"}"#, "a"),
    ] {
        assert_eq!(message(json).expect(json).text, text);
    }
}

#[test]
fn finish_reasons_are_passed_on() {
    for (word, finish) in [
        ("\"stop\"", Some(FinishReason::Stop)),
        ("\"tool_calls\"", Some(FinishReason::ToolCalls)),
        ("\"content_filter\"", Some(FinishReason::ContentFilter)),
        ("\"eos\"", Some(FinishReason::Other("eos".into()))),
        ("\"\"", None),
        ("null", None),
    ] {
        let body = format!(r#"{{"choices": [{{"message": {{"content": "a"}}, "finish_reason": {word}}}]}}"#);
        assert_eq!(read(&body).expect("an answer").finish, finish);
    }
}

#[test]
fn the_model_that_answered_is_told_and_what_is_no_name_loses_no_answer() {
    let told = |model: &str| {
        let body = format!(r#"{{"model": {model}, "choices": [{{"message": {{"content": "a"}}}}]}}"#);
        read(&body).expect("an answer").model
    };
    assert_eq!(told(r#""vendor/\u0061-2026-01-01""#).as_deref(), Some("vendor/a-2026-01-01"));
    for model in ["null", "7", r#"["a"]"#, r#"{"name": "a"}"#, r#""\ud800""#] {
        assert_eq!(told(model), None, "{model}");
    }
}

#[test]
fn nonsense_is_an_invalid_response() {
    for body in [
        "",
        "null",
        "7",
        "[]",
        "{}",
        "<html>",
        "\u{feff}{}",
        r#"{"choices""#,
        r#"{"choices": null}"#,
        r#"{"choices": []}"#,
        r#"{"choices": {}}"#,
        r#"{"choices": "a"}"#,
        r#"{"choices": [null]}"#,
        r#"{"choices": [7]}"#,
        r#"{"choices": [{}]}"#,
        r#"{"choices": [{"message": "a"}]}"#,
        r#"{"choices": [{"message": {"content": "a"}}]} x"#,
        r#"{"choices": [{"message": {"content": "a"}, "finish_reason": 1}]}"#,
    ] {
        assert_eq!(read(body), Err(LlmErrorKind::InvalidResponse), "{body}");
    }
    for json in [
        "null",
        "{}",
        r#"{"content": null}"#,
        r#"{"content": ""}"#,
        r#"{"content": " \n"}"#,
        r#"{"content": null, "tool_calls": []}"#,
        r#"{"content": null, "tool_calls": null}"#,
        r#"{"content": 12}"#,
        r#"{"content": {"text": "a"}}"#,
        r#"{"content": ["a"]}"#,
        r#"{"content": [{"type": "text", "text": 1}]}"#,
        r#"{"content": "a", "refusal": 1}"#,
        r#"{"tool_calls": {}}"#,
        r#"{"tool_calls": [1]}"#,
        r#"{"tool_calls": [{}]}"#,
        r#"{"tool_calls": [{"function": {"arguments": "{}"}}]}"#,
        r#"{"tool_calls": [{"function": {"name": ""}}]}"#,
        r#"{"tool_calls": [{"id": 1, "function": {"name": "a"}}]}"#,
    ] {
        assert_eq!(message(json), Err(LlmErrorKind::InvalidResponse), "{json}");
    }
    let not_utf8 = whole(b"{\"choices\": [{\"message\": {\"content\": \"\xff\"}}]}", &nobody());
    assert_eq!(not_utf8.map_err(|error| error.kind), Err(LlmErrorKind::InvalidResponse));
}

#[test]
fn what_it_cannot_read_it_does_not_quote() {
    let error = whole(br#"{"choices": [{"message": "a secret"}]}"#, &nobody()).expect_err("a string is no message");
    let source = error.source.expect("a source");
    assert_eq!(source.to_string(), "the answer is JSON of an unknown form (line 1, column 35)");
}

#[test]
fn errors_in_an_answer_are_failures() {
    for (body, kind) in [
        (r#"{"error": {"code": 502}}"#, LlmErrorKind::Unavailable),
        (r#"{"error": {"code": 402}, "choices": []}"#, LlmErrorKind::Auth),
        (r#"{"choices": [{"error": {"code": 429}, "message": {"content": "a"}}]}"#, LlmErrorKind::RateLimited),
        (r#"{"choices": [{"message": {"content": "a"}, "finish_reason": "error"}]}"#, LlmErrorKind::Unavailable),
    ] {
        assert_eq!(read(body), Err(kind), "{body}");
    }
}

#[test]
fn odd_usage_and_odd_reasoning_do_no_harm() {
    for usage in ["null", "7", "[]", "\"a\""] {
        let body = format!(r#"{{"choices": [{{"message": {{"content": "a"}}}}], "usage": {usage}}}"#);
        assert_eq!(read(&body).expect(usage).usage, None);
    }
    for details in ["null", "7", "[]", "{}", "[1]", "\"a\""] {
        let json = format!(r#"{{"content": "a", "reasoning_details": {details}}}"#);
        assert_eq!(message(&json).expect(details).opaque, None);
    }
}

#[test]
fn calls_without_ids_and_with_odd_arguments_are_passed_on() {
    let json = r#"{"tool_calls": [{"function": {"name": "a", "arguments": "{broken"}}, {"id": null, "function": {"name": "b"}},
        {"id": "", "function": {"name": "b", "arguments": {"x": [1]}}}, {"function": {"name": "c", "arguments": null}}]}"#;
    let expected = [call("", "a", "{broken"), call("", "b", ""), call("", "b", r#"{"x": [1]}"#), call("", "c", "")];
    assert_eq!(message(json).expect("calls").calls, expected);
}

#[test]
fn pieces_of_calls_are_put_together_by_index() {
    let deltas = [
        r#"{"tool_calls": [{"index": 0, "id": "x", "function": {"name": "a", "arguments": ""}}]}"#,
        r#"{"tool_calls": [{"index": 0, "function": {"arguments": "{\"a"}}]}"#,
        r#"{"tool_calls": [{"index": 1, "id": "y", "function": {"name": "b"}}]}"#,
        r#"{"tool_calls": [{"index": 0, "function": {"arguments": "\":1}"}}, {"index": 1, "function": {"arguments": "{}"}}]}"#,
    ];
    assert_eq!(calls(&deltas), [call("x", "a", r#"{"a":1}"#), call("y", "b", "{}")]);
}

#[test]
fn pieces_of_calls_are_put_together_without_an_index() {
    let deltas = [
        r#"{"tool_calls": [{"id": "x", "function": {"name": "a", "arguments": "{"}}]}"#,
        r#"{"tool_calls": [{"function": {"arguments": "}"}}]}"#,
        r#"{"tool_calls": [{"id": "y", "function": {"name": "b", "arguments": "{"}}]}"#,
        r#"{"tool_calls": [{"id": "y", "function": {"arguments": "}"}}]}"#,
        r#"{"tool_calls": [{"function": {"name": "c", "arguments": "{}"}}]}"#,
        r#"{"tool_calls": [{"function": {"name": "c", "arguments": "{}"}}]}"#,
    ];
    let expected = [call("x", "a", "{}"), call("y", "b", "{}"), call("", "c", "{}"), call("", "c", "{}")];
    assert_eq!(calls(&deltas), expected);
}

#[test]
fn whole_calls_that_share_an_index_are_told_apart_by_their_ids() {
    let deltas = [
        r#"{"tool_calls": [{"index": 0, "id": "x", "function": {"name": "a", "arguments": "{}"}}]}"#,
        r#"{"tool_calls": [{"index": 0, "id": "y", "function": {"name": "a", "arguments": "{}"}}]}"#,
    ];
    assert_eq!(calls(&deltas), [call("x", "a", "{}"), call("y", "a", "{}")]);
}

#[test]
fn ids_and_names_may_be_repeated_and_names_may_be_split() {
    let deltas = [
        r#"{"tool_calls": [{"index": 0, "id": "x", "function": {"name": "read", "arguments": "{"}}]}"#,
        r#"{"tool_calls": [{"index": 0, "id": "x", "function": {"name": "read", "arguments": "}"}}]}"#,
        r#"{"tool_calls": [{"index": 1, "id": "y", "function": {"name": "wea"}}]}"#,
        r#"{"tool_calls": [{"index": 1, "function": {"name": "ther", "arguments": "{}"}}]}"#,
    ];
    assert_eq!(calls(&deltas), [call("x", "read", "{}"), call("y", "weather", "{}")]);
}

#[test]
fn text_is_told_as_it_comes_and_blank_beginnings_wait() {
    let mut gathered = Gathered::new(1 << 20);
    let mut told = Vec::new();
    for text in ["", "\\n", " ", "a", "", " ", "b"] {
        let chunk = format!(r#"{{"choices": [{{"delta": {{"content": "{text}"}}}}]}}"#);
        gathered.add(chunk.as_bytes(), &nobody()).expect("a chunk");
        told.extend(gathered.news());
    }
    assert_eq!(told, ["\n a", " ", "b"]);
    assert_eq!(gathered.complete().expect("an answer").text, told.concat());
}

#[test]
fn blank_text_beside_calls_is_no_text() {
    let deltas = [r#"{"content": "\n\n"}"#, r#"{"tool_calls": [{"index": 0, "id": "x", "function": {"name": "a"}}]}"#];
    assert_eq!(streamed(&deltas).expect("a call").text, "");
    assert_eq!(streamed(&deltas[..1]), Err(LlmErrorKind::InvalidResponse));
}

#[test]
fn a_message_repeated_beside_each_delta_is_not_read_twice() {
    let mut gathered = Gathered::new(1 << 20);
    for (delta, message) in [("a", "a"), ("b", "ab")] {
        let chunk = json!({"choices": [{"delta": {"content": delta}, "message": {"content": message}}]}).to_string();
        gathered.add(chunk.as_bytes(), &nobody()).expect("a chunk");
    }
    assert_eq!(gathered.complete().expect("an answer").text, "ab");
}

#[test]
fn pieces_of_reasoning_are_put_together() {
    let details = |details: &str| format!(r#"{{"content": "a", "reasoning_details": {details}}}"#);
    let deltas = [
        details(r#"[{"type": "reasoning.text", "index": 0, "text": "I ", "signature": null}]"#),
        details(r#"[{"type": "reasoning.text", "index": 0, "text": "think"}]"#),
        details(r#"[]"#),
        details(r#"[{"type": "reasoning.text", "index": 0, "signature": "s", "format": "f"}]"#),
        details(r#"[{"type": "reasoning.text", "index": 1, "text": "so"}]"#),
        details(
            r#"[{"type": "reasoning.encrypted", "index": 2, "data": "x"}, {"type": "reasoning.encrypted", "data": "y"}]"#,
        ),
        details(
            r#"[{"type": "reasoning.summary", "summary": "in "}, {"type": "reasoning.summary", "summary": "short"}]"#,
        ),
    ];
    let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
    let opaque = streamed(&deltas).expect("an answer").opaque.expect("reasoning");
    let expected = json!([
        {"type": "reasoning.text", "index": 0, "text": "I think", "signature": "s", "format": "f"},
        {"type": "reasoning.text", "index": 1, "text": "so"},
        {"type": "reasoning.encrypted", "index": 2, "data": "x"},
        {"type": "reasoning.encrypted", "data": "y"},
        {"type": "reasoning.summary", "summary": "in short"},
    ]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(opaque.0.get()).expect("JSON"), expected);
}

#[test]
fn usage_and_reasoning_with_a_reserved_name_are_none() {
    for name in [r"$serde_json::private::RawValue", r"\u0024serde_json::private::RawValue"] {
        let delta = format!(r#"{{"content": "a", "reasoning_details": [{{"text": "t", "x": {{"{name}": "[1]"}}}}]}}"#);
        let body = format!(r#"{{"choices": [{{"message": {delta}}}], "usage": {{"x": {{"{name}": "[1]"}}}}}}"#);
        let answer = whole(body.as_bytes(), &nobody()).expect("an answer");
        assert_eq!((&*answer.text, answer.opaque, answer.usage), ("a", None, None));
    }
}

#[test]
fn what_is_gathered_is_bounded() {
    let long = "x".repeat(40);
    for delta in [
        json!({"content": long}),
        json!({"tool_calls": [{"function": {"name": "a", "arguments": long}}]}),
        json!({"reasoning_details": [{"text": long}]}),
    ] {
        let chunk = json!({"choices": [{"delta": delta}]}).to_string();
        let mut gathered = Gathered::new(300);
        let adding = (0..9).try_for_each(|_| gathered.add(chunk.as_bytes(), &nobody()));
        assert_eq!(adding.map_err(|error| error.kind), Err(LlmErrorKind::InvalidResponse), "{chunk}");
    }
}
