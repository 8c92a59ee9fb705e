//! Which servers there are.

use super::*;

const TWO: &str = "mcp: {servers: {filesystem: {command: npx}, fetch: {command: uvx}, broken: {transport: sse}}}";

#[test]
fn the_picked_ones_in_the_order_in_which_they_were_picked() {
    for servers in ["fetch,filesystem", r#"["fetch", "filesystem"]"#, " fetch ,\nfilesystem,"] {
        let loaded = load_file(TWO, servers, &[]).expect("fine");
        assert_eq!(names(&loaded), ["fetch", "filesystem"]);
        assert_eq!(loaded.settings.mcp.config_file, Some(PathBuf::from(FILE)));
        assert!(loaded.warnings.is_empty(), "what was not picked is not judged");
    }
}

#[test]
fn none_without_a_name_and_then_no_file_is_needed() {
    for servers in ["", "none", " , "] {
        for file in ["no.yaml", FILE] {
            let directory = Directory::new(&[(FILE, "- no file of ours")]);
            let loaded = directory.load_env(&[("MCP_AGENT_SERVERS", servers), ("MCP_AGENT_CONFIG", file)]);
            let loaded = loaded.expect("nobody looks at the file");
            assert!(loaded.settings.mcp.servers.is_empty() && loaded.warnings.is_empty());
            assert_eq!(loaded.settings.mcp.config_file, None);
        }
    }
}

#[test]
fn a_name_that_is_picked_twice_counts_once_with_a_warning() {
    let loaded = load_file(TWO, "fetch,filesystem,fetch", &[]).expect("only a warning");
    assert_eq!(names(&loaded), ["fetch", "filesystem"]);
    assert_eq!(warnings(&loaded), ["MCP_AGENT_SERVERS (environment): names `fetch` more than once"]);
}

#[test]
fn a_name_that_the_file_lacks_is_told_with_those_it_has() {
    assert_eq!(
        lines(load_file(TWO, "fecth,Filesystem", &[])),
        [
            "MCP_AGENT_SERVERS (environment): names `fecth`, which mcp_agent.config.yaml does not have; \
             it has fetch, filesystem, broken",
            "MCP_AGENT_SERVERS (environment): names `Filesystem`, which mcp_agent.config.yaml does not have; \
             it has filesystem, fetch, broken",
        ]
    );
    let none = lines(load_file("mcp: {servers: {}}", "fetch", &[]));
    assert!(none[0].ends_with("does not have; it has no servers"), "{none:?}");
    let many: Vec<_> = (10..30).map(|number| format!("server{number}: {{command: a}}")).collect();
    let many = lines(load_file(&format!("mcpServers: {{{}}}", many.join(",")), "server1", &[]));
    assert!(many[0].ends_with(", server19 and 10 more"), "{many:?}");
}

#[test]
fn any_name_will_do_that_is_short_and_on_one_line() {
    let long = "n".repeat(64);
    let text = format!(
        "mcpServers: {{my server: {{command: a}}, 'a,b': {{command: a}}, پروژه.۱: {{command: a}}, {long}: {{command: a}}, 7: {{command: a}}}}"
    );
    let loaded = load_file(&text, &format!(r#"["my server", "a,b", "پروژه.۱", "{long}", "7"]"#), &[]).expect("fine");
    assert_eq!(names(&loaded), ["my server", "a,b", "پروژه.۱", &long, "7"]);
}

#[test]
fn the_variables_server_comes_last() {
    let url = ("MCP_SERVER_URL", "https://user:pass@tools.example.com/key/mcp?token=t");
    let loaded = load_file(TWO, "fetch", &[url, ("MCP_API_KEY", "k3y")]).expect("fine");
    assert_eq!(names(&loaded), ["fetch", "default"]);
    let default = &loaded.settings.mcp.servers[1];
    assert_eq!(http(default), (url.1, vec![("Authorization", "Bearer k3y")]));
    assert_eq!(default.shown, "streamable_http tools.example.com");
    assert_eq!((default.required, default.max_concurrent_calls), (false, 64));
    assert!(default.allowed_tools.is_none() && default.read_timeout.is_none());

    let alone = env(&[url]).expect("it needs no file").settings.mcp;
    assert_eq!((alone.servers.len(), alone.config_file), (1, None));
    assert_eq!(http(&alone.servers[0]).1, []);
}

#[test]
fn a_name_is_given_once() {
    let text = "mcp: {servers: {default: {command: a}}}";
    assert_eq!(names(&load_file(text, "default", &[]).expect("fine without MCP_SERVER_URL")), ["default"]);
    let problems = lines(load_file(text, "default", &[("MCP_SERVER_URL", "http://h/mcp")]));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0]
            .starts_with("MCP_AGENT_SERVERS (environment): names `default`, which is the server of MCP_SERVER_URL"),
        "{problems:?}"
    );
}

#[test]
fn all_problems_are_told_beside_the_others() {
    let text = "mcp: {servers: {a: {transport: sse}, b: {command: '', env: {A: ~}, args: x}}}";
    let problems = lines(load_file(text, "a,b,c", &[("RATE_RPS", "0"), ("MCP_SERVER_URL", "stdio")]));
    let subjects: Vec<_> = problems.iter().map(|line| line.split(": must").next().expect("a subject")).collect();
    assert_eq!(
        subjects,
        [
            "RATE_RPS (environment)",
            "MCP_SERVER_URL (environment)",
            "mcp_agent.config.yaml: mcp.servers.a.transport",
            "mcp_agent.config.yaml: mcp.servers.b.command",
            "mcp_agent.config.yaml: mcp.servers.b.args",
            "mcp_agent.config.yaml: mcp.servers.b.env.A",
            "MCP_AGENT_SERVERS (environment): names `c`, which mcp_agent.config.yaml does not have; it has a, b",
        ]
    );
}

#[test]
fn what_an_unreadable_source_may_have_set_is_not_called_missing() {
    let directory = Directory::new(&[(".env", "A='"), (FILE, "mcp: {servers: {a: {command: '${A}'}}}")]);
    for servers in ["a", "b"] {
        assert_eq!(lines(directory.load_env(&[("MCP_AGENT_SERVERS", servers)])).len(), 1);
    }
    let directory = Directory::new(&[("config/app.config.yaml", "- x")]);
    assert_eq!(lines(directory.load_env(&[("MCP_AGENT_SERVERS", "a")])).len(), 1);
}
