//! Clients go away at every moment: the turn is held whole or not at all, and the session goes on.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, future::BoxFuture};

use crate::{
    agent::events::TurnEvent,
    chat::PostMessage,
    message::Message,
    ports::sessions::{
        CommitError, CreateError, Deletion, Lost, OpenError, Opened, Place, SessionStore, Snapshot, TurnTicket,
        Unavailable,
    },
    session::{Caller, MemoryLimit, Session, SessionId},
    testing::{
        Behaviour, HistoryMode, MemorySessions, Reply,
        conformance::{MANY_POLLS, polled_at_most},
        house::{ANYBODY, House, Plan, post, streamed},
    },
    time::Moment,
};

/// A store that takes several polls for everything, before and after doing it, as one behind a network does.
struct Hesitant(MemorySessions);

async fn hesitate() {
    for _ in 0..2 {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl SessionStore for Hesitant {
    async fn create(&self, session: Arc<Session>) -> Result<(), CreateError> {
        self.0.create(session).await
    }

    async fn read(&self, id: SessionId, caller: &Caller) -> Result<Option<Snapshot>, Unavailable> {
        self.0.read(id, caller).await
    }

    async fn delete(&self, id: SessionId, caller: &Caller) -> Result<Deletion, Unavailable> {
        self.0.delete(id, caller).await
    }

    async fn finish_deletion(&self, id: SessionId) {
        self.0.finish_deletion(id).await;
    }

    async fn list(&self, offset: usize, limit: usize) -> Result<(Vec<Arc<Session>>, usize), Unavailable> {
        self.0.list(offset, limit).await
    }

    async fn count(&self) -> Result<usize, Unavailable> {
        self.0.count().await
    }

    async fn open_turn(&self, id: SessionId, caller: &Caller, deadline: Moment) -> Result<Place, OpenError> {
        hesitate().await;
        let place = self.0.open_turn(id, caller, deadline).await?;
        hesitate().await;
        Ok(match place {
            Place::Open(opened) => Place::Open(slowed(opened)),
            Place::Waiting(waiting) => {
                let waiting: BoxFuture<'static, _> = Box::pin(async move {
                    let opened = waiting.await.map(slowed);
                    hesitate().await;
                    opened
                });
                Place::Waiting(waiting)
            }
        })
    }
}

fn slowed(opened: Opened) -> Opened {
    Opened { ticket: Box::new(HesitantTicket(opened.ticket)), ..opened }
}

struct HesitantTicket(Box<dyn TurnTicket>);

#[async_trait]
impl TurnTicket for HesitantTicket {
    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        self.0.poll_lost(cx)
    }

    async fn commit(self: Box<Self>, new: Arc<[Arc<Message>]>, keep: MemoryLimit) -> Result<(), CommitError> {
        hesitate().await;
        let committed = self.0.commit(new, keep).await;
        hesitate().await;
        committed
    }
}

/// A house in which everything takes several polls, with a turn of two rounds and one of none.
fn hesitant() -> House {
    let echo = [("c1", "s_echo", r#"{"text":"x"}"#), ("c2", "s_slow", "{}")];
    let replies = [
        Reply::pieces(["let ", "me"]).asking(echo).yielding(2),
        Reply::pieces(["a", "1"]).yielding(2),
        Reply::text("a2"),
    ];
    let slowly = Behaviour::Slowly(Duration::from_millis(5), "slow".into());
    let mut plan = Plan::new(replies).with_tools([("s", "echo", Behaviour::Echoes), ("s", "slow", slowly)]);
    plan.store = Some(Arc::new(Hesitant(plan.sessions.clone())));
    plan.build()
}

/// That memory and archive agree, on both messages or none, and that the session goes on.
async fn whole_or_nothing(house: &House, id: SessionId, polls: usize) -> bool {
    let held = house.memory(id);
    assert!(held.is_empty() || held == ["q1", "a1"], "after {polls} polls: {held:?}");
    assert_eq!(house.history.contents(id).unwrap_or_default(), held, "after {polls} polls, in the archive");
    assert_eq!(house.sessions.turns(id), 0, "after {polls} polls somebody is still in the line");
    assert_eq!(house.llm.running(), 0, "after {polls} polls the model still talks");
    house.llm.push(Reply::text("a9"));
    // What the dropped turn has not said is in the script still.
    let next = house.service.send(id, &ANYBODY, post("q9")).await.expect("a place");
    let end = next.collect::<Vec<_>>().await.pop();
    assert!(matches!(end, Some(TurnEvent::Completed(_))), "after {polls} polls: {end:?}");
    !held.is_empty()
}

/// Sends and reads to the end.
async fn whole_turn(house: &House, id: SessionId, message: PostMessage) {
    let events = house.service.send(id, &ANYBODY, message).await.expect("a place");
    assert!(matches!(events.collect::<Vec<_>>().await.pop(), Some(TurnEvent::Completed(_))));
}

/// The property over the whole turn, from before its place to after its answer: dropped after `n` polls, for every `n`.
async fn dropped_at_every_poll(message: fn(&str) -> PostMessage, mode: HistoryMode) {
    let (mut kept, mut lost) = (0, 0);
    for polls in 0.. {
        assert!(polls < MANY_POLLS, "the turn wakes itself without end");
        let house = hesitant();
        let id = house.session().await;
        house.history.set_mode(mode);
        let ended = polled_at_most(whole_turn(&house, id, message("q1")), polls).await.is_some();
        house.tasks.run().await;
        match whole_or_nothing(&house, id, polls).await {
            true => kept += 1,
            false => lost += 1,
        }
        if ended {
            break;
        }
        assert!(kept == 0 || lost > 0);
    }
    // It was dropped before the answer was complete and after.
    assert!(lost > 10 && kept > 3, "{lost} lost and {kept} kept");
}

#[tokio::test(start_paused = true)]
async fn a_turn_may_be_dropped_at_every_poll() {
    dropped_at_every_poll(post, HistoryMode::Up).await;
}

#[tokio::test(start_paused = true)]
async fn a_streamed_turn_may_be_dropped_at_every_poll() {
    dropped_at_every_poll(streamed, HistoryMode::Up).await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_with_a_slow_archive_may_be_dropped_at_every_poll() {
    dropped_at_every_poll(post, HistoryMode::Slow(Duration::from_millis(20))).await;
}

#[tokio::test(start_paused = true)]
async fn a_waiting_turn_may_be_dropped_at_every_poll() {
    for polls in 0.. {
        assert!(polls < MANY_POLLS, "the turn wakes itself without end");
        let house = hesitant();
        let id = house.session().await;
        let first = house.service.send(id, &ANYBODY, post("q1")).await.expect("a place");
        let mut second = house.service.send(id, &ANYBODY, post("q2")).await.expect("a place");
        assert!(futures_util::poll!(second.next()).is_pending());
        assert!(matches!(first.collect::<Vec<_>>().await.pop(), Some(TurnEvent::Completed(_))));
        let ended = polled_at_most(second.collect::<Vec<_>>(), polls).await.is_some();
        house.tasks.run().await;
        let held = house.memory(id);
        assert!(held == ["q1", "a1"] || held == ["q1", "a1", "q2", "a2"], "after {polls} polls: {held:?}");
        assert_eq!(house.history.contents(id).expect("archived"), held, "after {polls} polls");
        assert_eq!(house.sessions.turns(id), 0, "after {polls} polls");
        if ended {
            break;
        }
    }
}

/// The answer is complete when the model's last word is; who goes away then finds it stored when coming back.
#[tokio::test(start_paused = true)]
async fn a_complete_answer_is_stored_without_its_client() {
    let house = hesitant();
    let id = house.session().await;
    let mut events = house.service.send(id, &ANYBODY, streamed("q1")).await.expect("a place");
    loop {
        match events.next().await.expect("an event") {
            TurnEvent::Delta(text) if text == "1" => break,
            _ => {}
        }
    }
    // The end of the model's answer: it yields twice before it, and the commit twice before it stores.
    while house.llm.running() > 0 {
        assert!(futures_util::poll!(events.next()).is_pending());
    }
    assert_eq!(house.memory(id), [""; 0], "nothing is stored yet");
    drop(events);
    assert_eq!(house.tasks.len(), 1);
    house.tasks.run().await;
    house.holds(id, &["q1", "a1"]);
}

/// The next turn of a session whose answer is still being stored waits for it.
#[tokio::test(start_paused = true)]
async fn the_next_turn_waits_for_a_detached_commit() {
    let house = hesitant();
    let id = house.session().await;
    let mut events = house.service.send(id, &ANYBODY, post("q1")).await.expect("a place");
    while house.llm.asked().len() < 2 || house.llm.running() > 0 {
        if futures_util::poll!(events.next()).is_pending() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    drop(events);
    assert_eq!((house.tasks.len(), house.sessions.turns(id)), (1, 1));
    let next = house.service.send(id, &ANYBODY, post("q2")).await.expect("a place");
    let (_, events) = futures_util::join!(house.tasks.run(), next.collect::<Vec<_>>());
    assert!(matches!(events.last(), Some(TurnEvent::Completed(_))));
    house.holds(id, &["q1", "a1", "q2", "a2"]);
}
