//! Calls without TLS: to model servers of one's own, and through proxies.
//!
//! HTTP/1.1 by hand, and the turn itself reads and writes its connection. A client library gives a connection a task of
//! its own and speaks to it through channels; every call then wakes another task twice, likely on another processor,
//! which costs as much as all else about it.

mod answer;
mod pool;

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures_util::{
    Stream,
    future::{Either, select},
};
use http::{HeaderMap, Uri};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) use self::pool::Pool;
use self::{
    answer::{Framing, Head},
    pool::Connection,
};
use super::TransportError;

/// How much is read at once: most answers whole, and a piece of a stream with room to spare.
const READ: usize = 4 * 1024;

/// All of a request's head but the length of its body, which comes last.
pub(super) fn request_head(uri: &Uri, by_proxy: bool, headers: &HeaderMap) -> Box<[u8]> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // A proxy has to be told the host as well.
    let target = if by_proxy { uri.to_string() } else { path.to_owned() };
    let mut head = format!("POST {target} HTTP/1.1\r\n").into_bytes();
    write_headers(&mut head, headers);
    head.extend_from_slice(b"content-length: ");
    head.into()
}

fn write_headers(head: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
}

/// Posts a body, with these headers besides; resolves with the head of the answer. Dropping it, or the body it gives,
/// closes the connection.
pub(super) async fn post(
    pool: &Arc<Pool>,
    head: &[u8],
    more: &HeaderMap,
    body: &[u8],
) -> Result<(Head, Body), TransportError> {
    let mut own = Vec::new();
    write_headers(&mut own, more);
    let head = [head, body.len().to_string().as_bytes(), b"\r\n", &own, b"\r\n"].concat();
    loop {
        let mut connection = pool.take().await?;
        let sent = match send(&mut connection.tcp, &head, body).await {
            Ok(sent) => sent,
            // It was closed while it was kept: nothing has been asked yet, and the next connection may be better.
            Err(_) if connection.was_kept => continue,
            Err(error) => return Err(TransportError::lost(&error)),
        };
        let mut buffer = BytesMut::new();
        let head = answer::head(&mut connection.tcp, &mut buffer).await?;
        let (framing, keep) = answer::framing(&head)?;
        let mut body = Body { connection: Some(connection), pool: pool.clone(), buffer, framing, keep: keep && sent };
        body.release_if_over();
        return Ok((head, body));
    }
}

/// Sends a request, until all of it is sent or the answer is there without: whether all of it was sent.
///
/// # Errors
/// When nothing of it could be sent.
async fn send(tcp: &mut TcpStream, head: &[u8], body: &[u8]) -> std::io::Result<bool> {
    let (mut reader, mut writer) = tcp.split();
    let mut request = bytes::Buf::chain(head, body);
    let first = writer.write_buf(&mut request).await?;
    if first == head.len() + body.len() {
        return Ok(true);
    }
    // Who does not want a long body says so before its end, and may close. Then that is what is to be read.
    let rest = pin!(writer.write_all_buf(&mut request));
    let mut byte = [0];
    let answer = pin!(reader.peek(&mut byte));
    // The `peek` is an answer's first byte, or the end.
    Ok(matches!(select(rest, answer).await, Either::Left((Ok(()), _))))
}

/// An answer's body as it comes in. Read to its end, it gives its connection back.
pub(crate) struct Body {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    /// Received and not handed out.
    buffer: BytesMut,
    framing: Framing,
    keep: bool,
}

impl Body {
    fn release_if_over(&mut self) {
        if self.framing.is_over()
            && let Some(connection) = self.connection.take()
            // Whatever comes behind the end, nobody has asked for it.
            && self.keep
            && self.buffer.is_empty()
        {
            self.pool.give_back(connection.tcp);
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        loop {
            let piece = self.framing.next(&mut self.buffer)?;
            self.release_if_over();
            if piece.is_some() || self.framing.is_over() {
                return Poll::Ready(Ok(piece));
            }
            let Some(Connection { tcp, .. }) = &mut self.connection else {
                return Poll::Ready(Ok(None));
            };
            match ready!(poll_read(tcp, &mut self.buffer, cx)) {
                Ok(0) if self.framing.ends_with_connection() => {
                    self.connection = None;
                    return Poll::Ready(Ok(None));
                }
                Ok(0) => return Poll::Ready(Err(TransportError::cut_off())),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(TransportError::lost(&error))),
            }
        }
    }
}

/// Reads some more. The buffer is empty or holds less than was asked for at once.
fn poll_read(tcp: &mut TcpStream, buffer: &mut BytesMut, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
    buffer.reserve(READ);
    // A future without a state of its own: it can be made anew for each look.
    pin!(tcp.read_buf(buffer)).poll(cx)
}

impl Stream for Body {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(self.poll_piece(cx));
        if piece.is_err() {
            self.connection = None;
        }
        Poll::Ready(piece.transpose())
    }
}
