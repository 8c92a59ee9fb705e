//! `.env` by the rules of `python-dotenv`.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::super::dotenv::parse;
use super::*;

/// What a file gives in an environment with `HOME=/home/me` and `PORT=1`.
fn parsed(text: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let environment = |name: &str| match name {
        "HOME" => Some(SecretString::from("/home/me")),
        "PORT" => Some(SecretString::from("1")),
        _ => None,
    };
    let (values, problems) = parse(Path::new(".env"), text, environment);
    let values = values
        .names()
        .map(|name| match values.get(name) {
            Some(Raw::Text(text)) => (name.to_owned(), text.expose_secret().to_owned()),
            other => panic!("{name}: {other:?}"),
        })
        .collect();
    (values, problems.iter().map(Problem::to_string).collect())
}

#[test]
fn values_are_read_as_python_reads_them() {
    let cases: &[(&str, &str)] = &[
        ("A=b", "b"),
        ("A = b ", "b"),
        ("  A=b", "b"),
        ("export A=b", "b"),
        ("export\tA=b", "b"),
        ("'A'=b", "b"),
        ("A=", ""),
        ("A=\n", ""),
        ("A=b\r\nB=c", "b"),
        ("A=two words", "two words"),
        ("A=b # comment", "b"),
        ("A=b#c", "b#c"),
        ("A=#b", "#b"),
        ("A= # comment", ""),
        ("A=b=c==", "b=c=="),
        ("A=it's", "it's"),
        ("A=pa$$w0rd", "pa$$w0rd"),
        ("A=$HOME", "$HOME"),
        (r"A=C:\new\table", r"C:\new\table"),
        (r#"A="b c" # comment"#, "b c"),
        (r#"A="b # c""#, "b # c"),
        (r#"A="b\nc\"d\\e\q""#, "b\nc\"d\\e\\q"),
        (r"A='b\nc\'d'", r"b\nc'd"),
        ("A='b\nc'", "b\nc"),
        ("A=\"b\nc\"", "b\nc"),
        ("A=${HOME}/x", "/home/me/x"),
        ("A='${HOME}/x'", "/home/me/x"),
        ("A=${NOWHERE}x", "x"),
        ("A=${NOWHERE:-y}x", "yx"),
        ("A=${HOME:-y}", "/home/me"),
        ("A=${HOME", "${HOME"),
        ("PORT=2\nA=${PORT}", "2"),
        ("A=1\nA=2", "2"),
        ("A=سلام دنیا", "سلام دنیا"),
    ];
    for (text, expected) in cases {
        let (values, problems) = parsed(text);
        assert!(problems.is_empty(), "{text:?}: {problems:?}");
        assert_eq!(values.get("A").map(String::as_str), Some(*expected), "{text:?}");
    }
}

#[test]
fn comments_blank_lines_and_names_alone_set_nothing() {
    let (values, problems) = parsed("# A=1\n\n   # B=2\nC\nexport D\n  \nE # comment");
    assert!(values.is_empty(), "{values:?}");
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn what_cannot_be_read_is_named_by_line_and_column_and_not_quoted() {
    let text = "A=1\nOPENROUTER_KEY=\"sk-secret\" trailing\nB=2\nsome secret words\n=x\nC='never closed\nD=4";
    let (values, problems) = parsed(text);
    assert_eq!(
        problems,
        [
            ".env: line 2 column 28: expected the line to end after the closing quote",
            ".env: line 4 column 6: expected `=` after the name",
            ".env: line 5 column 1: expected a name",
            ".env: line 6 column 3: expected a closing quote",
        ]
    );
    let names: Vec<_> = values.keys().map(String::as_str).collect();
    assert_eq!(names, ["A", "B", "D"], "reading goes on behind a bad line");
}
