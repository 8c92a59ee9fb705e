//! The README's table is the table of variables.

use super::*;

const README: &str = include_str!("../../../README.md");

/// The row that a variable has there, but for the marks around code in what it is for.
fn row(variable: &Variable) -> String {
    let secret = if variable.may_be_in_a_file() { " †" } else { "" };
    let default = if variable.default.is_empty() { "–".to_owned() } else { format!("`{}`", variable.default) };
    format!("| `{}`{secret} | {} | {default} |", variable.name, variable.about)
}

/// The README's rows for variables: those that begin with a name in capitals.
fn rows() -> impl Iterator<Item = String> {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    README.lines().filter_map(move |line| {
        let (name, _) = line.strip_prefix("| `")?.split_once('`')?;
        let [_, mark, about, default, _] = line.split('|').collect::<Vec<_>>()[..] else { return None };
        is_name(name).then(|| format!("|{mark}|{}|{default}|", about.replace('`', "")))
    })
}

#[test]
fn the_readme_has_every_variable_with_its_default_in_order() {
    assert_eq!(rows().collect::<Vec<_>>(), variables().map(row).collect::<Vec<_>>());
}

#[test]
fn the_readme_has_every_group_and_older_name() {
    for group in GROUPS {
        assert!(README.contains(&format!("\n### {}\n", group.title)), "{}", group.title);
    }
    for alias in variables().flat_map(|variable| variable.aliases) {
        assert!(README.contains(&format!("`{alias}`")), "{alias}");
    }
}
