//! What a variable is. The table of all of them is what lookup, warnings, the effective listing, the example files and
//! their tests are made from.

use super::table::GROUPS;

/// Which of a variable's values may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Shown as it is.
    Open,
    /// A URL, which may have a password in it: shown without.
    Url,
    /// Never shown.
    Secret,
}

/// One setting, under all its names.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// The documented name. Its lower-case form is the documented key in YAML.
    pub name: &'static str,
    /// Older names, in capitals; their lower-case forms count as well.
    pub aliases: &'static [&'static str],
    /// The default as one would write it; empty: unset.
    pub default: &'static str,
    /// Whether the value may be shown; a value that may not can also be given in a file (`X_FILE`).
    pub secrecy: Secrecy,
    /// A value that templates shipped with: it counts as unset.
    pub placeholder: Option<&'static str>,
    /// What it is for, in a line.
    pub about: &'static str,
}

impl Variable {
    pub(super) const fn open(name: &'static str, default: &'static str, about: &'static str) -> Self {
        Self { name, aliases: &[], default, secrecy: Secrecy::Open, placeholder: None, about }
    }

    pub(super) const fn secret(name: &'static str, about: &'static str) -> Self {
        let mut variable = Self::open(name, "", about);
        variable.secrecy = Secrecy::Secret;
        variable
    }

    pub(super) const fn url(name: &'static str, default: &'static str, about: &'static str) -> Self {
        let mut variable = Self::open(name, default, about);
        variable.secrecy = Secrecy::Url;
        variable
    }

    pub(super) const fn or(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(super) const fn placeholder(mut self, value: &'static str) -> Self {
        self.placeholder = Some(value);
        self
    }

    /// The documented key in YAML.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Every spelling a source may use, in the order in which they win: the documented name, then the aliases.
    pub(super) fn spellings(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.name)
            .chain(self.aliases.iter().copied())
            .flat_map(|name| [name.to_owned(), name.to_ascii_lowercase()])
    }

    /// The spellings of `X_FILE`, for what may be given in a file.
    pub(super) fn file_spellings(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.name)
            .chain(self.aliases.iter().copied())
            .filter(|_| self.may_be_in_a_file())
            .flat_map(|name| [format!("{name}_FILE"), format!("{}_file", name.to_ascii_lowercase())])
    }

    /// Whether `X_FILE` can give the value.
    pub fn may_be_in_a_file(&self) -> bool {
        self.secrecy != Secrecy::Open
    }
}

/// Variables that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// The variables, the ones that matter most first.
    pub variables: &'static [Variable],
}

/// Every variable there is, in the order of the example files.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    GROUPS.iter().flat_map(|group| group.variables)
}

/// The variable of that documented name. The names come from our own code, so a missing one is a mistake there.
pub(super) fn variable(name: &str) -> &'static Variable {
    variables()
        .find(|variable| variable.name == name)
        .unwrap_or_else(|| panic!("{name} is missing in the table of variables"))
}
