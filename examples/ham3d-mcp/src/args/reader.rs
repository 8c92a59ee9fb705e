//! Arguments, one at a time.

use std::{fmt::Display, ops::RangeInclusive};

use serde_json::{Map, Value};

use super::{MAX_LANGUAGE, MAX_LIST, MAX_TEXT, Mistakes, NAMES, Search};

/// Less alike than this, a known name is no help in place of an unknown one.
const ALIKE: f64 = 0.7;

const LANGUAGE: &str = "a language's code, such as fa or en, or null for any";

/// What a list may be separated with: a comma of either script.
const SEPARATORS: [char; 2] = [',', '،'];

pub(super) struct Reader {
    arguments: Map<String, Value>,
    mistakes: Vec<String>,
}

impl Reader {
    /// Arguments that nobody knows are refused: left out in silence, they would make an answer to another question.
    pub(super) fn new(arguments: Map<String, Value>) -> Self {
        let unknown = arguments.keys().filter(|name| !NAMES.contains(&name.as_str()));
        let mistakes = unknown.map(|name| unknown_argument(name)).collect();
        Self { arguments, mistakes }
    }

    pub(super) fn finish(self, search: Search) -> Result<Search, Mistakes> {
        if self.mistakes.is_empty() { Ok(search) } else { Err(Mistakes(self.mistakes)) }
    }

    pub(super) fn mistake(&mut self, mistake: String) {
        self.mistakes.push(mistake);
    }

    /// Whether it is there at all, be it as `null`.
    pub(super) fn given(&self, name: &str) -> bool {
        self.arguments.contains_key(name)
    }

    /// A text; blank is none.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if fits(&text) => non_blank(&text),
            _ => self.expected(name, format_args!("a text of at most {MAX_TEXT} characters")),
        }
    }

    /// A language's code; blank is none.
    pub(super) fn language(&mut self) -> Option<String> {
        let code = |text: &str| {
            text.len() <= MAX_LANGUAGE && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        let text = match self.take("language")? {
            Value::String(text) => text,
            _ => return self.expected("language", LANGUAGE),
        };
        match non_blank(&text) {
            Some(text) if !code(&text) => self.expected("language", LANGUAGE),
            text => text,
        }
    }

    /// A text that is a number in some shops.
    pub(super) fn word(&mut self, name: &str) -> Option<String> {
        if let Some(Value::Number(number)) = self.arguments.get(name) {
            return Some(number.to_string());
        }
        self.text(name)
    }

    pub(super) fn flag(&mut self, name: &str, default: bool) -> bool {
        let flag = match self.take(name) {
            None => return default,
            Some(Value::Bool(flag)) => Some(flag),
            Some(Value::String(text)) => text.trim().to_ascii_lowercase().parse().ok(),
            Some(_) => None,
        };
        flag.or_else(|| self.expected(name, "true or false")).unwrap_or(default)
    }

    pub(super) fn price(&mut self, name: &str) -> Option<f64> {
        let price = match self.take(name)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => match text.trim() {
                "" => return None,
                text => text.parse().ok(),
            },
            _ => None,
        };
        let price = price.filter(|price| price.is_finite() && *price >= 0.0);
        price.or_else(|| self.expected(name, "a number of 0 or more, without separators"))
    }

    pub(super) fn integer(&mut self, name: &str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let Some(value) = self.take(name) else { return default };
        let number = whole(&value).filter(|number| range.contains(number));
        let number = number.or_else(|| match (*range.start(), *range.end()) {
            (start, i64::MAX) => self.expected(name, format_args!("a whole number of {start} or more")),
            (start, end) => self.expected(name, format_args!("a whole number from {start} to {end}")),
        });
        number.unwrap_or(default)
    }

    pub(super) fn choice<T: Copy + Default>(&mut self, name: &str, all: &[T], called: fn(T) -> &'static str) -> T {
        let Some(value) = self.take(name) else { return T::default() };
        let choice = all.iter().copied().find(|choice| value.as_str().map(str::trim) == Some(called(*choice)));
        let names = || all.iter().map(|choice| called(*choice)).collect::<Vec<_>>().join(", ");
        choice.or_else(|| self.expected(name, format_args!("one of {}", names()))).unwrap_or_default()
    }

    pub(super) fn ids(&mut self, name: &str) -> Vec<i64> {
        let what = format!("a list of at most {MAX_LIST} whole numbers, such as [1, 2] or \"1, 2\"");
        self.list(name, &what, |item| whole(item).filter(|id| *id >= 0))
    }

    pub(super) fn names(&mut self, name: &str) -> Vec<String> {
        let what = format!("a list of at most {MAX_LIST} texts, such as [\"red\", \"blue\"] or \"red, blue\"");
        self.list(name, &what, |item| item.as_str().filter(|text| fits(text)).and_then(non_blank))
    }

    /// A list, a text with separators in it, or the one item itself. What comes twice counts once.
    fn list<T: PartialEq>(&mut self, name: &str, what: &str, item: impl Fn(&Value) -> Option<T>) -> Vec<T> {
        let items = match self.take(name) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(Value::String(text)) => text.split(SEPARATORS).filter_map(non_blank).map(Value::String).collect(),
            Some(value) => vec![value],
        };
        let parsed: Option<Vec<T>> = items.iter().map(item).collect();
        let Some(parsed) = parsed.filter(|list| list.len() <= MAX_LIST) else {
            return self.expected(name, what).unwrap_or_default();
        };
        let mut list = Vec::with_capacity(parsed.len());
        for item in parsed {
            if !list.contains(&item) {
                list.push(item);
            }
        }
        list
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.arguments.remove(name).filter(|value| !value.is_null())
    }

    /// Notes the mistake; there is no value.
    fn expected<T>(&mut self, name: &str, what: impl Display) -> Option<T> {
        self.mistakes.push(format!("{name} must be {what}."));
        None
    }
}

fn fits(text: &str) -> bool {
    text.chars().count() <= MAX_TEXT
}

fn non_blank(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A whole number, however it is written.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(from_float)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// `20.0` is 20: JSON has one kind of number.
fn from_float(number: f64) -> Option<i64> {
    /// Up to here every whole number is a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and of a size that fits")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

fn unknown_argument(name: &str) -> String {
    let likeness = |known: &&str| strsim::jaro_winkler(name, known);
    let nearest = NAMES.into_iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    // What a model makes up may be of any length.
    let shown: String = name.chars().take(50).collect();
    match nearest.filter(|known| likeness(known) >= ALIKE) {
        Some(known) => format!("There is no argument {shown}; did you mean {known}?"),
        None => format!("There is no argument {shown}; there are {}.", NAMES.join(", ")),
    }
}
