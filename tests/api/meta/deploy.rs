//! The dashboard and the alerts of `deploy/` speak of what `/metrics` tells, and of all of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use chat_test_support::{RecordedRequest, Reply, Upstream, mcp::Servers};
use serde_json::Value;

use crate::scene::{KEY, launch};

/// Metrics by name, each with the names of its labels.
type Told = BTreeMap<String, BTreeSet<String>>;

/// What Prometheus adds to all that it scrapes.
const ADDED: [&str; 2] = ["job", "instance"];

#[tokio::test]
async fn the_dashboard_shows_all_that_is_told_and_nothing_else() {
    let told = scrape().await;
    let dashboard: Value = serde_json::from_str(&file("grafana/chat-agent.json")).expect("JSON");
    let mut asked = BTreeSet::new();
    for panel in array(&dashboard["panels"]).filter(|panel| panel["type"] != "row") {
        let title = text(&panel["title"]);
        assert!(panel["description"].is_string(), "{title} explains itself");
        for target in array(&panel["targets"]) {
            let known = judge(&told, text(&target["expr"]), title, &mut asked);
            for label in legend(target["legendFormat"].as_str().unwrap_or_default()) {
                assert!(known.contains(label), "{title} shows the label {label}, which none of its metrics has");
            }
        }
    }
    for variable in array(&dashboard["templating"]["list"]).filter(|variable| variable["type"] == "query") {
        judge(&told, text(&variable["query"]["query"]), "a variable", &mut asked);
    }
    for note in array(&dashboard["annotations"]["list"]) {
        judge(&told, text(&note["expr"]), "an annotation", &mut asked);
    }
    let family =
        |name: &str| name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count").to_owned();
    let (told, asked): (BTreeSet<_>, BTreeSet<_>) =
        (told.keys().map(|name| family(name)).collect(), asked.iter().map(|name| family(name)).collect());
    assert_eq!(told, asked, "told by the service, asked for by the dashboard");
}

#[tokio::test]
async fn the_alerts_watch_what_is_told() {
    let told = scrape().await;
    let rules: Value = serde_yaml::from_str(&file("prometheus/alerts.yml")).expect("YAML");
    let mut names = BTreeSet::new();
    for rule in array(&rules["groups"]).flat_map(|group| array(&group["rules"])) {
        let name = text(&rule["alert"]);
        assert!(names.insert(name), "{name} twice");
        let expr = text(&rule["expr"]);
        let known = judge(&told, expr, name, &mut BTreeSet::new());
        assert!(expr.contains(r#"job="chat-agent""#), "{name} is about this service alone");
        for about in ["summary", "runbook"] {
            let said = text(&rule["annotations"][about]);
            assert!(said.ends_with(['.', ')']), "{name}'s {about} is a sentence: {said}");
            for label in said.split("$labels.").skip(1) {
                let label = label.split(|c: char| !is_name(c)).next().unwrap_or_default();
                assert!(known.contains(label), "{name} tells the label {label}, which it does not have");
            }
        }
        assert!(["critical", "warning", "info"].contains(&text(&rule["labels"]["severity"])), "{name}'s severity");
    }
    assert!(names.len() > 10, "{names:?}");
}

/// What a service tells that has answered a turn with a tool.
async fn scrape() -> Told {
    let model = |request: &RecordedRequest| match request.messages().last() {
        Some(last) if last["role"] == "tool" => Reply::text("done").with_usage(1, 1),
        _ => Reply::tool_calls([("known_echo", r#"{"text":"hello"}"#)]),
    };
    let upstream = Upstream::answering(model).await;
    let launch = Servers::new().scripted("known", &[]).given_to(launch());
    let service = launch.env("OPENROUTER_KEY", KEY).env("OPENROUTER_BASE_URL", upstream.base_url()).start().await;
    let client = service.client();
    let session = client.create_session().await;
    client.say(&session, "hello").await.expect(200);
    let text = client.with_header("accept", "text/plain").get("/metrics").await.expect(200).text;
    let mut told = Told::new();
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = sample.split_once(['{', ' ']).expect("a sample");
        let labels = labels.split_once('}').map_or("", |(labels, _)| labels);
        let names = labels.split(',').filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()));
        told.entry(name.to_owned()).or_default().extend(names);
    }
    told
}

/// Checks that an expression asks for metrics and labels that exist; gives the labels that its result may have.
fn judge(told: &Told, expression: &str, whose: &str, asked: &mut BTreeSet<String>) -> BTreeSet<String> {
    let expression = without_strings(expression);
    let mut known: BTreeSet<String> = ADDED.map(str::to_owned).into();
    let mut grouped = Vec::new();
    let mut rest = expression.as_str();
    while let Some(start) = rest.find(is_name) {
        let end = rest[start..].find(|c| !is_name(c)).map_or(rest.len(), |length| start + length);
        let (word, after) = (&rest[start..end], rest[end..].trim_start());
        rest = after;
        if word.starts_with("chat_") || word.starts_with("process_") {
            let labels = told.get(word).unwrap_or_else(|| panic!("{whose} asks for {word}, which is not told"));
            known.extend(labels.iter().cloned());
            asked.insert(word.to_owned());
            if let Some((selectors, after)) = after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                for selector in selectors.split(',') {
                    let label = selector.trim().split(|c: char| !is_name(c)).next().unwrap_or_default();
                    assert!(labels.contains(label) || ADDED.contains(&label), "{whose}: {word} has no label {label}");
                }
                rest = after;
            }
        } else if word == "by"
            && let Some((labels, after)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')'))
        {
            grouped.extend(labels.split(',').map(|label| label.trim().to_owned()));
            rest = after;
        }
    }
    for label in &grouped {
        assert!(known.contains(label), "{whose} groups by {label}, which none of its metrics has");
    }
    known
}

fn without_strings(expression: &str) -> String {
    expression.split('"').step_by(2).collect()
}

fn legend(format: &str) -> impl Iterator<Item = &str> {
    format.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.trim()))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
