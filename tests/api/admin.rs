//! The operator's API.

use std::time::Duration;

use chat_test_support::{Answer, Client, assert_eventually};
use serde_json::{Value, json};

use crate::scene::{
    KEY, NO_SESSION, Scene, TOKEN, assert_error, assert_rate_limited, guess_until_refused, is_time, keys, launch,
    operations, pairs, said,
};

async fn ask_all(client: &Client, check: impl Fn(&str, &Answer)) {
    let all = operations(client).await;
    let all: Vec<_> = all.iter().filter(|operation| operation.template.starts_with("/admin")).collect();
    assert!(all.len() >= 9, "{all:?}");
    for operation in all {
        let request = client.request(operation.method.clone(), &operation.path(NO_SESSION));
        check(&operation.template, &Answer::of(request.json(&json!({"ip": "10.0.0.1"}))).await);
    }
    check("/admin/nowhere", &client.get("/admin/nowhere").await);
    check("/admin", &client.get("/admin").await);
}

#[tokio::test]
async fn without_a_token_the_admin_api_is_off() {
    for variables in [&[][..], &[("ADMIN_TOKEN", "")], &[("ADMIN_TOKEN", "change-me")]] {
        let scene = Scene::with(variables).await;
        for client in [scene.client.clone(), scene.client.with_header("x-admin-token", "change-me")] {
            ask_all(&client, |_, answer| assert_error(answer, 503, "admin_disabled")).await;
        }
        let ready = scene.client.with_header("x-admin-token", "change-me").get("/health/ready").await.expect(200);
        assert_eq!(keys(&ready.body), ["status"]);
        let warned = scene.service.logs().iter().any(|line| {
            line["level"] == "WARNING"
                && line["message"].as_str().is_some_and(|message| message.contains("ADMIN_TOKEN"))
        });
        assert_eq!(warned, variables.contains(&("ADMIN_TOKEN", "change-me")), "{}", scene.service.log_text());
    }
}

#[tokio::test]
async fn every_operation_needs_the_token() {
    // Each check with a service of its own: a wrong token is only tried ten times.
    for (shown, code) in [
        (None, "missing_admin_token"),
        (Some(""), "missing_admin_token"),
        (Some("sentinel"), "invalid_admin_token"),
        (Some(&TOKEN[1..]), "invalid_admin_token"),
        (Some("SENTINEL-OF-THE-ADMIN-TOKEN"), "invalid_admin_token"),
    ] {
        let variables = [("TRUSTED_PROXIES", "127.0.0.1")];
        let (scene, operator) = Scene::with_operator(&variables).await;
        let count = std::cell::Cell::new(0);
        for half in ["203.0.113.1", "203.0.113.2"] {
            let client = scene.client.with_header("x-forwarded-for", half);
            let client = shown.into_iter().fold(client, |client, token| client.with_header("x-admin-token", token));
            for path in match half {
                "203.0.113.1" => {
                    ["/admin/bypass", "/admin/runtime", "/admin/config", "/admin/sessions", "/admin/history/sessions"]
                }
                _ => [
                    "/admin/sessions/1/messages",
                    "/admin/history/sessions/1/messages",
                    "/admin",
                    "/admin/nowhere",
                    "/admin/",
                ],
            } {
                let answer = client.get(path).await;
                assert_error(&answer, 401, code);
                assert!(answer.header("www-authenticate").is_some_and(|value| !value.is_empty()), "{path}");
                assert!(!answer.text.contains("sentinel"), "{}", answer.text);
                count.set(count.get() + 1);
            }
        }
        assert_eq!(count.get(), 10);
        let changing = scene.client.with_header("x-forwarded-for", "203.0.113.3");
        assert_error(&changing.post("/admin/bypass", &json!({"ip": "10.0.0.1"})).await, 401, "missing_admin_token");
        assert_error(&changing.delete("/admin/bypass/10.0.0.1").await, 401, "missing_admin_token");
        assert_eq!(operator.get("/admin/bypass").await.expect(200).body, json!([]));
    }
}

#[tokio::test]
async fn wrong_tokens_are_limited_per_address() {
    let (scene, operator) = Scene::with_operator(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let guessing = scene.client.with_header("x-admin-token", "guess");
    let guess = async || guessing.get("/admin/runtime").await;
    let (guesses, answer, right) = guess_until_refused(guess, async || operator.get("/admin/runtime").await).await;
    // Ten at once, and one a second for as long as the ten took.
    assert!(guesses >= 10, "{guesses}");
    assert!(answer.body["retry_after"].as_f64().expect("seconds") <= 1.0, "{}", answer.text);
    // Not even the right token counts now: otherwise a guess could be made at any speed. From elsewhere it does.
    assert_rate_limited(&right);
    for _ in 0..15 {
        operator.with_header("x-forwarded-for", "203.0.113.2").get("/admin/runtime").await.expect(200);
    }
    let elsewhere = guessing.with_header("x-forwarded-for", "203.0.113.1");
    assert_error(&elsewhere.get("/admin/runtime").await, 401, "invalid_admin_token");
    assert!(!scene.service.log_text().contains("guess"));
}

#[tokio::test]
async fn the_token_cannot_be_guessed_at_readiness_either() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    let guessing = scene.client.with_header("x-admin-token", "guess");
    let mut refused = None;
    for _ in 0..100 {
        let answer = guessing.get("/health/ready").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert!(answer.expect(200).body.get("checks").is_none());
    }
    assert_rate_limited(&refused.expect("a limit"));
    // Probes show no token. The operator has to wait for a second.
    scene.client.get("/health/ready").await.expect(200);
    assert_eventually!(operator.get("/health/ready").await.body["checks"].is_array(), Duration::from_secs(5));
}

#[tokio::test]
async fn runtime_tells_how_all_is_set_up() {
    let variables = [
        ("OPENROUTER_MODEL", "vendor/model"),
        ("MEMORY_DEFAULT", "7"),
        ("MEMORY_MAX", "70"),
        ("HISTORY_NAMESPACE", "shop"),
    ];
    let (scene, operator) = Scene::with_operator(&variables).await;
    let runtime = operator.get("/admin/runtime").await.expect(200).body;
    assert_eq!(keys(&runtime), ["features", "history", "mcp_servers", "memory", "provider", "version"]);
    assert_eq!(
        runtime["provider"],
        json!({
            "default": "mcp-agent", "available": ["mcp-agent"], "llm_provider": "openrouter", "uses_openrouter": true,
            "default_model": "vendor/model", "openrouter_base_url": scene.upstream.base_url(),
            "mcp_servers_configured": 0, "mcp_servers_active": 0, "mcp_server_names": [],
            "mcp_servers_required_minimum": 1,
        })
    );
    assert_eq!(runtime["memory"], json!({"backend": "memory", "default_limit": 7, "max_limit": 70}));
    let history = json!({"configured_backend": "none", "backend": "none", "enabled": false, "namespace": "shop"});
    assert_eq!(runtime["history"], history);
    assert_eq!((&runtime["version"], &runtime["mcp_servers"]), (&json!(env!("CARGO_PKG_VERSION")), &json!([])));
    assert!(runtime["features"].is_array());
}

#[tokio::test]
async fn runtime_says_when_nothing_is_configured() {
    let service = launch().env("ADMIN_TOKEN", TOKEN).start().await;
    let operator = service.client().with_header("x-admin-token", TOKEN);
    let runtime = operator.get("/admin/runtime").await.expect(200).body;
    assert_eq!(runtime["provider"]["default"], "unconfigured");
    assert_eq!(runtime["provider"]["openrouter_base_url"], "https://openrouter.ai/api/v1");
}

#[tokio::test]
async fn config_tells_each_value_and_its_source_and_no_secret() {
    let launch = launch()
        .env("ADMIN_TOKEN", TOKEN)
        .env("OPENROUTER_KEY", KEY)
        .env("API_KEYS", "sentinel-client-key,sentinel-other-key")
        .env("MEMORY_DEFAULT", "7")
        .file(".env", "OPENAI_API_KEY=sentinel-openai\nMCP_API_KEY=sentinel-mcp\nMEMORY_MAX=70\nMEMORY_DEFAULT=8\n")
        .file(
            "config/app.config.yaml",
            "session_ttl_seconds: 60\nhistory_mysql_password: sentinel-mysql\nmemory_max: 9\n",
        );
    let service = launch.start().await;
    let operator = service.client().with_header("x-admin-token", TOKEN);
    let answer = operator.get("/admin/config").await.expect(200);
    assert!(!answer.text.contains("sentinel"), "{}", answer.text);
    let entries = answer.body.as_array().expect("a list").clone();
    let entry = |name: &str| {
        let entry = entries.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(keys(entry), ["name", "source", "value"]);
        (entry["value"].as_str().expect("text"), entry["source"].as_str().expect("text"))
    };
    for (name, value, source) in [
        ("MEMORY_DEFAULT", "7", "env"),
        ("MEMORY_MAX", "70", "dotenv"),
        ("SESSION_TTL_SECONDS", "60", "yaml"),
        ("MAX_SESSIONS", "100000", "default"),
        ("ADMIN_TOKEN", "***", "env"),
        ("OPENROUTER_KEY", "***", "env"),
        ("API_KEYS", "***", "env"),
        ("OPENAI_API_KEY", "***", "dotenv"),
        ("MCP_API_KEY", "***", "dotenv"),
        ("HISTORY_MYSQL_PASSWORD", "***", "yaml"),
    ] {
        assert_eq!(entry(name), (value, source), "{name}");
    }
    assert!(!service.log_text().contains("sentinel"), "{}", service.log_text());
}

#[tokio::test]
async fn active_sessions_are_listed_newest_first_and_in_pages() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    let mut made: Vec<Value> = Vec::new();
    while made.len() < 5 {
        let session =
            scene.client.post("/sessions", &json!({"metadata": {"number": made.len()}})).await.expect(201).body;
        // Two of the same millisecond have no order.
        if made.last().is_some_and(|last| last["created_at"] == session["created_at"]) {
            scene.client.delete(&format!("/sessions/{}", session["id"].as_str().expect("an id"))).await.expect(204);
            continue;
        }
        made.push(session);
    }
    made.reverse();
    let page = async |query: &str| {
        let answer = operator.get(&format!("/admin/sessions{query}")).await.expect(200);
        assert_eq!(answer.header("x-total-count"), Some("5"), "{query}");
        answer.body.as_array().expect("a list").clone()
    };
    let all = page("").await;
    assert_eq!(all.len(), 5);
    for (listed, made) in all.iter().zip(&made) {
        let mut expected = made.clone();
        expected["provider"] = json!("mcp-agent");
        expected["fallback_provider"] = Value::Null;
        assert_eq!(*listed, expected);
    }
    for (query, expected) in [
        ("?limit=2", &all[..2]),
        ("?limit=2&offset=2", &all[2..4]),
        ("?offset=4", &all[4..]),
        ("?offset=5", &[]),
        ("?limit=200&offset=9223372036854775807", &[]),
        ("?limit=1&offset=0&unknown=x", &all[..1]),
    ] {
        assert_eq!(page(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn an_operator_reads_every_sessions_messages() {
    let (scene, operator) = Scene::with_operator(&[("API_KEYS", "k"), ("INITIAL_SYSTEM_PROMPT", "hidden")]).await;
    let client = scene.client.with_header("x-api-key", "k");
    let session = client.create_session().await;
    client.say(&session, "hello").await.expect(200);
    let messages = operator.get(&format!("/admin/sessions/{session}/messages")).await.expect(200).body;
    assert_eq!(said(&messages), pairs(&[("user", "hello"), ("assistant", "echo: hello")]));
    assert!(is_time(&messages[0]["created_at"]));
    assert_eq!(keys(&messages[0]), ["content", "created_at", "metadata", "role"]);
    let missing = operator.get(&format!("/admin/sessions/{NO_SESSION}/messages")).await;
    assert_error(&missing, 404, "session_not_found");
}

#[tokio::test]
async fn the_history_that_is_none_has_empty_pages() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    let session = scene.client.create_session().await;
    scene.client.say(&session, "hello").await.expect(200);
    for (query, limit, offset) in [
        ("", 50, 0),
        ("?limit=200&offset=7", 200, 7),
        ("?start_date=2026-01-01T00:00:00Z&end_date=2026-12-31T23:59:59.999Z", 50, 0),
        ("?start_date=2026-01-01T00:00:00%2B02:00&end_date=", 50, 0),
        ("?start_date=2026-01-01T00:00:00+02:00", 50, 0),
    ] {
        let page = operator.get(&format!("/admin/history/sessions{query}")).await.expect(200).body;
        assert_eq!(page, json!({"sessions": [], "limit": limit, "offset": offset, "count": 0, "total": 0}), "{query}");
    }
    // The archive does not know the session, however alive it is.
    let answer = operator.get(&format!("/admin/history/sessions/{session}/messages?limit=7&offset=3")).await;
    assert_error(&answer, 404, "session_not_found");
}

#[tokio::test]
async fn parameters_that_are_none_or_out_of_range() {
    let (_scene, operator) = Scene::with_operator(&[]).await;
    let messages = format!("/admin/history/sessions/{NO_SESSION}/messages");
    let paged = [
        ("limit=0", 400, "invalid_limit"),
        ("limit=-1", 400, "invalid_limit"),
        ("limit=201", 400, "invalid_limit"),
        ("limit=9223372036854775807", 400, "invalid_limit"),
        ("limit=99999999999999999999", 400, "invalid_limit"),
        ("offset=-1", 400, "invalid_offset"),
        ("offset=-99999999999999999999", 400, "invalid_offset"),
        ("limit=ten", 422, "validation_error"),
        ("limit=1.5", 422, "validation_error"),
        ("limit=1e2", 422, "validation_error"),
        ("limit=%20", 422, "validation_error"),
        ("offset=x", 422, "validation_error"),
        ("limit=%ff", 422, "validation_error"),
    ];
    for path in ["/admin/sessions", "/admin/history/sessions", &messages] {
        for (query, status, code) in paged {
            let answer = operator.get(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, status, "{path}?{query}: {}", answer.text);
            assert_error(&answer, status, code);
        }
    }
    for query in [
        "start_date=yesterday",
        "end_date=2026-13-01T00:00:00Z",
        "start_date=2026-01-01",
        "start_date=1700000000",
        "start_date=2026-01-02T00:00:00Z&end_date=2026-01-01T00:00:00Z",
    ] {
        let answer = operator.get(&format!("/admin/history/sessions?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
        assert_error(&answer, 400, "invalid_date");
    }
}
