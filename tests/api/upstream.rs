//! What an upstream can do wrong, and what clients see of it.

mod faults;
mod recovery;

use chat_test_support::Answer;
use serde_json::json;

use crate::scene::{KEY, Scene, assert_error};

/// What is in the scripted upstream's answers and must not get into ours.
const SENTINEL: &str = "sentinel of the upstream";

/// Fails the test unless this is a `provider_error` of this kind that gives nothing away.
#[track_caller]
fn assert_provider_error(scene: &Scene, answer: &Answer, kind: &str) {
    assert_error(answer, 502, "provider_error");
    assert_eq!(answer.body["error"]["details"], json!({"kind": kind}));
    let address = scene.upstream.address().to_string();
    for secret in [KEY, SENTINEL, address.as_str(), "openrouter", "auto", "OpenRouter"] {
        assert!(!answer.text.contains(secret), "{secret:?} in {}", answer.text);
    }
}
