//! What an entry may say.

use std::time::Duration;

use super::*;

#[test]
fn a_command_is_started() {
    let server = server("{command: uvx}");
    assert_eq!(stdio(&server), ("uvx", vec![], vec![], None));
    assert_eq!((server.name.as_str(), server.shown.as_str()), ("s", "stdio uvx"));
    assert_eq!((server.required, server.max_concurrent_calls), (false, 64));
    assert!(server.allowed_tools.is_none() && server.read_timeout.is_none());
}

#[test]
fn everything_can_be_said() {
    let server = server(
        "{transport: stdio, command: ' npx ', args: [-y, ' x '], env: {A: ' a '}, cwd: sub/dir, required: yes, \
         read_timeout_seconds: 2.5, allowed_tools: [read, write], max_concurrent_calls: 1024, name: n, \
         description: d, http_timeout_seconds: 5, terminate_on_close: true, auth: , roots: }",
    );
    assert_eq!(stdio(&server), ("npx", vec!["-y", " x "], vec![("A", " a ")], Some(Path::new("sub/dir"))));
    assert!(server.required);
    assert_eq!(server.read_timeout, Some(Duration::from_millis(2500)));
    assert_eq!(server.allowed_tools, Some(vec!["read".to_owned(), "write".to_owned()]));
    assert_eq!(server.max_concurrent_calls, 1024);
}

#[test]
fn the_transport_follows_from_what_is_there() {
    let cases = [
        ("{command: a}", "stdio"),
        ("{transport: STDIO, command: a}", "stdio"),
        ("{type: stdio, command: a}", "stdio"),
        ("{url: 'http://h'}", "streamable_http"),
        ("{transport: streamable_http, url: 'http://h'}", "streamable_http"),
        ("{transport: streamable-http, url: 'http://h'}", "streamable_http"),
        ("{transport: http, url: 'http://h'}", "streamable_http"),
        ("{type: streamableHttp, url: 'http://h'}", "streamable_http"),
        ("{type: http, transport: streamable_http, url: 'http://h'}", "streamable_http"),
    ];
    for (entry, expected) in cases {
        assert_eq!(server(entry).transport.name(), expected, "{entry}");
    }
}

#[test]
fn scalars_are_taken_as_they_are_written() {
    let server = server(
        "{command: a, args: [8080, 1.10, 0x10, 0123, 1e3, true, No, 2024-01-01, '', \"\\x41\"], env: {PORT: 8080, ON: true, V: 1.0, 0x1F: k, EMPTY: ''}}",
    );
    let (_, args, env, _) = stdio(&server);
    assert_eq!(args, ["8080", "1.10", "0x10", "0123", "1e3", "true", "No", "2024-01-01", "", "A"]);
    assert_eq!(env, [("0x1F", "k"), ("EMPTY", ""), ("ON", "true"), ("PORT", "8080"), ("V", "1.0")]);
}

#[test]
fn urls_and_headers_are_kept_whole() {
    let server = server("{url: ' https://u:p@h:8443/a/b?c=d ', headers: {Authorization: ' Bearer x y ', X-Empty: ''}}");
    assert_eq!(http(&server), ("https://u:p@h:8443/a/b?c=d", vec![("Authorization", "Bearer x y"), ("X-Empty", "")]));
    assert_eq!(server.shown, "streamable_http h:8443");
}

/// Entries, where in them the problem is, and what it says. `hunter2` is a secret in all of them.
const REFUSED: &[(&str, &str, &str)] = &[
    ("{}", "", "must have a `command` to start or a `url` to connect to"),
    ("", "", "must be a mapping with a `command` or a `url` in it"),
    ("hunter2", "", "must be a mapping with a `command` or a `url` in it"),
    ("[hunter2]", "", "must be a mapping with a `command` or a `url` in it"),
    ("!tag {command: hunter2}", "", "must be a value without a tag"),
    ("{? [hunter2] : 1, command: a}", "", "must have names as keys"),
    (
        "{transport: sse, url: 'http://h/hunter2'}",
        ".transport",
        "must be streamable_http: MCP has given up the transport sse. The server has to speak streamable HTTP",
    ),
    ("{type: SSE, url: 'http://h/hunter2'}", ".type", "must be streamable_http"),
    ("{transport: hunter2, command: a}", ".transport", "must be stdio or streamable_http"),
    ("{transport: websocket, url: 'ws://hunter2'}", ".transport", "must be stdio or streamable_http"),
    ("{transport: [stdio], command: a}", ".transport", "must be one value"),
    ("{transport: stdio, type: http, command: a}", ".type", "contradicts `transport`"),
    ("{transport: stdio, url: 'http://hunter2'}", ".command", "must name the program to start"),
    ("{transport: http, command: hunter2}", ".url", "must be set for transport streamable_http"),
    ("{command: ' '}", ".command", "must name the program to start"),
    ("{command: ''}", ".command", "must name the program to start"),
    ("{command: [hunter2]}", ".command", "must be one value, not a list or a mapping"),
    ("{command: !hunter2 a}", ".command", "must be a value without a tag"),
    ("{command: \"hunter2\\0\"}", ".command", "must not have a NUL character in it"),
    ("{command: a, args: hunter2}", ".args", "must be a list"),
    ("{command: a, args: {a: hunter2}}", ".args", "must be a list"),
    ("{command: a, args: [a, [hunter2]]}", ".args[1]", "must be one value"),
    ("{command: a, args: [~]}", ".args[0]", "must have a value; an empty one is written as \"\""),
    ("{command: a, args: [\"hunter2\\0\"]}", ".args[0]", "must not have a NUL character in it"),
    ("{command: a, env: ['A=hunter2']}", ".env", "must be a mapping of names to values"),
    ("{command: a, env: {? [a] : hunter2}}", ".env", "must have names as keys"),
    ("{command: a, env: {A: }}", ".env.A", "must have a value"),
    ("{command: a, env: {A: {b: hunter2}}}", ".env.A", "must be one value"),
    ("{command: a, env: {A: \"hunter2\\0\"}}", ".env.A", "must not have a NUL character in it"),
    ("{command: a, env: {'A=B': hunter2}}", ".env.A=B", "must have a name without `=`"),
    ("{command: a, env: {'': hunter2}}", ".env.", "must have a name without `=`"),
    ("{command: a, env: {\"A\\nB\": hunter2}}", ".env.A\\nB", "must have a name without `=`"),
    ("{command: a, cwd: [hunter2]}", ".cwd", "must be one value"),
    ("{command: a, cwd: \"hunter2\\n/\"}", ".cwd", "must be one line"),
    ("{url: hunter2}", ".url", "must be an http:// or https:// URL with a host"),
    ("{url: 'ws://h/hunter2'}", ".url", "must be an http:// or https:// URL with a host"),
    ("{url: 'https://hunter2@'}", ".url", "must be an http:// or https:// URL with a host"),
    ("{url: ''}", ".url", "must be an http:// or https:// URL with a host"),
    ("{url: 'http://h', headers: [hunter2]}", ".headers", "must be a mapping of names to values"),
    ("{url: 'http://h', headers: {X: }}", ".headers.X", "must have a value"),
    ("{url: 'http://h', headers: {X Y: hunter2}}", ".headers.X Y", "must have a name that HTTP allows"),
    ("{url: 'http://h', headers: {'': hunter2}}", ".headers.", "must have a name that HTTP allows"),
    ("{url: 'http://h', headers: {X: \"hunter2\\r\\nY: b\"}}", ".headers.X", "must be printable ASCII on one line"),
    ("{url: 'http://h', headers: {X: hunter2é}}", ".headers.X", "must be printable ASCII on one line"),
    ("{url: 'http://h', headers: {X-A: hunter2, x-a: hunter2}}", ".headers.x-a", "is there twice"),
    ("{command: a, required: hunter2}", ".required", "must be true or false"),
    ("{command: a, read_timeout_seconds: 0}", ".read_timeout_seconds", "must be a number of seconds"),
    ("{command: a, read_timeout_seconds: hunter2}", ".read_timeout_seconds", "must be a number of seconds"),
    ("{command: a, max_concurrent_calls: 0}", ".max_concurrent_calls", "must be a whole number from 1 to 1024"),
    ("{command: a, max_concurrent_calls: 1025}", ".max_concurrent_calls", "must be a whole number from 1 to 1024"),
    ("{command: a, allowed_tools: hunter2}", ".allowed_tools", "must be a list"),
    ("{command: a, allowed_tools: [{hunter2: 1}]}", ".allowed_tools[0]", "must be one value"),
];

#[test]
fn what_makes_no_sense_is_refused_with_its_place_and_without_its_text() {
    for (entry, place, expected) in REFUSED {
        let problems = lines(load_entry(entry, &[]));
        assert_eq!(problems.len(), 1, "{entry}: {problems:?}");
        let begin = format!("mcp_agent.config.yaml: mcp.servers.s{place}: {expected}");
        assert!(problems[0].starts_with(&begin), "{entry}: {problems:?}");
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let cases: &[(&str, &[&str])] = &[
        ("{command: a, comand: b}", &["comand: is not a known setting of a server; did you mean command?"]),
        (
            "{command: a, readTimeoutSeconds: 5}",
            &["readTimeoutSeconds: is not a known setting of a server; did you mean read_timeout_seconds?"],
        ),
        ("{command: a, disabled: true}", &["disabled: is not a known setting of a server"]),
        (
            "{command: a, auth: {api_key: hunter2}}",
            &["auth: has no effect; put the key into `headers`, as `Authorization: Bearer …`"],
        ),
        (
            "{command: a, roots: [{uri: 'file:///hunter2'}]}",
            &["roots: has no effect: servers are not told of roots; most take directories in `args`"],
        ),
        (
            "{command: a, url: 'http://hunter2', headers: {A: hunter2}}",
            &["url: has no effect with transport stdio", "headers: has no effect with transport stdio"],
        ),
        (
            "{type: http, url: 'http://h', command: hunter2, args: [hunter2], env: {A: hunter2}, cwd: hunter2}",
            &[
                "command: has no effect with transport streamable_http",
                "args: has no effect with transport streamable_http",
                "env: has no effect with transport streamable_http",
                "cwd: has no effect with transport streamable_http",
            ],
        ),
        ("{type: http, url: 'http://h', command: , args: [], env: {}}", &[]),
        (
            "{url: 'http://h', headers: {Content-Type: hunter2, Mcp-Session-Id: hunter2}}",
            &[
                "headers.Content-Type: has no effect, since the transport sets it",
                "headers.Mcp-Session-Id: has no effect, since the transport sets it",
            ],
        ),
        ("{command: a, allowed_tools: []}", &["allowed_tools: is empty, so that no tool of the server can be used"]),
    ];
    for (entry, expected) in cases {
        let (server, warnings) = described(entry, &[]);
        let expected: Vec<_> =
            expected.iter().map(|warning| format!("mcp_agent.config.yaml: mcp.servers.s.{warning}")).collect();
        assert_eq!(warnings, expected, "{entry}");
        if let McpTransport::Http { headers, .. } = server.transport {
            assert!(headers.is_empty(), "{entry}");
        }
    }
    assert_eq!(described("{command: a, allowed_tools: []}", &[]).0.allowed_tools, Some(Vec::new()));
}
