//! The example files have every variable, with its default, and can be used as they are.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use super::*;

const DOTENV: &str = include_str!("../../../.env.example");
const YAML: &str = include_str!("../../../config/app.config.example.yaml");

/// The file with its settings switched on: `#name…` is one, `# words` are not.
fn switched_on(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphabetic()) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn texts(values: &Values) -> BTreeMap<String, String> {
    values
        .names()
        .map(|name| match values.get(name) {
            Some(Raw::Text(text)) => (name.to_owned(), text.expose_secret().to_owned()),
            other => panic!("{name}: {other:?}"),
        })
        .collect()
}

#[test]
fn the_yaml_example_has_every_key_with_its_default() {
    let expected: BTreeMap<_, _> = variables()
        .filter(|variable| variable.name != "APP_CONFIG_FILE")
        .map(|variable| (variable.key(), variable.default.to_owned()))
        .collect();
    assert_eq!(texts(&yaml(&switched_on(YAML))), expected);
    for variable in variables().filter(|variable| variable.name != "APP_CONFIG_FILE") {
        assert!(YAML.contains(&format!("# {}: ", variable.name)), "{} is explained", variable.name);
    }
}

#[test]
fn the_dotenv_example_has_every_variable_with_its_default() {
    let expected: BTreeMap<_, _> =
        variables().map(|variable| (variable.name.to_owned(), variable.default.to_owned())).collect();
    let (values, problems) = super::super::dotenv::parse(Path::new(".env.example"), &switched_on(DOTENV), |_| None);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(texts(&values), expected);
}

#[test]
fn the_examples_say_which_variables_can_be_files() {
    for variable in variables() {
        let said = format!("(or {}_FILE)", variable.name);
        for example in [DOTENV, YAML] {
            assert_eq!(example.contains(&said), variable.may_be_in_a_file(), "{}", variable.name);
        }
    }
}

#[test]
fn a_copied_example_changes_nothing() {
    let defaults = env(&[]).expect("nothing is required");
    for (path, text) in [(".env", DOTENV), ("config/app.config.yaml", YAML)] {
        for text in [text.to_owned(), switched_on(text)] {
            let loaded = Directory::new(&[(path, &text)]).load_env(&[]).expect("a copy can be used as it is");
            assert_eq!(loaded.warnings, []);
            assert_eq!(format!("{:?}", loaded.settings), format!("{:?}", defaults.settings));
        }
    }
}
