//! Turns that end well: what the model is shown, what is remembered, in what order.

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    future::{join, join_all},
};

use crate::{
    agent::events::TurnEvent,
    agent::window::PastRounds,
    chat::{NewSession, PostMessage},
    message::{FinishReason, Role},
    ports::{Clock, tools::AbsentServer},
    session::MemoryLimit,
    testing::{
        Behaviour, FakeClock, Reply, ScriptedLlm,
        house::{ANYBODY, House, Plan, forcing, lines, outcome, post, streamed},
        samples::{THEN, contents, limit},
    },
    time::Timestamp,
};

/// A model that answers `q1` with `a1`.
fn echoing() -> House {
    let clock: Arc<dyn Clock> = Arc::new(crate::testing::paused::PausedClock::new());
    let llm = ScriptedLlm::improvising(clock.clone(), |request| {
        let question = request.window.newest().map_or("", |message| &*message.content);
        Reply::text(&question.replacen('q', "a", 1))
    });
    Plan::by(clock, llm).build()
}

fn keeping(messages: u32, content: &str) -> PostMessage {
    PostMessage { memory_limit: MemoryLimit::new(messages), ..post(content) }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_remembered_and_archived() {
    let usage = serde_json::json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
    let house = Plan::new([Reply::text("hello").using(usage.clone()).after(Duration::from_secs(2))]).build();
    let id = house.session().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let outcome = house.send(id, post("hi")).await.expect("an answer");
    assert_eq!((outcome.session, &*outcome.message.content), (id, "hello"));
    assert_eq!((outcome.message.role, &outcome.message.finish), (Role::Assistant, &Some(FinishReason::Stop)));
    assert_eq!(serde_json::to_value(outcome.usage).expect("JSON"), usage);
    assert_eq!(outcome.message.extra, None);
    let snapshot = house.service.read(id, &ANYBODY).await.expect("the session");
    assert_eq!(snapshot.memory, outcome.history);
    assert_eq!(snapshot.memory[1], outcome.message);
    assert_eq!(snapshot.memory[1].at.as_millis() - snapshot.memory[0].at.as_millis(), 2000);
    house.holds(id, &["hi", "hello"]);
    assert!(house.tasks.is_empty(), "nothing is left to tasks while the client is there");
}

#[tokio::test(start_paused = true)]
async fn the_events_of_a_turn_begin_with_started_and_end_with_completed() {
    let house = Plan::new([Reply::pieces(["hel", "lo"]), Reply::pieces(["hel", "lo"])]).build();
    let id = house.session().await;
    let events = house.service.send(id, &ANYBODY, streamed("hi")).await.expect("a turn");
    assert_eq!(lines(events).await, ["started", "delta hel", "delta lo", "completed hello"]);
    let events = house.service.send(id, &ANYBODY, post("hi")).await.expect("a turn");
    assert_eq!(lines(events).await, ["started", "completed hello"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_client_is_told_has_been_stored() {
    let house = Plan::new([Reply::text("hello")]).build();
    let id = house.session().await;
    let mut events = house.service.send(id, &ANYBODY, post("hi")).await.expect("a turn");
    while let Some(event) = events.next().await {
        if matches!(event, TurnEvent::Completed(_)) {
            house.holds(id, &["hi", "hello"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_model_is_shown_the_last_messages_and_forgets_the_others_for_good() {
    let house = echoing();
    let id = house.session().await;
    for n in 1..=6 {
        house.say(id, &format!("q{n}")).await;
    }
    let last =
        |from: usize, to: usize| (from..=to).flat_map(|n| [format!("q{n}"), format!("a{n}")]).collect::<Vec<_>>();
    assert_eq!(house.memory(id), last(2, 6));
    // The model was shown the ten that were remembered, and the new one.
    assert_eq!(house.shown(5).len(), 11);
    let outcome = house.send(id, keeping(3, "q7")).await.expect("an answer");
    assert_eq!(contents(&outcome.history), ["a6", "q7", "a7"]);
    assert_eq!(house.shown(6), ["assistant:a5", "user:q6", "assistant:a6", "user:q7"]);
    house.send(id, keeping(50, "q8")).await.expect("an answer");
    assert_eq!(house.memory(id), ["a6", "q7", "a7", "q8", "a8"]);
    // The archive forgets nothing.
    assert_eq!(house.history.contents(id).expect("archived"), last(1, 8));
}

#[tokio::test(start_paused = true)]
async fn a_sessions_own_limit_holds_where_a_message_asks_for_none() {
    let house = echoing();
    let new = NewSession { memory_limit: Some(limit(3)), ..NewSession::default() };
    let id = house.service.create(new, &ANYBODY).await.expect("a session").id;
    for n in 1..=2 {
        house.say(id, &format!("q{n}")).await;
    }
    assert_eq!(house.memory(id), ["a1", "q2", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_one_keeps_the_answer_only() {
    let house = echoing();
    let id = house.session().await;
    let outcome = house.send(id, keeping(1, "q1")).await.expect("an answer");
    assert_eq!(contents(&outcome.history), ["a1"]);
    assert_eq!(house.memory(id), ["a1"]);
    house.send(id, keeping(1, "q2")).await.expect("an answer");
    assert_eq!(house.shown(1), ["assistant:a1", "user:q2"]);
}

#[tokio::test(start_paused = true)]
async fn the_prompt_comes_first_and_never_counts() {
    let house = Plan::new((0..4).map(|_| Reply::text("ok")))
        .with_policy(|policy| policy.system_prompt = Some("be kind".into()))
        .build();
    let id = house.session().await;
    for n in 0..4 {
        house.send(id, keeping(2, &format!("q{n}"))).await.expect("an answer");
        let shown = house.shown(n);
        assert_eq!(shown[0], "system:be kind");
        assert_eq!(shown.len(), if n == 0 { 2 } else { 4 });
    }
    assert_eq!(house.memory(id), ["q3", "ok"]);
}

#[tokio::test(start_paused = true)]
async fn the_instruction_is_sent_instead_of_the_prompt() {
    let house = Plan::new([Reply::text("ok")])
        .with_policy(|policy| {
            policy.system_prompt = Some("be kind".into());
            policy.instruction = Some("be brief".into());
        })
        .build();
    let id = house.session().await;
    house.say(id, "hi").await;
    assert_eq!(house.shown(0), ["system:be brief", "user:hi"]);
    assert_eq!(house.history.contents(id).expect("archived")[0], "be kind");
}

#[tokio::test(start_paused = true)]
async fn a_message_of_the_assistant_is_remembered_as_such_and_answered() {
    let house = Plan::new([Reply::text("go on"), Reply::text("ok")]).build();
    let id = house.session().await;
    let outcome =
        house.send(id, PostMessage { role: Role::Assistant, ..post("I was saying") }).await.expect("an answer");
    let roles: Vec<_> = outcome.history.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::Assistant, Role::Assistant]);
    house.say(id, "hi").await;
    assert_eq!(house.shown(1), ["assistant:I was saying", "assistant:go on", "user:hi"]);
}

#[tokio::test]
async fn times_strictly_increase_whatever_the_clock_does() {
    let clock = FakeClock::new();
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let llm = ScriptedLlm::improvising(shared.clone(), |_| Reply::text("ok"));
    let house = Plan::by(shared, llm).build();
    clock.stop_wall();
    let id = house.session().await;
    for wall in [THEN, THEN, THEN - 60_000, THEN + 5] {
        clock.set_wall(Timestamp::from_millis(wall));
        house.say(id, "hi").await;
    }
    let snapshot = house.service.read(id, &ANYBODY).await.expect("the session");
    let times: Vec<_> = snapshot.memory.iter().map(|message| message.at).collect();
    assert!(snapshot.session.created_at < times[0]);
    assert!(times.is_sorted_by(|one, next| one < next), "{times:?}");
    assert_eq!(times[0], Timestamp::from_millis(THEN + 1));
    let ids: Vec<_> = snapshot.memory.iter().map(|message| message.id).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "ids are of their messages' times");
}

#[tokio::test(start_paused = true)]
async fn tool_rounds_belong_to_their_answer_and_are_replayed_or_dropped() {
    for (past, expected) in [
        (PastRounds::Replay, vec!["user:hi", "call:s_echo({\"text\":\"x\"})=x", "assistant:it is x", "user:and now"]),
        (PastRounds::Drop, vec!["user:hi", "assistant:it is x", "user:and now"]),
    ] {
        let echo = [("c", "s_echo", r#"{"text":"x"}"#)];
        let house = Plan::new([Reply::calls(echo), Reply::text("it is x"), Reply::text("ok")])
            .with_tools([("s", "echo", Behaviour::Echoes)])
            .with_policy(|policy| policy.agent.past_rounds = past)
            .build();
        let id = house.session().await;
        let outcome = house.send(id, keeping(2, "hi")).await.expect("an answer");
        let call = &outcome.message.rounds()[0].calls[0];
        assert_eq!((&*call.server, &*call.tool, call.outcome.is_error), ("s", "echo", false));
        assert_eq!(outcome.history.len(), 2, "a message counts once, with its rounds");
        house.say(id, "and now").await;
        assert_eq!(house.shown(2), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn missing_servers_are_told_with_the_answer() {
    let house = Plan::new([Reply::text("ok"), Reply::text("ok")]).build();
    let id = house.session().await;
    let absent = |name: &str| AbsentServer { name: name.into(), required: false, last_known: vec![] };
    house.tools.set_absent(vec![absent("a"), absent("b")]);
    let outcome = house.send(id, post("hi")).await.expect("an answer");
    let names: Vec<&str> = outcome.message.unavailable_servers().iter().map(|name| &**name).collect();
    assert_eq!(names, ["a", "b"]);
    house.tools.set_absent(vec![]);
    assert_eq!(house.send(id, post("hi")).await.expect("an answer").message.extra, None);
}

#[tokio::test(start_paused = true)]
async fn a_turn_waits_for_servers_that_start() {
    let house = Plan::new([Reply::text("ok")]).build();
    let id = house.session().await;
    house.tools.set_starting(house.clock.moment().plus(Duration::from_secs(15)));
    house.say(id, "hi").await;
    assert_eq!(house.clock.moment().0.as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_forced_tool_is_found_by_its_plain_name() {
    let house = Plan::new([Reply::calls([("c", "s_echo", "{}")]), Reply::text("ok")])
        .with_tools([("s", "echo", Behaviour::Echoes)])
        .build();
    let id = house.session().await;
    house.send(id, forcing("hi", "echo")).await.expect("an answer");
    let choices: Vec<_> = house.llm.asked().into_iter().map(|asked| asked.tool_choice).collect();
    use crate::ports::llm::ToolChoice;
    assert_eq!(choices, [ToolChoice::Function("s_echo".into()), ToolChoice::Auto]);
}

/// A model that takes its time, some answers more than others.
fn pondering() -> House {
    let clock: Arc<dyn Clock> = Arc::new(crate::testing::paused::PausedClock::new());
    let llm = ScriptedLlm::improvising(clock.clone(), |request| {
        let question = request.window.newest().map_or("", |message| &*message.content);
        let n: u64 = question[1..].parse().unwrap_or(0);
        Reply::text(&question.replacen('q', "a", 1)).after(Duration::from_millis(n * 7 % 13)).yielding(n as usize % 4)
    });
    Plan::by(clock, llm).build()
}

#[tokio::test(start_paused = true)]
async fn messages_to_one_session_keep_their_pairs_and_their_order() {
    let house = pondering();
    let id = house.session().await;
    // As many as may run and wait; each further one waits for room.
    let (tickets, given) = (tokio::sync::Semaphore::new(33), &house);
    let sending = (0..50).map(|n| {
        let tickets = &tickets;
        async move {
            let _ticket = tickets.acquire().await.expect("open");
            given.send(id, keeping(50, &format!("q{n}"))).await.expect("an answer")
        }
    });
    let outcomes = join_all(sending).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(*outcome.message.content, *format!("a{n}"));
        let mut tail = contents(&outcome.history).split_off(outcome.history.len() - 2);
        assert_eq!((tail.remove(0), tail.remove(0)), (&*format!("q{n}"), &*format!("a{n}")));
    }
    let expected: Vec<String> = (0..50).flat_map(|n| [format!("q{n}"), format!("a{n}")]).collect();
    assert_eq!(house.history.contents(id).expect("archived"), expected);
    assert_eq!(house.memory(id), expected[50..]);
    assert_eq!(house.sessions.turns(id), 0);
}

#[tokio::test(start_paused = true)]
async fn sessions_do_not_wait_for_each_other() {
    let clock: Arc<dyn Clock> = Arc::new(crate::testing::paused::PausedClock::new());
    let llm = ScriptedLlm::improvising(clock.clone(), |_| Reply::text("ok").after(Duration::from_secs(1)));
    let house = Plan::by(clock, llm).build();
    let ids = join_all((0..50).map(|_| house.session())).await;
    join_all(ids.iter().map(|id| house.say(*id, "hi"))).await;
    assert_eq!(house.clock.moment().0.as_secs(), 1, "fifty turns took as long as one");
    for id in ids {
        house.holds(id, &["hi", "ok"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_session_is_answered_in_the_order_of_asking_not_of_reading() {
    let house = echoing();
    let id = house.session().await;
    let first = house.service.send(id, &ANYBODY, post("q1")).await.expect("a turn");
    let second = house.service.send(id, &ANYBODY, post("q2")).await.expect("a turn");
    let (second, first) = join(outcome(second), outcome(first)).await;
    assert_eq!(contents(&first.expect("an answer").history), ["q1", "a1"]);
    assert_eq!(contents(&second.expect("an answer").history), ["q1", "a1", "q2", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn a_lowered_maximum_holds_for_old_sessions_too() {
    let house = echoing();
    let id = house.session().await;
    for n in 1..=3 {
        house.say(id, &format!("q{n}")).await;
    }
    // The same stores under a service whose operator allows four.
    let mut policy = Plan::new([]).policy;
    policy.memory.max = limit(4);
    let service = Arc::new(crate::chat::ChatService::new(house.ports.clone(), house.archive.clone(), policy));
    let events = service.send(id, &ANYBODY, post("q4")).await.expect("a turn");
    assert_eq!(contents(&outcome(events).await.expect("an answer").history), ["q3", "a3", "q4", "a4"]);
}

#[tokio::test(start_paused = true)]
async fn a_turn_costs_little_memory() {
    let house = echoing();
    let id = house.session().await;
    let events = house.service.send(id, &ANYBODY, post("hi")).await.expect("a turn");
    assert!(events.size <= 4 * 1024, "a turn's future takes {} bytes", events.size);
}
