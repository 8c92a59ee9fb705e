//! Bodies that are none.

use chat_test_support::{Answer, Client};
use reqwest::Method;
use serde_json::json;

use crate::scene::{Operation, Scene, TOKEN, assert_error, field_errors, operations, pairs, send, send_raw};

/// The operations that read a body, and whether they need one.
async fn with_body(client: &Client) -> Vec<(Operation, bool)> {
    let all = operations(client).await.into_iter();
    let with_body: Vec<_> = all
        .filter_map(|operation| {
            let body = operation.spec.get("requestBody")?;
            let required = body["required"] == true;
            Some((operation, required))
        })
        .collect();
    assert!(with_body.len() >= 3 && with_body.iter().all(|(operation, _)| operation.method == Method::POST));
    with_body
}

/// Every operation that reads a body refuses each of these with this one reason.
async fn refused(bodies: &[&[u8]], reason: impl Fn(&str) -> bool) {
    let (scene, operator) = Scene::with_operator(&[]).await;
    let session = operator.create_session().await;
    for (operation, _) in with_body(&scene.client).await {
        for body in bodies {
            let answer = send(&operator, Method::POST, &operation.path(&session), body.to_vec()).await;
            let shown = String::from_utf8_lossy(body);
            assert_eq!(answer.status, 422, "{} {shown}", operation.template);
            assert_error(&answer, 422, "validation_error");
            let errors = field_errors(&answer);
            assert!(
                errors.len() == 1 && errors[0].0 == "body" && reason(&errors[0].1),
                "{} {shown}: {errors:?}",
                operation.template
            );
            assert!(!answer.text.contains("sentinel"), "{} {shown}: {}", operation.template, answer.text);
        }
    }
    assert_eq!(scene.upstream.requests().len(), 0);
    assert_eq!(scene.memory(&session).await, []);
}

#[tokio::test]
async fn a_body_has_to_be_json() {
    let broken: &[&[u8]] = &[
        b"{",
        b"sentinel",
        b" ",
        b"{\"content\": \"sentinel",
        b"{\"content\": 'sentinel'}",
        b"{content: \"sentinel\"}",
        b"{\"content\": \"sentinel\",}",
        b"{} sentinel",
        b"{}{}",
        b"{\"content\": NaN}",
        b"{\"content\": -Infinity}",
        b"{\"content\": undefined}",
        b"{\"content\": 01}",
        b"{\"content\": \"sentinel\ttab\"}",
        b"{\"content\": \"\\x73entinel\"}",
        b"{\"\\ud800\": 1}",
        b"// sentinel\n{}",
        b"\xef\xbb\xbf{}",
        b"\0",
        b"content=sentinel&ip=sentinel",
    ];
    refused(broken, |reason| reason.starts_with("Input should be valid JSON: ")).await;
}

#[tokio::test]
async fn a_body_has_to_be_an_object() {
    let others: &[&[u8]] = &[b"[]", b"\"sentinel\"", b"5", b"true", b"[{\"content\": \"sentinel\"}]"];
    refused(others, |reason| reason == "Input should be a JSON object").await;
}

#[tokio::test]
async fn a_member_stands_in_a_body_once() {
    let doubled: &[&[u8]] = &[
        br#"{"content": "sentinel", "content": "sentinel"}"#,
        br#"{"ip": "10.0.0.1", "content": "x", "ip": "10.0.0.1"}"#,
        br#"{"content": "x", "c\u006fntent": "y"}"#,
        br#"{"sentinel": 1, "content": "x", "ip": "10.0.0.1", "sentinel": 2}"#,
    ];
    refused(doubled, |reason| reason.starts_with("duplicate member")).await;
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    let body = r#"{"content": "x", "options": {"seed": 1, "seed": 2}}"#;
    let answer = send(&scene.client, Method::POST, &format!("/sessions/{session}/messages"), body).await;
    assert_error(&answer, 422, "validation_error");
    assert_eq!(field_errors(&answer)[0].0, "options", "which of the two would have been passed on?");
}

#[tokio::test]
async fn a_body_has_to_be_utf_8() {
    let others: &[&[u8]] = &[
        b"{\"content\": \"\xff\"}",
        b"\xff\xfe{\0}\0",
        b"{\"content\": \"\xed\xa0\x80\"}",
        b"{\"\xc0\xaf\": 1}",
        b"{\"content\": \"sentinel\xe2\x82\"}",
    ];
    refused(others, |reason| reason == "Input should be valid UTF-8").await;
}

#[tokio::test]
async fn a_body_nests_32_levels_at_the_most() {
    let nested = |levels: usize, open: &str, close: &str| {
        let inner = levels - 1;
        format!("{{\"unknown\": {}1{}}}", open.repeat(inner), close.repeat(inner)).into_bytes()
    };
    let bodies =
        [nested(33, "[", "]"), nested(33, "{\"a\":", "}"), nested(100_000, "[", "]"), "[".repeat(100_000).into()];
    let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    refused(&bodies, |reason| reason.contains("32")).await;

    let scene = Scene::start().await;
    let levels = format!("{{\"metadata\": {}1{}}}", "{\"a\":".repeat(31), "}".repeat(31));
    assert_eq!(send(&scene.client, Method::POST, "/sessions", levels).await.status, 201);
    let brackets = json!({"metadata": {"a": "[".repeat(100)}});
    assert_eq!(scene.client.post("/sessions", &brackets).await.status, 201, "in a text they are no levels");
}

/// A library's own mark for JSON in a text, which hides as many levels as one likes from whoever counts brackets.
#[tokio::test]
async fn no_level_hides_in_a_text() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    let messages = format!("/sessions/{session}/messages");
    let mark = "$serde_json::private::RawValue";
    let nested = |levels: usize, inner: &str| format!("{}{inner}{}", "[".repeat(levels), "]".repeat(levels));
    let in_text = |json: &str| json!({mark: json}).to_string();
    let mut often = nested(20, "");
    for _ in 0..6 {
        often = nested(20, &in_text(&often));
    }
    let escaped: String = mark.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    for (attack, hidden) in [
        ("plain", in_text(&nested(100, ""))),
        ("twice", in_text(&nested(100, &in_text(&nested(100, ""))))),
        ("six times", often),
        ("small", in_text("1")),
        ("an escaped name", in_text("[]").replace('$', r"\u0024")),
        ("a name of escapes alone", in_text("[]").replace(mark, &escaped)),
        ("in arrays", nested(9, &in_text("[]"))),
        ("in objects", json!({"a": {"b": [{}, {mark: "[]"}]}}).to_string()),
        ("not the first", format!(r#"{{"z":1,{}"#, &in_text("[]")[1..])),
        ("a megabyte", in_text(&format!("{}[]", " ".repeat(1_000_000)))),
    ] {
        let metadata = format!(r#"{{"metadata":{{"a":{hidden}}}}}"#);
        let option = format!(r#"{{"content":"x","options":{{"metadata":{hidden}}}}}"#);
        for (path, body, field) in
            [("/sessions", metadata, "metadata"), (messages.as_str(), option, "options.metadata")]
        {
            let answer = send(&scene.client, Method::POST, path, body).await;
            assert_eq!(answer.status, 422, "{attack} as {field}");
            assert_error(&answer, 422, "validation_error");
            let reason = format!("Input should not have a member named {mark}");
            assert_eq!(field_errors(&answer), pairs(&[(field, &reason)]), "{attack}");
        }
    }
    let own = format!(r#"{{"metadata":{}}}"#, in_text("[]"));
    assert_error(&send(&scene.client, Method::POST, "/sessions", own).await, 422, "validation_error");
    assert_eq!(scene.upstream.requests().len(), 0);
    let as_text = json!({"metadata": {"a": mark, "b": [in_text("[]")]}});
    assert_eq!(scene.client.post("/sessions", &as_text).await.expect(201).body["metadata"], as_text["metadata"]);
}

#[tokio::test]
async fn half_a_character_is_none() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    let session = scene.client.create_session().await;
    let messages = format!("/sessions/{session}/messages");
    for (path, body, field) in [
        (messages.as_str(), r#"{"content": "a\ud800"}"#, "content"),
        (&messages, r#"{"content": "\udc00\ud800"}"#, "content"),
        (&messages, r#"{"content": "x", "role": "\ud800"}"#, "role"),
        (&messages, r#"{"content": "x", "options": {"model": "\ud800"}}"#, "options.model"),
        ("/sessions", r#"{"metadata": {"a": "\ud800"}}"#, "metadata"),
        ("/admin/bypass", r#"{"ip": "\ud800"}"#, "ip"),
    ] {
        let answer = send(&operator, Method::POST, path, body).await;
        assert_error(&answer, 422, "validation_error");
        assert_eq!(field_errors(&answer)[0].0, field, "{body}");
    }
    let whole = r#"{"content": "\ud83d\ude00"}"#;
    let answer = send(&scene.client, Method::POST, &messages, whole).await.expect(200);
    assert_eq!(answer.content(), "echo: 😀");
}

#[tokio::test]
async fn what_is_needed_is_said_to_be_missing() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    let session = operator.create_session().await;
    for (operation, required) in with_body(&scene.client).await {
        let path = operation.path(&session);
        let bodiless = Answer::of(operator.request(Method::POST, &path)).await;
        let empty = send(&operator, Method::POST, &path, "").await;
        for answer in [bodiless, empty] {
            if !required {
                assert_eq!(answer.status, 201, "{path}: {}", answer.text);
                continue;
            }
            assert_error(&answer, 422, "validation_error");
            assert_eq!(field_errors(&answer), pairs(&[("body", "Field required")]));
        }
        if required {
            let answer = send(&operator, Method::POST, &path, "{}").await;
            assert_error(&answer, 422, "validation_error");
            assert_eq!(field_errors(&answer)[0].1, "Field required");
        }
    }
    for (body, reason) in
        [(json!({"ip": 5}), "Input should be a valid string"), (json!({"ip": null}), "Field required")]
    {
        let answer = operator.post("/admin/bypass", &body).await;
        assert_eq!(field_errors(&answer), pairs(&[("ip", reason)]));
    }
}

#[tokio::test]
async fn a_body_says_that_it_is_json_or_nothing() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    let session = operator.create_session().await;
    let body = r#"{"content": "hello", "ip": "10.0.0.1"}"#;
    for (operation, _) in with_body(&scene.client).await {
        let path = operation.path(&session);
        let send = async |kind: Option<&str>| {
            let request = operator.request(Method::POST, &path).body(body);
            Answer::of(kind.into_iter().fold(request, |request, kind| request.header("content-type", kind))).await
        };
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/json",
            "application/xml",
            "*/*",
            "json",
            "application/jsonlines",
        ] {
            let answer = send(Some(kind)).await;
            assert_eq!(answer.status, 415, "{path} {kind}: {}", answer.text);
            assert_error(&answer, 415, "unsupported_media_type");
        }
        for kind in [
            None,
            Some("application/json"),
            Some("application/json; charset=utf-8"),
            Some("Application/JSON"),
            Some("application/vnd.api+json"),
        ] {
            let answer = send(kind).await;
            assert!(answer.status < 300, "{path} {kind:?}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_wherever_it_is_sent() {
    let (scene, operator) = Scene::with_operator(&[("MAX_BODY_BYTES", "1000")]).await;
    let session = operator.create_session().await;
    for operation in operations(&scene.client).await {
        let head = format!(
            "{} {} HTTP/1.1\r\nhost: test\r\nx-admin-token: {TOKEN}\r\ncontent-type: application/json\r\n\
             connection: close\r\n",
            operation.method,
            operation.path(&session)
        );
        // Who asks before sending is answered at once; who does not is let finish, to see the answer.
        let announced = format!("{head}content-length: 1001\r\nexpect: 100-continue\r\n\r\n");
        let whole = format!("{head}content-length: 1001\r\n\r\n{}", "x".repeat(1001));
        let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001));
        for request in [announced, whole, chunked] {
            let answer = send_raw(&scene.service, request).await;
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            let shown = format!("{} {}: {answer}", operation.method, operation.template);
            assert!(head.starts_with("HTTP/1.1 413 "), "{shown}");
            assert!(head.contains("content-type: application/json"), "{shown}");
            assert!(body.contains(r#""code":"payload_too_large""#) && body.contains(r#""request_id":""#), "{shown}");
        }
    }
    let fits = json!({"metadata": {"a": "x".repeat(900)}});
    assert_eq!(scene.client.post("/sessions", &fits).await.status, 201);
    let exactly = format!("{{{}}}", " ".repeat(998));
    assert_eq!(send(&scene.client, Method::POST, "/sessions", exactly).await.status, 201);
}

#[tokio::test]
async fn a_megabyte_is_the_default_limit() {
    let scene = Scene::start().await;
    let fits = format!("{{{}}}", " ".repeat(1024 * 1024 - 2));
    assert_eq!(send(&scene.client, Method::POST, "/sessions", fits).await.status, 201);
    // A client that sends all before it listens gets its answer as well, and no broken connection.
    for size in [1024 * 1024 + 1, 8 * 1024 * 1024] {
        let body = "x".repeat(size);
        assert_error(&send(&scene.client, Method::POST, "/sessions", body.clone()).await, 413, "payload_too_large");
        let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(body)]);
        let chunked = reqwest::Body::wrap_stream(chunks);
        assert_error(&send(&scene.client, Method::POST, "/sessions", chunked).await, 413, "payload_too_large");
    }
}
