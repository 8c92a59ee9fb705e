//! Readiness and metrics, which anybody may ask for without limits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chat_domain::{
    ports::health::{Health, HealthCheck, HealthState},
    testing::llm::ScriptedLlm,
};
use chat_local::system::SystemClock;
use chat_test_support::{Answer, assert_eventually};
use futures_util::future::join_all;
use reqwest::Method;

use crate::{common::SOON, in_process::InProcess};

/// Something that turns depend on: it counts how often it is asked, and takes its time to answer.
#[derive(Default)]
struct Counted {
    asked: AtomicUsize,
    is_down: AtomicBool,
}

impl Counted {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl HealthCheck for Counted {
    async fn check(&self) -> Health {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let is_down = self.is_down.load(Ordering::SeqCst);
        let state = if is_down { HealthState::Down } else { HealthState::Up };
        Health { name: "counted".into(), state, since: None, last_error: None, backlog: None, note: None }
    }
}

async fn depending_on(check: &Arc<Counted>) -> InProcess {
    InProcess::depending_on(check.clone(), ScriptedLlm::new(Arc::new(SystemClock::new()), [])).await
}

#[tokio::test]
async fn fifty_who_ask_at_once_are_one_question() {
    let check = Arc::new(Counted::default());
    let server = depending_on(&check).await;
    let client = server.client();
    let began = Instant::now();
    let answers = join_all((0..50).map(|number| {
        let path = if number % 2 == 0 { "/health/ready" } else { "/metrics" };
        Answer::of(client.request(Method::GET, path).header("accept", "text/plain"))
    }))
    .await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    // On a machine that takes seconds for all of them, it is one a second.
    let bound = 1 + began.elapsed().as_secs() as usize;
    assert!((1..=bound).contains(&check.asked()), "asked {} times", check.asked());
}

#[tokio::test]
async fn an_answer_is_good_for_a_second() {
    let check = Arc::new(Counted::default());
    let server = depending_on(&check).await;
    let client = server.client();
    client.get("/health/ready").await.expect(200);
    check.is_down.store(true, Ordering::SeqCst);
    let began = Instant::now();
    assert_eventually!(client.get("/health/ready").await.status == 503, SOON);
    let metrics = Answer::of(client.request(Method::GET, "/metrics").header("accept", "text/plain")).await;
    assert!(metrics.text.contains("unavailable"), "{}", metrics.text);
    assert!(check.asked() <= 2 + began.elapsed().as_secs() as usize, "asked {} times", check.asked());
}

#[tokio::test]
async fn one_who_goes_away_takes_nobodys_answer_along() {
    let check = Arc::new(Counted::default());
    let server = depending_on(&check).await;
    let client = server.client();
    for _ in 0..5 {
        let hasty = tokio::time::timeout(Duration::from_millis(10), client.get("/health/ready"));
        let (_gone, stays) = tokio::join!(hasty, client.get("/health/ready"));
        stays.expect(200);
    }
}
