//! Looks a variable up in all sources, and remembers where it came from and what was wrong with it.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::Effective;
use super::error::Problem;
use super::shown::{displayed, excerpt, is_placeholder};
use super::source::{Raw, Source, SourceKind};
use super::sources::{self, Sources};
use super::variables::{Secrecy, Variable, variable};

/// Reads variables out of sources. Every problem is collected, none ends the reading.
pub(super) struct Reader<'a> {
    pub(super) sources: &'a Sources,
    places: BTreeMap<&'static str, Place>,
    pub(super) effective: Vec<Effective>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// A value, and where it was found.
struct Found {
    raw: Raw,
    place: Place,
}

/// Where a variable was found, in the user's own words.
#[derive(Clone)]
struct Place {
    written: String,
    origin: String,
    kind: SourceKind,
    good: bool,
}

impl Place {
    fn new(layer: &dyn Source, name: &str) -> Self {
        Self { written: layer.written(name), origin: layer.origin(), kind: layer.kind(), good: true }
    }

    fn unset(name: &str) -> Self {
        Self { written: name.to_owned(), origin: "not set".to_owned(), kind: SourceKind::Default, good: true }
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { subject: self.written.clone(), origin: self.origin.clone(), message: message.into() }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources) -> Self {
        Self {
            sources,
            places: BTreeMap::new(),
            effective: Vec::new(),
            problems: sources.problems.clone(),
            warnings: sources.warnings.clone(),
        }
    }

    /// A value that there may be.
    pub(super) fn optional<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let variable = variable(name);
        let found = self.look_up(variable)?;
        let text = match found.raw {
            Raw::Text(text) => text,
            Raw::List(_) => return self.refuse(variable, None, "must be one value, not a list"),
            Raw::Unusable(why) => return self.refuse(variable, None, why),
        };
        match parse(text.expose_secret()) {
            Ok(value) => {
                self.show(variable, text.expose_secret());
                Some(value)
            }
            Err(expected) => self.refuse(variable, Some(&text), &expected),
        }
    }

    /// A value that the table has a default for. After a problem it is the default, so that reading can go on.
    pub(super) fn required<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let value = self.optional(name, &parse);
        value.unwrap_or_else(|| {
            parse(variable(name).default).unwrap_or_else(|why| panic!("the default of {name} {why}"))
        })
    }

    /// A list: one of YAML, of JSON, or values between commas or line ends; `none` says that it is empty.
    pub(super) fn list<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let variable = variable(name);
        let items = match self.look_up(variable).map(|found| items(found.raw)) {
            None => items(Raw::text(variable.default)).unwrap_or_default(),
            Some(Ok(items)) => {
                let shown: Vec<_> = items.iter().map(|item| item.expose_secret().trim()).collect();
                self.show(variable, &shown.join(","));
                items
            }
            Some(Err(why)) => {
                self.refuse::<()>(variable, None, why);
                Vec::new()
            }
        };
        items
            .iter()
            .filter_map(|item| match parse(item.expose_secret()) {
                Ok(value) => Some(value),
                Err(expected) => self.refuse(variable, Some(item), &expected),
            })
            .collect()
    }

    /// Whether the variable was set, and not to something wrong.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.places.get(name).is_some_and(|place| place.good && place.kind != SourceKind::Default)
    }

    /// Reports a problem with a value that is fine by itself.
    pub(super) fn object(&mut self, name: &'static str, message: impl Into<String>) {
        let problem = self.place(name).problem(message);
        self.problems.push(problem);
    }

    /// Reports a problem that only shows beside other values; `about` are the variables it comes from, the one to
    /// change first. It is not reported when one of them is wrong by itself, or a file that may set it is unreadable:
    /// it would go away with that.
    pub(super) fn conflict(&mut self, about: &[&'static str], message: impl Into<String>) {
        if self.sources.problems.is_empty() && !about.iter().any(|name| self.is_wrong(name)) {
            self.object(about[0], message);
        }
    }

    /// Whether the variable was set to something wrong, which has been reported.
    pub(super) fn is_wrong(&self, name: &str) -> bool {
        self.places.get(name).is_some_and(|place| !place.good)
    }

    /// Warns about a variable, with its place.
    pub(super) fn warn(&mut self, name: &'static str, message: &str) {
        let warning = self.place(name).problem(message);
        self.warnings.push(warning);
    }

    /// Corrects what the effective configuration says, for a value that means another.
    pub(super) fn means(&mut self, name: &'static str, value: &str) {
        if let Some(effective) = self.effective.iter_mut().find(|effective| effective.name == name) {
            value.clone_into(&mut effective.value);
        }
    }

    fn place(&self, name: &'static str) -> Place {
        self.places.get(name).cloned().unwrap_or_else(|| Place::unset(name))
    }

    fn look_up(&mut self, variable: &'static Variable) -> Option<Found> {
        let direct = self.find(variable, variable.spellings());
        let in_file = self.find(variable, variable.file_spellings());
        let found = match (direct, in_file) {
            (Some(direct), Some(in_file)) => {
                let Place { written, origin, .. } = in_file.place;
                self.problems.push(
                    direct.place.problem(format!("{written} ({origin}) is set as well; only one of them may be")),
                );
                let place = Place { good: false, ..direct.place };
                self.places.insert(variable.name, place);
                None
            }
            (None, Some(in_file)) => self.read_secret_file(variable, in_file),
            (direct, None) => direct,
        };
        let (shown, kind) = match &found {
            Some(found) => (String::new(), found.place.kind),
            None => (displayed(variable, variable.default), SourceKind::Default),
        };
        self.effective.push(Effective { name: variable.name, value: shown, source: kind });
        if let Some(found) = &found {
            self.places.insert(variable.name, found.place.clone());
        }
        found
    }

    /// The first value under one of the names: the strongest source decides, and in it the first name.
    fn find(&mut self, variable: &Variable, names: impl Iterator<Item = String>) -> Option<Found> {
        let names: Vec<_> = names.collect();
        for layer in &self.sources.layers {
            let mut first: Option<Found> = None;
            for name in &names {
                let Some(raw) = layer.get(name).filter(|raw| !raw.is_blank()) else {
                    continue;
                };
                let place = Place::new(layer.as_ref(), name);
                match &first {
                    _ if is_placeholder(variable, &raw) => {
                        let hint = "still has the template's value, which counts as unset";
                        self.warnings.push(place.problem(hint));
                    }
                    None => first = Some(Found { raw, place }),
                    Some(first) if !first.raw.same_as(&raw) => {
                        let hint = format!("is ignored, since {} is set there as well", first.place.written);
                        self.warnings.push(place.problem(hint));
                    }
                    Some(_) => {}
                }
            }
            if first.is_some() {
                return first;
            }
        }
        None
    }

    /// The secret that `X_FILE` names. An empty file is a problem and not an unset value: an API would silently stay open.
    fn read_secret_file(&mut self, variable: &'static Variable, found: Found) -> Option<Found> {
        let place = found.place;
        let refused = match &found.raw {
            Raw::Text(path) => {
                let path = Path::new(path.expose_secret().trim());
                match sources::read(&self.sources.directory.join(path)) {
                    Ok(text) => match text.trim_end_matches(['\r', '\n']) {
                        text if text.trim().is_empty() => {
                            format!("must name a file with the value in it, but {} is empty", path.display())
                        }
                        text => return Some(Found { raw: Raw::text(text), place }),
                    },
                    Err(why) => format!("must name a readable file, but {} {why}", path.display()),
                }
            }
            _ => "must be the path of a file".to_owned(),
        };
        self.problems.push(place.problem(refused));
        self.places.insert(variable.name, Place { good: false, ..place });
        None
    }

    fn show(&mut self, variable: &Variable, text: &str) {
        self.means(variable.name, &displayed(variable, text));
    }

    fn refuse<T>(&mut self, variable: &Variable, value: Option<&SecretString>, expected: &str) -> Option<T> {
        let mut place = self.place(variable.name);
        let problem = match value {
            Some(value) if variable.secrecy == Secrecy::Open => {
                place.problem(format!("{expected}, not `{}`", excerpt(value.expose_secret())))
            }
            _ => place.problem(expected),
        };
        self.problems.push(problem);
        place.good = false;
        self.places.insert(variable.name, place);
        None
    }
}

fn items(raw: Raw) -> Result<Vec<SecretString>, &'static str> {
    let text = match raw {
        Raw::List(items) => return Ok(without_blanks(items)),
        Raw::Unusable(why) => return Err(why),
        Raw::Text(text) => text,
    };
    let text = text.expose_secret().trim();
    if text.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    if text.starts_with('[') {
        let items: Vec<serde_json::Value> = serde_json::from_str(text)
            .map_err(|_| "must be a list: values between commas, or a JSON array of strings")?;
        return items
            .into_iter()
            .map(|item| match item {
                serde_json::Value::String(item) => Ok(SecretString::from(item)),
                // Others would not come out as they are written, and a key may look like a number.
                serde_json::Value::Number(item) if item.is_u64() => Ok(SecretString::from(item.to_string())),
                _ => Err("must be a list of strings"),
            })
            .collect::<Result<_, _>>()
            .map(without_blanks);
    }
    Ok(without_blanks(text.split([',', '\n']).map(SecretString::from).collect()))
}

fn without_blanks(items: Vec<SecretString>) -> Vec<SecretString> {
    items.into_iter().filter(|item| !item.expose_secret().trim().is_empty()).collect()
}
