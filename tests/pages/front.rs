//! A proxy before the service, which answers some paths by itself: what stands before a real one says things that the
//! service never does. It also knows what the browser has sent.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chat_test_support::Service;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What connections share: the scripted answers by their paths, and the head of each request that came.
#[derive(Debug, Default)]
struct Known {
    answers: HashMap<String, String>,
    heads: Vec<String>,
}

type Shared = Arc<Mutex<Known>>;

fn lock(known: &Shared) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends when dropped.
pub(crate) struct Front {
    address: SocketAddr,
    known: Shared,
    _accepting: JoinSet<()>,
}

impl Front {
    /// One that passes everything on.
    pub(crate) async fn before(service: &Service) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let known = Shared::default();
        let behind = service.base_url().trim_start_matches("http://").to_owned();
        let mut accepting = JoinSet::new();
        let shared = known.clone();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, behind.clone(), shared.clone()));
            }
        });
        Self { address, known, _accepting: accepting }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on a path is answered so: a status, more headers, and a body.
    pub(crate) fn answer(&self, path: &str, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} Scripted\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        lock(&self.known).answers.insert(path.to_owned(), answer);
    }

    /// From now on a path is passed on again.
    pub(crate) fn pass(&self, path: &str) {
        lock(&self.known).answers.remove(path);
    }

    /// The heads of the requests so far, in small letters.
    pub(crate) fn heads(&self) -> Vec<String> {
        lock(&self.known).heads.clone()
    }
}

/// One request of a connection. What it cannot answer it drops: the browser asks again.
async fn answer(mut stream: TcpStream, behind: String, known: Shared) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let scripted = {
        let mut known = lock(&known);
        known.heads.push(head.to_ascii_lowercase());
        known.answers.get(path).cloned()
    };
    if let Some(answer) = scripted {
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        return;
    }
    let Ok(mut service) = TcpStream::connect(behind).await else { return };
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1).replace("\r\nConnection: keep-alive\r\n", "\r\n");
    if service.write_all(head.as_bytes()).await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut service).await;
    }
}
