//! Paths that lead nowhere, and methods that a path does not take.

use std::collections::{BTreeMap, BTreeSet};

use chat_test_support::Answer;
use reqwest::Method;

use crate::scene::{Scene, assert_error, field_errors, operations, send_raw};

const METHODS: [Method; 8] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
];

#[tokio::test]
async fn a_path_takes_the_methods_that_are_described_and_no_other() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    let session = operator.create_session().await;
    let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for operation in operations(&scene.client).await {
        let methods = paths.entry(operation.path(&session)).or_default();
        if operation.method == Method::GET {
            methods.insert("HEAD".to_owned());
        }
        methods.extend([operation.method.to_string(), "OPTIONS".to_owned()]);
    }
    for serving in ["/docs", "/openapi.json", "/chat", "/metrics/ui", "/admin/ui", "/assets/common.js"] {
        paths.insert(serving.to_owned(), ["GET", "HEAD", "OPTIONS"].map(str::to_owned).into());
    }
    for (path, methods) in paths {
        let allow = methods.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        for method in METHODS.into_iter().chain(["BREW".parse().expect("a method")]) {
            let shown = format!("{method} {path}");
            if methods.contains(method.as_str()) && method != Method::OPTIONS && method != Method::HEAD {
                continue; // what these do is everybody else's test
            }
            let answer = Answer::of(operator.request(method.clone(), &path)).await;
            assert!(answer.header("x-request-id").is_some(), "{shown}");
            match method {
                Method::OPTIONS => assert_eq!((answer.status, answer.header("allow")), (204, Some(&*allow)), "{shown}"),
                Method::HEAD if methods.contains("HEAD") => {
                    assert!(
                        [200, 404].contains(&answer.status) && answer.text.is_empty(),
                        "{shown}: {}",
                        answer.status
                    );
                }
                Method::HEAD => assert_eq!((answer.status, answer.header("allow")), (405, Some(&*allow)), "{shown}"),
                _ => {
                    assert_eq!(answer.status, 405, "{shown}: {}", answer.text);
                    assert_error(&answer, 405, "method_not_allowed");
                    assert_eq!(answer.header("allow"), Some(&*allow), "{shown}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_path_that_nobody_described_is_404_for_every_method() {
    let (_scene, operator) = Scene::with_operator(&[]).await;
    let session = operator.create_session().await;
    let below = [format!("/sessions/{session}/sentinel"), format!("/sessions/{session}/messages/1")];
    let paths = [
        "/sentinel",
        "/sessions/",
        "/health/sentinel",
        "/docs/index.js",
        "/admin",
        "/admin/sentinel",
        "/admin/bypass/1/2",
        "/v1/chat/completions",
        "/.env",
        "/%73essions",
        "/%61dmin/bypass",
        "/%ff",
        "/*",
    ];
    for path in paths.into_iter().chain(below.iter().map(String::as_str)) {
        for method in METHODS {
            let answer = Answer::of(operator.request(method.clone(), path)).await;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
            if method != Method::HEAD {
                assert_error(&answer, 404, "not_found");
                assert!(!answer.text.contains("sentinel"), "{}", answer.text);
            }
        }
    }
}

/// No spelling of a path gets past what guards it.
#[tokio::test]
async fn a_path_in_disguise_is_no_path() {
    let variables = [("API_KEYS", "k"), ("ADMIN_TOKEN", "t")];
    let scene = Scene::with(&variables).await;
    for target in [
        "//sessions",
        "/./sessions",
        "/x/../sessions",
        "/%73essions",
        "/sessions%2f",
        "///admin/runtime",
        "/./admin/runtime",
        "/x/../admin/runtime",
        "/admin%2fruntime",
        "/%61dmin/runtime",
        "/ADMIN/runtime",
        "/sessions;a=b",
        "/admin;a=b/runtime",
    ] {
        for method in ["GET", "POST"] {
            let request = format!("{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
            let answer = send_raw(&scene.service, request).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{method} {target}: {answer}");
        }
    }
    for (target, status) in [
        ("/sessions?a=b", "401"),
        ("/admin/runtime?a=b", "401"),
        ("/admin/", "401"),
        ("http://test/admin/runtime", "401"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        let answer = send_raw(&scene.service, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
    }
}

#[tokio::test]
async fn bytes_in_a_path_that_are_no_text_are_422() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    for operation in operations(&scene.client).await {
        if !operation.template.contains('{') {
            continue;
        }
        let path = operation.template.replace("{session_id}", "%ff").replace("{ip}", "%ff");
        let request = operator.request(operation.method.clone(), &path).body(r#"{"content": "x"}"#);
        let answer = Answer::of(request).await;
        assert_error(&answer, 422, "validation_error");
        assert_eq!(field_errors(&answer).len(), 1, "{path}");
    }
}

#[tokio::test]
async fn what_a_client_writes_into_a_path_or_a_query_is_not_echoed() {
    let (_scene, operator) = Scene::with_operator(&[]).await;
    for path in [
        "/sessions/sentinel",
        "/sentinel",
        "/sentinel?a=sentinel",
        "/admin/sessions?limit=sentinel",
        "/admin/sessions/sentinel/messages",
        "/admin/history/sessions?start_date=sentinel",
        "/admin/sentinel",
    ] {
        let answer = operator.get(path).await;
        assert!((400..500).contains(&answer.status) && !answer.text.contains("sentinel"), "{path}: {}", answer.text);
        assert_error(&answer, answer.status, answer.code());
    }
    let answer = operator.delete("/admin/bypass/sentinel").await;
    assert_error(&answer, 400, "invalid_ip");
    assert!(!answer.text.contains("sentinel"), "{}", answer.text);
}
