//! The key is in no error and in nothing that can be printed, and no error quotes the conversation.

use std::{error::Error, fmt::Write};

use chat_domain::ports::llm::Delivery;
use chat_openai::{HttpClient, OpenAiConfig, OpenAiLlm};
use chat_test_support::{Cut, DeadPort, Reply, Upstream};
use serde_json::json;

use crate::{BOTH, IMPATIENT, KEY, ask, clock, config, llm_with};

/// All that can be read off an error, its causes included.
fn everything(error: &(dyn Error + 'static)) -> String {
    let mut all = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        write!(all, "{error} {error:?} {error:#?} ").expect("a string");
        next = error.source();
    }
    all
}

fn assert_clean(text: &str) {
    for at in 0..=KEY.len() - 8 {
        assert!(!text.contains(&KEY[at..at + 8]), "{text}");
    }
    assert!(!text.contains("127.0.0.1") && !text.contains("http://"), "{text}");
}

#[tokio::test]
async fn no_failure_quotes_the_key() {
    let quoting = format!("Bearer {KEY} is wrong, \"{}****{}\" too, http", &KEY[..9], &KEY[20..]);
    let choice_error = json!({"choices": [{"error": {"code": 401, "message": quoting}}]});
    let replies = [
        Reply::error(401, &quoting),
        Reply::error(500, &quoting),
        Reply::json(400, &json!({"message": quoting})),
        Reply::body(502, "text/plain", quoting.clone()),
        Reply::json(400, &json!({"error": {"code": KEY, "type": &KEY[3..]}})),
        Reply::error_in_ok(401, &quoting),
        Reply::json(200, &json!({"error": {"code": quoting, "message": quoting}})),
        Reply::json(200, &json!({"error": {"code": format!("key:{KEY}"), "type": &KEY[..20]}})),
        Reply::json(200, &json!({"error": quoting})),
        Reply::json(200, &choice_error).or_streamed(Reply::events().event(&choice_error)),
        Reply::json(200, &json!({"choices": [{"message": quoting}]})),
        Reply::body(200, "application/json", quoting.clone()).or_streamed(Reply::events().data(&quoting)),
        Reply::events().delta("a").error_chunk(502, &quoting),
        Reply::status(302).header("location", &format!("http://127.0.0.1/{KEY}")),
        Reply::no_answer(Cut::Reset),
        Reply::never(),
    ];
    for reply in replies {
        for delivery in BOTH {
            let upstream = Upstream::scripted([reply.clone()]).await;
            let llm = llm_with(config(upstream.base_url(), IMPATIENT));
            let error = ask(&llm, delivery).await.expect_err("a failure");
            assert_clean(&everything(&error));
            assert_eq!(upstream.last_request().bearer(), Some(KEY));
        }
    }
}

#[tokio::test]
async fn a_dead_host_and_a_dead_proxy_are_not_named() {
    let dead = DeadPort::take();
    let error = ask(&llm_with(config(dead.base_url(), IMPATIENT)), Delivery::Whole).await.expect_err("nobody");
    assert_clean(&everything(&error));
    let proxy = format!("http://user:{KEY}@{}", dead.address());
    let http = HttpClient::from_proxy(&proxy).expect("a proxy");
    let llm = OpenAiLlm::new(config("http://model.invalid/v1".into(), IMPATIENT), &http, clock()).expect("a backend");
    assert_clean(&everything(&ask(&llm, Delivery::Whole).await.expect_err("nobody")));
}

#[tokio::test]
async fn no_failure_quotes_the_conversation() {
    let quoting = "cannot answer \"my cat is called Tiberius\"";
    let in_all = json!({"error": {"code": quoting, "type": quoting, "param": quoting, "message": quoting}});
    let in_choice = json!({"choices": [{"error": in_all["error"]}]});
    let replies = [
        Reply::error(400, quoting),
        Reply::json(400, &in_all),
        Reply::json(400, &in_all["error"]),
        Reply::json(422, &json!({"error": quoting, "message": quoting, "detail": [{"input": quoting}]})),
        Reply::json(400, &json!(quoting)),
        Reply::body(400, "text/plain", quoting),
        Reply::body(500, "application/json", quoting),
        Reply::body(200, "text/plain", quoting),
        Reply::error_in_ok(400, quoting),
        Reply::json(200, &in_all).or_streamed(Reply::events().event(&in_all)),
        Reply::json(200, &in_choice).or_streamed(Reply::events().event(&in_choice)),
        Reply::json(200, &json!({"error": quoting})),
        Reply::events().delta("a").error_chunk(502, quoting),
    ];
    for reply in replies {
        for delivery in BOTH {
            let upstream = Upstream::scripted([reply.clone()]).await;
            let error = ask(&llm_with(config(upstream.base_url(), IMPATIENT)), delivery).await.expect_err("a failure");
            let told = everything(&error);
            for word in ["answer \"", "cat", "called", "Tiberius"] {
                assert!(!told.contains(word), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn the_codes_of_an_error_reach_the_log() {
    let body = json!({"error": {"code": "context_length_exceeded", "type": "invalid_request_error", "message": "no"}});
    for (status, told) in [(400, "status 400"), (200, "the answer is an error")] {
        for delivery in BOTH {
            let upstream = Upstream::scripted([Reply::json(status, &body)]).await;
            let error = ask(&llm_with(config(upstream.base_url(), IMPATIENT)), delivery).await.expect_err("an error");
            let expected = format!("{told}, code context_length_exceeded, type invalid_request_error");
            assert_eq!(error.source.expect("a cause").to_string(), expected);
        }
    }
}

#[test]
fn a_configuration_prints_without_its_secrets() {
    let with_password =
        OpenAiConfig { base_url: format!("http://user:{KEY}@host"), ..config(String::new(), IMPATIENT) };
    assert_clean(&format!("{with_password:?} {with_password:#?}"));
    let error = OpenAiLlm::new(with_password, &HttpClient::direct(), clock()).err().expect("credentials in the URL");
    assert_clean(&everything(&error).replace("http:// or", ""));
}
