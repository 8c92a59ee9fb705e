//! The other programs on the wire: what answers, and what stands in between for comparison.

pub(crate) mod databases;
pub(crate) mod echo;
pub(crate) mod nginx;
pub(crate) mod passthrough;
pub(crate) mod sse_proxy;
pub(crate) mod upstream;

use std::io::{Read, Write};
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::Failure;

/// Listens on a free port and tells it to the parent.
async fn listen() -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?.port())?;
    stdout.flush()?;
    Ok(listener)
}

/// Resolves when the parent is gone, however it went: it holds our standard input.
async fn parent_gone() {
    let (sender, receiver) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(sender);
    });
    let _ = receiver.await;
}
