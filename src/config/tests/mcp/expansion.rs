//! `${NAME}` and `${NAME:-default}`.

use super::*;

const SET: &[(&str, &str)] = &[("A", "a"), ("B_2", "${A}"), ("BLANK", " "), ("_", "u")];

#[test]
fn references_are_replaced() {
    let cases = [
        ("${A}", "a"),
        ("x${A}y${A}z", "xayaz"),
        ("${B_2}", "${A}"),
        ("${_}", "u"),
        ("${A:-default}", "a"),
        ("${MISSING:-default}", "default"),
        ("${MISSING:-}", ""),
        ("${MISSING:-a:-b $ c}", "a:-b $ c"),
        ("${BLANK:-default}", "default"),
        ("${MISSING:-$}{A}", "${A}"),
        ("$A $ $$ $} {A} $", "$A $ $$ $} {A} $"),
        ("$${A}", "$a"),
        ("", ""),
    ];
    for (text, expected) in cases {
        let (server, _) = described(&format!("{{command: a, args: ['{text}']}}"), SET);
        assert_eq!(stdio(&server).1, [expected], "{text}");
    }
}

#[test]
fn they_are_replaced_in_all_values() {
    let entry = "{command: '${A}', args: ['${A}'], env: {'${A}': '${A}'}, cwd: '/${A}', required: '${T}', \
                 read_timeout_seconds: '${N}', max_concurrent_calls: '${N}', allowed_tools: ['${A}'], transport: '${S:-stdio}'}";
    let (server, _) = described(entry, &[("A", "a"), ("T", "true"), ("N", "7")]);
    assert_eq!(stdio(&server), ("a", vec!["a"], vec![("${A}", "a")], Some(Path::new("/a"))), "but not in names");
    assert!(server.required && server.read_timeout.is_some());
    assert_eq!((server.max_concurrent_calls, server.allowed_tools), (7, Some(vec!["a".to_owned()])));
    let (server, _) = described("{url: '${U}/${A}', headers: {X: '${A}'}}", &[("A", "a"), ("U", "https://h")]);
    assert_eq!(http(&server), ("https://h/a", vec![("X", "a")]));
}

#[test]
fn the_environment_wins_over_dotenv() {
    let directory = Directory::new(&[
        (".env", "A=dotenv\nB=dotenv\nC=dotenv\nMCP_AGENT_SERVERS=s"),
        ("config/app.config.yaml", "log_level: INFO"),
        (FILE, "mcp: {servers: {s: {command: a, args: ['${A}', '${B}', '${C}', '${log_level:-none}']}}}"),
    ]);
    let loaded = directory.load_env(&[("A", "env"), ("C", "")]).expect("fine");
    assert_eq!(stdio(&loaded.settings.mcp.servers[0]).1, ["env", "dotenv", "dotenv", "none"]);
}

#[test]
fn an_unset_variable_is_told_with_its_place() {
    let entry = "{command: '${A}', args: [a, '${MISSING}'], env: {KEY: 'hunter2 ${BLANK}', OTHER: '${MISSING}'}}";
    let unset = |place: &str, name: &str| {
        format!(
            "mcp_agent.config.yaml: mcp.servers.s.{place}: needs the variable {name}, which neither the environment nor \
             .env sets; `${{{name}:-…}}` would give it a default"
        )
    };
    assert_eq!(
        lines(load_entry(entry, SET)),
        [unset("args[1]", "MISSING"), unset("env.KEY", "BLANK"), unset("env.OTHER", "MISSING")]
    );
    let text = "mcp: {servers: {s: {command: a}, t: {command: '${MISSING}'}}}";
    assert!(load_file(text, "s", &[]).is_ok(), "what was not picked is not judged");
}

#[test]
fn other_forms_are_refused() {
    for text in [
        "${",
        "${A",
        "${}",
        "${:-x}",
        "${A-x}",
        "${A:?x}",
        "${A:=x}",
        "${A:-${B_2}}",
        "${A:-{}",
        "${env:A}",
        "${ A }",
        "${1A}",
        "${A.B}",
        "${é}",
        "$ ${ A",
        "${A}${",
    ] {
        let problems = lines(load_entry(&format!("{{command: a, args: ['{text} hunter2']}}"), SET));
        assert_eq!(
            problems,
            ["mcp_agent.config.yaml: mcp.servers.s.args[0]: must have `${` only as `${NAME}` or `${NAME:-default}`, \
              where the default has no braces in it"],
            "{text}"
        );
    }
}

#[test]
fn a_variable_has_to_be_text() {
    let directory = Directory::new(&[(FILE, "mcp: {servers: {s: {command: '${A:-a}'}}}")]);
    let environment = Values::environment([("MCP_AGENT_SERVERS", "s")]).with("A", Raw::Unusable("must be valid UTF-8"));
    assert_eq!(
        lines(directory.load_layers([environment])),
        ["mcp_agent.config.yaml: mcp.servers.s.command: needs the variable A, which must be valid UTF-8"]
    );
}
