//! Connections whose bytes a test writes itself.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::common::{SOON, messages_of};

/// A connection; gone when dropped.
pub(crate) struct Raw {
    stream: TcpStream,
    /// What was read and not asked for yet.
    buffer: Vec<u8>,
}

/// An answer of HTTP/1.1 with a length.
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Raw {
    /// Connects to `http://HOST:PORT`.
    pub(crate) async fn connect(base_url: &str) -> Self {
        Self::with_socket(base_url, TcpSocket::new_v4().expect("a socket")).await
    }

    /// Connects as one who takes very little at a time.
    pub(crate) async fn connect_narrow(base_url: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        Self::with_socket(base_url, socket).await
    }

    async fn with_socket(base_url: &str, socket: TcpSocket) -> Self {
        let address = base_url.strip_prefix("http://").expect("a base URL").parse().expect("an address");
        let stream = socket.connect(address).await.expect("a connection");
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the peer still reads");
    }

    /// Sends bytes to a peer that may have closed already.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Reads until this text has come, and returns all up to its end.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        loop {
            let found = self.buffer.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                let read: Vec<u8> = self.buffer.drain(..at + text.len()).collect();
                return String::from_utf8(read).expect("UTF-8");
            }
            assert!(self.read_more(SOON).await, "closed before {text:?}: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// Reads one answer that has a length.
    pub(crate) async fn answer(&mut self) -> RawAnswer {
        let head = self.read_until("\r\n\r\n").await.to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
        while self.buffer.len() < length {
            assert!(self.read_more(SOON).await, "closed in the middle of a body");
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        RawAnswer { status, head, body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    /// Reads until the peer closes, however it does; fails the test when it does not.
    pub(crate) async fn rest(&mut self) -> String {
        while self.read_more(SOON).await {}
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// Whether nothing comes, not even an end, for this long.
    pub(crate) async fn is_silent_for(&mut self, time: Duration) -> bool {
        timeout(time, self.stream.readable()).await.is_err()
    }

    /// Reads something; false when the peer has closed.
    async fn read_more(&mut self, within: Duration) -> bool {
        let reading = timeout(within, self.stream.read_buf(&mut self.buffer)).await;
        // A reset is an end like any other: it comes when the peer closed without having read everything.
        reading.expect("the peer neither sends nor closes").unwrap_or(0) > 0
    }
}

/// A request without a body.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// A message to a session, with further headers (each with its line end).
pub(crate) fn say(session: &str, content: &str, headers: &str) -> String {
    let body = json!({ "content": content }).to_string();
    format!(
        "POST {} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        messages_of(session),
        body.len()
    )
}

/// The header that asks for a stream.
pub(crate) const EVENTS: &str = "Accept: text/event-stream\r\n";
