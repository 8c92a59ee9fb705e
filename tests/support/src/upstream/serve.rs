//! The server behind the script: accepts, records, plays a reply.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, stream};
use http::header::CONTENT_LENGTH;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::panic_message;
use super::record::{Ledger, RecordedRequest, Ticket};
use super::reply::{Cut, Rendered, Step};

/// What was sent before a cut needs this long to reach a reader on the same machine; a reset that
/// overtakes it would be another fault than the one that was asked for.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// Accepts until it is dropped; its connections go with it.
pub(super) async fn accept(listener: TcpListener, ledger: Arc<Ledger>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return ledger.fail(format!("accept: {error}")),
        };
        ledger.change(|book| book.tally.connections += 1);
        connections.spawn(connection(stream, Arc::clone(&ledger)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, ledger: Arc<Ledger>) {
    // Chunks leave when they are written, not when the peer has acknowledged the one before.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| {
        let (ledger, reset) = (Arc::clone(&ledger), Arc::clone(&reset));
        Box::pin(async move {
            let answer = AssertUnwindSafe(answer(request, &ledger, reset)).catch_unwind().await;
            answer.unwrap_or_else(|panic| {
                ledger.fail(panic_message(&*panic));
                Err(Cut::Reset.into())
            })
        })
    });
    let mut connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    // An error is either a cut of ours or a client that went away: both are counted elsewhere.
    let _ = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let stream = connection.into_parts().io.into_inner();
    if reset.load(Ordering::Relaxed) {
        // With no time to linger, closing sends RST instead of FIN.
        let _ = stream.set_zero_linger();
    }
}

async fn answer(
    request: Request<Incoming>,
    ledger: &Arc<Ledger>,
    reset: Arc<AtomicBool>,
) -> io::Result<Response<impl Body<Data = Bytes, Error = io::Error> + use<>>> {
    let request = record(request).await?;
    let Some((request, reply, ticket)) = ledger.admit(request) else {
        return Err(Cut::Reset.into());
    };
    let mut player = Player { ticket, reset };
    let Rendered { status, headers, lead, body, length } = reply.render(&request);
    for step in lead {
        player.play(step).await?;
    }
    let mut response = Response::new(StreamBody::new(player.body(body.into())));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    Ok(response)
}

async fn record(request: Request<Incoming>) -> io::Result<RecordedRequest> {
    let (head, body) = request.into_parts();
    let raw = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(RecordedRequest {
        number: 0,
        method: head.method,
        path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: head.headers,
        body: serde_json::from_slice(&raw).unwrap_or(Value::Null),
        raw,
        at: Instant::now(),
    })
}

/// Plays the steps of one answer, and knows whether it came to its end.
struct Player {
    ticket: Ticket,
    reset: Arc<AtomicBool>,
}

impl Player {
    /// Does what a step says; the bytes of a `Send` are the caller's to pass on.
    async fn play(&mut self, step: Step) -> io::Result<Option<Bytes>> {
        match step {
            Step::Send(bytes) => {
                // Being pending for once makes the server flush: one write for each piece.
                tokio::task::yield_now().await;
                return Ok(Some(bytes));
            }
            Step::Wait(pause) => tokio::time::sleep(pause).await,
            Step::Hold(gate) => gate.pass().await,
            Step::Hang => std::future::pending().await,
            Step::Cut(cut) => {
                tokio::time::sleep(BEFORE_CUT).await;
                self.reset.store(cut == Cut::Reset, Ordering::Relaxed);
                self.ticket.complete();
                return Err(cut.into());
            }
        }
        Ok(None)
    }

    fn body(self, steps: VecDeque<Step>) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
        stream::try_unfold((self, steps), |(mut player, mut steps)| async move {
            while let Some(step) = steps.pop_front() {
                if let Some(bytes) = player.play(step).await? {
                    // A body of known length is not asked again after its last byte.
                    if steps.is_empty() {
                        player.ticket.complete();
                    }
                    return Ok(Some((Frame::data(bytes), (player, steps))));
                }
            }
            player.ticket.complete();
            Ok(None)
        })
    }
}

/// hyper ends a connection whose service or body fails.
impl From<Cut> for io::Error {
    fn from(cut: Cut) -> Self {
        Self::other(format!("planned: {cut:?}"))
    }
}
