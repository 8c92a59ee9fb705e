//! What the endpoint sees, to the letter.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use chat_domain::{
    agent::window::{PastRounds, Window},
    message::{FinishedCall, Role, Round, ToolCall, ToolOutcome},
    options::{CompletionOptions, OptionPolicy},
    ports::{
        Propagation,
        llm::{Delivery, LlmPort, LlmRequest, ToolChoice},
        tools::{Tool, ToolCatalogue},
    },
};
use chat_openai::{ModelChoice, OpenAiConfig};
use chat_test_support::{Reply, Upstream};
use serde_json::value::RawValue;

use crate::{BOTH, KEY, PATIENT, ask, config, drain, llm, llm_with, request, said};

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

fn options(members: &[(&str, &str)]) -> Arc<CompletionOptions> {
    let members = members.iter().map(|(name, value)| ((*name).to_owned(), raw(value))).collect();
    CompletionOptions::judge(members, &OptionPolicy::default()).expect("allowed")
}

#[tokio::test]
async fn a_turn_is_sent_to_the_letter() {
    let tool = Tool {
        function: "shop_search".into(),
        server: "shop".into(),
        name: "search".into(),
        description: Some("Finds \"things\"".into()),
        schema: raw(r#"{"type":"object","properties":{"q":{"type":"string"}}}"#).into(),
    };
    let call = ToolCall { id: "c1".into(), name: "shop_search".into(), arguments: r#"{"q": "چراغ"}"#.into() };
    let finished = FinishedCall {
        call,
        server: "shop".into(),
        tool: "search".into(),
        outcome: ToolOutcome::error("no\nsuch thing"),
        took: PATIENT,
    };
    let memory = [said(Role::User, "first"), said(Role::Assistant, "second"), said(Role::User, "third")];
    let request = LlmRequest {
        window: Window::new(Some("be kind".into()), &memory, 2, said(Role::User, "fourth"), PastRounds::Replay),
        rounds: vec![Round { text: "".into(), calls: vec![finished], opaque: None }],
        tools: Arc::new(ToolCatalogue::new(vec![tool], vec![])),
        tool_choice: ToolChoice::None,
        options: options(&[("temperature", "0.70"), ("logit_bias", r#"{"50256": -100}"#), ("max_tokens", "null")]),
        ..request(Delivery::Streamed)
    };
    let upstream = Upstream::scripted([Reply::text("done")]).await;
    let (_, end) = drain(llm(&upstream).stream(&request).await.expect("an answer")).await;
    end.expect("an answer");
    let expected = concat!(
        r#"{"model":"vendor/model","messages":[{"role":"system","content":"be kind"},"#,
        r#"{"role":"assistant","content":"second"},{"role":"user","content":"third"},"#,
        r#"{"role":"user","content":"fourth"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","#,
        r#""type":"function","function":{"name":"shop_search","arguments":"{\"q\": \"چراغ\"}"}}]},"#,
        r#"{"role":"tool","tool_call_id":"c1","content":"no\nsuch thing"}],"#,
        r#""tools":[{"type":"function","function":{"name":"shop_search","description":"Finds \"things\"","#,
        r#""parameters":{"type":"object","properties":{"q":{"type":"string"}}}}}],"tool_choice":"none","#,
        r#""stream":true,"stream_options":{"include_usage":true},"temperature":0.70,"logit_bias":{"50256": -100}}"#,
    );
    assert_eq!(String::from_utf8_lossy(&upstream.last_request().raw), expected);
}

#[tokio::test]
async fn the_head_of_a_request_says_who_asks_for_what() {
    let upstream = Upstream::start().await;
    let config = OpenAiConfig {
        referer: Some("https://example.org".into()),
        title: Some("گفتگو".into()),
        ..config(upstream.base_url() + "/", PATIENT)
    };
    let llm = llm_with(config);
    for (delivery, accept) in [(Delivery::Whole, "application/json"), (Delivery::Streamed, "text/event-stream")] {
        ask(&llm, delivery).await.expect("an answer");
        let seen = upstream.last_request();
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v1/chat/completions"));
        assert_eq!(seen.bearer(), Some(KEY));
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert_eq!(seen.header("accept"), Some(accept));
        assert_eq!(seen.header("http-referer"), Some("https://example.org"));
        assert_eq!(seen.headers.get("x-title").map(|title| title.as_bytes()), Some("گفتگو".as_bytes()));
        assert_eq!(seen.header("content-length"), Some(seen.raw.len().to_string().as_str()));
        assert_eq!(seen.wants_stream(), delivery == Delivery::Streamed);
    }
}

#[tokio::test]
async fn what_ties_a_call_to_its_trace_is_asked_for_each_call_and_sent_with_it() {
    let upstream = Upstream::start().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let propagation = Propagation::new(move || {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        vec![("traceparent", format!("call {call}")), ("tracestate", "a\r\nforged: header".to_owned())]
    });
    let llm = llm_with(OpenAiConfig { propagation, ..config(upstream.base_url(), PATIENT) });
    for (call, delivery) in BOTH.into_iter().enumerate() {
        ask(&llm, delivery).await.expect("an answer");
        let seen = upstream.last_request();
        assert_eq!(seen.header("traceparent"), Some(format!("call {call}").as_str()));
        assert_eq!((seen.header("tracestate"), seen.header("forged")), (None, None), "what no header can carry");
        assert_eq!(seen.bearer(), Some(KEY));
        assert_eq!(seen.header("content-length"), Some(seen.raw.len().to_string().as_str()));
    }
}

#[tokio::test]
async fn without_a_key_there_is_no_authorization() {
    let upstream = Upstream::start().await;
    let config = OpenAiConfig::new(upstream.base_url(), ModelChoice::Default("local".into()));
    ask(&llm_with(config), Delivery::Whole).await.expect("an answer");
    let seen = upstream.last_request();
    for name in ["authorization", "http-referer", "x-title"] {
        assert_eq!(seen.header(name), None);
    }
}

#[tokio::test]
async fn a_query_in_the_base_url_is_kept() {
    let upstream = Upstream::start().await;
    let config = config(upstream.base_url() + "/deployments/a%20b?api-version=1#fragment", PATIENT);
    ask(&llm_with(config), Delivery::Whole).await.expect("an answer");
    assert_eq!(upstream.last_request().path, "/v1/deployments/a%20b/chat/completions?api-version=1");
}

#[tokio::test]
async fn the_clients_model_replaces_the_default_one_but_no_fallbacks() {
    let upstream = Upstream::start().await;
    let wanted = options(&[("model", "\"client/model\"")]);
    for (choice, wanted, asked) in [
        (ModelChoice::Default("own/model".into()), Arc::default(), "own/model"),
        (ModelChoice::Default("own/model".into()), wanted.clone(), "client/model"),
        (ModelChoice::Always("own/model".into()), wanted, "own/model"),
    ] {
        let llm = llm_with(OpenAiConfig { model: choice, ..config(upstream.base_url(), PATIENT) });
        for delivery in BOTH {
            let request = LlmRequest { options: wanted.clone(), ..request(delivery) };
            drain(llm.stream(&request).await.expect("an answer")).await.1.expect("an answer");
            assert_eq!(upstream.last_request().body["model"], asked);
        }
    }
}
