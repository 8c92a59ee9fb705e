//! JSON that somebody else wrote: [`parse`] and [`Foreign`].

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Error, Map, Number, Value};

/// The name of a member that nobody may write: serde_json's own mark for raw JSON among its values.
///
/// An error for its sake begins with it.
pub const RESERVED_NAME: &str = "$serde_json::private::RawValue";

/// A JSON value, or the members of an object, that somebody else wrote.
///
/// A [`Value`] must not be read from that directly: it takes an object whose first member has the [`RESERVED_NAME`] for
/// the JSON that stands in that member's text. A client, a model or a tool could so say something that nests deeper than
/// every look at it has shown, and than a stack is. Here the name is an error, wherever it stands and however it is
/// written; all else becomes what it would become without this.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign<T>(pub T);

/// Reads a [`Value`] or a [`Map`] that somebody else wrote.
///
/// # Errors
/// When it is no JSON, or not of that kind; when it nests deeper than 127 levels, or uses the [`RESERVED_NAME`].
pub fn parse<'a, T>(json: &'a str) -> Result<T, Error>
where
    Foreign<T>: Deserialize<'a>,
{
    serde_json::from_str(json).map(|Foreign(value)| value)
}

impl<'de> Deserialize<'de> for Foreign<Value> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

impl<'de> Deserialize<'de> for Foreign<Map<String, Value>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Value, S::Error> {
        let mut items = Vec::new();
        while let Some(Foreign(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Value, M::Error> {
        Members.visit_map(map).map(Value::Object)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Map<String, Value>, M::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            // Not only the first one: members are written again in the order of their names.
            if name == RESERVED_NAME {
                return Err(de::Error::custom(format_args!("{RESERVED_NAME} is a reserved name")));
            }
            let Foreign(value) = map.next_value()?;
            members.insert(name, value);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::{hash_map, vec},
        prelude::*,
    };
    use serde_json::json;

    use super::*;

    fn refusal(json: &str) -> String {
        parse::<Value>(json).expect_err(json).to_string()
    }

    #[test]
    fn the_reserved_name_is_refused_wherever_it_stands_and_however_it_is_written() {
        for name in [
            RESERVED_NAME.to_owned(),
            r"\u0024serde_json::private::RawValue".to_owned(),
            r"$serde\u005fjson::private::Raw\u0056alue".to_owned(),
            RESERVED_NAME.bytes().map(|byte| format!("\\u{byte:04X}")).collect(),
        ] {
            for json in [
                format!(r#"{{"{name}":"[1]"}}"#),
                format!(r#"{{ "{name}" : 1 }}"#),
                format!(r#"{{"a":1,"{name}":"[1]"}}"#),
                format!(r#"{{"a":[[{{"b":{{"{name}":"[1]"}}}}]]}}"#),
                format!(r#"[{{}},{{"{name}":null}}]"#),
            ] {
                assert!(refusal(&json).starts_with(RESERVED_NAME), "{json}: {}", refusal(&json));
            }
            let members = parse::<Map<String, Value>>(&format!(r#"{{"{name}":"[1]"}}"#));
            assert!(members.expect_err(&name).to_string().starts_with(RESERVED_NAME));
        }
        // As a text, or as a part of a name, it is a text like others.
        for json in [json!({"a": RESERVED_NAME}), json!({"$serde_json::private::RawValues": [1]}), json!(RESERVED_NAME)]
        {
            assert_eq!(parse::<Value>(&json.to_string()).expect("JSON"), json);
        }
    }

    /// What serde_json's own values make of such an object: the reason for all of this.
    #[test]
    fn without_this_a_text_would_nest_out_of_sight() {
        let hidden = format!(r#"{{"{RESERVED_NAME}":"[[[1]]]"}}"#);
        assert_eq!(serde_json::from_str::<Value>(&hidden).expect("JSON"), json!([[[1]]]));
    }

    #[test]
    fn depth_is_bounded_and_kinds_are_kept_apart() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse::<Value>(&deep(127)).is_ok());
        assert!(refusal(&deep(128)).starts_with("recursion limit"));
        for no_object in ["[]", "null", "1", "\"{}\"", "{", "{}{}"] {
            assert!(parse::<Map<String, Value>>(no_object).is_err(), "{no_object}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            let members = hash_map(any::<String>(), inner.clone(), 0..8);
            prop_oneof![
                vec(inner, 0..8).prop_map(Value::from),
                members.prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn all_else_is_read_as_it_is(value in any_value()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON")] {
                let expected: Value = serde_json::from_str(&text).expect("JSON");
                prop_assert_eq!(parse::<Value>(&text).expect("JSON"), expected);
            }
        }

        #[test]
        fn what_is_no_json_is_none_here_either(text in r#"[\[\]{}:,"\\u0-9a-f.eE+\- ]{0,40}"#) {
            let here = parse::<Value>(&text).map_err(|error| error.to_string());
            prop_assert_eq!(here, serde_json::from_str::<Value>(&text).map_err(|error| error.to_string()));
        }
    }
}
