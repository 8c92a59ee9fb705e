//! The values of one server's entry, read one by one: variables expanded, problems told with file and place.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::expand::{Unexpanded, expand};
use super::file::Catalogue;
use crate::config::reader::Reader;
use crate::config::yaml::Node;

/// An entry that is being read. No problem ends the reading.
pub(super) struct Entry<'a, 'r> {
    reader: &'a mut Reader<'r>,
    catalogue: &'a Catalogue,
    name: &'a str,
    pub(super) fields: &'a BTreeMap<String, Node>,
    /// Whether there was no problem so far.
    pub(super) is_good: bool,
}

impl<'a, 'r> Entry<'a, 'r> {
    pub(super) fn new(
        reader: &'a mut Reader<'r>,
        catalogue: &'a Catalogue,
        name: &'a str,
        fields: &'a BTreeMap<String, Node>,
    ) -> Self {
        Self { reader, catalogue, name, fields, is_good: true }
    }

    /// What is there under a key. A key without a value is like none.
    pub(super) fn field(&self, key: &str) -> Option<&'a Node> {
        self.fields.get(key).filter(|node| !matches!(node, Node::Null))
    }

    /// A value as it is written, with its variables unexpanded.
    pub(super) fn written(&self, key: &str) -> &'a str {
        match self.field(key) {
            Some(Node::Text(text)) => text.expose_secret(),
            _ => "",
        }
    }

    pub(super) fn value<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(&[key], None, self.field(key)?)?;
        match parse(text.expose_secret()) {
            Ok(value) => Some(value),
            Err(expected) => self.object(&[key], None, &expected),
        }
    }

    pub(super) fn needed<T>(&mut self, key: &str, why: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match self.field(key) {
            Some(_) => self.value(key, parse),
            None => self.object(&[key], None, why),
        }
    }

    pub(super) fn list(&mut self, key: &str) -> Vec<SecretString> {
        match self.field(key) {
            None => Vec::new(),
            Some(Node::List(items)) => {
                items.iter().enumerate().filter_map(|(index, item)| self.text(&[key], Some(index), item)).collect()
            }
            Some(_) => self.object(&[key], None, "must be a list").unwrap_or_default(),
        }
    }

    pub(super) fn pairs(&mut self, key: &str) -> Vec<(String, SecretString)> {
        match self.field(key) {
            None => Vec::new(),
            Some(Node::Map(entries)) => entries
                .iter()
                .filter_map(|(name, node)| Some((name.clone(), self.text(&[key, name], None, node)?)))
                .collect(),
            Some(Node::Unusable(why)) => self.object(&[key], None, why).unwrap_or_default(),
            Some(_) => self.object(&[key], None, "must be a mapping of names to values").unwrap_or_default(),
        }
    }

    /// A scalar, with its variables expanded.
    fn text(&mut self, keys: &[&str], item: Option<usize>, node: &Node) -> Option<SecretString> {
        let text = match node {
            Node::Text(text) => text,
            Node::Null => return self.object(keys, item, "must have a value; an empty one is written as \"\""),
            Node::Unusable(why) => return self.object(keys, item, why),
            Node::List(_) | Node::Map(_) => {
                return self.object(keys, item, "must be one value, not a list or a mapping");
            }
        };
        match expand(text, |name| self.reader.sources.environment(name)) {
            // No program can be given one.
            Ok(text) if text.expose_secret().contains('\0') => {
                self.object(keys, item, "must not have a NUL character in it")
            }
            Ok(text) => Some(text),
            // A file that cannot be read may set it.
            Err(Unexpanded::Unset(_)) if !self.reader.sources.problems.is_empty() => {
                self.is_good = false;
                None
            }
            Err(why) => self.object(keys, item, &why.to_string()),
        }
    }

    pub(super) fn object<T>(&mut self, keys: &[&str], item: Option<usize>, message: &str) -> Option<T> {
        let keys: Vec<&str> = [self.name].iter().chain(keys).copied().collect();
        self.reader.problems.push(self.catalogue.problem(&keys, item, message));
        self.is_good = false;
        None
    }

    pub(super) fn warn(&mut self, keys: &[&str], message: &str) {
        let keys: Vec<&str> = [self.name].iter().chain(keys).copied().collect();
        self.reader.warnings.push(self.catalogue.problem(&keys, None, message));
    }
}
