//! No secret is shown, whatever a file says.

use proptest::prelude::*;

use super::*;

const SECRET: &str = "hunter2-hunter2";

/// All that anybody may see of a configuration.
fn shown(result: Result<Loaded, ConfigErrors>) -> String {
    match result {
        Ok(loaded) => {
            let servers: Vec<_> = loaded.settings.mcp.servers.iter().map(|server| server.shown.clone()).collect();
            format!("{loaded:?} {:#?} {:?} {servers:?}", loaded.settings, warnings(&loaded))
        }
        Err(errors) => format!("{errors} {errors:?} {:?}", errors.warnings),
    }
}

#[test]
fn of_a_server_its_names_are_shown_and_no_values() {
    let entry = format!(
        "{{command: npx, args: ['--key={SECRET}'], env: {{A: {SECRET}}}, cwd: '${{KEY}}'}}, \
         t: {{url: 'https://u:{SECRET}@h/{SECRET}?k={SECRET}', headers: {{X: {SECRET}}}}}, \
         u: {{url: '${{URL}}', headers: {{X: '${{KEY}}'}}}}, v: {{command: '${{KEY}}'}}, w: {{url: 'https://${{KEY}}/'}}"
    );
    let text = format!("mcp: {{servers: {{s: {entry}}}}}");
    let url = format!("https://{SECRET}/");
    let loaded = load_file(&text, "s,t,u,v,w", &[("KEY", SECRET), ("URL", &url)]).expect("fine");
    let lines: Vec<_> = loaded.settings.mcp.servers.iter().map(|server| server.shown.as_str()).collect();
    assert_eq!(
        lines,
        ["stdio npx", "streamable_http h", "streamable_http ***", "stdio ${KEY}", "streamable_http ${KEY}"]
    );
    let debug = format!("{:?}", loaded.settings.mcp);
    assert!(debug.contains(r#"env: ["A"]"#) && debug.contains(r#"headers: ["X"]"#), "{debug}");
    assert!(!shown(Ok(loaded)).contains(SECRET));
    let (server, _) = described("{command: \"a\\nb\"}", &[]);
    assert_eq!(server.shown, "stdio a\\nb", "on one line");
}

#[test]
fn an_endpoint_is_shown_without_its_path() {
    let pairs = [("MCP_SERVER_URL", "https://u:hunter2@h:1/hunter2?hunter2"), ("MCP_API_KEY", "hunter2")];
    let mcp = settings(&pairs).mcp;
    let McpTransport::Http { url, .. } = &mcp.servers[0].transport else { panic!("{mcp:?}") };
    assert_eq!((url.to_string().as_str(), url.scheme()), ("https://h:1/***", "https"));
    assert!(!format!("{mcp:?}").contains("hunter2"));
}

fn key() -> impl Strategy<Value = String> {
    let known = [
        "transport",
        "type",
        "command",
        "args",
        "env",
        "cwd",
        "url",
        "headers",
        "read_timeout_seconds",
        "allowed_tools",
        "required",
        "max_concurrent_calls",
        "auth",
        "comand",
        "<<",
        "A",
        "X-Key",
        "",
    ];
    prop::sample::select(known.to_vec()).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    let some = [
        "stdio",
        "sse",
        "http",
        "true",
        "5",
        "",
        "npx",
        "https://h/mcp",
        "${KEY}",
        "x${KEY}y",
        "${NO:-d}",
        "${NO}",
        "${",
        "${env:KEY}",
        "https://${KEY}/",
        "https://u:${KEY}@h/${KEY}?${KEY}",
        "ws://${KEY}",
        "${KEY}\u{0}",
        "${KEY}\n",
        "${KEY}é",
    ];
    prop::sample::select(some.to_vec()).prop_map(str::to_owned)
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        4 => text().prop_map(serde_json::Value::from),
        1 => any::<i32>().prop_map(serde_json::Value::from),
        1 => any::<bool>().prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
    ];
    leaf.prop_recursive(3, 40, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map(key(), inner, 0..8)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_an_entry_says(entry in json(), secrets in json(), is_agent in any::<bool>()) {
        let file = |entry: &serde_json::Value| match is_agent {
            true => serde_json::json!({"mcp": {"servers": {"s": entry}}}),
            false => serde_json::json!({"mcpServers": {"s": entry}}),
        };
        let directory = Directory::new(&[
            (FILE, &file(&entry).to_string()),
            ("mcp_agent.secrets.yaml", &file(&secrets).to_string()),
        ]);
        let shown = shown(directory.load_env(&[("MCP_AGENT_SERVERS", "s"), ("KEY", SECRET)]));
        prop_assert!(!shown.contains(SECRET), "{shown}");
    }

    #[test]
    fn whatever_a_value_is(value in "[ -~\u{e9}\n\t$\u{7b}\u{7d}:]{0,24}", place in 0..5_usize) {
        // Marked, so that it is nothing that a message says anyway.
        let value = format!("{SECRET}{value}");
        let place = ["args", "env", "headers", "url", "cwd"][place];
        let inner = match place {
            "args" => serde_json::json!([value]),
            "env" | "headers" => serde_json::json!({"A": value}),
            _ => serde_json::json!(value),
        };
        let mut entry = serde_json::json!({place: inner});
        if place == "headers" {
            entry["url"] = "http://h".into();
        } else if place != "url" {
            entry["command"] = "a".into();
        }
        let shown = shown(load_entry(&entry.to_string(), &[]));
        prop_assert!(!shown.contains(SECRET), "{shown}");
    }

    #[test]
    fn whatever_a_file_is(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[a-z{}\\[\\]:,&*!<|>'\"\n ?#-]{0,60}") {
        let directory = Directory::new(&[]);
        for bytes in [bytes, text.clone().into_bytes(), format!("mcp:\n  servers:\n    s: {text}").into_bytes()] {
            directory.write(FILE, &bytes);
            drop(shown(directory.load_env(&[("MCP_AGENT_SERVERS", "s")])));
        }
    }
}
