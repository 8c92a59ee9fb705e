//! Where values come from: the command line, the environment, `.env`, a YAML file, or a map in tests.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

/// The kinds of sources, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The command line.
    Flag,
    /// The process's environment.
    Env,
    /// `.env` in the working directory.
    Dotenv,
    /// The YAML file.
    Yaml,
    /// Nobody said anything.
    Default,
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Env => "env",
            Self::Dotenv => "dotenv",
            Self::Yaml => "yaml",
            Self::Default => "default",
        })
    }
}

/// A value as a source has it. A source does not know which of its values are secret, so all are kept like one.
#[derive(Debug, Clone)]
pub enum Raw {
    /// Text, or a scalar of YAML exactly as it is written.
    Text(SecretString),
    /// A list of YAML.
    List(Vec<SecretString>),
    /// Something that cannot be a value; says why.
    Unusable(&'static str),
}

impl Raw {
    /// A text value.
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(SecretString::from(value.into()))
    }

    /// An empty or blank value counts as unset. An empty list does not: it says `none`.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self, Self::Text(text) if text.expose_secret().trim().is_empty())
    }

    /// Whether both say the same, for telling a harmless repetition from a contradiction.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(two)) => one.expose_secret() == two.expose_secret(),
            (Self::List(one), Self::List(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(a, b)| a.expose_secret() == b.expose_secret())
            }
            _ => false,
        }
    }
}

/// A place where values are looked up by name.
pub trait Source: Send + Sync {
    /// What kind of place it is.
    fn kind(&self) -> SourceKind;

    /// The place in words, for messages: a file's path, `environment`.
    fn origin(&self) -> String;

    /// The value under exactly this name, if there is one.
    fn get(&self, name: &str) -> Option<Raw>;

    /// The name as the user wrote it, for messages.
    fn written(&self, name: &str) -> String {
        name.to_owned()
    }

    /// Every name it has, if the place is ours alone and an unknown name in it is a mistake. The environment is not.
    fn own_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The process's environment: the only code that reads it.
#[derive(Debug, Clone, Copy)]
pub struct Environment;

#[expect(clippy::disallowed_methods, reason = "the one place that reads the process's environment")]
impl Source for Environment {
    fn kind(&self) -> SourceKind {
        SourceKind::Env
    }

    fn origin(&self) -> String {
        "environment".to_owned()
    }

    fn get(&self, name: &str) -> Option<Raw> {
        match std::env::var(name) {
            Ok(value) => Some(Raw::text(value)),
            Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => Some(Raw::Unusable("must be valid UTF-8")),
        }
    }
}

/// Values that are already in memory: a parsed file, the flags, or a test's.
#[derive(Debug, Clone)]
pub struct Values {
    kind: SourceKind,
    origin: String,
    values: BTreeMap<String, Raw>,
}

impl Values {
    /// An empty source.
    pub fn new(kind: SourceKind, origin: impl Into<String>) -> Self {
        Self { kind, origin: origin.into(), values: BTreeMap::new() }
    }

    /// An environment that is not the process's.
    pub fn environment<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        pairs.into_iter().fold(Self::new(SourceKind::Env, "environment"), |values, (name, value)| {
            values.with(name, Raw::text(value))
        })
    }

    /// The same with one more value; a name that is already there gets the new one.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: Raw) -> Self {
        self.values.insert(name.into(), value);
        self
    }

    /// The names it has values for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, name: &str) -> Option<Raw> {
        self.values.remove(name)
    }
}

impl Source for Values {
    fn kind(&self) -> SourceKind {
        self.kind
    }

    fn origin(&self) -> String {
        self.origin.clone()
    }

    fn get(&self, name: &str) -> Option<Raw> {
        self.values.get(name).cloned()
    }

    fn written(&self, name: &str) -> String {
        match (self.kind, name) {
            (SourceKind::Flag, "APP_CONFIG_FILE") => "--config".to_owned(),
            (SourceKind::Flag, name) => format!("--{}", name.to_ascii_lowercase()),
            (_, name) => name.to_owned(),
        }
    }

    fn own_names(&self) -> Vec<String> {
        match self.kind {
            SourceKind::Yaml => self.names().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }
}
