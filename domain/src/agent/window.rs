//! What the model is shown of a conversation: [`Window`].

use std::sync::Arc;

use crate::{
    json::Text,
    message::{Message, Role, Round},
};

/// What is done with the tool rounds of earlier turns (`MEMORY_TOOL_ROUNDS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PastRounds {
    /// They are remembered, cut, and shown to the model again with the message they led to.
    #[default]
    Replay,
    /// Their results are forgotten when the turn ends.
    Drop,
}

/// How much of a tool's result is remembered, in bytes: enough to know what it said, too little to fill the context.
pub const REMEMBERED_RESULT_BYTES: usize = 4 * 1024;

/// How much of earlier turns' rounds one request shows, in bytes; the newest come first.
pub const REPLAY_BUDGET_BYTES: usize = 64 * 1024;

/// A conversation as one turn's requests show it: the operator's prompt, the remembered messages, the new one.
#[derive(Debug)]
pub struct Window {
    system: Option<Arc<str>>,
    messages: Vec<Arc<Message>>,
    /// Messages from here on are shown with their rounds.
    replay_from: usize,
}

/// One thing the model is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Entry<'a> {
    /// The operator's prompt.
    System(&'a str),
    /// A client's or the model's words.
    Said(Role, &'a Text),
    /// An answer that asked for tools, and what they gave.
    Round(&'a Round),
}

impl Window {
    /// The last `limit` messages of `memory`, and `new`.
    pub fn new(
        system: Option<Arc<str>>,
        memory: &[Arc<Message>],
        limit: usize,
        new: Arc<Message>,
        past: PastRounds,
    ) -> Self {
        let remembered = &memory[memory.len().saturating_sub(limit)..];
        let mut messages = Vec::with_capacity(remembered.len() + 1);
        messages.extend_from_slice(remembered);
        messages.push(new);
        let replay_from = match past {
            PastRounds::Drop => messages.len(),
            PastRounds::Replay => within_budget(&messages),
        };
        Self { system, messages, replay_from }
    }

    /// What the model is shown, first to last, `running` being the rounds of the running turn.
    pub fn entries<'a>(&'a self, running: &'a [Round]) -> impl Iterator<Item = Entry<'a>> + Clone {
        let past = self.messages.iter().enumerate().flat_map(|(index, message)| {
            let rounds: &[Round] = if index >= self.replay_from { message.rounds() } else { &[] };
            rounds.iter().map(Entry::Round).chain(std::iter::once(Entry::Said(message.role, &message.content)))
        });
        self.system.as_deref().map(Entry::System).into_iter().chain(past).chain(running.iter().map(Entry::Round))
    }

    /// The message to answer.
    pub fn newest(&self) -> Option<&Message> {
        self.messages.last().map(|message| &**message)
    }
}

/// The first message whose rounds, with those of all later ones, fit into the budget.
fn within_budget(messages: &[Arc<Message>]) -> usize {
    let mut left = REPLAY_BUDGET_BYTES;
    for (index, message) in messages.iter().enumerate().rev() {
        let size: usize = message.rounds().iter().map(size_of_round).sum();
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => return index + 1,
        }
    }
    0
}

fn size_of_round(round: &Round) -> usize {
    let calls = round.calls.iter().map(|finished| finished.call.arguments.len() + finished.outcome.content.len());
    round.text.len() + calls.sum::<usize>() + round.opaque.as_ref().map_or(0, |opaque| opaque.0.get().len())
}

/// The rounds of a finished turn as they are remembered.
pub(super) fn remember(mut rounds: Vec<Round>, past: PastRounds) -> Vec<Round> {
    for finished in rounds.iter_mut().flat_map(|round| &mut round.calls) {
        let content = &mut finished.outcome.content;
        match past {
            PastRounds::Drop => *content = "".into(),
            PastRounds::Replay => {
                if let Some(short) = cut(content, REMEMBERED_RESULT_BYTES) {
                    *content = short.into();
                }
            }
        }
    }
    rounds
}

/// The first `max` bytes of a text at most, at a character's end, with a mark that says how much there was; none if the
/// text is not longer.
pub fn cut(text: &str, max: usize) -> Option<String> {
    if text.len() <= max {
        return None;
    }
    let kept = &text[..text.floor_char_boundary(max)];
    Some(format!("{kept}\n[cut: {} of {} bytes]", kept.len(), text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::{Extra, FinishedCall, MessageId, ToolCall, ToolOutcome},
        time::Timestamp,
    };
    use std::time::Duration;

    fn said(role: Role, content: &str) -> Arc<Message> {
        Arc::new(Message::said(MessageId(uuid::Uuid::nil()), Timestamp::default(), role, content))
    }

    fn round(result: &str) -> Round {
        let call = ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into() };
        let finished = FinishedCall {
            call,
            server: "s".into(),
            tool: "t".into(),
            outcome: ToolOutcome::ok(result),
            took: Duration::ZERO,
        };
        Round { text: "".into(), calls: vec![finished], opaque: None }
    }

    fn answered(content: &str, rounds: Vec<Round>) -> Arc<Message> {
        let mut message = Message::clone(&said(Role::Assistant, content));
        message.extra = Some(Box::new(Extra { rounds, unavailable_servers: vec![] }));
        Arc::new(message)
    }

    fn shown(window: &Window, running: &[Round]) -> Vec<String> {
        let tell = |entry| match entry {
            Entry::System(text) => format!("system:{text}"),
            Entry::Said(role, text) => format!("{}:{text}", role.as_str()),
            Entry::Round(round) => format!("round:{}", round.calls[0].outcome.content.len()),
        };
        window.entries(running).map(tell).collect()
    }

    #[test]
    fn shows_the_prompt_the_last_messages_and_the_new_one() {
        let memory =
            [said(Role::User, "1"), said(Role::Assistant, "2"), said(Role::User, "3"), said(Role::Assistant, "4")];
        let window = Window::new(Some("be kind".into()), &memory, 3, said(Role::User, "5"), PastRounds::Replay);
        assert_eq!(shown(&window, &[]), ["system:be kind", "assistant:2", "user:3", "assistant:4", "user:5"]);
    }

    #[test]
    fn shows_earlier_rounds_before_their_message_newest_first_within_the_budget() {
        let half = "x".repeat(REPLAY_BUDGET_BYTES / 2);
        let memory = [
            answered("a", vec![round("old")]),
            answered("b", vec![round(&half)]),
            answered("c", vec![round(&half[4..])]),
        ];
        let window = Window::new(None, &memory, 9, said(Role::User, "d"), PastRounds::Replay);
        // The two halves and their arguments fill the budget to the last byte; the old round no longer fits.
        let half = half.len();
        let expected = [
            "assistant:a".to_owned(),
            format!("round:{half}"),
            "assistant:b".into(),
            format!("round:{}", half - 4),
            "assistant:c".into(),
            "user:d".into(),
            "round:3".into(),
        ];
        assert_eq!(shown(&window, &[round("now")]), expected);
        let window = Window::new(None, &memory, 9, said(Role::User, "d"), PastRounds::Drop);
        assert_eq!(shown(&window, &[]), ["assistant:a", "assistant:b", "assistant:c", "user:d"]);
    }

    #[test]
    fn remembered_results_are_cut_at_a_characters_end() {
        let long = "é".repeat(REMEMBERED_RESULT_BYTES);
        let rounds = remember(vec![round(&format!("x{long}"))], PastRounds::Replay);
        let kept = &rounds[0].calls[0].outcome.content;
        assert!(
            kept.starts_with("xé") && kept.ends_with("\n[cut: 4095 of 8193 bytes]"),
            "{}",
            &kept[kept.len() - 40..]
        );
        assert_eq!(&*remember(vec![round("r")], PastRounds::Drop)[0].calls[0].outcome.content, "");
        assert_eq!(cut("abc", 3), None);
    }
}
