//! The loop, driven: model and tools are scripted, the clock is paused.

use std::{sync::Mutex, task::Poll, time::Duration};

use futures_util::StreamExt;

use super::{brief, policy};
use crate::{
    agent::{
        AgentPolicy, Answer, Brief, Turn,
        driver::drive,
        events::{TurnEvent, TurnEvents},
    },
    chat::error::ChatError,
    message::ToolOutcome,
    ports::{
        llm::{Delivery, LlmErrorKind, ToolChoice},
        tools::ToolPort,
    },
    testing::{
        Behaviour, Gate, Reply,
        house::{House, Plan, line},
        tasks::Seen,
    },
};

/// A house with these answers and a set of tools.
fn house(replies: impl IntoIterator<Item = Reply>) -> House {
    let slowly = |millis, text: &str| Behaviour::Slowly(Duration::from_millis(millis), text.into());
    Plan::new(replies)
        .with_tools([
            ("s", "echo", Behaviour::Echoes),
            ("s", "fail", Behaviour::Fails("it broke".into())),
            ("s", "slow", slowly(30, "slow")),
            ("s", "slower", slowly(60, "slower")),
            ("s", "hang", Behaviour::Hangs),
            ("t", "meet", Behaviour::Gated(Gate::of(3))),
        ])
        .build()
}

/// Drives a turn with the house's model and tools; the lines of its events and what came of it.
async fn driven(
    house: &House,
    change: impl FnOnce(&mut Brief),
    policy: AgentPolicy,
) -> (Vec<String>, Result<Answer, LlmErrorKind>) {
    let mut brief = brief(None);
    brief.tools = house.tools.catalogue();
    change(&mut brief);
    let result = std::sync::Arc::new(Mutex::new(None));
    let (ports, slot) = (house.ports.clone(), result.clone());
    let events = TurnEvents::of(move |emitter| async move {
        let answer = drive(Turn::new(brief, policy), &ports, &emitter).await;
        *slot.lock().expect("no panic") = Some(answer.map_err(|error| error.kind));
        TurnEvent::Failed(ChatError::Capacity)
    });
    let mut lines: Vec<String> = events.map(|event| line(&event)).collect().await;
    lines.pop();
    let result = result.lock().expect("no panic").take().expect("the turn ended");
    (lines, result)
}

fn streamed(brief: &mut Brief) {
    brief.delivery = Delivery::Streamed;
}

#[tokio::test(start_paused = true)]
async fn an_answer_wanted_whole_has_no_events() {
    let house = house([Reply::pieces(["hel", "lo"])]);
    let (events, answer) = driven(&house, |_| (), policy(10)).await;
    assert_eq!(events, [""; 0]);
    assert_eq!(answer.expect("an answer").text, "hello");
    assert_eq!(house.shown(0), ["user:hi"]);
}

#[tokio::test(start_paused = true)]
async fn events_tell_all_in_order_text_between_rounds_too() {
    let house = house([
        Reply::pieces(["let me ", "look"]).asking([("c1", "s_echo", r#"{"text":"a"}"#)]),
        Reply::text("once more").asking([("c2", "s_fail", "{}")]),
        Reply::pieces(["it is ", "a"]),
    ]);
    let (events, answer) = driven(&house, streamed, policy(10)).await;
    let expected = [
        "delta let me ",
        "delta look",
        r#"tool c1 s.echo({"text":"a"})"#,
        "finished c1 s.echo",
        "delta once more",
        "tool c2 s.fail({})",
        "failed c2 s.fail",
        "delta it is ",
        "delta a",
    ];
    assert_eq!(events, expected);
    let answer = answer.expect("an answer");
    // The answer is the last round's text; what was said before it stays with its round.
    assert_eq!(answer.text, "it is a");
    assert_eq!(answer.rounds.iter().map(|round| &*round.text).collect::<Vec<_>>(), ["let me look", "once more"]);
    assert_eq!(
        house.shown(2),
        [
            "user:hi",
            "round:let me look",
            r#"call:s_echo({"text":"a"})=a"#,
            "round:once more",
            "call:s_fail({})=!it broke"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn broken_calls_are_told_to_the_model_and_not_made() {
    let calls = [("c1", "s_nothing", "{}"), ("c2", "s_echo", "{oops"), ("c3", "s_echo", "")];
    let house = house([Reply::calls(calls), Reply::text("sorry")]);
    let (events, answer) = driven(&house, |_| (), policy(10)).await;
    assert_eq!(answer.expect("an answer").text, "sorry");
    assert_eq!(house.tools.calls(), ["s.echo({})"]);
    let shown = house.shown(1);
    assert!(shown[1].starts_with("call:s_nothing({})=!There is no tool"), "{shown:?}");
    assert!(shown[2].starts_with("call:s_echo({oops)=!The arguments are not valid JSON"), "{shown:?}");
    assert_eq!(shown[3], "call:s_echo()=");
    // The model's word stands for a tool that nobody has, with no server.
    assert!(events.contains(&"failed c1 .s_nothing".to_owned()), "{events:?}");
    assert!(events.contains(&"failed c2 s.echo".to_owned()), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn tools_of_one_answer_run_together() {
    let calls = [("c1", "t_meet", "{}"), ("c2", "t_meet", "{}"), ("c3", "t_meet", "{}")];
    let house = house([Reply::calls(calls), Reply::text("met")]);
    let (_, answer) = driven(&house, |_| (), policy(10)).await;
    let answer = answer.expect("an answer");
    assert!(answer.rounds[0].calls.iter().all(|call| call.outcome == ToolOutcome::ok("passed")));
    let began = house.clock.moment();
    house.llm.push(Reply::calls([("c1", "s_slower", "{}"), ("c2", "s_slow", "{}")]));
    house.llm.push(Reply::text("done"));
    driven(&house, |_| (), policy(10)).await.1.expect("an answer");
    assert_eq!(house.clock.moment().since(began), Duration::from_millis(60));
}

#[tokio::test(start_paused = true)]
async fn outcomes_keep_the_order_of_the_calls_whoever_ends_first() {
    let calls = [("c1", "s_slower", "{}"), ("c2", "s_slow", "{}"), ("c3", "s_echo", r#"{"text":"x"}"#)];
    let house = house([Reply::calls(calls), Reply::text("done")]);
    let (events, answer) = driven(&house, |_| (), policy(10)).await;
    let expected = [
        "tool c1 s.slower({})",
        "tool c2 s.slow({})",
        r#"tool c3 s.echo({"text":"x"})"#,
        "finished c3 s.echo",
        "finished c2 s.slow",
        "finished c1 s.slower",
    ];
    assert_eq!(events, expected);
    let calls = &answer.expect("an answer").rounds[0].calls;
    let told: Vec<_> =
        calls.iter().map(|call| (&*call.call.id, &*call.outcome.content, call.took.as_millis())).collect();
    assert_eq!(told, [("c1", "slower", 60), ("c2", "slow", 30), ("c3", "x", 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_hangs_is_an_outcome_at_the_deadline() {
    let house = house([Reply::calls([("c1", "s_hang", "{}"), ("c2", "s_slow", "{}")])]);
    let deadline = house.clock.moment().plus(Duration::from_secs(5));
    let (events, _) = driven(&house, |brief| brief.deadline = deadline, policy(10)).await;
    assert_eq!(events[2..], ["finished c2 s.slow", "failed c1 s.hang"]);
    assert_eq!(house.clock.moment(), deadline);
}

#[tokio::test(start_paused = true)]
async fn the_last_call_may_not_use_tools_and_a_forced_one_is_forced_first() {
    let echo = [("c", "s_echo", "{}")];
    let house = house([Reply::calls(echo), Reply::calls(echo), Reply::text("enough")]);
    let (_, answer) = driven(&house, |brief| brief.forced = Some("s_echo".into()), policy(3)).await;
    assert_eq!(answer.expect("an answer").text, "enough");
    let choices: Vec<_> = house.llm.asked().into_iter().map(|asked| asked.tool_choice).collect();
    assert_eq!(choices, [ToolChoice::Function("s_echo".into()), ToolChoice::Auto, ToolChoice::None]);
}

#[tokio::test(start_paused = true)]
async fn the_model_gets_back_what_it_wanted_back_within_the_turn() {
    let opaque = r#"[{"type":"reasoning.encrypted","data":"abc"}]"#;
    let house = house([Reply::calls([("c", "s_echo", "{}")]).with_opaque(opaque), Reply::text("done")]);
    driven(&house, |_| (), policy(10)).await.1.expect("an answer");
    let asked = &house.llm.asked()[1];
    assert_eq!(asked.rounds[0].opaque.as_ref().expect("kept").0.get(), opaque);
    assert_eq!(asked.tools, ["s_echo", "s_fail", "s_slow", "s_slower", "s_hang", "t_meet"]);
}

#[tokio::test(start_paused = true)]
async fn failures_of_the_model_end_the_turn_those_of_tools_do_not() {
    for (reply, kind) in [
        (Reply::fails(LlmErrorKind::Auth), LlmErrorKind::Auth),
        (Reply::default(), LlmErrorKind::InvalidResponse),
        (Reply::pieces(["half"]).then_fails(LlmErrorKind::Unavailable), LlmErrorKind::Unavailable),
    ] {
        let house = house([Reply::calls([("c", "s_fail", "{}")]), reply]);
        let (events, answer) = driven(&house, streamed, policy(10)).await;
        assert_eq!(answer, Err(kind));
        assert_eq!(events[..2], ["tool c s.fail({})", "failed c s.fail"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_counted_is_told_to_the_observer() {
    let usage = serde_json::json!({"prompt_tokens": 3});
    let calls = [("c1", "s_fail", "{}"), ("c2", "s_echo", "{}")];
    let house = house([Reply::calls(calls).using(usage.clone()), Reply::text("done")]);
    driven(&house, |_| (), policy(10)).await.1.expect("an answer");
    let tokens = Seen::Tokens(serde_json::from_value(usage).expect("an object"));
    let mut seen = house.observer.take();
    // The two calls end together.
    seen[1..].sort_by_key(|seen| matches!(seen, Seen::ToolCall(_, true)));
    let expected = [tokens, Seen::ToolCall("s.echo".into(), false), Seen::ToolCall("s.fail".into(), true)];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_events_stops_model_and_tools() {
    let house = house([Reply::calls([("c1", "s_hang", "{}"), ("c2", "s_hang", "{}")]), Reply::hangs()]);
    for (events_before, cancelled, stopped) in [(2, 2, 0), (0, 2, 1)] {
        let mut brief = brief(None);
        brief.tools = house.tools.catalogue();
        let ports = house.ports.clone();
        let mut events = TurnEvents::of(move |emitter| async move {
            let _ = drive(Turn::new(brief, policy(10)), &ports, &emitter).await;
            TurnEvent::Failed(ChatError::Capacity)
        });
        for _ in 0..events_before {
            events.next().await.expect("an event");
        }
        assert!(matches!(futures_util::poll!(events.next()), Poll::Pending));
        drop(events);
        assert_eq!((house.tools.cancelled(), house.llm.stopped()), (cancelled, stopped));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_its_turn_back() {
    let house = house([Reply::pieces(["a", "b", "c"])]);
    let mut brief = brief(None);
    streamed(&mut brief);
    let ports = house.ports.clone();
    let mut events = TurnEvents::of(move |emitter| async move {
        let _ = drive(Turn::new(brief, policy(10)), &ports, &emitter).await;
        TurnEvent::Failed(ChatError::Capacity)
    });
    assert_eq!(house.llm.asked().len(), 0, "nothing runs before it is read");
    for expected in ["delta a", "delta b", "delta c"] {
        assert_eq!(line(&events.next().await.expect("an event")), expected);
        assert_eq!(house.llm.running(), 1, "the model is not read ahead");
    }
    events.next().await.expect("the end");
    assert_eq!(house.llm.running(), 0);
    assert!(events.next().await.is_none());
    assert!(events.next().await.is_none());
}
