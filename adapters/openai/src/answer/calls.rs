//! Tool calls, whole or in pieces.

use chat_domain::{
    message::ToolCall,
    ports::llm::{LlmError, LlmErrorKind},
};

use crate::{
    failure,
    wire::{Call, Text},
};

/// What a call costs besides its texts, so that a flood of empty ones is bounded too.
const OVERHEAD: usize = size_of::<Pending>();

/// The calls so far, in the order of their first pieces.
#[derive(Default)]
pub(super) struct Calls {
    calls: Vec<Pending>,
    size: usize,
}

#[derive(Default)]
struct Pending {
    index: Option<i64>,
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    /// Takes a call, or a piece of one.
    pub(super) fn add(&mut self, piece: Call<'_>) -> Result<(), LlmError> {
        let id = piece.id.unwrap_or_default().0;
        let (name, arguments) = match piece.function {
            Some(function) => (function.name.unwrap_or_default().0, function.arguments),
            None => Default::default(),
        };
        let call = match self.place(piece.index, &id, &name) {
            Some(at) => &mut self.calls[at],
            None => {
                self.size += OVERHEAD;
                self.calls.push_mut(Pending { index: piece.index, ..Pending::default() })
            }
        };
        let before = call.size();
        if call.id.is_empty() {
            call.id = id.into_owned();
        }
        // Names come whole, with the first piece or with every one, or in pieces of their own.
        if call.name != name {
            call.name.push_str(&name);
        }
        match arguments.map(|arguments| arguments.get()) {
            None | Some("null") => {}
            Some(quoted) if quoted.starts_with('"') => {
                let text: Text<'_> = serde_json::from_str(quoted).map_err(|error| failure::unreadable(&error))?;
                call.arguments.push_str(&text.0);
            }
            Some(json) => call.arguments.push_str(json),
        }
        self.size += call.size() - before;
        Ok(())
    }

    /// The call that a piece belongs to; none if it begins one.
    ///
    /// Pieces are told apart by their index. Where that says too little, since some backends leave it out or give every
    /// call the same, a new id begins a new call, and without an id a name does.
    fn place(&self, index: Option<i64>, id: &str, name: &str) -> Option<usize> {
        let fits = |call: &Pending| id.is_empty() || call.id.is_empty() || call.id == id;
        match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index && fits(call)),
            None if !id.is_empty() => self.calls.iter().rposition(|call| call.id == id),
            None if !name.is_empty() => None,
            None => self.calls.len().checked_sub(1),
        }
    }

    /// Roughly what is kept of them, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The calls as the domain wants them; those without an id it names itself.
    pub(super) fn finish(self) -> Result<Vec<ToolCall>, LlmError> {
        if self.calls.iter().any(|call| call.name.is_empty()) {
            return Err(LlmError::new(LlmErrorKind::InvalidResponse, "the answer has a tool call without a name"));
        }
        let call =
            |call: Pending| ToolCall { id: call.id.into(), name: call.name.into(), arguments: call.arguments.into() };
        Ok(self.calls.into_iter().map(call).collect())
    }
}

impl Pending {
    fn size(&self) -> usize {
        self.id.len() + self.name.len() + self.arguments.len()
    }
}
