//! Sessions are opened, read and deleted.

use serde_json::json;

use crate::{
    chat::{NewSession, error::ChatError},
    ports::{
        history::HistoryStore,
        sessions::{CreateError, OpenError},
    },
    session::{Caller, Metadata, SessionId},
    testing::{
        HistoryMode, MemorySessions, Reply,
        house::{ANYBODY, House, Plan, post},
        samples::{key, limit, session_id},
    },
};

const ALICE: Caller = Caller::Client(Some(crate::session::KeyHash([1; 32])));
const BOB: Caller = Caller::Client(Some(crate::session::KeyHash([2; 32])));

fn house() -> House {
    Plan::new([Reply::text("hello")]).with_policy(|policy| policy.system_prompt = Some("be kind".into())).build()
}

#[tokio::test(start_paused = true)]
async fn a_session_is_made_of_what_was_asked_for_and_of_the_operators_prompt() {
    let house = house();
    let serde_json::Value::Object(members) = json!({"a": 1}) else { panic!("an object") };
    let metadata = Metadata::new(members).expect("small");
    let new = NewSession { memory_limit: Some(limit(50)), metadata: metadata.clone() };
    let session = house.service.create(new, &ALICE).await.expect("a session");
    assert_eq!((session.memory_limit, &session.metadata), (limit(50), &metadata));
    assert_eq!((session.owner.as_deref(), session.created_at), (Some(&key(1)), house.clock.now()));
    assert_eq!(session.system_prompt.as_deref(), Some("be kind"));
    let snapshot = house.service.read(session.id, &ALICE).await.expect("the session");
    assert_eq!((snapshot.session, snapshot.memory.len()), (session.clone(), 0));
    // The archive has the prompt first, and does not show it.
    assert_eq!(house.history.contents(session.id).expect("archived"), ["be kind"]);
    let visible = house.history.messages(session.id, 0, 10).await.expect("an answer").expect("archived");
    assert_eq!(visible.total, 0);
    let plain = house.session().await;
    let plain = house.service.read(plain, &ANYBODY).await.expect("the session").session;
    assert_eq!((plain.memory_limit, plain.owner.as_deref()), (limit(10), None));
}

#[tokio::test(start_paused = true)]
async fn too_much_memory_is_refused() {
    let house = house();
    let new = NewSession { memory_limit: Some(limit(51)), ..NewSession::default() };
    let refused = house.service.create(new, &ANYBODY).await;
    let Err(ChatError::MemoryLimit(error)) = refused else { panic!("{refused:?}") };
    assert_eq!((error.requested, error.maximum), (51, 50));
    let id = house.session().await;
    let post = crate::chat::PostMessage { memory_limit: Some(limit(51)), ..post("hi") };
    // Before the turn has its place: an ordinary error answer, streamed or not.
    let refused = house.service.send(id, &ANYBODY, post).await.err();
    assert!(matches!(refused, Some(ChatError::MemoryLimit(_))), "{refused:?}");
    assert_eq!((house.llm.asked().len(), house.sessions.turns(id)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_session_belongs_to_the_key_that_made_it() {
    let house = house();
    let id = house.service.create(NewSession::default(), &ALICE).await.expect("a session").id;
    for stranger in [BOB, ANYBODY] {
        assert!(matches!(house.service.read(id, &stranger).await, Err(ChatError::SessionNotFound)));
        let sent = house.service.send(id, &stranger, post("hi")).await;
        assert!(matches!(sent, Err(ChatError::SessionNotFound)));
        assert!(matches!(house.service.delete(id, &stranger).await, Err(ChatError::SessionNotFound)));
    }
    assert_eq!(house.history.contents(id).expect("a stranger's delete takes nothing"), ["be kind"]);
    assert!(house.service.read(id, &Caller::Operator).await.is_ok());
    assert!(house.service.read(id, &ALICE).await.is_ok());
    house.service.delete(id, &ALICE).await.expect("deleted");
    assert_eq!(house.history.contents(id), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_found() {
    let house = house();
    let nobody = session_id();
    assert!(matches!(house.service.read(nobody, &ANYBODY).await, Err(ChatError::SessionNotFound)));
    assert!(matches!(house.send(nobody, post("hi")).await, Err(ChatError::SessionNotFound)));
    assert!(matches!(house.service.delete(nobody, &ANYBODY).await, Err(ChatError::SessionNotFound)));
    assert_eq!(house.history.forgotten(), 0, "ids that were made up fill no archive");
    assert_eq!(house.llm.asked(), []);
}

#[tokio::test(start_paused = true)]
async fn deleting_takes_session_memory_and_archive() {
    let house = house();
    let id = house.session().await;
    house.say(id, "hi").await;
    house.service.delete(id, &ANYBODY).await.expect("deleted");
    assert_eq!((house.sessions.memory(id), house.history.contents(id)), (None, None));
    assert!(matches!(house.service.read(id, &ANYBODY).await, Err(ChatError::SessionNotFound)));
    assert!(matches!(house.service.delete(id, &ANYBODY).await, Err(ChatError::SessionNotFound)));
}

#[tokio::test(start_paused = true)]
async fn what_only_the_archive_still_has_can_be_deleted_by_whoever_is_no_stranger_to_it() {
    use crate::ports::sessions::SessionStore;
    for (caller, may_delete) in [(ANYBODY, true), (Caller::Operator, true), (ALICE, false), (BOB, false)] {
        let house = house();
        let id = house.service.create(NewSession::default(), &ALICE).await.expect("a session").id;
        // The session has expired.
        house.sessions.delete(id, &Caller::Operator).await.expect("gone");
        house.sessions.finish_deletion(id).await;
        let deleted = house.service.delete(id, &caller).await;
        if may_delete {
            deleted.expect("deleted");
        } else {
            assert!(matches!(deleted, Err(ChatError::SessionNotFound)), "{caller:?}: {deleted:?}");
        }
        assert_eq!(house.history.contents(id).is_none(), may_delete, "{caller:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_history_cannot_be_deleted_stays() {
    let mut plan = Plan::new([Reply::text("hello")]);
    plan.spool_room = 0;
    let house = plan.build();
    let id = house.service.create(NewSession::default(), &ALICE).await.expect("a session").id;
    house.history.set_mode(HistoryMode::Down);
    assert!(house.service.create(NewSession::default(), &ALICE).await.is_err(), "now it is known");
    let deleted = house.service.delete(id, &ALICE).await;
    assert!(matches!(deleted, Err(ChatError::Storage(_))), "{deleted:?}");
    house.history.set_mode(HistoryMode::Up);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    house.service.delete(id, &ALICE).await.expect("asked again");
    assert_eq!(house.history.contents(id), None);
}

/// Nobody knows yet that nothing can be archived: the session goes, its history does not. Its owner must get at it.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_failed_halfway_is_finished_by_asking_again() {
    let house = Plan { spool_room: 0, ..Plan::new([]) }.build();
    let id = house.service.create(NewSession::default(), &ALICE).await.expect("a session").id;
    house.history.set_mode(HistoryMode::Down);
    let failed = house.service.delete(id, &ALICE).await;
    assert!(matches!(failed, Err(ChatError::Storage(_))), "{failed:?}");
    assert!(matches!(house.service.read(id, &ALICE).await, Err(ChatError::SessionNotFound)));
    house.history.set_mode(HistoryMode::Up);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    for stranger in [BOB, ANYBODY] {
        assert!(matches!(house.service.delete(id, &stranger).await, Err(ChatError::SessionNotFound)));
    }
    assert!(house.history.contents(id).is_some());
    house.service.delete(id, &ALICE).await.expect("deleted");
    assert_eq!(house.history.contents(id), None);
    assert!(matches!(house.service.delete(id, &ALICE).await, Err(ChatError::SessionNotFound)));
}

#[tokio::test(start_paused = true)]
async fn a_full_house_is_told_apart_from_a_broken_one() {
    let mut plan = Plan::new([]);
    plan.sessions = MemorySessions::new(plan.clock.clone()).with_capacity(1);
    let house = plan.build();
    let id = house.session().await;
    let full = house.service.create(NewSession::default(), &ANYBODY).await;
    assert!(matches!(full, Err(ChatError::Capacity)), "{full:?}");
    house.sessions.set_away(true);
    let away = house.service.create(NewSession::default(), &ANYBODY).await;
    assert!(matches!(away, Err(ChatError::Storage(_))), "{away:?}");
    assert!(matches!(house.service.read(id, &ANYBODY).await, Err(ChatError::Storage(_))));
    assert!(matches!(house.service.delete(id, &ANYBODY).await, Err(ChatError::Storage(_))));
    assert!(matches!(house.send(id, post("hi")).await, Err(ChatError::Storage(_))));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_archived_is_not_made() {
    use crate::ports::sessions::SessionStore;
    let house = Plan { spool_room: 0, ..Plan::new([]) }.build();
    house.history.set_mode(HistoryMode::Down);
    let refused = house.service.create(NewSession::default(), &ANYBODY).await;
    assert!(matches!(refused, Err(ChatError::Storage(_))), "{refused:?}");
    assert_eq!(house.sessions.count().await.expect("a count"), 0);
}

#[tokio::test(start_paused = true)]
async fn creating_goes_on_to_the_end_when_the_client_goes_away() {
    use crate::ports::sessions::SessionStore;
    let house = house();
    house.history.set_mode(HistoryMode::Slow(std::time::Duration::from_millis(100)));
    {
        let create = house.service.create(NewSession::default(), &ANYBODY);
        futures_util::pin_mut!(create);
        assert!(futures_util::poll!(create).is_pending());
    }
    house.tasks.run().await;
    let (sessions, count) = house.sessions.list(0, 9).await.expect("a list");
    assert_eq!(count, 1);
    assert_eq!(house.history.contents(sessions[0].id).expect("archived"), ["be kind"]);
}

#[tokio::test(start_paused = true)]
async fn deleting_goes_on_to_the_end_when_the_client_goes_away() {
    let house = house();
    let id = house.session().await;
    house.say(id, "hi").await;
    house.history.set_mode(HistoryMode::Slow(std::time::Duration::from_millis(100)));
    {
        let delete = house.service.delete(id, &ANYBODY);
        futures_util::pin_mut!(delete);
        assert!(futures_util::poll!(delete).is_pending());
    }
    house.tasks.run().await;
    assert_eq!((house.sessions.memory(id), house.history.contents(id)), (None, None));
}

#[test]
fn errors_of_the_stores_become_what_a_client_can_do_about_them() {
    let busy = ChatError::from(OpenError::QueueFull);
    assert!(matches!(busy, ChatError::SessionBusy { retry_after } if !retry_after.is_zero()));
    assert!(matches!(ChatError::from(OpenError::Busy), ChatError::SessionBusy { .. }));
    assert!(matches!(ChatError::from(OpenError::NotFound), ChatError::SessionNotFound));
    assert!(matches!(ChatError::from(CreateError::Capacity), ChatError::Capacity));
    let _: SessionId = session_id();
}
