//! YAML files: as a tree whose scalars are kept as they are written, and the main file as one flat mapping of names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use secrecy::SecretString;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_yaml::Value;

use super::error::Problem;
use super::source::{Raw, SourceKind, Values};

/// A value of a file. Any text in it may be secret.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// `~`, or nothing at all.
    Null,
    /// A scalar, exactly as it is written: what YAML takes for a number may be a password, and `0x10` is not `16`.
    Text(SecretString),
    /// A list.
    List(Vec<Node>),
    /// A mapping, with what it takes over by `<<`.
    Map(BTreeMap<String, Node>),
    /// Something that cannot be a value; says what would be right.
    Unusable(&'static str),
}

impl Node {
    /// What is there, below all these keys.
    pub(super) fn at(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| match node {
            Self::Map(entries) => entries.get(*key),
            _ => None,
        })
    }

    /// This with another laid over it: mappings are joined, everything else is replaced. A key without a value, as
    /// templates have them, replaces nothing.
    pub(super) fn overlaid(self, over: Self) -> Self {
        match (self, over) {
            (below, Self::Null) => below,
            (Self::Map(mut entries), Self::Map(over)) => {
                for (key, over) in over {
                    let below = entries.remove(&key).unwrap_or(Self::Null);
                    entries.insert(key, below.overlaid(over));
                }
                Self::Map(entries)
            }
            (_, over) => over,
        }
    }
}

/// Reads a file whatever its shape.
pub(super) fn tree(path: &Path, text: &str) -> Result<Node, Problem> {
    let shape = shape(path, text)?;
    fill(path, text, &shape)
}

/// Reads the main file: a flat mapping of names to scalars and lists.
pub(super) fn parse(path: &Path, text: &str) -> Result<Values, Problem> {
    let shape = shape(path, text)?;
    match &shape {
        Value::Null => {}
        Value::Mapping(mapping) if mapping.keys().all(Value::is_string) => {}
        Value::Mapping(_) => return Err(Problem::in_file(path.display(), NAMES_AS_KEYS)),
        _ => return Err(Problem::in_file(path.display(), "must be a mapping, with lines like `rate_rps: 2`")),
    }
    let none = Values::new(SourceKind::Yaml, path.display().to_string());
    match fill(path, text, &shape)? {
        Node::Map(entries) => Ok(entries.into_iter().fold(none, |values, (name, node)| values.with(name, raw(node)))),
        Node::Unusable(why) => Err(Problem::in_file(path.display(), why)),
        _ => Ok(none),
    }
}

const NAMES_AS_KEYS: &str = "must have names as keys, and one of them is something else";

fn raw(node: Node) -> Raw {
    match node {
        Node::Null => Raw::text(""),
        Node::Text(text) => Raw::Text(text),
        Node::List(items) => {
            let texts = items.into_iter().map(|item| if let Node::Text(text) = item { Some(text) } else { None });
            texts.collect::<Option<_>>().map_or(Raw::Unusable("must be a list of plain values"), Raw::List)
        }
        Node::Map(_) | Node::Unusable(_) => Raw::Unusable("must be a plain value, not a mapping or a tagged value"),
    }
}

/// The first of two readings of a file: for its shape, and every mistake in it. The second one, [`fill`], is for the
/// scalars.
fn shape(path: &Path, text: &str) -> Result<Value, Problem> {
    serde_yaml::from_str(text).map_err(|error| Problem::in_file(path.display(), mistake(&error)))
}

fn fill(path: &Path, text: &str, shape: &Value) -> Result<Node, Problem> {
    Shaped(shape)
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|_| Problem::in_file(path.display(), "has a key or value that is no plain text"))
}

/// A mistake of syntax. The library's messages are fixed texts, but for the one about tags, which quotes the value.
fn mistake(error: &serde_yaml::Error) -> String {
    let message = error.to_string();
    let at = error.location().map(|at| format!(" at line {} column {}", at.line(), at.column())).unwrap_or_default();
    if message.contains("invalid value: ") || message.contains("invalid type: ") {
        return format!("is not valid YAML: a value does not fit its tag{at}");
    }
    // It leaves the position out when it is the very first.
    let at = if message.contains(" at line ") { "" } else { &at };
    format!("is not valid YAML: {message}{at}")
}

/// Reads what has this shape.
#[derive(Clone, Copy)]
struct Shaped<'a>(&'a Value);

impl<'de> DeserializeSeed<'de> for Shaped<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let skipped = match self.0 {
            Value::Bool(_) | Value::Number(_) | Value::String(_) => return deserializer.deserialize_string(self),
            Value::Sequence(_) => return deserializer.deserialize_seq(self),
            Value::Mapping(mapping) if mapping.keys().all(is_scalar) => return deserializer.deserialize_map(self),
            Value::Mapping(_) => Node::Unusable(NAMES_AS_KEYS),
            Value::Tagged(_) => Node::Unusable("must be a value without a tag"),
            Value::Null => Node::Null,
        };
        deserializer.deserialize_ignored_any(IgnoredAny)?;
        Ok(skipped)
    }
}

fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_))
}

impl<'de> Visitor<'de> for Shaped<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was there before")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(SecretString::from(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        for shape in self.0.as_sequence().into_iter().flatten() {
            list.push(items.next_element_seed(Shaped(shape))?.ok_or_else(|| A::Error::custom("fewer items"))?);
        }
        // Without having been asked for one more, the list would not count as read to its end.
        items.next_element::<IgnoredAny>()?;
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = BTreeMap::new();
        for shape in self.0.as_mapping().into_iter().flat_map(|mapping| mapping.values()) {
            let key: String = map.next_key()?.ok_or_else(|| A::Error::custom("fewer entries"))?;
            entries.insert(key, map.next_value_seed(Shaped(shape))?);
        }
        map.next_key::<IgnoredAny>()?;
        Ok(merged(entries))
    }
}

/// The mapping with the entries that its `<<` names. Its own ones are stronger, and of several the first.
fn merged(mut entries: BTreeMap<String, Node>) -> Node {
    let others = match entries.remove("<<") {
        None => return Node::Map(entries),
        Some(Node::List(others)) => others,
        Some(other) => vec![other],
    };
    for other in others {
        let Node::Map(other) = other else {
            return Node::Unusable("must have a mapping, or a list of them, as its `<<`");
        };
        for (key, node) in other {
            entries.entry(key).or_insert(node);
        }
    }
    Node::Map(entries)
}
