//! Text as endpoints send it: a string, or a string in parts.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};

/// A string, borrowed unless it has escapes in it.
#[derive(Deserialize, Default)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A message's content: a string, or an array of parts of which the texts count (`[{"type": "text", "text": "…"}]`).
pub(crate) struct Content<'a>(pub(crate) Cow<'a, str>);

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;

        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of parts")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Content<'de>, E> {
                Ok(Content(text.into()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content<'de>, E> {
                Ok(Content(text.to_owned().into()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Content<'de>, E> {
                Ok(Content(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content<'de>, A::Error> {
                let mut all = String::new();
                while let Some(Part { r#type, text }) = parts.next_element()? {
                    // Parts of other kinds, such as a model's thoughts, may have a `text` of their own.
                    if matches!(r#type.as_ref().map(|kind| &*kind.0), None | Some("text" | "output_text")) {
                        all.push_str(&text.unwrap_or_default().0);
                    }
                }
                Ok(Content(all.into()))
            }
        }

        deserializer.deserialize_any(ContentVisitor)
    }
}
