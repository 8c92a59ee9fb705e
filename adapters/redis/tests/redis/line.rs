//! A line to a Redis that is long, or loses things.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chat_test_support::RedisServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Handle,
    sync::mpsc,
};

pub(crate) struct Line {
    here: SocketAddr,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    loses_next: AtomicBool,
    lost: AtomicUsize,
}

impl Line {
    /// A line on which everything takes `delay` each way, however much there is of it.
    pub(crate) async fn to(server: &RedisServer, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (here, there) = (listener.local_addr().expect("an address"), server.address());
        let line = Self { here, faults: Arc::default() };
        let faults = line.faults.clone();
        Handle::current().spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&there).await.expect("the server");
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                let faults = faults.clone();
                Handle::current().spawn(async move {
                    // Either end of it is the end of the connection.
                    tokio::select! {
                        () = carry(near_read, far_write, delay, None) => {}
                        () = carry(far_read, near_write, delay, Some(&faults)) => {}
                    }
                });
            }
        });
        line
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/0", self.here)
    }

    /// The next answer is not passed on, and its connection ends.
    pub(crate) fn lose_next_answer(&self) {
        self.faults.loses_next.store(true, Ordering::SeqCst);
    }

    /// How many answers were lost.
    pub(crate) fn lost(&self) -> usize {
        self.faults.lost.load(Ordering::SeqCst)
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration, faults: Option<&Faults>) {
    let (send, mut receive) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if faults.is_some_and(|faults| faults.loses_next.swap(false, Ordering::SeqCst)) {
                faults.map(|faults| faults.lost.fetch_add(1, Ordering::SeqCst));
                return;
            }
            if send.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    };
    let write = async {
        while let Some((due, bytes)) = receive.recv().await {
            tokio::time::sleep_until(due.into()).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}
