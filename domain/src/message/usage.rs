//! What answers cost: [`Usage`].

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use crate::json::Foreign;

/// What a backend reports to have used, as it reports it; numbers of several answers are summed, nested ones and cost
/// too.
///
/// Sorted by name. Most reports are the same three numbers: a short list without a name of its own to allocate.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Usage(Vec<(Cow<'static, str>, Value)>);

/// Names that every backend uses.
const USUAL: [&str; 3] = ["prompt_tokens", "completion_tokens", "total_tokens"];

impl Usage {
    /// Adds another answer's numbers to this one's; what is no number is taken from the later one.
    pub fn add(&mut self, later: Usage) {
        for (name, value) in later.0 {
            match self.position(&name) {
                Ok(at) => add_values(&mut self.0[at].1, value),
                Err(at) => self.0.insert(at, (name, value)),
            }
        }
    }

    /// Tokens the model read.
    pub fn prompt_tokens(&self) -> u64 {
        self.count("prompt_tokens")
    }

    /// Tokens the model wrote.
    pub fn completion_tokens(&self) -> u64 {
        self.count("completion_tokens")
    }

    fn count(&self, name: &str) -> u64 {
        self.position(name).ok().and_then(|at| self.0[at].1.as_u64()).unwrap_or(0)
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

fn add_values(sum: &mut Value, later: Value) {
    match (sum, later) {
        (Value::Number(have), Value::Number(more)) => *have = add_numbers(have, &more),
        (Value::Object(have), Value::Object(more)) => add_maps(have, more),
        (Value::Number(_) | Value::Object(_), Value::Null) => {}
        (have, value) => *have = value,
    }
}

fn add_maps(sum: &mut Map<String, Value>, later: Map<String, Value>) {
    for (key, value) in later {
        match sum.get_mut(&key) {
            Some(have) => add_values(have, value),
            None => _ = sum.insert(key, value),
        }
    }
}

fn add_numbers(a: &Number, b: &Number) -> Number {
    match (a.as_u64(), b.as_u64()) {
        (Some(a), Some(b)) => a.saturating_add(b).into(),
        _ => Number::from_f64(a.as_f64().unwrap_or(0.0) + b.as_f64().unwrap_or(0.0)).unwrap_or_else(|| b.clone()),
    }
}

/// Of a name told twice the last one counts.
impl<N: Into<Cow<'static, str>>> FromIterator<(N, Value)> for Usage {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(members: I) -> Self {
        let mut usage = Self(Vec::with_capacity(USUAL.len()));
        for (name, value) in members {
            let name = name.into();
            match usage.position(&name) {
                Ok(at) => usage.0[at].1 = value,
                Err(at) => usage.0.insert(at, (name, value)),
            }
        }
        usage
    }
}

impl Serialize for Usage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Usage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Usage;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Usage, M::Error> {
                let next = || {
                    map.next_entry::<Name, Foreign<Value>>()
                        .map(|entry| entry.map(|(Name(name), Foreign(value))| (name, value)))
                        .transpose()
                };
                std::iter::from_fn(next).collect()
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A member's name, allocated only if it is an unusual one.
struct Name(Cow<'static, str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                let usual = USUAL.into_iter().find(|usual| *usual == name);
                Ok(Name(usual.map_or_else(|| name.to_owned().into(), Cow::Borrowed)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn usage(value: Value) -> Usage {
        serde_json::from_value(value).expect("an object")
    }

    #[test]
    fn reads_as_it_was_written_by_name() {
        let json = r#"{"total_tokens":7,"prompt_tokens":3,"prompt_tokens":4,"a\u0062":{"z":1,"y":[2.50]},"cost":0.25}"#;
        let read: Usage = serde_json::from_str(json).expect("an object");
        let map: Map<String, Value> = serde_json::from_str(json).expect("an object");
        assert_eq!(serde_json::to_string(&read).expect("JSON"), serde_json::to_string(&map).expect("JSON"));
        assert_eq!(read, map.into_iter().collect());
        assert!(serde_json::from_str::<Usage>("[]").is_err() && serde_json::from_str::<Usage>("null").is_err());
    }

    #[test]
    fn usage_sums_every_number_however_deep() {
        let mut sum =
            usage(json!({"prompt_tokens": 3, "cost": 0.25, "details": {"cached": 1}, "byok": false, "n": null}));
        sum.add(usage(
            json!({"prompt_tokens": 4, "cost": 0.5, "details": {"cached": 2, "audio": 7}, "byok": true, "n": 1}),
        ));
        sum.add(usage(json!({"cost": null, "details": null})));
        let expected =
            json!({"prompt_tokens": 7, "cost": 0.75, "details": {"cached": 3, "audio": 7}, "byok": true, "n": 1});
        assert_eq!(sum, usage(expected));
        assert_eq!(sum.prompt_tokens(), 7);
        assert_eq!(sum.completion_tokens(), 0);
    }
}
