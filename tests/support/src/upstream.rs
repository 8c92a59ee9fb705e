//! A scripted OpenAI-compatible endpoint over real HTTP.
//!
//! Every request is recorded and answered by the next [`Reply`] of the script, or, when the
//! script is at its end, by the upstream's default. A default that panics, and any other panic in
//! here, fails the test when the [`Upstream`] is dropped.

mod completion;
mod gate;
mod record;
mod reply;
mod serve;

pub use gate::Gate;
pub use record::RecordedRequest;
pub use reply::{Cut, Reply};

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use record::{Ledger, Tally};

/// How long [`Upstream`]'s waits wait before they fail the test: far beyond what a loaded machine
/// needs, and short of a test runner's own patience.
const PATIENCE: Duration = Duration::from_secs(20);

type Respond = dyn Fn(&RecordedRequest) -> Reply + Send + Sync;

/// An endpoint that answers by script; stops listening and drops its connections when dropped.
///
/// ```
/// # use chat_test_support::{Reply, Upstream};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let upstream = Upstream::start().await;
/// upstream.push(Reply::status(503));
/// upstream.push(Reply::text("second try"));
/// let base = upstream.base_url(); // goes into OPENROUTER_BASE_URL
/// # assert!(base.ends_with("/v1"));
/// # }
/// ```
pub struct Upstream {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    /// The accept loop, which owns the tasks of its connections.
    _accepting: JoinSet<()>,
}

impl Upstream {
    /// Starts one that, beyond its script, echoes the last user message as `echo: …`.
    pub async fn start() -> Self {
        Self::answering(|request| Reply::text(format!("echo: {}", request.last_user()))).await
    }

    /// Starts one that answers exactly these, in order; a request too many fails the test.
    pub async fn scripted(replies: impl IntoIterator<Item = Reply>) -> Self {
        let upstream = Self::answering(|request| panic!("no reply in the script for request {}", request.number)).await;
        replies.into_iter().for_each(|reply| upstream.push(reply));
        upstream
    }

    /// Starts one whose answer, beyond its script, is made from the request.
    pub async fn answering(default: impl Fn(&RecordedRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), default).await
    }

    /// Starts one at a given address, such as that of one that went down earlier.
    ///
    /// # Panics
    /// When the address cannot be bound.
    pub async fn at(address: SocketAddr, default: impl Fn(&RecordedRequest) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port to listen on");
        let address = listener.local_addr().expect("a bound socket has an address");
        let ledger = Arc::new(Ledger::new(Box::new(default)));
        let mut accepting = JoinSet::new();
        accepting.spawn(serve::accept(listener, Arc::clone(&ledger)));
        Self { address, ledger, _accepting: accepting }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that OpenAI clients want: everything before `/chat/completions`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Adds a reply to the end of the script.
    pub fn push(&self, reply: Reply) {
        self.ledger.change(|book| book.script.push_back(reply));
    }

    /// Every request so far, in the order of their arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.ledger.look(|book| book.requests.clone())
    }

    /// The latest request.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn last_request(&self) -> RecordedRequest {
        self.requests().pop().expect("the upstream was asked")
    }

    /// How many requests are being answered now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.ledger.look(|book| book.tally.open)
    }

    /// The most requests that were ever being answered at the same time.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.ledger.look(|book| book.tally.peak)
    }

    /// How many answers were handed over to their end (a planned reset is such an end).
    #[must_use]
    pub fn completed(&self) -> usize {
        self.ledger.look(|book| book.tally.completed)
    }

    /// How many clients went away before the end of their answer.
    #[must_use]
    pub fn aborted(&self) -> usize {
        self.ledger.look(|book| book.tally.aborted)
    }

    /// How many connections were accepted: what keep-alive saves.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.ledger.look(|book| book.tally.connections)
    }

    /// Waits until that many requests have come in, all told.
    pub async fn wait_for_requests(&self, number: usize) {
        self.wait("requests", number, |_, requests| requests).await;
    }

    /// Waits until that many clients have gone away early, all told.
    pub async fn wait_for_aborted(&self, number: usize) {
        self.wait("aborted", number, |tally, _| tally.aborted).await;
    }

    /// Fails the test if anything panicked in here; dropping the upstream does the same.
    ///
    /// # Panics
    /// With the first failure's message.
    pub fn verify(&self) {
        if let Some(failure) = self.ledger.change(|book| book.failures.pop()) {
            panic!("the scripted upstream failed: {failure}");
        }
    }

    async fn wait(&self, what: &str, number: usize, count: impl Fn(&Tally, usize) -> usize) {
        let seen = || self.ledger.look(|book| count(&book.tally, book.requests.len()));
        let waiting = async {
            loop {
                // Registered before the look, so that a change between look and wait counts.
                let changed = self.ledger.changed();
                if seen() >= number {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{what}: {} of {number} within {PATIENCE:?}", seen());
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // A second panic while the test's own unwinds would abort the whole test run.
        if !std::thread::panicking() {
            self.verify();
        }
    }
}

/// A port that is taken, and refuses every connection: a backend that is down.
pub struct DeadPort {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl DeadPort {
    /// Takes a free port without listening on it.
    ///
    /// # Panics
    /// When no port can be had.
    #[must_use]
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let address = socket.local_addr().expect("a bound socket has an address");
        Self { address, _socket: socket }
    }

    /// The address that refuses.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as [`Upstream::base_url`], of an endpoint that is down.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

/// What a caught panic said.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}
