//! Names in the YAML file that no variable has: typing mistakes, mostly.

use super::error::Problem;
use super::reader::Reader;
use super::sources::Sources;
use super::variables::variables;

/// How alike two names must be (from 0 to 1) for one to be proposed instead of the other.
const ALIKE: f64 = 0.7;

pub(super) fn warn_of_unknown_names(reader: &mut Reader<'_>, sources: &Sources) {
    let known: Vec<String> =
        variables().flat_map(|variable| variable.spellings().chain(variable.file_spellings())).collect();
    for layer in &sources.layers {
        for name in layer.own_names().into_iter().filter(|name| !known.contains(name)) {
            let hint = nearest(&name).map_or(String::new(), |known| format!("; did you mean {known}?"));
            reader.warnings.push(Problem {
                subject: name,
                origin: layer.origin(),
                message: format!("is not a known setting{hint}"),
            });
        }
    }
}

/// The key to write instead: that of the variable which this name looks most like, under any of its names.
fn nearest(name: &str) -> Option<String> {
    most_like(
        name,
        variables().flat_map(|variable| {
            let direct = variable.spellings().map(|known| (known, variable.key()));
            let in_file = variable.file_spellings().map(|known| (known, format!("{}_file", variable.key())));
            direct.chain(in_file)
        }),
    )
}

/// What the known name that looks most like this one stands for, if it looks like it at all.
pub(super) fn most_like<T>(name: &str, known: impl Iterator<Item = (String, T)>) -> Option<T> {
    known
        .map(|(known, meaning)| (likeness(&known, name), meaning))
        .max_by(|(one, _), (two, _)| one.total_cmp(two))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .map(|(_, meaning)| meaning)
}

/// How alike two names are, from 0 to 1, in any case.
pub(super) fn likeness(one: &str, two: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(&one.to_lowercase(), &two.to_lowercase())
}
