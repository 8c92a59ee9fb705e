//! What a session costs. In a process of its own, because it looks at all of the process's memory.
#![cfg(target_os = "linux")]

use std::{sync::Arc, time::Instant};

use chat_domain::{
    message::{Message, Role},
    ports::{
        Clock, Ids,
        sessions::{Place, SessionStore},
    },
    session::{Caller, MemoryLimit, Metadata, Session},
    time::{Moment, Timestamp},
};
use chat_local::{
    sessions::{LocalSessions, SessionPolicy},
    system::{SystemClock, SystemIds},
};

const SESSIONS: usize = 100_000;
const ANYBODY: Caller = Caller::Client(None);

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

fn per_session(before: usize) -> usize {
    (resident() - before) / SESSIONS
}

/// Ten messages, as five turns leave them.
async fn talk(store: &LocalSessions, session: &Session, said: &str) {
    for turn in 0..5 {
        let opened = store.open_turn(session.id, &ANYBODY, Moment::default()).await.expect("a turn");
        let Place::Open(opened) = opened else { panic!("nobody else speaks") };
        let at = Timestamp::from_millis(turn);
        let message = |role| Arc::new(Message::said(SystemIds.message(at), at, role, said));
        let new = Arc::from([message(Role::User), message(Role::Assistant)]);
        opened.ticket.commit(new, session.memory_limit).await.expect("stored");
    }
}

#[tokio::test]
async fn a_session_fits_into_half_a_kilobyte_and_with_ten_messages_into_four() {
    let clock = Arc::new(SystemClock::new());
    let ttl = std::time::Duration::from_millis(1);
    let store = LocalSessions::new(SessionPolicy { capacity: SESSIONS, ttl: None }, clock.clone());
    let mut ids = Vec::with_capacity(SESSIONS);
    ids.resize(SESSIONS, SystemIds.session());

    let before = resident();
    for id in &mut ids {
        let session = Arc::new(Session {
            id: SystemIds.session(),
            owner: None,
            memory_limit: MemoryLimit::new(10).expect("not zero"),
            created_at: Timestamp::default(),
            metadata: Metadata::default(),
            system_prompt: None,
        });
        *id = session.id;
        store.create(session).await.expect("room");
    }
    let empty = per_session(before);

    let said = "x".repeat(150);
    for id in &ids {
        let session = store.read(*id, &ANYBODY).await.expect("available").expect("there").session;
        talk(&store, &session, &said).await;
    }
    let full = per_session(before);

    // Those of a store with a time to live, all expired at once: what a sweep takes at the worst.
    let expiring = LocalSessions::new(SessionPolicy { capacity: SESSIONS, ttl: Some(ttl) }, clock.clone());
    for id in &ids {
        let session = store.read(*id, &ANYBODY).await.expect("available").expect("there").session;
        expiring.create(session).await.expect("room");
    }
    let began = Instant::now();
    assert_eq!(expiring.sweep(Moment::default()), 0);
    let looked_at = began.elapsed();
    let began = Instant::now();
    assert_eq!(expiring.sweep(clock.moment().plus(ttl)), SESSIONS);
    let freed = began.elapsed();

    println!("an empty session: {empty} bytes; with ten messages of 150 bytes: {full} bytes");
    println!("a sweep through {SESSIONS} sessions: {looked_at:?}; freeing them all: {freed:?}");
    assert!(empty <= 512, "{empty} bytes an empty session");
    assert!(full <= 4096, "{full} bytes a session with ten messages");
}
