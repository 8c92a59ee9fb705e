//! Clients that talk to several sessions through several replicas, say again what failed, and know what was answered.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chat_test_support::Client;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::scene::{archived, memory};

/// Between a failure and the next attempt.
const AGAIN: Duration = Duration::from_millis(25);

/// What is said, and what came of it.
pub(crate) struct Load {
    replicas: Vec<Client>,
    sessions: Vec<String>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Every attempt, by its text, which is said only once.
    attempts: HashMap<String, Attempt>,
    answered: usize,
    failures: BTreeMap<String, usize>,
    slowest: Duration,
    is_over: bool,
}

struct Attempt {
    session: usize,
    sent: Instant,
    answered: Option<Instant>,
}

/// What the end found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) answered: usize,
    #[expect(dead_code, reason = "printed")]
    pub(crate) attempts: usize,
    /// Stored, but the client does not know: what a crash may leave.
    pub(crate) unseen: usize,
    /// Of those, not archived; after a failover: answered, but not archived.
    pub(crate) unarchived: usize,
    /// Answered, but lost from the memory with the server that acknowledged it.
    pub(crate) forgotten: usize,
}

/// Of turns that were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    None,
    OfSome,
}

impl Load {
    /// In so many new sessions.
    pub(crate) async fn new(replicas: &[Client], sessions: usize) -> Arc<Self> {
        let mut ids = Vec::new();
        for number in 0..sessions {
            ids.push(replicas[number % replicas.len()].create_session().await);
        }
        Arc::new(Self { replicas: replicas.to_vec(), sessions: ids, book: Mutex::default() })
    }

    /// Lets so many clients say so many messages each, one after the other, until they are through or told to end. Each
    /// goes from session to session and from replica to replica.
    pub(crate) fn start(self: &Arc<Self>, clients: usize, messages: usize, pause: Duration) -> JoinSet<()> {
        let mut running = JoinSet::new();
        for client in 0..clients {
            let load = self.clone();
            running.spawn(async move {
                let mut next = client;
                for message in 0..messages {
                    let session = (client + message) % load.sessions.len();
                    for attempt in 0.. {
                        if load.book().is_over {
                            return;
                        }
                        next += 1;
                        let replica = &load.replicas[next % load.replicas.len()];
                        if load.say(replica, session, format!("{client}.{message}.{attempt}")).await {
                            break;
                        }
                        tokio::time::sleep(AGAIN).await;
                    }
                    tokio::time::sleep(pause).await;
                }
            });
        }
        running
    }

    async fn say(&self, replica: &Client, session: usize, text: String) -> bool {
        let sent = Instant::now();
        self.book().attempts.insert(text.clone(), Attempt { session, sent, answered: None });
        let path = format!("/sessions/{}/messages", self.sessions[session]);
        let request = replica.request(Method::POST, &path).json(&json!({"content": text}));
        let outcome = async {
            let response = request.send().await.map_err(|_| "no answer".to_owned())?;
            let status = response.status().as_u16();
            let body = response.bytes().await.map_err(|_| "half an answer".to_owned())?;
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            if status == 200 { Ok(body) } else { Err(format!("{status} {}", body["error"]["code"])) }
        };
        let outcome = outcome.await;
        let mut book = self.book();
        book.slowest = book.slowest.max(sent.elapsed());
        match outcome {
            Ok(body) => {
                assert_eq!(body["message"]["content"], format!("echo: {text}"));
                book.answered += 1;
                book.attempts.get_mut(&text).expect("it was said").answered = Some(Instant::now());
                true
            }
            Err(failure) => {
                *book.failures.entry(failure).or_default() += 1;
                false
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many were answered with 200.
    pub(crate) fn answered(&self) -> usize {
        self.book().answered
    }

    /// What failed how often.
    pub(crate) fn failures(&self) -> BTreeMap<String, usize> {
        self.book().failures.clone()
    }

    /// How long the slowest answer took.
    pub(crate) fn slowest(&self) -> Duration {
        self.book().slowest
    }

    /// Lets the clients end what they are saying, and waits until they have.
    pub(crate) async fn end(&self, running: JoinSet<()>) {
        self.book().is_over = true;
        running.join_all().await;
    }

    /// Fails the test unless memory and archive, if there is one, have every turn that was answered exactly once, none
    /// twice, whole, and in the order in which they were said.
    pub(crate) async fn verify(&self, operator: &Client, is_archived: bool) -> Found {
        let mut found = self.found();
        for (session, id) in self.sessions.iter().enumerate() {
            let remembered = turns(&memory(operator, id).await);
            self.verify_turns("memory", session, &remembered, Loss::None);
            found.unseen += remembered.iter().filter(|text| self.is_unseen(text)).count();
            if is_archived {
                let archived = turns(&archived(operator, id).await.expect("the archive has the session"));
                self.verify_turns("archive", session, &archived, Loss::None);
                found.unarchived += remembered.len() - archived.len();
                let both: Vec<&String> = remembered.iter().filter(|text| archived.contains(text)).collect();
                assert_eq!(
                    both,
                    archived.iter().collect::<Vec<_>>(),
                    "the archive has what the memory has, in its order"
                );
            }
        }
        found
    }

    /// The same after a Redis was lost whose replica took over: what it acknowledged in its last moment may be gone from
    /// the memory, and from an archive that is there as well. An archive elsewhere has it all.
    pub(crate) async fn verify_after_failover(&self, operator: &Client, archive: Loss) -> Found {
        let mut found = self.found();
        for (session, id) in self.sessions.iter().enumerate() {
            let remembered = turns(&memory(operator, id).await);
            found.forgotten += self.verify_turns("memory", session, &remembered, Loss::OfSome);
            found.unseen += remembered.iter().filter(|text| self.is_unseen(text)).count();
            let archived = turns(&archived(operator, id).await.expect("the archive has the session"));
            found.unarchived += self.verify_turns("archive", session, &archived, archive);
            let in_both = |one: &[String], other: &[String]| -> Vec<String> {
                one.iter().filter(|text| other.contains(text)).cloned().collect()
            };
            assert_eq!(in_both(&remembered, &archived), in_both(&archived, &remembered), "one order in both");
        }
        found
    }

    fn found(&self) -> Found {
        Found { answered: self.answered(), attempts: self.book().attempts.len(), ..Found::default() }
    }

    fn is_unseen(&self, text: &str) -> bool {
        self.book().attempts.get(text).is_some_and(|attempt| attempt.answered.is_none())
    }

    /// Tells how many are missing, where some may be.
    fn verify_turns(&self, place: &str, session: usize, turns: &[String], loss: Loss) -> usize {
        let book = self.book();
        let mut count: HashMap<&str, usize> = HashMap::new();
        // From the last to the first: the earliest answer to anything that stands later.
        let mut earliest: Option<Instant> = None;
        for text in turns.iter().rev() {
            *count.entry(text).or_default() += 1;
            let attempt = book.attempts.get(text).unwrap_or_else(|| panic!("{place}: nobody said {text:?}"));
            assert_eq!(attempt.session, session, "{place}: {text:?} was said elsewhere");
            let is_in_order = earliest.is_none_or(|earliest| attempt.sent < earliest);
            assert!(is_in_order, "{place}: {text:?} was said after what stands behind it was answered");
            earliest = earliest.into_iter().chain(attempt.answered).min();
        }
        let twice: Vec<_> = count.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "{place}: more than once: {twice:?}");
        let is_missing = |(text, attempt): &(&String, &Attempt)| {
            attempt.session == session && attempt.answered.is_some() && !count.contains_key(text.as_str())
        };
        let missing: Vec<&String> = book.attempts.iter().filter(is_missing).map(|(text, _)| text).collect();
        assert!(missing.is_empty() || loss == Loss::OfSome, "{place}: answered and not there: {missing:?}");
        missing.len()
    }
}

/// What was said, after a check that it is answered, each by the message behind it.
fn turns(messages: &[(String, String)]) -> Vec<String> {
    let (pairs, rest) = messages.as_chunks::<2>();
    assert!(rest.is_empty(), "half a turn: {rest:?}");
    let said = pairs.iter().map(|[(user, said), (assistant, answer)]| {
        assert_eq!((user.as_str(), assistant.as_str()), ("user", "assistant"), "{said:?} {answer:?}");
        assert_eq!(*answer, format!("echo: {said}"));
        said.clone()
    });
    said.collect()
}
