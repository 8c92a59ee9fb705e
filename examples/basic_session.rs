//! The whole way of a chat over HTTP: make a session, say one thing in it, read the answer, remove the session.
//!
//! ```bash
//! cargo run --example basic_session
//! ```
//!
//! | Variable | What it says | Default |
//! | --- | --- | --- |
//! | `CHAT_API_URL` | where the service is | `http://localhost:8000` |
//! | `CHAT_MEMORY_LIMIT` | how many messages the session remembers | the service's |
//! | `CHAT_SESSION_METADATA` | a JSON object kept with the session | none |
//! | `CHAT_USER_MESSAGE` | what is said | a greeting |
//! | `CHAT_MESSAGE_ROLE` | as whom: `user` or `assistant` | `user` |
//! | `CHAT_MESSAGE_MEMORY_LIMIT` | how many messages this turn sees and leaves | the session's |
//! | `CHAT_MESSAGE_OPTIONS` | a JSON object of options for the model | none |
//! | `CHAT_REQUEST_TIMEOUT` | seconds that a request may take | `30` |
//! | `CHAT_API_KEY` | one of the service's `API_KEYS`, if it asks for one | none |
//!
//! All of them are checked before anything is sent.

use std::{error::Error, process::ExitCode, time::Duration};

use reqwest::{
    Client, RequestBuilder, Response, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Map, Value, json};

/// What the variables say.
struct Settings {
    api_url: Url,
    timeout: Duration,
    headers: HeaderMap,
    session: Map<String, Value>,
    message: Map<String, Value>,
}

impl Settings {
    /// Reads all variables.
    ///
    /// # Errors
    /// All that is wrong with them, one line each.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut problems = Vec::new();
        let mut read = |name: &str, expected: &str, parse: &dyn Fn(&str) -> Option<Value>| {
            let text = variable(name).filter(|text| !text.trim().is_empty())?;
            let value = parse(text.trim());
            if value.is_none() {
                problems.push(format!("{name} must be {expected}"));
            }
            value
        };
        let url = |text: &str| Url::parse(text).ok().filter(|url| url.has_host() && url.scheme().starts_with("http"));
        let seconds = |text: &str| text.parse().ok().filter(|&seconds| (0.001..=86_400.0).contains(&seconds));
        let text = |text: &str| Some(Value::from(text));
        let role = |text: &str| matches!(text, "user" | "assistant").then(|| text.into());
        let count = |text: &str| text.parse().ok().filter(|&count: &u32| count > 0).map(Value::from);
        let object = |text: &str| serde_json::from_str(text).ok().map(Value::Object);
        let word = |text: &str| text.chars().all(|c| c.is_ascii_graphic()).then(|| text.into());

        let expected = "an http or https URL such as http://localhost:8000";
        let api_url = read("CHAT_API_URL", expected, &|text| url(text).map(|_| text.into()));
        let expected = "a number of seconds above 0 and up to 86400, such as 30";
        let timeout = read("CHAT_REQUEST_TIMEOUT", expected, &|text| seconds(text).map(Value::from));
        let api_key = read("CHAT_API_KEY", "printable ASCII without spaces", &word);
        let (whole, json_object) = ("a whole number, 1 or more", "a JSON object, such as {\"key\": \"value\"}");
        let session = [
            ("memory_limit", read("CHAT_MEMORY_LIMIT", whole, &count)),
            ("metadata", read("CHAT_SESSION_METADATA", json_object, &object)),
        ];
        let content = read("CHAT_USER_MESSAGE", "a text", &text);
        let message = [
            ("content", content.or_else(|| text("Hello! What can you do for me?"))),
            ("role", read("CHAT_MESSAGE_ROLE", "user or assistant", &role)),
            ("memory_limit", read("CHAT_MESSAGE_MEMORY_LIMIT", whole, &count)),
            ("options", read("CHAT_MESSAGE_OPTIONS", json_object, &object)),
        ];
        let api_url = api_url.as_ref().and_then(Value::as_str).unwrap_or("http://localhost:8000");
        let timeout = timeout.as_ref().and_then(Value::as_f64).unwrap_or(30.0);
        let api_key = api_key.as_ref().and_then(Value::as_str).and_then(|key| HeaderValue::from_str(key).ok());
        match url(&format!("{}/", api_url.trim_end_matches('/'))) {
            Some(api_url) if problems.is_empty() => Ok(Self {
                api_url,
                timeout: Duration::from_secs_f64(timeout),
                headers: api_key.map(|key| (HeaderName::from_static("x-api-key"), key)).into_iter().collect(),
                session: given(session),
                message: given(message),
            }),
            _ => Err(problems.join("\n")),
        }
    }
}

/// The fields that have a value.
fn given<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "an example has no configuration but these variables")]
    let settings = Settings::read(|name| std::env::var(name).ok());
    let settings = match settings {
        Ok(settings) => settings,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(2);
        }
    };
    match chat(&settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn chat(settings: &Settings) -> Result<(), Box<dyn Error>> {
    // An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().timeout(settings.timeout).default_headers(settings.headers.clone()).build()?;
    let sessions = settings.api_url.join("sessions")?;
    let session = send(client.post(sessions).json(&settings.session)).await?.json::<Value>().await?;
    let id = session["id"].as_str().ok_or("the service gave the session no id")?;
    println!("session {id}, remembers {} messages", session["memory_limit"]);

    let messages = settings.api_url.join(&format!("sessions/{id}/messages"))?;
    let answer = send(client.post(messages).json(&settings.message)).await;
    if let Ok(answer) = answer {
        let answer: Value = answer.json().await?;
        println!("> {}", settings.message["content"].as_str().unwrap_or_default());
        println!("{}", answer["message"]["content"].as_str().unwrap_or_default());
        println!("usage {}", answer.get("usage").unwrap_or(&json!(null)));
        remove(&client, settings, id).await
    } else {
        // The session goes in any case; what went wrong first is what is told.
        let _ = remove(&client, settings, id).await;
        answer.map(drop)
    }
}

async fn remove(client: &Client, settings: &Settings, id: &str) -> Result<(), Box<dyn Error>> {
    send(client.delete(settings.api_url.join(&format!("sessions/{id}"))?)).await?;
    println!("session {id} is gone");
    Ok(())
}

/// Sends a request; a refusal becomes an error that says what the service said, and the request's id.
async fn send(request: RequestBuilder) -> Result<Response, Box<dyn Error>> {
    let response = request.send().await.map_err(|error| format!("no answer from the service: {error}"))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let id = response.headers().get("X-Request-ID").and_then(|id| id.to_str().ok()).unwrap_or("unknown").to_owned();
    let body: Value = response.json().await.unwrap_or_default();
    let reason = match (&body["error"], &body["retry_after"]) {
        (Value::String(_), seconds) => format!("too many requests: try again in {seconds} seconds"),
        (error, _) => error["message"].as_str().unwrap_or("no reason given").to_owned(),
    };
    Err(format!("the service answered {status}: {reason} (request {id})").into())
}
