//! The YAML file: one flat mapping of names to scalars and lists.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use secrecy::SecretString;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_yaml::Value;

use super::error::Problem;
use super::source::{Raw, SourceKind, Values};

/// Reads the file twice: once for its shape (and every mistake in it), once for the scalars as they are written.
/// What YAML takes for a number may be a password: `0x10` must not become `16`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Values, Problem> {
    let fail = |message: String| Problem::in_file(path.display(), message);
    let shape: Value = serde_yaml::from_str(text).map_err(|error| fail(mistake(&error)))?;
    let shape = match shape {
        Value::Null => return Ok(Values::new(SourceKind::Yaml, path.display().to_string())),
        Value::Mapping(mapping) => mapping,
        _ => return Err(fail("must be a mapping, with lines like `rate_rps: 2`".to_owned())),
    };
    let mut shapes = BTreeMap::new();
    for (key, value) in &shape {
        let Value::String(key) = key else {
            return Err(fail("must have names as keys, and one of them is something else".to_owned()));
        };
        shapes.insert(key.as_str(), value);
    }
    let scalars = Document { shapes: &shapes }
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|_| fail("has a key or value that is no plain text".to_owned()))?;
    Ok(scalars.into_iter().fold(Values::new(SourceKind::Yaml, path.display().to_string()), |values, (name, value)| {
        values.with(name, value)
    }))
}

/// A mistake of syntax. The library's messages are fixed texts; they quote no values, which may be secrets.
fn mistake(error: &serde_yaml::Error) -> String {
    let message = error.to_string();
    match error.location() {
        // It leaves the position out when it is the very first.
        Some(at) if !message.contains(" at line ") => {
            format!("is not valid YAML: {message} at line {} column {}", at.line(), at.column())
        }
        _ => format!("is not valid YAML: {message}"),
    }
}

struct Document<'a> {
    shapes: &'a BTreeMap<&'a str, &'a Value>,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = Vec<(String, Raw)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Vec<(String, Raw)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let shape = self.shapes.get(key.as_str()).copied().unwrap_or(&Value::Null);
            let value = map.next_value_seed(Entry { shape })?;
            values.push((key, value));
        }
        Ok(values)
    }
}

/// One value, read as its shape says.
struct Entry<'a> {
    shape: &'a Value,
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = Raw;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        match self.shape {
            Value::Null => {
                deserializer.deserialize_ignored_any(IgnoredAny)?;
                Ok(Raw::text(""))
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                deserializer.deserialize_string(Scalar).map(Raw::Text)
            }
            Value::Sequence(items) if items.iter().all(is_scalar) => deserializer.deserialize_seq(List).map(Raw::List),
            Value::Sequence(_) => {
                deserializer.deserialize_ignored_any(IgnoredAny)?;
                Ok(Raw::Unusable("must be a list of plain values"))
            }
            Value::Mapping(_) | Value::Tagged(_) => {
                deserializer.deserialize_ignored_any(IgnoredAny)?;
                Ok(Raw::Unusable("must be a plain value, not a mapping or a tagged value"))
            }
        }
    }
}

fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_))
}

struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = SecretString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value")
    }

    fn visit_str<E>(self, text: &str) -> Result<SecretString, E> {
        Ok(SecretString::from(text))
    }
}

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = SecretString;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<SecretString, D::Error> {
        deserializer.deserialize_string(self)
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Vec<SecretString>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of plain values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Scalar)? {
            list.push(item);
        }
        Ok(list)
    }
}
