//! The pages for people, as they are served: their headers, and that there is nothing in them that their policy forbids.
//! What they do is `tests/pages`'.

use std::collections::BTreeSet;

use chat_test_support::{Answer, Client};
use reqwest::Method;
use serde_json::json;

use crate::scene::{Scene, assert_error, message, send_raw};

/// Each page, and what comes before `assets/` in it.
const PAGES: [(&str, &str); 3] = [("/chat", ""), ("/metrics/ui", "../"), ("/admin/ui", "../")];

/// The values of an attribute, wherever it stands.
fn attribute<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let marker = format!(" {name}=\"");
    html.split(&marker).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// What a page or a style sheet has loaded by itself, as it is written there.
fn references(path: &str, text: &str) -> Vec<String> {
    let in_styles = text.split("url(").skip(1).filter_map(|rest| rest.split(')').next());
    let in_styles = in_styles.map(|reference| reference.trim_matches(['"', '\'']).to_owned());
    let in_markup = ["src", "href"].iter().flat_map(|name| attribute(text, name)).map(str::to_owned);
    match path.rsplit_once('.').map(|(_, kind)| kind) {
        None => in_markup.collect(),
        Some("css") => in_styles.collect(),
        _ => Vec::new(),
    }
}

/// Where a relative reference leads.
fn resolve(path: &str, reference: &str) -> String {
    let base = reqwest::Url::parse("http://service").and_then(|base| base.join(path)).expect("a path");
    base.join(reference).expect("a reference").path().to_owned()
}

/// Every page and all that they load, by path.
async fn all(client: &Client) -> Vec<(String, Answer)> {
    let mut found: Vec<(String, Answer)> = Vec::new();
    let mut known: BTreeSet<String> = PAGES.iter().map(|(path, _)| (*path).to_owned()).collect();
    let mut open: Vec<String> = known.iter().cloned().collect();
    while let Some(path) = open.pop() {
        let answer = client.get(&path).await.expect(200);
        for reference in references(&path, &answer.text) {
            // Another page, a place in this one, or the address of nothing.
            if reference.starts_with("data:") || reference.starts_with('#') || reference.ends_with(".html") {
                continue;
            }
            assert!(
                !reference.contains("//") && !reference.starts_with('/'),
                "{path}: {reference:?} is no relative way"
            );
            let target = resolve(&path, &reference);
            if known.insert(target.clone()) {
                open.push(target);
            }
        }
        found.push((path, answer));
    }
    found
}

#[tokio::test]
async fn pages_and_assets_are_served_under_a_strict_policy() {
    let scene = Scene::start().await;
    let all = all(&scene.client).await;
    assert!(all.len() >= 3 + 8, "three pages, their styles and scripts: {}", all.len());
    for (path, answer) in &all {
        let header = |name: &str| answer.header(name).unwrap_or_else(|| panic!("{path} has no {name}"));
        let kind = match path.rsplit_once('.').map(|(_, kind)| kind) {
            None => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("woff2") => "font/woff2",
            Some("svg") => "image/svg+xml",
            other => panic!("what is {other:?}?"),
        };
        assert_eq!(header("content-type"), kind, "{path}");
        let policy = header("content-security-policy");
        let mut directives: Vec<&str> = policy.split(';').map(str::trim).collect();
        directives.sort_unstable();
        let expected = [
            "base-uri 'none'",
            "connect-src 'self'",
            "default-src 'none'",
            "font-src 'self'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "img-src 'self' data:",
            "require-trusted-types-for 'script'",
            "script-src 'self'",
            "style-src 'self'",
            "trusted-types 'none'",
        ];
        assert_eq!(directives, expected, "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(header("cache-control"), "no-cache", "{path}");
        let permissions = header("permissions-policy");
        for feature in ["camera=()", "microphone=()", "geolocation=()"] {
            assert!(permissions.contains(feature), "{path}: {permissions}");
        }
        assert!(answer.header("x-request-id").is_some(), "{path}");
    }
}

#[tokio::test]
async fn nothing_in_them_is_inline_or_from_elsewhere() {
    let scene = Scene::start().await;
    for (path, answer) in all(&scene.client).await {
        let text = answer.text.to_ascii_lowercase();
        if path.ends_with(".css") {
            assert!(!text.contains("@import"), "{path}");
            assert!(!text.contains("url(http") && !text.contains("url(\"http") && !text.contains("url(//"), "{path}");
        }
        if path.ends_with(".js") && !path.contains("/vendor/") {
            for sink in ["innerhtml", "outerhtml", "insertadjacenthtml", "document.write", "eval(", "new function("] {
                assert!(!text.contains(sink), "{path}: {sink}");
            }
        }
        if path.contains('.') {
            continue;
        }
        assert!(text.contains("<html"), "{path}");
        let prefix = PAGES.iter().find(|(page, _)| *page == path).map(|(_, prefix)| *prefix).expect("a page");
        assert!(text.contains(&format!("src=\"{prefix}assets/common.js\"")), "{path}");
        for tag in text.split("<script").skip(1) {
            let (attributes, rest) = tag.split_once('>').expect("a tag has an end");
            assert!(attributes.contains(" src=\"") && rest.starts_with("</script>"), "{path}: <script{attributes}>");
        }
        assert!(!text.contains("<style") && attribute(&text, "style").is_empty(), "{path}");
        assert!(!text.contains("javascript:"), "{path}");
        for tag in text.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
            let handler = tag.split_whitespace().skip(1).find(|part| part.starts_with("on") && part.contains('='));
            assert_eq!(handler, None, "{path}: <{tag}>");
        }
        for name in ["src", "href", "action", "srcset", "data", "poster"] {
            for reference in attribute(&text, name) {
                assert!(!reference.contains("//"), "{path}: {name}={reference:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_the_browser_has_it_is_not_sent_again() {
    let scene = Scene::start().await;
    let mut tags = BTreeSet::new();
    let all = all(&scene.client).await;
    for (path, answer) in &all {
        let tag = answer.header("etag").unwrap_or_else(|| panic!("{path} has no tag"));
        assert!(tag.len() > 10 && tag.starts_with('"') && tag.ends_with('"'), "{path}: {tag}");
        if !answer.text.is_empty() {
            tags.insert(tag.to_owned());
        }
        for sent in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let again = scene.client.with_header("if-none-match", &sent).get(path).await;
            assert_eq!((again.status, again.text.as_str()), (304, ""), "{path}: {sent}");
            assert_eq!(again.header("etag"), Some(tag), "{path}");
            assert_eq!(again.header("cache-control"), Some("no-cache"), "{path}");
            assert!(again.header("content-security-policy").is_some(), "{path}");
        }
        let other = scene.client.with_header("if-none-match", "\"x\"").get(path).await.expect(200);
        assert_eq!(other.text, answer.text, "{path}");
        let head = Answer::of(scene.client.request(Method::HEAD, path)).await;
        assert_eq!((head.status, head.text.as_str(), head.header("etag")), (200, "", Some(tag)), "{path}");
    }
    let full = all.iter().filter(|(_, answer)| !answer.text.is_empty()).count();
    assert_eq!(tags.len(), full, "different files, different tags");
}

#[tokio::test]
async fn a_page_takes_no_other_method() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    for path in PAGES.iter().map(|(path, _)| *path).chain(["/assets/common.js"]) {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::TRACE] {
            for client in [&scene.client, &operator] {
                let answer = Answer::of(client.request(method.clone(), path)).await;
                assert_error(&answer, 405, "method_not_allowed");
                assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_out_of_the_pages() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    for target in [
        "/assets",
        "/assets/",
        "/assets/../x",
        "/assets/../chat",
        "/assets/..%2fchat",
        "/assets/%2e%2e/chat",
        "/assets/%2e%2e%2fCargo.toml",
        "/assets/..%5cCargo.toml",
        "/assets/common.js%00",
        "/assets/%00",
        "/assets/common.js/",
        "/assets//common.js",
        "//assets/common.js",
        "/assets/%63ommon.js",
        "/assets/Common.js",
        "/assets/common%2ejs",
        "/assets/common.js.map",
        "/assets/vendor",
        "/assets/.git/config",
        "/chat/",
        "/chat.html",
        "/%63hat",
        "//chat",
        "/metrics/ui/",
        "/metrics/",
        "/metrics/ui/../ui",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        let answer = send_raw(&scene.service, request).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{target}: {answer}");
        assert!(answer.contains(r#""code":"not_found""#) && answer.contains(r#""request_id":"#), "{target}: {answer}");
    }
    // What only looks like the page for operators is guarded like all that lies beside it.
    for target in ["/admin/ui/", "/admin/ui/x", "/admin/ui%2f", "/admin/%75i", "/admin//ui", "/admin/ui;x"] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        let answer = send_raw(&scene.service, request).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{target}: {answer}");
        assert_error(&operator.get(target).await, 404, "not_found");
    }
}

#[tokio::test]
async fn pages_are_there_whatever_is_off_or_guarded() {
    let variables = [("METRICS_ENABLED", "false"), ("API_KEYS", "k"), ("RATE_RPS", "0.001"), ("RATE_BURST", "1")];
    let scene = Scene::with(&variables).await;
    for _ in 0..3 {
        for (path, _) in PAGES {
            scene.client.get(path).await.expect(200);
        }
    }
    assert_error(&scene.client.get("/metrics").await, 404, "not_found");
    assert_error(&scene.client.get("/admin/runtime").await, 503, "admin_disabled");
    assert_error(&scene.client.post("/sessions", &json!({})).await, 401, "missing_api_key");
    let (guarded, _operator) = Scene::with_operator(&[]).await;
    // Asking for the page is no guess at the token.
    for _ in 0..20 {
        guarded.client.get("/admin/ui").await.expect(200);
        guarded.client.with_header("x-admin-token", "wrong").get("/admin/ui").await.expect(200);
    }
    assert_error(&guarded.client.get("/admin/runtime").await, 401, "missing_admin_token");
}

#[tokio::test]
async fn answers_are_neither_guessed_at_nor_kept() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    let session = scene.client.post("/sessions", &json!({})).await.expect(201);
    let id = session.body["id"].as_str().expect("an id").to_owned();
    let messages = format!("/sessions/{id}/messages");
    let mut answers = vec![
        session,
        scene.client.post(&messages, &message("hello")).await.expect(200),
        scene.client.post(&messages, &json!({})).await.expect(422),
        scene.client.get("/sessions/nonsense").await.expect(422),
        scene.client.get("/admin/runtime").await.expect(401),
        scene.client.get("/nowhere").await.expect(404),
        Answer::of(scene.client.request(Method::PUT, "/chat")).await.expect(405),
    ];
    for path in
        ["/admin/bypass", "/admin/runtime", "/admin/config", "/admin/sessions", "/admin/history/sessions", "/metrics"]
    {
        answers.push(operator.get(path).await.expect(200));
    }
    answers.push(operator.get(&format!("/admin/sessions/{id}/messages")).await.expect(200));
    answers.push(scene.client.get(&format!("/sessions/{id}")).await.expect(200));
    answers.push(scene.client.delete(&format!("/sessions/{id}")).await.expect(204));
    for answer in &answers {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{}", answer.text);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{}", answer.text);
    }
    let session = scene.client.create_session().await;
    let events = scene.client.say_streaming(&session, "hello").await.expect("a stream");
    assert_eq!(events.headers.get("x-content-type-options").map(|value| value.as_bytes()), Some(&b"nosniff"[..]));
}
