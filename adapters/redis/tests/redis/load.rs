//! Turns without end from two replicas, while something is done to Redis: what was answered is remembered once, and
//! nothing is left waiting.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chat_domain::{
    message::Role,
    ports::sessions::{CommitError, SessionStore},
    session::SessionId,
    testing::samples::{limit, said},
};
use chat_redis::RedisSessions;
use tokio::task::JoinHandle;

use crate::scene::{ANYBODY, create, open, prefix, store, try_open};

/// Sessions that are spoken in, each by both replicas.
const SESSIONS: usize = 6;

pub(crate) struct Load {
    pub(crate) replicas: [Arc<RedisSessions>; 2],
    ids: Vec<SessionId>,
    is_over: Arc<AtomicBool>,
    committed: Arc<AtomicUsize>,
    speakers: Vec<JoinHandle<Spoken>>,
    pub(crate) prefix: String,
}

#[derive(Default)]
struct Spoken {
    /// What was committed for certain.
    stored: Vec<(SessionId, String)>,
    /// What may have been.
    doubtful: Vec<(SessionId, String)>,
    /// The longest that a commit took.
    slowest: Duration,
}

impl Load {
    pub(crate) async fn begin(url: &str) -> Self {
        let prefix = prefix();
        let replicas = [store(url, &prefix).await, store(url, &prefix).await];
        let mut ids = Vec::new();
        for _ in 0..SESSIONS {
            ids.push(create(&replicas[0]).await.id);
        }
        let (is_over, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut speakers = Vec::new();
        for speaker in 0..2 * SESSIONS {
            let (store, id) = (replicas[speaker % 2].clone(), ids[speaker / 2]);
            let (is_over, committed) = (is_over.clone(), committed.clone());
            speakers.push(tokio::runtime::Handle::current().spawn(async move {
                let mut spoken = Spoken::default();
                for n in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    speak(&store, id, format!("{speaker}.{n}"), &committed, &mut spoken).await;
                }
                spoken
            }));
        }
        Self { replicas, ids, is_over, committed, speakers, prefix }
    }

    /// Waits until so many more turns have been committed.
    pub(crate) async fn goes_on(&self, turns: usize, within: Duration) {
        let (before, began) = (self.committed.load(Ordering::Relaxed), Instant::now());
        while self.committed.load(Ordering::Relaxed) < before + turns {
            assert!(began.elapsed() < within, "no {turns} turns within {within:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends it, and looks at what is left; tells how long the slowest commit took. `may_lose_a_tail`: after a failover
    /// what was acknowledged last may be gone.
    pub(crate) async fn end(self, may_lose_a_tail: bool) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        let (mut slowest, mut stored, mut doubtful) = (Duration::ZERO, Vec::new(), Vec::new());
        for speaker in self.speakers {
            let spoken = speaker.await.expect("no panic");
            slowest = slowest.max(spoken.slowest);
            stored.extend(spoken.stored);
            doubtful.extend(spoken.doubtful);
        }
        let mut times: HashMap<(SessionId, String), usize> = HashMap::new();
        for id in &self.ids {
            let read = self.replicas[0].read(*id, &ANYBODY).await.expect("an answer").expect("the session");
            let mut last: HashMap<String, usize> = HashMap::new();
            for pair in read.memory.chunks(2) {
                let [question, answer] = pair else { panic!("half of a turn") };
                assert_eq!(question.content, answer.content, "two halves of different turns");
                // Whoever speaks waits for the end of one turn before the next.
                let (speaker, n) = question.content.split_once('.').expect("a speaker");
                let n = n.parse().expect("a number");
                let before = last.insert(speaker.to_owned(), n);
                assert!(before < Some(n), "{speaker} said {n} after {before:?}");
                *times.entry((*id, question.content.to_string())).or_default() += 1;
            }
        }
        for (turn, times) in &times {
            assert_eq!(*times, 1, "{turn:?}");
            assert!(stored.contains(turn) || doubtful.contains(turn), "{turn:?} was refused");
        }
        let missing = stored.iter().filter(|turn| !times.contains_key(*turn)).count();
        assert!(missing == 0 || may_lose_a_tail, "{missing} turns of {} are lost", stored.len());
        // Nobody waits, and nobody is waited for.
        for id in &self.ids {
            let began = Instant::now();
            drop(open(&self.replicas[1], *id).await);
            assert!(began.elapsed() < Duration::from_secs(2), "a turn had to wait {:?}", began.elapsed());
        }
        slowest
    }
}

/// One turn, and what is known of it afterwards.
async fn speak(store: &RedisSessions, id: SessionId, text: String, committed: &AtomicUsize, spoken: &mut Spoken) {
    let Ok(opened) = try_open(store, id).await else {
        // As a client would, that was refused.
        tokio::time::sleep(Duration::from_millis(20)).await;
        return;
    };
    // The model takes its time, too.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let new = Arc::from([said(Role::User, &text, 0), said(Role::Assistant, &text, 1)]);
    let asked = Instant::now();
    match opened.ticket.commit(new, limit(100_000)).await {
        Ok(()) => {
            committed.fetch_add(1, Ordering::Relaxed);
            spoken.stored.push((id, text));
        }
        Err(CommitError::Lost(_)) => {}
        Err(CommitError::Unavailable(_)) => spoken.doubtful.push((id, text)),
    }
    spoken.slowest = spoken.slowest.max(asked.elapsed());
}
