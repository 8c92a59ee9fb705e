//! The state machine alone; what it does when driven is in `driven`, with the model's words in `rounds`.

mod driven;

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    message::{Opaque, Role},
    testing::{samples::said, tools::tool},
};

fn policy(max_steps: u32) -> AgentPolicy {
    AgentPolicy { max_steps, past_rounds: PastRounds::Replay }
}

fn brief(forced: Option<&str>) -> Brief {
    let tools = ToolCatalogue::new(vec![tool("s", "find"), tool("s", "read")], vec![]);
    Brief {
        window: Window::new(None, &[], 10, said(Role::User, "hi", 0), PastRounds::Replay),
        tools: Arc::new(tools),
        forced: forced.map(Arc::from),
        options: Arc::default(),
        delivery: Delivery::Whole,
        deadline: Moment(Duration::from_secs(60)),
    }
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
}

fn asks(calls: Vec<ToolCall>) -> Completion {
    Completion { calls, finish: Some(FinishReason::ToolCalls), ..Completion::default() }
}

fn says(text: &str) -> Completion {
    Completion { text: text.into(), finish: Some(FinishReason::Stop), ..Completion::default() }
}

/// The calls a turn wants made.
fn planned(step: Step) -> Vec<PlannedCall> {
    match step {
        Step::CallTools(planned) => planned,
        other => panic!("tools are to be called, not {other:?}"),
    }
}

fn done(step: Step) -> Answer {
    match step {
        Step::Done(answer) => answer,
        other => panic!("the turn is over, not {other:?}"),
    }
}

/// Every call answered with `result`.
fn finished(planned: Vec<PlannedCall>, result: &str) -> Vec<FinishedCall> {
    let finish = |planned: PlannedCall| FinishedCall {
        call: planned.call,
        server: "s".into(),
        tool: "t".into(),
        outcome: ToolOutcome::ok(result),
        took: Duration::ZERO,
    };
    planned.into_iter().map(finish).collect()
}

fn one_call() -> Completion {
    asks(vec![call("c", "s_find", "{}")])
}

/// Lets the model ask for one tool, and answers it.
fn round(turn: &mut Turn) {
    let step = turn.answered(one_call()).expect("no failure");
    let calls = finished(planned(step), "r");
    assert!(matches!(turn.tools_finished(calls), Step::CallModel));
}

#[test]
fn an_answer_without_calls_is_the_end() {
    let mut turn = Turn::new(brief(None), policy(10));
    assert_eq!(turn.request().tool_choice, ToolChoice::Auto);
    let answer = done(turn.answered(says("hello")).expect("no failure"));
    assert_eq!(answer, Answer { text: "hello".into(), finish: Some(FinishReason::Stop), usage: None, rounds: vec![] });
}

#[test]
fn empty_answers_fail_at_first_and_after_tools() {
    for text in ["", " ", "\n\t "] {
        let mut turn = Turn::new(brief(None), policy(10));
        let error = turn.answered(says(text)).expect_err("empty");
        assert_eq!(error.kind, LlmErrorKind::InvalidResponse, "{text:?}");
        let mut turn = Turn::new(brief(None), policy(10));
        round(&mut turn);
        let error = turn.answered(says(text)).expect_err("empty");
        assert_eq!(error.kind, LlmErrorKind::InvalidResponse, "{text:?}");
    }
}

#[test]
fn the_last_step_must_answer() {
    for max_steps in [2, 3, 10] {
        let mut turn = Turn::new(brief(None), policy(max_steps));
        for step in 1..max_steps {
            assert_eq!(turn.request().tool_choice, ToolChoice::Auto, "step {step} of {max_steps}");
            round(&mut turn);
        }
        assert_eq!(turn.request().tool_choice, ToolChoice::None, "the last of {max_steps}");
        assert_eq!(done(turn.answered(says("so be it")).expect("no failure")).rounds.len(), max_steps as usize - 1);
    }
}

#[test]
fn fewer_than_two_steps_are_two() {
    for max_steps in [0, 1] {
        let mut turn = Turn::new(brief(None), policy(max_steps));
        assert_eq!(turn.request().tool_choice, ToolChoice::Auto);
        round(&mut turn);
        assert_eq!(turn.request().tool_choice, ToolChoice::None);
    }
}

#[test]
fn a_model_that_asks_for_tools_for_ever_is_not_obeyed_in_the_end() {
    let mut turn = Turn::new(brief(None), policy(3));
    round(&mut turn);
    round(&mut turn);
    // With words it is an answer, and the call is not made; without it is none.
    let with_words = Completion { text: "I would rather look again".into(), ..one_call() };
    let answer = done(turn.answered(with_words).expect("no failure"));
    assert_eq!((answer.text.as_str(), answer.rounds.len()), ("I would rather look again", 2));
    let mut turn = Turn::new(brief(None), policy(2));
    round(&mut turn);
    assert_eq!(turn.answered(one_call()).expect_err("no answer").kind, LlmErrorKind::InvalidResponse);
}

#[test]
fn a_forced_tool_is_forced_once() {
    let mut turn = Turn::new(brief(Some("s_find")), policy(10));
    assert_eq!(turn.request().tool_choice, ToolChoice::Function("s_find".into()));
    round(&mut turn);
    assert_eq!(turn.request().tool_choice, ToolChoice::Auto);
}

#[test]
fn arguments_are_an_object_or_an_error_and_never_guessed() {
    for (arguments, expected) in [
        ("{}", Some("{}")),
        ("", Some("{}")),
        (" \n", Some("{}")),
        (r#" {"q": "é", "n": 1.50} "#, Some(r#"{"q": "é", "n": 1.50}"#)),
        (r#"{"a":{"b":[]}}"#, Some(r#"{"a":{"b":[]}}"#)),
        ("null", None),
        ("[]", None),
        ("1", None),
        (r#""{}""#, None),
        ("{", None),
        ("{'a': 1}", None),
        ("{} {}", None),
        (r#"{"a": 1,}"#, None),
        (r#"{"a":{"$serde_json::private::RawValue":"[]"}}"#, None),
        (r#"{"a":[{"b":1,"\u0024serde_json::private::RawValue":"[]"}]}"#, None),
        (r#"{"a":"\ud800"}"#, None),
        (&format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200)), None),
        ("find it", None),
    ] {
        let mut turn = Turn::new(brief(None), policy(10));
        let step = turn.answered(asks(vec![call("c", "s_find", arguments)])).expect("no failure");
        match (planned(step).remove(0).plan, expected) {
            (Plan::Call(tool, json), Some(expected)) => {
                assert_eq!((&*tool.function, json.get()), ("s_find", expected), "{arguments:?}");
            }
            (Plan::Refuse { tool: Some(_), outcome }, None) => {
                assert!(outcome.is_error && outcome.content.contains("JSON object"), "{arguments:?}: {outcome:?}");
            }
            (plan, _) => panic!("{arguments:?} became {plan:?}"),
        }
    }
}

#[test]
fn an_unknown_tool_is_refused_by_name() {
    let mut turn = Turn::new(brief(None), policy(10));
    let step = turn.answered(asks(vec![call("c", "rm", "{"), call("d", "s_read", "{}")])).expect("no failure");
    let planned = planned(step);
    let Plan::Refuse { tool: None, outcome } = &planned[0].plan else { panic!("there is no such tool") };
    assert_eq!(*outcome, ToolOutcome::error(r#"There is no tool named "rm"."#));
    assert!(matches!(&planned[1].plan, Plan::Call(tool, _) if &*tool.name == "read"));
}

proptest! {
    /// Results are matched by id: whatever the model writes, the ids of a round differ and none is empty, and one that
    /// was fine is left alone.
    #[test]
    fn calls_of_a_round_have_ids_of_their_own(ids in proptest::collection::vec("|a|b|call_[01]_[0-4]", 1..8)) {
        let mut turn = Turn::new(brief(None), policy(10));
        round(&mut turn);
        let calls: Vec<_> = ids.iter().map(|id| call(id, "s_find", "{}")).collect();
        let planned = planned(turn.answered(asks(calls)).expect("no failure"));
        let given: Vec<&str> = planned.iter().map(|planned| &*planned.call.id).collect();
        let mut seen = HashSet::new();
        for (index, id) in given.iter().enumerate() {
            prop_assert!(!id.is_empty() && seen.insert(*id), "{ids:?} became {given:?}");
            if !ids[index].is_empty() && !ids[..index].contains(&ids[index]) {
                prop_assert_eq!(*id, &*ids[index], "{:?} became {:?}", ids, given);
            }
        }
        let rounds = { turn.tools_finished(finished(planned, "r")); &turn.request().rounds };
        prop_assert_eq!(rounds[1].calls.len(), ids.len());
    }
}

#[test]
fn usage_is_summed_over_the_calls_of_the_turn() {
    let using = |completion: Completion, usage: Option<serde_json::Value>| Completion {
        usage: usage.map(|usage| serde_json::from_value(usage).expect("an object")),
        ..completion
    };
    let mut turn = Turn::new(brief(None), policy(10));
    let usages = [Some(json!({"prompt_tokens": 1, "cost": 0.5})), None];
    for usage in usages {
        let step = turn.answered(using(one_call(), usage)).expect("no failure");
        turn.tools_finished(finished(planned(step), "r"));
    }
    let last = using(says("done"), Some(json!({"prompt_tokens": 2, "cost": 0.25, "details": {"x": 1}})));
    let answer = done(turn.answered(last).expect("no failure"));
    let expected = json!({"prompt_tokens": 3, "cost": 0.75, "details": {"x": 1}});
    assert_eq!(serde_json::to_value(answer.usage).expect("JSON"), expected);
}

#[test]
fn rounds_keep_text_calls_and_what_the_backend_wants_back() {
    let mut turn = Turn::new(brief(None), policy(10));
    let opaque = Opaque(RawValue::from_string(r#"[{"sig":"x"}]"#.into()).expect("JSON").into());
    let asking = Completion { text: "let me look".into(), opaque: Some(opaque.clone()), ..one_call() };
    let step = turn.answered(asking).expect("no failure");
    turn.tools_finished(finished(planned(step), "found"));
    let rounds = &turn.request().rounds;
    assert_eq!((&*rounds[0].text, &rounds[0].opaque), ("let me look", &Some(opaque)));
    assert_eq!(&*rounds[0].calls[0].outcome.content, "found");
}

#[test]
fn results_are_whole_within_the_turn_and_cut_when_remembered() {
    let long = "x".repeat(window::REMEMBERED_RESULT_BYTES + 1);
    for (past_rounds, starts_with) in [(PastRounds::Replay, "xxx"), (PastRounds::Drop, "")] {
        let mut turn = Turn::new(brief(None), AgentPolicy { max_steps: 10, past_rounds });
        let step = turn.answered(one_call()).expect("no failure");
        turn.tools_finished(finished(planned(step), &long));
        assert_eq!(*turn.request().rounds[0].calls[0].outcome.content, *long);
        let answer = done(turn.answered(says("done")).expect("no failure"));
        let content = &answer.rounds[0].calls[0].outcome.content;
        assert!(content.len() < long.len() + 40 && content.starts_with(starts_with));
        assert_eq!(content.is_empty(), past_rounds == PastRounds::Drop);
        assert_eq!(content.ends_with("bytes]"), past_rounds == PastRounds::Replay);
    }
}
