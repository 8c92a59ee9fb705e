//! What comes back, as JSON: whole answers and the chunks of streams, borrowed from the bytes they are read from.
//!
//! Read as leniently as is safe: members that are missing or `null` are absent, unknown ones are looked over, and of
//! several choices the first counts.

mod text;

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

pub(crate) use self::text::{Content, Text};

/// A whole answer, or a chunk of one.
#[derive(Deserialize)]
pub(crate) struct Answer<'a> {
    #[serde(borrow)]
    pub(crate) choices: Option<First<Choice<'a>>>,
    #[serde(borrow)]
    pub(crate) usage: Option<&'a RawValue>,
    /// Which model answers; each chunk repeats it.
    #[serde(borrow)]
    pub(crate) model: Option<&'a RawValue>,
    /// OpenRouter reports failures in answers of status 200, and in the middle of streams.
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(crate) struct Choice<'a> {
    /// What a whole answer says.
    #[serde(borrow)]
    pub(crate) message: Option<Message<'a>>,
    /// What a chunk adds.
    #[serde(borrow)]
    pub(crate) delta: Option<Message<'a>>,
    #[serde(borrow)]
    pub(crate) finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(crate) struct Message<'a> {
    #[serde(borrow)]
    pub(crate) content: Option<Content<'a>>,
    /// What the model says instead of an answer it refuses to give.
    #[serde(borrow)]
    pub(crate) refusal: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) tool_calls: Option<Vec<Call<'a>>>,
    #[serde(borrow)]
    pub(crate) reasoning_details: Option<&'a RawValue>,
}

/// A tool call, or a piece of one.
#[derive(Deserialize)]
pub(crate) struct Call<'a> {
    pub(crate) index: Option<i64>,
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) function: Option<Function<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Function<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    /// JSON in a string; some servers send the JSON itself.
    #[serde(borrow)]
    pub(crate) arguments: Option<&'a RawValue>,
}

/// The first element of an array, if there is one; the others are skipped. Spares a stream an allocation per chunk.
pub(crate) struct First<T>(pub(crate) Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FirstVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for FirstVisitor<T> {
            type Value = First<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<First<T>, A::Error> {
                let first = array.next_element()?;
                while array.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }

        deserializer.deserialize_seq(FirstVisitor(PhantomData))
    }
}
