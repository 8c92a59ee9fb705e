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
    is_cutting: bool,
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

    /// Whether streams break off from now on when the service says that the answer is complete: it has been remembered by
    /// then.
    pub(crate) fn cut_streams(&self, is_cutting: bool) {
        lock(&self.known).is_cutting = is_cutting;
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
    let (scripted, is_cutting) = {
        let mut known = lock(&known);
        known.heads.push(head.to_ascii_lowercase());
        (known.answers.get(path).cloned(), known.is_cutting)
    };
    if let Some(answer) = scripted {
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        return;
    }
    let Ok(mut service) = TcpStream::connect(behind).await else { return };
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1).replace("\r\nConnection: keep-alive\r\n", "\r\n");
    if service.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    if is_cutting {
        pass_until_complete(stream, service).await;
    } else {
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut service).await;
    }
}

/// Passes everything on until the service says that an answer is complete, which it keeps to itself.
async fn pass_until_complete(mut stream: TcpStream, mut service: TcpStream) {
    const END: &[u8] = b"event: message.completed";
    let (mut from_browser, mut to_browser) = stream.split();
    let (mut from_service, mut to_service) = service.split();
    let answering = async {
        let (mut read, mut passed) = (Vec::new(), 0);
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = from_service.read(&mut piece).await {
            read.extend_from_slice(&piece[..length]);
            let end = read.windows(END.len()).position(|window| window == END);
            let until = end.unwrap_or(read.len()).max(passed);
            if to_browser.write_all(&read[passed..until]).await.is_err() || end.is_some() {
                return;
            }
            passed = read.len();
        }
    };
    let asking = async {
        let _ = tokio::io::copy(&mut from_browser, &mut to_service).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = answering => {}
        () = asking => {}
    }
}
