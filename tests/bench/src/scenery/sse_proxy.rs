//! What a service that streams cannot do without: a hyper proxy that parses each event of the
//! upstream and writes it on, one flush for each.

use std::io;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{listen, parent_gone};
use crate::Failure;

type Pool = Client<HttpConnector, Full<Bytes>>;

/// Runs until the parent is gone.
pub(crate) fn run(upstream: SocketAddr) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = listen().await?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        let accepting = async {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                connections.spawn(connection(stream, pool.clone(), upstream));
                while connections.try_join_next().is_some() {}
            }
        };
        tokio::select! {
            failure = accepting => failure,
            () = parent_gone() => Ok(()),
        }
    })
}

async fn connection(stream: TcpStream, pool: Pool, upstream: SocketAddr) {
    let service = service_fn(move |request| pass(pool.clone(), upstream, request));
    // A connection that breaks is the client's to complain about.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn pass(
    pool: Pool,
    upstream: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = Failure>>, Failure> {
    let uri: Uri = format!("http://{upstream}{}", request.uri().path()).parse()?;
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let body = request.into_body().collect().await?.to_bytes();
    let mut passed = Request::post(uri).header(HOST, upstream.to_string());
    if let Some(content_type) = content_type {
        passed = passed.header(CONTENT_TYPE, content_type);
    }
    let answer = pool.request(passed.body(Full::new(body))?).await?;
    let events = Events { body: answer.into_body(), buffer: BytesMut::new() };
    let response = Response::builder().header(CONTENT_TYPE, "text/event-stream");
    Ok(response.body(StreamBody::new(Box::pin(events.frames())))?)
}

/// As much of a chunk as there is to know about it.
#[derive(Deserialize)]
struct Chunk {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Delta,
}

#[derive(Deserialize, Serialize)]
struct Delta {
    #[serde(default)]
    content: String,
}

struct Events {
    body: Incoming,
    buffer: BytesMut,
}

impl Events {
    fn frames(self) -> impl Stream<Item = Result<Frame<Bytes>, Failure>> {
        stream::try_unfold(self, |mut events| async move {
            let Some(event) = events.next().await? else { return Ok(None) };
            let frame = Frame::data(translate(&event)?);
            // Being pending for once makes hyper flush what it has.
            tokio::task::yield_now().await;
            Ok(Some((frame, events)))
        })
    }

    /// The next event without its blank line.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                return Ok(Some(self.buffer.split_to(end + 2).freeze()));
            }
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                None => return Ok(None),
            }
        }
    }
}

fn translate(event: &[u8]) -> Result<Bytes, Failure> {
    let data = event.trim_ascii_end().strip_prefix(b"data: ").ok_or("an event without data")?;
    if data == b"[DONE]" {
        return Ok(Bytes::from_static(b"data: [DONE]\n\n"));
    }
    let chunk: Chunk = serde_json::from_slice(data)?;
    let delta = chunk.choices.into_iter().next().map(|choice| choice.delta);
    let mut frame = b"event: message.delta\ndata: ".to_vec();
    serde_json::to_writer(&mut frame, &delta).map_err(io::Error::other)?;
    frame.extend_from_slice(b"\n\n");
    Ok(frame.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_written_anew() {
        let event = br#"data: {"choices":[{"delta":{"content":"a"}}]}"#;
        let written = translate(&[event, b"\n\n".as_slice()].concat()).expect("an event");
        assert_eq!(written, "event: message.delta\ndata: {\"content\":\"a\"}\n\n");
        assert!(translate(b"data: {\n\n").is_err());
    }
}
