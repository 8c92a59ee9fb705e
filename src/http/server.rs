//! The accept loop: what poem's own server hides is set here, and every peer that dawdles is bounded.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_io_timeout::TimeoutStream;

use super::Service;

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections at a time; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// From a connection's start to its first byte.
    pub first_byte: Duration,
    /// For a request's head, and between requests.
    pub header_read: Duration,
    /// For a peer that does not take what it is sent: a reader of a stream that has stopped reading is dropped.
    pub write_stall: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            first_byte: Duration::from_secs(30),
            header_read: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
        }
    }
}

/// The longest head of a request, in bytes, and what hyper buffers for a connection at the most.
const MAX_HEAD: usize = 64 * 1024;

/// After a failed accept (out of files, most likely) there is no use in trying again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` resolves; then stops accepting and lets running requests end, at most for `grace`. Tells whether
/// all ended.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> bool {
    // HTTP/1.1 alone. Over HTTP/2 a peer that opens no window holds a streamed turn for ever: nothing asks for the answer
    // any more, so its deadline is never looked at, and no write is under way that could stall.
    let mut http = http1::Builder::new();
    // Not `pipeline_flush`: with it hyper buffers all that a turn says, however little of it the reader takes.
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_read).max_buf_size(MAX_HEAD);
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    // Dropped when no more connections are taken.
    let (accepting, stopped) = watch::channel(());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (http, service, watcher) = (http.clone(), service.clone(), connections.watcher());
        let mut stopped = stopped.clone();
        spawn(async move {
            let prepared = tokio::select! {
                // Whoever has not said anything by then is not waited for.
                _ = stopped.changed() => None,
                prepared = prepare(stream, limits) => prepared,
            };
            if let Some((io, local)) = prepared {
                let answer = service_fn(move |request: hyper::Request<Incoming>| {
                    let service = service.clone();
                    async move { Ok::<_, Infallible>(hyper::Response::from(service.call(request, local, peer).await)) }
                });
                let connection = http.serve_connection(io, answer);
                if let Err(error) = watcher.watch(connection).await {
                    tracing::debug!(error = %error, "a connection ended early");
                }
            }
            drop(place);
        });
    }
    drop((listener, accepting));
    tokio::time::timeout(grace, connections.shutdown()).await.is_ok()
}

/// A place first, then a connection to fill it: without a place nobody is let in.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

type Io = TokioIo<std::pin::Pin<Box<TimeoutStream<TcpStream>>>>;

/// Waits for a first byte. None if it did not come in time.
async fn prepare(stream: TcpStream, limits: ConnectionLimits) -> Option<(Io, SocketAddr)> {
    // Without this a streamed event waits up to 40 ms for the acknowledgement of the one before.
    stream.set_nodelay(true).ok()?;
    let local = stream.local_addr().ok()?;
    tokio::time::timeout(limits.first_byte, stream.readable()).await.ok()?.ok()?;
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_stall));
    Some((TokioIo::new(Box::pin(stream)), local))
}

#[expect(
    clippy::disallowed_methods,
    reason = "connections are the one thing that the server itself runs beside the accept loop"
)]
fn spawn(connection: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(connection);
}
