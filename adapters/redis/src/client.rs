//! The connections: [`Redis`].

mod command;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chat_domain::{admission::BucketPolicy, ports::Clock};
use fred::{
    clients::Client,
    interfaces::{ClientLike, EventInterface, PubsubInterface},
    types::{
        CustomCommand, Message, Value,
        config::{Options, Server},
    },
};
use tokio::{
    runtime::Handle,
    sync::broadcast,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

pub(crate) use self::command::Command;
use crate::{
    bypass::RedisBypass,
    config::{BuildError, RedisConfig},
    error::Error,
    health::RedisHealth,
    history::RedisHistory,
    keys::Keys,
    limits::RedisLimiter,
    presence::Presence,
    sessions::{RedisSessions, SessionPolicy},
};

/// A command is answered, or has failed, after this time, and so is an operation of several: clients are promised an
/// answer within two seconds.
pub const PATIENCE: Duration = Duration::from_millis(1_800);

/// How long the start waits for the first connection before it goes on without.
const FIRST_CONNECTION: Duration = Duration::from_secs(1);
/// The pause before a connection is begun anew that has given itself up, and before channels are asked for again.
const AGAIN: Duration = Duration::from_millis(500);
/// The pause before what a lost connection may have swallowed is sent again.
const RESEND: Duration = Duration::from_millis(25);
/// How often a command is sent on to another node of a cluster: once when a slot has moved, and a few times while it moves.
const MOST_MOVES: u32 = 4;
/// Connections that commands are spread over. One would carry them all; several keep a large answer from being in
/// everybody's way.
const LANES: usize = 3;

/// The connections to a Redis, and the ports behind which it stands. Cloning gives the same connections; they are closed
/// when the last clone, and everything that was made of it, is dropped.
#[derive(Clone)]
pub struct Redis(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    lanes: Vec<Client>,
    subscriber: Client,
    next_lane: AtomicUsize,
    /// Somebody is already leaving a server that no longer takes writes.
    is_moving: Arc<AtomicBool>,
    pub(crate) keys: Keys,
    /// This process among those that share the Redis.
    pub(crate) replica: Box<str>,
    pub(crate) runtime: Handle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) presence: Arc<Presence>,
    tasks: Vec<JoinHandle<()>>,
}

impl Redis {
    /// Connects, in the background and for as long as it takes: a Redis that is down is no error. Waits up to a second
    /// for it, so that a service that starts beside a healthy one refuses nobody.
    ///
    /// To be called in a tokio runtime, in which everything runs that is made of it.
    ///
    /// # Errors
    /// When the configuration cannot be one of a Redis.
    pub async fn connect(config: &RedisConfig, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        let driver = config.driver()?;
        let lanes: Vec<Client> = (0..LANES).map(|_| driver.client()).collect();
        let subscriber = driver.client();
        let keys = Keys::new(&config.prefix);
        #[expect(clippy::disallowed_methods, reason = "no identity of the domain's, and never shown")]
        let replica = Uuid::new_v4().simple().to_string().into_boxed_str();
        let channels = vec![format!("{}{replica}", keys.channels()), keys.bypass()];

        let presence = Arc::new(Presence::new(clock.clone()));
        let runtime = Handle::current();
        // Listening before there is anything to hear.
        let connected = subscriber.reconnect_rx();
        let mut tasks = vec![runtime.spawn(subscribe(subscriber.clone(), connected, channels))];
        // What keeps one from connecting keeps all, and one is enough to tell of it.
        let all = lanes.iter().chain([&subscriber]).enumerate();
        tasks.extend(
            all.map(|(at, client)| runtime.spawn(stay_connected(client.clone(), (at == 0).then(|| presence.clone())))),
        );
        let are_connected = async {
            while !lanes.iter().all(ClientLike::is_connected) {
                sleep(RESEND / 5).await;
            }
        };
        if timeout(FIRST_CONNECTION, are_connected).await.is_err() {
            tracing::warn!("Redis does not answer: starting without it, and trying on");
        }
        let (next_lane, is_moving) = (AtomicUsize::default(), Arc::default());
        Ok(Self(Arc::new(Inner {
            lanes,
            subscriber,
            next_lane,
            is_moving,
            keys,
            replica,
            runtime,
            clock,
            presence,
            tasks,
        })))
    }

    /// Sessions, their memory and the order of their turns.
    pub fn sessions(&self, policy: SessionPolicy) -> RedisSessions {
        RedisSessions::new(self.0.clone(), policy)
    }

    /// Token buckets that all replicas share. They decide at once, or not at all ([`DECISION`](crate::DECISION)).
    pub fn limiter(&self, policy: BucketPolicy) -> RedisLimiter {
        RedisLimiter::new(self.0.clone(), policy)
    }

    /// The bypass list that all replicas share.
    pub fn bypass(&self) -> RedisBypass {
        RedisBypass::new(self.0.clone())
    }

    /// The archive whose keys begin with `namespace`. In a cluster the namespace must have no braces in it.
    /// `provider` is what is written as a session's provider: the Python service expects one with every session it reads.
    pub fn history(&self, namespace: &str, provider: &str) -> RedisHistory {
        RedisHistory::new(self.0.clone(), namespace, provider)
    }

    /// Whether Redis answers and can be written to.
    pub fn health(&self) -> RedisHealth {
        RedisHealth::new(self.0.clone())
    }
}

/// Says nothing of where it is connected to, nor as whom.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("is_connected", &self.0.is_connected()).finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn is_connected(&self) -> bool {
        self.lanes.iter().any(ClientLike::is_connected)
    }

    pub(crate) fn is_clustered(&self) -> bool {
        self.subscriber.is_clustered()
    }

    /// What is told on this replica's channel and the bypass list's.
    pub(crate) fn messages(&self) -> broadcast::Receiver<Message> {
        self.subscriber.message_rx()
    }

    /// Has a command carried out. It is sent again when a connection is lost under it: see [`Command`].
    ///
    /// # Errors
    /// When there is no answer within [`PATIENCE`], or by the command's own deadline; at once if there is no connection, or
    /// none to a server that can carry it out now, unless the command insists.
    pub(crate) async fn run(&self, command: Command) -> Result<Value, Error> {
        let result = self.attempt(command).await;
        match &result {
            Ok(_) => self.presence.note_answer(),
            Err(error) => self.presence.note_failure(error),
        }
        result
    }

    async fn attempt(&self, mut command: Command) -> Result<Value, Error> {
        let patience_ends = Instant::now() + PATIENCE;
        let deadline = command.deadline().map_or(patience_ends, |deadline| deadline.min(patience_ends));
        // As long as nothing was sent there is no doubt, and no reason to wait for a connection.
        let mut failure = Error::Disconnected;
        loop {
            let time_left = deadline.saturating_duration_since(Instant::now());
            // To the driver, no time is all the time in the world.
            if time_left.is_zero() {
                return Err(if failure == Error::Lost { failure } else { Error::Silent });
            }
            match self.send(&command, time_left).await {
                Err(error) if error.details().starts_with("NOSCRIPT") && command.carry_script() => continue,
                Err(error) => match Error::from(error) {
                    Error::Disconnected if failure == Error::Lost || command.insists() => {}
                    Error::Lost => failure = Error::Lost,
                    error => {
                        if error.is_wrong_server() {
                            self.leave_server();
                        }
                        // It was certainly not done, and soon may be. What was in doubt before remains so.
                        if !(error.passes() && command.insists()) {
                            return Err(error);
                        }
                        if failure != Error::Lost {
                            failure = error;
                        }
                    }
                },
                Ok(value) => return Ok(value),
            }
            if deadline.saturating_duration_since(Instant::now()) <= RESEND {
                return Err(failure);
            }
            sleep(RESEND).await;
        }
    }

    async fn send(&self, command: &Command, time: Duration) -> Result<Value, fred::error::Error> {
        let options = Options {
            timeout: Some(time),
            max_attempts: Some(MOST_MOVES),
            cluster_hash: Some(command.slot()),
            fail_fast: true,
            ..Options::default()
        };
        // Failing fast, it is not sent again by the driver when the connection is lost.
        let name = CustomCommand::new_static(command.name(), command.slot(), false);
        self.lane(command.lane()).with_options(&options).custom(name, command.args().to_vec()).await
    }

    /// The connection of a lane: what is sent on one is carried out in that order. Any other while it is not connected.
    fn lane(&self, lane: Option<usize>) -> &Client {
        let lane = lane.unwrap_or_else(|| self.next_lane.fetch_add(1, Ordering::Relaxed)) % LANES;
        let own = &self.lanes[lane];
        if own.is_connected() {
            return own;
        }
        self.lanes.iter().find(|client| client.is_connected()).unwrap_or(own)
    }

    /// Connects anew, by the same names: after a failover they lead to the new server, while the old one, by then a
    /// replica, still holds on to its connections.
    fn leave_server(&self) {
        if self.is_moving.swap(true, Ordering::AcqRel) {
            return;
        }
        let (lanes, is_moving) = (self.lanes.clone(), self.is_moving.clone());
        self.runtime.spawn(async move {
            for client in lanes {
                let _ = timeout(PATIENCE, client.force_reconnection()).await;
            }
            // Not more often: it may be that there is no other server.
            sleep(PATIENCE).await;
            is_moving.store(false, Ordering::Release);
        });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Ends the driver's task with ours.
struct Connection(JoinHandle<Result<(), fred::error::Error>>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps a client connecting. The driver reconnects by itself, but gives up when the first attempt fails, and when it
/// takes an answer for a sign that it never will succeed (a node that is not yet in its cluster).
async fn stay_connected(client: Client, tells: Option<Arc<Presence>>) {
    loop {
        let mut connection = Connection(client.connect());
        if let Ok(Err(error)) = (&mut connection.0).await
            && let Some(presence) = &tells
        {
            let error = Error::connecting(error);
            if presence.note_refusal(error.clone()) {
                tracing::warn!(error = %error, "Redis cannot be connected to");
            }
        }
        sleep(AGAIN).await;
    }
}

/// Subscribes to channels whenever there is a new connection.
async fn subscribe(client: Client, mut connected: broadcast::Receiver<Server>, channels: Vec<String>) {
    loop {
        match connected.recv().await {
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
        // The connection is told of before it is ready: what is sent waits for it, and has a bound of its own.
        while let Err(error) = client.subscribe(channels.clone()).await {
            tracing::debug!(error = %Error::from(error), "cannot subscribe to Redis's channels yet");
            if !connected.is_empty() {
                break;
            }
            sleep(AGAIN).await;
        }
    }
}
