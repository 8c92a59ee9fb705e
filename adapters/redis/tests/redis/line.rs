//! A line to a Redis that is long, falls silent, or loses things.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
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

struct Faults {
    delay_millis: AtomicU64,
    until_silence: AtomicI64,
    loses_next: AtomicBool,
    lost: AtomicUsize,
    is_asked: AtomicBool,
    trips: AtomicUsize,
}

impl Line {
    /// A line on which everything takes `delay` each way, however much there is of it.
    pub(crate) async fn to(server: &RedisServer, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (here, there) = (listener.local_addr().expect("an address"), server.address());
        let line = Self { here, faults: Arc::new(Faults::new(delay)) };
        let faults = line.faults.clone();
        Handle::current().spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&there).await.expect("the server");
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                let faults = faults.clone();
                Handle::current().spawn(async move {
                    // Either end of it is the end of the connection.
                    tokio::select! {
                        () = carry(near_read, far_write, &faults, false) => {}
                        () = carry(far_read, near_write, &faults, true) => {}
                    }
                });
            }
        });
        line
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/0", self.here)
    }

    /// From now on everything takes so long each way.
    pub(crate) fn set_delay(&self, delay: Duration) {
        self.faults.delay_millis.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// So many answers come yet; those after them are held back, until [`Line::speak`].
    pub(crate) fn fall_silent_after(&self, answers: i64) {
        self.faults.until_silence.store(answers, Ordering::SeqCst);
    }

    pub(crate) fn speak(&self) {
        self.faults.until_silence.store(NEVER, Ordering::SeqCst);
    }

    /// The next answer is not passed on, and its connection ends.
    pub(crate) fn lose_next_answer(&self) {
        self.faults.loses_next.store(true, Ordering::SeqCst);
    }

    /// How many round trips there were: requests after an answer, together with those that did not wait for theirs.
    pub(crate) fn trips(&self) -> usize {
        self.faults.trips.load(Ordering::SeqCst)
    }

    /// How many answers were lost.
    pub(crate) fn lost(&self) -> usize {
        self.faults.lost.load(Ordering::SeqCst)
    }
}

/// More answers than any test sees.
const NEVER: i64 = i64::MAX / 2;

impl Faults {
    fn new(delay: Duration) -> Self {
        Self {
            delay_millis: AtomicU64::new(delay.as_millis() as u64),
            until_silence: AtomicI64::new(NEVER),
            loses_next: AtomicBool::new(false),
            lost: AtomicUsize::new(0),
            is_asked: AtomicBool::new(false),
            trips: AtomicUsize::new(0),
        }
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_millis.load(Ordering::SeqCst))
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: &Faults, are_answers: bool) {
    let (send, mut receive) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if !are_answers && !faults.is_asked.swap(true, Ordering::SeqCst) {
                faults.trips.fetch_add(1, Ordering::SeqCst);
            }
            if are_answers && faults.loses_next.swap(false, Ordering::SeqCst) {
                faults.lost.fetch_add(1, Ordering::SeqCst);
                return;
            }
            if are_answers && faults.until_silence.fetch_sub(1, Ordering::SeqCst) <= 0 {
                while faults.until_silence.load(Ordering::SeqCst) <= 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            if send.send((Instant::now() + faults.delay(), buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    };
    let write = async {
        while let Some((due, bytes)) = receive.recv().await {
            tokio::time::sleep_until(due.into()).await;
            if are_answers {
                faults.is_asked.store(false, Ordering::SeqCst);
            }
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
