//! Turns that fail: why, as what, and that nothing of them is left behind.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::join};

use crate::{
    agent::events::TurnEvent,
    chat::error::ChatError,
    ports::{
        llm::{LlmErrorKind, LlmStatus},
        sessions::MAX_WAITING,
        tools::{AbsentServer, ForceError},
    },
    testing::{
        Behaviour, HistoryMode, Reply,
        house::{ANYBODY, House, Plan, forcing, lines, outcome, post, streamed},
    },
};

fn hanging(calls: usize) -> House {
    Plan::new((0..calls).map(|_| Reply::pieces(["half"]).then_hangs())).build()
}

/// That the next turn is answered, knowing nothing of the one that failed.
async fn nothing_is_left(house: &House, id: crate::session::SessionId) {
    house.holds(id, &[]);
    assert_eq!((house.sessions.turns(id), house.llm.running()), (0, 0));
    house.llm.push(Reply::text("fine"));
    assert_eq!(house.say(id, "again").await, "fine");
    house.holds(id, &["again", "fine"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_model_leaves_nothing() {
    for reply in [
        Reply::fails(LlmErrorKind::Auth),
        Reply::fails(LlmErrorKind::Rejected),
        Reply::default(),
        Reply::text("  \n"),
        Reply::pieces(["half"]).then_fails(LlmErrorKind::Unavailable),
    ] {
        let house = Plan::new([reply]).build();
        let id = house.session().await;
        let failed = house.send(id, streamed("hi")).await;
        assert!(matches!(failed, Err(ChatError::Llm(_))), "{failed:?}");
        nothing_is_left(&house, id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_tools_leaves_nothing() {
    let house = Plan::new([Reply::calls([("c", "s_echo", "{}")]), Reply::default()])
        .with_tools([("s", "echo", Behaviour::Echoes)])
        .build();
    let id = house.session().await;
    let events = house.service.send(id, &ANYBODY, post("hi")).await.expect("a turn");
    let expected = ["started", "tool c s.echo({})", "finished c s.echo", "failed LLM call failed (invalid_response)"];
    assert_eq!(lines(events).await, expected);
    nothing_is_left(&house, id).await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_takes_too_long_is_a_turn_timeout() {
    let house = hanging(1);
    let id = house.session().await;
    let failed = house.send(id, streamed("hi")).await;
    // The model gives up at the very same moment: what the client is told does not depend on who is first.
    assert!(matches!(failed, Err(ChatError::TurnTimeout { limit }) if limit.as_secs() == 300), "{failed:?}");
    assert_eq!(house.clock.moment().0.as_secs(), 300);
    nothing_is_left(&house, id).await;
}

/// That nothing can be archived turns out while the model thinks: the client is told that it failed, so it did.
#[tokio::test(start_paused = true)]
async fn a_turn_that_cannot_be_archived_in_the_end_leaves_nothing() {
    let slow = Reply::text("slow").after(Duration::from_secs(5));
    let house = Plan { spool_room: 0, ..Plan::new([slow, Reply::text("quick")]) }.build();
    let (id, other) = (house.session().await, house.session().await);
    let running = outcome(house.service.send(id, &ANYBODY, post("hi")).await.expect("a turn"));
    let finds_out = async {
        tokio::time::sleep(Duration::from_millis(4500)).await;
        house.history.set_mode(HistoryMode::Down);
        house.send(other, post("hi")).await
    };
    for failed in <[_; 2]>::from(join(running, finds_out).await) {
        assert!(matches!(failed, Err(ChatError::Storage(_))), "{failed:?}");
    }
    house.history.set_mode(HistoryMode::Up);
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.holds(id, &[]);
    assert_eq!(house.sessions.turns(id), 0);
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_tools_that_takes_too_long_is_a_turn_timeout() {
    let slowly = Behaviour::Slowly(Duration::from_secs(100), "done".into());
    let house = Plan::new((0..9).map(|_| Reply::calls([("c", "s_slow", "{}")]))).with_tools([("s", "slow", slowly)]);
    let house = house.build();
    let id = house.session().await;
    let failed = house.send(id, post("hi")).await;
    assert!(matches!(failed, Err(ChatError::TurnTimeout { .. })), "{failed:?}");
    assert_eq!(house.clock.moment().0.as_secs(), 300);
    house.holds(id, &[]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_ends_the_waiting_is_busy() {
    let house = hanging(0);
    let id = house.session().await;
    let running = house.service.send(id, &ANYBODY, streamed("first")).await.expect("a turn");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut waiting = house.service.send(id, &ANYBODY, post("second")).await.expect("a turn");
    // Nobody reads the running turn, so that it does not end: the second waits out its time.
    let failed = waiting.next().await;
    assert!(matches!(failed, Some(TurnEvent::Failed(ChatError::SessionBusy { .. }))), "{failed:?}");
    assert_eq!(house.clock.moment().0.as_secs(), 310);
    assert!(waiting.next().await.is_none());
    drop(running);
    nothing_is_left(&house, id).await;
}

#[tokio::test(start_paused = true)]
async fn one_deadline_covers_waiting_and_running() {
    let house = Plan::new([Reply::text("slow").after(Duration::from_secs(200)), Reply::hangs()]).build();
    let id = house.session().await;
    let first = house.service.send(id, &ANYBODY, post("first")).await.expect("a turn");
    let second = house.service.send(id, &ANYBODY, post("second")).await.expect("a turn");
    let (first, second) = join(outcome(first), outcome(second)).await;
    first.expect("an answer");
    assert!(matches!(second, Err(ChatError::TurnTimeout { .. })), "{second:?}");
    assert_eq!(house.clock.moment().0.as_secs(), 300);
    house.holds(id, &["first", "slow"]);
}

#[tokio::test(start_paused = true)]
async fn too_many_waiting_turns_are_refused_at_once() {
    let house = hanging(1);
    let id = house.session().await;
    let mut turns = Vec::new();
    for _ in 0..=MAX_WAITING {
        turns.push(house.service.send(id, &ANYBODY, post("hi")).await.expect("a place"));
    }
    let refused = house.service.send(id, &ANYBODY, post("hi")).await;
    assert!(matches!(refused, Err(ChatError::SessionBusy { .. })));
    drop(turns);
    assert_eq!(house.sessions.turns(id), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_ends_running_and_waiting_turns() {
    let house = hanging(1);
    let id = house.session().await;
    let running = house.service.send(id, &ANYBODY, streamed("first")).await.expect("a turn");
    let waiting = house.service.send(id, &ANYBODY, post("second")).await.expect("a turn");
    let delete = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        house.service.delete(id, &ANYBODY).await.expect("deleted");
    };
    let (running, waiting, ()) = futures_util::join!(lines(running), lines(waiting), delete);
    assert_eq!(running, ["started", "delta half", "failed no such session"]);
    assert_eq!(waiting, ["failed no such session"]);
    assert_eq!((house.sessions.memory(id), house.history.contents(id)), (None, None));
    assert_eq!((house.clock.moment().0.as_secs(), house.llm.stopped()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_cancels_running_tools() {
    let house =
        Plan::new([Reply::calls([("c", "s_hang", "{}")])]).with_tools([("s", "hang", Behaviour::Hangs)]).build();
    let id = house.session().await;
    let running = house.service.send(id, &ANYBODY, post("first")).await.expect("a turn");
    let delete = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        house.service.delete(id, &ANYBODY).await.expect("deleted");
    };
    let (failed, ()) = join(outcome(running), delete).await;
    assert!(matches!(failed, Err(ChatError::SessionNotFound)));
    assert_eq!(house.tools.cancelled(), 1);
}

/// The answer is complete and stored, and the archive is slow: what is deleted meanwhile stays deleted.
#[tokio::test(start_paused = true)]
async fn a_deletion_while_the_answer_is_archived_leaves_nothing() {
    for mode in [HistoryMode::Slow(Duration::from_millis(100)), HistoryMode::Slow(Duration::from_secs(3))] {
        let house = Plan::new([Reply::text("hello")]).build();
        let id = house.session().await;
        house.history.set_mode(mode);
        let sent = house.service.send(id, &ANYBODY, post("hi")).await.expect("a turn");
        let delete = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            house.service.delete(id, &ANYBODY).await.expect("deleted");
        };
        join(outcome(sent), delete).await.0.expect("the answer was complete");
        house.tasks.run().await;
        assert_eq!((house.sessions.memory(id), house.history.contents(id)), (None, None), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_archive_that_is_away_does_not_stop_the_chat() {
    for mode in
        [HistoryMode::Down, HistoryMode::Hanging, HistoryMode::Silent, HistoryMode::Slow(Duration::from_secs(1))]
    {
        let house = Plan::new([Reply::text("hello"), Reply::text("again")]).build();
        let id = house.session().await;
        house.history.set_mode(mode);
        let began = house.clock.moment();
        house.say(id, "hi").await;
        house.say(id, "more").await;
        let took = house.clock.moment().since(began);
        assert!(took <= Duration::from_millis(500), "{mode:?} cost {took:?}");
        assert_eq!(house.spool.ids().len(), 2, "{mode:?}");
        house.history.set_mode(HistoryMode::Up);
        house.tasks.run().await;
        house.holds(id, &["hi", "hello", "more", "again"]);
        assert_eq!(house.spool.ids().len(), 0, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_archive_and_spool_away_no_model_is_asked() {
    let house = Plan::new((0..9).map(|_| Reply::text("hello"))).build();
    let id = house.session().await;
    house.history.set_mode(HistoryMode::Down);
    house.say(id, "spooled").await;
    house.spool.set_broken(true);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let asked = house.history.asked();
    for _ in 0..3 {
        let refused = house.service.send(id, &ANYBODY, post("hi")).await;
        assert!(matches!(refused, Err(ChatError::Storage(_))));
        assert!(house.service.create(Default::default(), &ANYBODY).await.is_err());
    }
    assert_eq!((house.llm.asked().len(), house.history.asked()), (1, asked));
    house.spool.set_broken(false);
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.say(id, "back").await;
    house.history.set_mode(HistoryMode::Up);
    house.tasks.run().await;
    house.holds(id, &["spooled", "hello", "back", "hello"]);
}

#[tokio::test(start_paused = true)]
async fn without_an_archive_nothing_is_missed() {
    let house = Plan { archived: false, ..Plan::new([Reply::text("hello")]) }.build();
    let id = house.session().await;
    house.say(id, "hi").await;
    assert_eq!((house.memory(id).len(), house.history.asked()), (2, 0));
    house.service.delete(id, &ANYBODY).await.expect("deleted");
    assert!(matches!(house.service.delete(id, &ANYBODY).await, Err(ChatError::SessionNotFound)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_goes_away_fails_the_turn() {
    let house = Plan::new([Reply::text("hello").after(Duration::from_secs(1))]).build();
    let id = house.session().await;
    let events = house.service.send(id, &ANYBODY, post("hi")).await.expect("a turn");
    house.sessions.set_away(true);
    let failed = outcome(events).await;
    assert!(matches!(failed, Err(ChatError::Storage(_))), "{failed:?}");
    house.sessions.set_away(false);
    nothing_is_left(&house, id).await;
}

#[tokio::test(start_paused = true)]
async fn a_required_server_that_is_down_fails_turns_before_they_begin() {
    let house = hanging(0);
    let id = house.session().await;
    let absent = |name: &str, required| AbsentServer { name: name.into(), required, last_known: vec![] };
    house.tools.set_absent(vec![absent("nice", false), absent("needed", true)]);
    let refused = house.service.send(id, &ANYBODY, post("hi")).await.err();
    assert!(matches!(&refused, Some(ChatError::ToolsUnavailable { server }) if &**server == "needed"), "{refused:?}");
    assert_eq!((house.llm.asked().len(), house.sessions.turns(id)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_forced_tool_must_be_one_that_can_be_called() {
    let house = Plan::new([])
        .with_tools([
            ("a", "read", Behaviour::Echoes),
            ("b", "read", Behaviour::Echoes),
            ("a", "list", Behaviour::Echoes),
        ])
        .build();
    let gone = AbsentServer { name: "c".into(), required: false, last_known: vec!["gone".into()] };
    house.tools.set_absent(vec![gone]);
    let id = house.session().await;
    let refused = |tool: &'static str| {
        let house = &house;
        async move { house.service.send(id, &ANYBODY, forcing("hi", tool)).await.err() }
    };
    let unknown = refused("nothing").await;
    let Some(ChatError::UnknownTool(ForceError::Unknown { known })) = &unknown else { panic!("{unknown:?}") };
    assert_eq!(*known, ["a.list", "a.read", "b.read"]);
    let ambiguous = refused("read").await;
    let Some(ChatError::UnknownTool(ForceError::Ambiguous { candidates })) = &ambiguous else {
        panic!("{ambiguous:?}")
    };
    assert_eq!(*candidates, ["a.read", "b.read"]);
    let down = refused("c.gone").await;
    let Some(ChatError::ToolDown { tool, server }) = &down else { panic!("{down:?}") };
    assert_eq!((&**tool, &**server), ("c.gone", "c"));
    assert_eq!(house.sessions.turns(id), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unconfigured_model_says_what_to_set() {
    let house = hanging(0);
    let id = house.session().await;
    house.llm.set_status(LlmStatus::Unconfigured { remedy: Arc::from("Set OPENROUTER_API_KEY.") });
    let refused = house.service.send(id, &ANYBODY, post("hi")).await.err();
    assert!(matches!(&refused, Some(ChatError::Unconfigured { remedy }) if remedy.contains("OPENROUTER_API_KEY")));
    // Sessions can be made and looked at all the same.
    assert!(house.service.read(id, &ANYBODY).await.is_ok());
}
