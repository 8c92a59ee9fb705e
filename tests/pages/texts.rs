//! What the pages say, all of it: their tables of texts as the scripts hand them in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    browser::{Page, Reader, browse},
    scene::{demo, page},
};

const PAGES: [&str; 3] = ["/chat", "/metrics/ui", "/admin/ui"];

/// Collects the tables, from the first script on: the one that brings `addTexts` is the only one to run before.
const WATCH: &str = "window.tables = []; document.addEventListener('load', event => { \
    if (!event.target.src?.endsWith('/common.js')) return; const add = agent.addTexts; \
    agent.addTexts = table => { tables.push(table); add(table); }; }, true);";

/// A page's tables: texts, or their singular and plural, by key and language.
async fn tables(tab: &Page) -> Vec<BTreeMap<String, BTreeMap<String, Value>>> {
    let tables = tab.script("return tables", &[]).await;
    serde_json::from_value(tables).expect("tables of texts")
}

/// Each form of a text.
fn forms(text: &Value) -> Vec<&str> {
    match text {
        Value::String(text) => vec![text],
        Value::Object(forms) => {
            assert_eq!(forms.keys().collect::<Vec<_>>(), ["one", "other"], "{forms:?}");
            forms.values().map(|form| form.as_str().expect("text")).collect()
        }
        other => panic!("{other} is no text"),
    }
}

/// What is filled in, in any form of a text.
fn places(text: &Value) -> BTreeSet<&str> {
    let found = forms(text).into_iter().flat_map(|form| form.split('{').skip(1));
    found.map(|rest| rest.split_once('}').expect("an end").0).collect()
}

/// Whether a text names a path below the service's address, or a method.
fn is_technical(text: &str) -> bool {
    let words = || text.split(|letter: char| letter.is_whitespace() || "()[]\"'`«»“”,;".contains(letter));
    words().any(|word| {
        word.strip_prefix('/').is_some_and(|path| path.starts_with(|letter: char| letter.is_ascii_alphabetic()))
            || ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"].contains(&word.trim_end_matches(['.', ':']))
    })
}

#[test]
fn paths_and_methods_are_known_by_their_looks() {
    for text in ["See /metrics.", "Ask (POST)", "with GET: it", "«/admin/ui»", "/sessions/{id}"] {
        assert!(is_technical(text), "{text}");
    }
    for text in ["http://localhost:8000/", "and/or", "a / b", "Get on", "10.0.0.0/8", "JSON", "openssl rand -hex 32"] {
        assert!(!is_technical(text), "{text}");
    }
}

#[tokio::test]
async fn both_languages_say_all_there_is_to_say() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": WATCH})).await;
        for path in PAGES {
            tab.open(&page(&service, path)).await;
            let tables = tables(tab).await;
            assert!(tables.len() >= 2, "{path}: the shared texts, and its own");
            for table in tables {
                let [english, persian] = [&table["en"], &table["fa"]];
                assert_eq!(english.keys().collect::<Vec<_>>(), persian.keys().collect::<Vec<_>>(), "{path}");
                for (key, english) in english {
                    let persian = &persian[key];
                    assert_eq!(places(english), places(persian), "{path}: {key}");
                    assert!(forms(english).iter().chain(&forms(persian)).all(|form| !form.is_empty()), "{path}: {key}");
                }
            }
        }
    })
    .await;
}

/// Texts that are made of several words in a script are not seen here; those are few.
#[tokio::test]
async fn no_script_asks_for_a_text_that_is_not_there() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": WATCH})).await;
        for path in PAGES {
            tab.open(&page(&service, path)).await;
            let asked = "return Promise.all([...document.scripts].map(script => fetch(script.src).then(answer => \
                answer.text()))).then(sources => sources.flatMap(source => [...source.matchAll(\
                /\\b(?:t|button|empty)\\(\"([^\"]+)\"/g)]).map(match => match[1]))";
            let asked = tab.script(asked, &[]).await;
            let tables = tables(tab).await;
            let asked: Vec<&str> = asked.as_array().expect("keys").iter().filter_map(Value::as_str).collect();
            assert!(asked.len() > 20, "{path}: {asked:?}");
            for key in asked {
                assert!(tables.iter().any(|table| table["en"].contains_key(key)), "{path}: {key}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn no_text_names_a_path_or_a_method() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": WATCH})).await;
        for path in PAGES {
            tab.open(&page(&service, path)).await;
            for table in tables(tab).await {
                for (key, text) in table.values().flatten() {
                    for form in forms(text) {
                        assert!(!is_technical(form), "{path}: {key}: {form}");
                    }
                }
            }
            // And what the markup says before the texts are there.
            let markup = tab.script("return document.body.textContent", &[]).await;
            assert!(!is_technical(markup.as_str().expect("text")), "{path}");
        }
    })
    .await;
}
