//! What a model thought (OpenRouter's `reasoning_details`), which some want back with the results of their tools.

use chat_domain::{json::Foreign, message::Opaque};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

type Detail = Map<String, Value>;

/// The details so far. A whole answer's are kept to the letter; a stream's have to be put together from pieces.
#[derive(Default)]
pub(super) struct Reasoning {
    /// What has come, as long as it came at once.
    whole: Option<Box<RawValue>>,
    pieces: Vec<Detail>,
    size: usize,
}

impl Reasoning {
    /// Takes an array of details, or of pieces of them; anything else is no concern of ours.
    pub(super) fn add(&mut self, details: &RawValue) {
        let Ok(more) = serde_json::from_str::<Vec<Foreign<Detail>>>(details.get()) else {
            return;
        };
        if more.is_empty() {
            return;
        }
        let is_first = self.size == 0;
        self.size += details.get().len();
        self.whole = is_first.then(|| details.to_owned());
        more.into_iter().for_each(|Foreign(piece)| self.append(piece));
    }

    fn append(&mut self, piece: Detail) {
        match self.pieces.last_mut() {
            Some(last) if continues(last, &piece) => extend(last, piece),
            _ => self.pieces.push(piece),
        }
    }

    /// Roughly what is kept of it, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The details as they are sent back.
    pub(super) fn finish(self) -> Option<Opaque> {
        let details = match self.whole {
            Some(details) => details,
            None if self.pieces.is_empty() => return None,
            None => to_raw_value(&self.pieces).ok()?,
        };
        Some(Opaque(details.into()))
    }
}

/// Text and summaries come in pieces; encrypted details come whole. A piece belongs to the detail before it if nothing
/// that identifies a detail speaks against it.
fn continues(last: &Detail, piece: &Detail) -> bool {
    let in_pieces = matches!(piece.get("type").and_then(Value::as_str), Some("reasoning.text" | "reasoning.summary"));
    let agree = |key: &str| match (present(last, key), present(piece, key)) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    in_pieces && ["type", "index", "id"].into_iter().all(agree)
}

fn present<'a>(detail: &'a Detail, key: &str) -> Option<&'a Value> {
    detail.get(key).filter(|value| !value.is_null())
}

/// Adds a piece: its text goes behind the text so far, and what only later pieces have (a signature) is filled in.
fn extend(last: &mut Detail, piece: Detail) {
    for (key, value) in piece {
        match (key.as_str(), last.get_mut(&key), value) {
            ("text" | "summary", Some(Value::String(text)), Value::String(more)) => text.push_str(&more),
            (_, None | Some(Value::Null), value) => {
                last.insert(key, value);
            }
            _ => {}
        }
    }
}
