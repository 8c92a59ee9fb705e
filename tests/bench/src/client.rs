//! One keep-alive connection of the client side; the same code asks the service and every proxy.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failure;

/// A request that takes longer has hung.
const TIMEOUT: Duration = Duration::from_secs(30);

const JSON: &str = "application/json";

/// What is asked, on whatever connection.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Bytes,
    pub(crate) accept: &'static str,
}

impl Ask {
    /// A POST of JSON.
    pub(crate) fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, path: path.into(), body: body.into(), accept: JSON }
    }

    /// A GET.
    pub(crate) fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), body: Bytes::new(), accept: JSON }
    }

    /// The same, asking for Server-Sent Events.
    pub(crate) fn streamed(self, stream: bool) -> Self {
        if stream { self.accepting("text/event-stream") } else { self }
    }

    /// The same, asking for an answer of this type.
    pub(crate) fn accepting(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }
}

/// An answer and what it took.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) took: Duration,
    /// The longest silence between two pieces of the body, from the second on: a service may begin its answer before the
    /// upstream has said anything, and what comes then is the time of waiting for it.
    pub(crate) longest_gap: Duration,
}

/// A connection that is used for one request after the other.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    /// Drives the socket, and ends with us.
    _driver: JoinSet<()>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Its errors are told to whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(Self { sender, host: address.to_string(), _driver: driver })
    }

    /// Asks and reads the answer to its end.
    pub(crate) async fn exchange(&mut self, ask: Ask) -> Result<Exchange, Failure> {
        let answer = tokio::time::timeout(TIMEOUT, self.exchange_patiently(ask)).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}").into()))
    }

    async fn exchange_patiently(&mut self, ask: Ask) -> Result<Exchange, Failure> {
        let request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, ask.accept)
            .header(AUTHORIZATION, "Bearer bench")
            .body(Full::new(ask.body))?;
        self.sender.ready().await?;
        let start = Instant::now();
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let mut frames = response.into_body();
        let mut body = BytesMut::new();
        let mut longest_gap = Duration::ZERO;
        let (mut last, mut pieces) = (Instant::now(), 0_u32);
        while let Some(frame) = frames.frame().await {
            if let Ok(data) = frame?.into_data() {
                let now = Instant::now();
                if pieces >= 2 {
                    longest_gap = longest_gap.max(now - last);
                }
                (last, pieces) = (now, pieces + 1);
                body.extend_from_slice(&data);
            }
        }
        Ok(Exchange { status, body: body.freeze(), took: start.elapsed(), longest_gap })
    }
}
