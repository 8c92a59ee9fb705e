//! Everything at once, for a while.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use chat_test_support::{Client, Cut, Reply, Service, Upstream, assert_eventually};
use tokio::task::JoinSet;

use crate::{
    common::{SOON, agent, echoed},
    raw::{Raw, say},
};

const CLIENTS: u64 = 64;
/// Fewer than clients: they meet.
const SESSIONS: u64 = 40;
const TIME: Duration = Duration::from_secs(20);
const MESSAGES: usize = 2_000;
/// Memory may be a little higher later on: allocators give back when they like.
const GROWTH: f64 = 1.15;

/// Chance that can be repeated.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn millis(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }
}

/// What all clients share.
struct Scene {
    base_url: String,
    sessions: Vec<Mutex<String>>,
    sent: AtomicUsize,
    answered: AtomicUsize,
    until: Instant,
}

impl Scene {
    fn session(&self, number: u64) -> String {
        self.sessions[number as usize].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a status; those of a sound service under these conditions only.
    fn note(&self, status: u16, text: &str) {
        assert!(matches!(status, 200 | 404 | 409 | 502 | 504), "{status}: {text}");
        self.answered.fetch_add(usize::from(status == 200), Relaxed);
    }

    async fn live(&self, client: &Client, chance: &mut Chance) {
        let mut raw_id = 0;
        while Instant::now() < self.until || self.sent.load(Relaxed) < MESSAGES {
            let number = chance.below(SESSIONS);
            let session = self.session(number);
            let content = format!("message {}", self.sent.fetch_add(1, Relaxed));
            match chance.below(100) {
                0..50 => {
                    let answer = client.say(&session, &content).await;
                    self.note(answer.status, &answer.text);
                }
                50..75 => match client.say_streaming(&session, &content).await {
                    Ok(events) => {
                        let last = events.collect().await.pop().expect("an event");
                        assert!(matches!(last.event.as_str(), "message.completed" | "error"), "{last:?}");
                        assert_ne!(last.data["error"]["code"], "internal_error");
                        self.answered.fetch_add(usize::from(last.event == "message.completed"), Relaxed);
                    }
                    Err(answer) => self.note(answer.status, &answer.text),
                },
                75..85 => {
                    if let Ok(mut events) = client.say_streaming(&session, &content).await {
                        let _ = tokio::time::timeout(chance.millis(30), events.next()).await;
                    }
                }
                85..97 => {
                    raw_id += 1;
                    let mut connection = Raw::connect(&self.base_url).await;
                    let whole = say(&session, &content, "");
                    // Some leave in the middle of their own request.
                    let sent = if raw_id % 3 == 0 { whole.len() / 2 } else { whole.len() };
                    connection.send(&whole[..sent]).await;
                    tokio::time::sleep(chance.millis(30)).await;
                }
                _ => {
                    let answer = client.delete(&format!("/sessions/{session}")).await;
                    assert!(matches!(answer.status, 204 | 404), "{}", answer.text);
                    if answer.status == 204 {
                        let new = client.create_session().await;
                        *self.sessions[number as usize].lock().unwrap_or_else(PoisonError::into_inner) = new;
                    }
                }
            }
        }
    }
}

/// An upstream with moods, until it is told to be good.
async fn moody(is_good: Arc<AtomicBool>, seed: u64) -> Upstream {
    let state = AtomicU64::new(seed);
    Upstream::answering(move |request| {
        let echo = Reply::text(format!("echo: {}", request.last_user()));
        if is_good.load(Relaxed) {
            return echo;
        }
        let mut chance = Chance(state.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed) | 1);
        chance.below(2);
        match chance.below(100) {
            0..80 => echo.after(chance.millis(15)),
            80..84 => Reply::malformed(),
            84..87 => Reply::null_content(),
            87..90 => Reply::status(400),
            90..93 => Reply::rate_limited(Some("1")),
            93..95 => echo.cut_after(40, Cut::Reset),
            95..97 => Reply::status(503),
            97..98 => Reply::no_answer(Cut::Close),
            _ => Reply::never(),
        }
    })
    .await
}

/// What of the service is in memory, in bytes.
fn resident(service: &Service) -> f64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", service.pid())).expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.expect("a number of pages") * 4096.0
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute of the whole machine; `make check-full` runs it"]
async fn a_busy_life_leaves_nothing_behind() {
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64 | 1);
    println!("seed {seed}");
    let is_good = Arc::new(AtomicBool::new(false));
    let upstream = moody(is_good.clone(), seed).await;
    let service = agent(&upstream)
        .env("TURN_TIMEOUT_SECONDS", "2")
        .env("SESSION_TTL_SECONDS", "6")
        .env("MEMORY_DEFAULT", "20")
        .env("LLM_MAX_RETRIES", "1")
        .start()
        .await;
    let client = service.client();
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(Mutex::new(client.create_session().await));
    }
    let scene = Arc::new(Scene {
        base_url: service.base_url().to_owned(),
        sessions,
        sent: AtomicUsize::new(0),
        answered: AtomicUsize::new(0),
        until: Instant::now() + TIME,
    });
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (scene, client) = (scene.clone(), service.client());
        let mut chance = Chance(seed.wrapping_mul(2 * number + 3) | 1);
        clients.spawn(async move { scene.live(&client, &mut chance).await });
    }
    tokio::time::sleep(TIME / 3).await;
    let early = resident(&service);
    while let Some(client) = clients.join_next().await {
        client.expect("no client failed");
    }
    let late = resident(&service);

    // Nobody is stuck, and what is remembered is whole.
    is_good.store(true, Relaxed);
    for number in 0..SESSIONS {
        let session = scene.session(number);
        assert_eventually!(matches!(client.say(&session, "the end").await.status, 200), SOON);
        assert_eq!(echoed(&client, &session).await.last().map(String::as_str), Some("the end"));
    }
    assert_eventually!(upstream.open() == 0, SOON);
    let (sent, answered) = (scene.sent.load(Relaxed), scene.answered.load(Relaxed));
    println!("{sent} sent, {answered} answered, {early} to {late} bytes");
    assert!(sent >= MESSAGES && 3 * answered > sent, "{answered} of {sent} were answered");
    assert!(late < early * GROWTH, "{early} bytes after a third of the time, {late} at the end");
    let log = service.log_text();
    assert!(!log.contains("panicked") && !log.contains(r#""level":"ERROR""#));

    // Left alone, they end.
    for number in 0..SESSIONS {
        let session = scene.session(number);
        let path = format!("/sessions/{session}");
        // Looking at a session keeps it alive: one look only.
        if number == 0 {
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        assert_eq!(client.get(&path).await.status, 404);
    }
}
