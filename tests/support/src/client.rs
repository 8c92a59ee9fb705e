//! A client for the service: JSON in, JSON out, and Server-Sent Events.

mod events;

pub use events::{Event, Events};

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::install_crypto;

/// No answer in a test takes longer; one that does is a hang.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Asks one service, with the same headers every time.
#[derive(Clone, Debug)]
pub struct Client {
    base_url: String,
    headers: HeaderMap,
    http: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; `null` when it is none.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Client {
    /// A client for `http://HOST:PORT`; it follows no redirects and uses no proxy.
    ///
    /// # Panics
    /// When no HTTP client can be built.
    #[must_use]
    pub fn new(base_url: &str) -> Self {
        install_crypto();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .expect("an HTTP client");
        let base_url = base_url.trim_end_matches('/').to_owned();
        Self { base_url, headers: HeaderMap::new(), http }
    }

    /// The same client, sending one more header with each request.
    ///
    /// # Panics
    /// When name or value are none.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        let name: HeaderName = name.parse().expect("a header name");
        let value = HeaderValue::from_str(value).expect("a header value");
        client.headers.insert(name, value);
        client
    }

    /// A request to go on building by hand; see [`Answer::read`].
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.base_url);
        self.http.request(method, url).headers(self.headers.clone())
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// POST with a JSON body, for an answer of Server-Sent Events; whatever else comes is an `Err`.
    ///
    /// # Panics
    /// When there is no answer at all.
    pub async fn stream(&self, path: &str, body: &Value) -> Result<Events, Box<Answer>> {
        let request = self.request(Method::POST, path).header(ACCEPT, "text/event-stream");
        let response = request.json(body).send().await.expect("an answer");
        let content_type = response.headers().get(CONTENT_TYPE);
        if content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            return Ok(Events::new(response));
        }
        Err(Box::new(Answer::read(response).await))
    }

    /// Makes a session and returns its id.
    ///
    /// # Panics
    /// When none is made.
    pub async fn create_session(&self) -> String {
        let answer = self.post("/sessions", &json!({})).await.expect(201);
        answer.body["id"].as_str().expect("a session has an id").to_owned()
    }

    /// Says something in a session.
    pub async fn say(&self, session: &str, content: &str) -> Answer {
        self.post(&format!("/sessions/{session}/messages"), &json!({"content": content})).await
    }

    /// Says something in a session, to be answered by a stream.
    pub async fn say_streaming(&self, session: &str, content: &str) -> Result<Events, Box<Answer>> {
        self.stream(&format!("/sessions/{session}/messages"), &json!({"content": content})).await
    }
}

impl Answer {
    /// Reads a response to its end.
    ///
    /// # Panics
    /// When it breaks off.
    pub async fn read(response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.expect("a whole answer");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, body, text }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        Self::read(request.send().await.expect("an answer")).await
    }

    /// A header's value, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The code of an error answer, or "".
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// The content of a turn's answer, or "".
    #[must_use]
    pub fn content(&self) -> &str {
        self.body["message"]["content"].as_str().unwrap_or_default()
    }

    /// Fails the test, with the body, unless the status is this.
    ///
    /// # Panics
    /// When it is another.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}
