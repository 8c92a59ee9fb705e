//! Which file describes the servers, in which format, and what is laid over it.

use super::*;

const PICK: (&str, &str) = ("MCP_AGENT_SERVERS", "s");

fn file(command: &str) -> String {
    format!("mcp: {{servers: {{s: {{command: {command}}}}}}}")
}

fn command(directory: &Directory, pairs: &[(&str, &str)]) -> (String, Option<PathBuf>) {
    let mcp = directory.load_env(&[&[PICK], pairs].concat()).expect("fine").settings.mcp;
    (stdio(&mcp.servers[0]).0.to_owned(), mcp.config_file)
}

#[test]
fn the_named_one_or_else_the_first_of_the_usual_ones() {
    let directory = Directory::new(&[
        ("config/mcp_agent.config.yaml", &file("below")),
        ("config/mcp_agent.config.example.yaml", &file("example")),
        ("etc/mine.yml", &file("named")),
    ]);
    assert_eq!(command(&directory, &[]), ("below".to_owned(), Some(PathBuf::from("config/mcp_agent.config.yaml"))));
    directory.write(FILE, file("here").as_bytes());
    assert_eq!(command(&directory, &[]).0, "here");
    directory.write(".env", b"MCP_AGENT_CONFIG=etc/mine.yml");
    assert_eq!(command(&directory, &[]), ("named".to_owned(), Some(PathBuf::from("etc/mine.yml"))));
    let absolute = directory.0.join("config/mcp_agent.config.yaml");
    assert_eq!(command(&directory, &[("MCP_AGENT_CONFIG", absolute.to_str().expect("UTF-8"))]).0, "below");
}

#[test]
fn a_missing_one_is_told_with_where_it_was_looked_for() {
    let directory = Directory::new(&[("config/mcp_agent.config.example.yaml", &file("example"))]);
    assert_eq!(
        lines(directory.load_env(&[PICK])),
        ["MCP_AGENT_SERVERS (environment): needs a file that describes the servers: name it in MCP_AGENT_CONFIG; \
          mcp_agent.config.yaml and config/mcp_agent.config.yaml in the working directory do not exist"]
    );
    assert_eq!(
        lines(directory.load_env(&[PICK, ("MCP_AGENT_CONFIG", "etc/no.yaml")])),
        ["MCP_AGENT_CONFIG (environment): must name a readable YAML or JSON file, but etc/no.yaml does not exist"]
    );
    directory.write(FILE, b"- not even looked at");
    let problems = lines(directory.load_env(&[PICK, ("MCP_AGENT_CONFIG", "a\tb")]));
    assert_eq!(problems.len(), 1, "nothing is taken instead: {problems:?}");
}

#[test]
fn one_that_cannot_be_used_is_named_without_its_text() {
    let too_long = format!("{}\n#{}", file("a"), "x".repeat(1024 * 1024));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]";
    let deep = format!("mcp: {}", "[".repeat(10_000));
    let cases: &[(&[u8], &str)] = &[
        (b"mcp: {servers: {s: {command: hunter2", "is not valid YAML: "),
        (b"mcp: {servers: {s: {command: !!int hunter2}}}", "does not fit its tag"),
        (b"mcp: {servers: {s: {command: a}, s: {command: hunter2}}}", "duplicate entry with key \"s\""),
        (b"mcp: {servers: {s: {command: a, command: hunter2}}}", "duplicate entry with key \"command\""),
        (b"mcp: {}\n---\na: hunter2", "more than one document"),
        (b"mcp: {servers: {s: {command: *hunter2}}}", "unknown anchor"),
        (bomb.as_bytes(), "repetition limit exceeded"),
        (deep.as_bytes(), "is not valid YAML: "),
        (too_long.as_bytes(), "must be at most 1048576 bytes long"),
        (b"mcp: \xff", "must be UTF-8, and is not at line 1 column 6"),
        (b"hunter2", "must be a mapping, in YAML or JSON"),
        (b"- hunter2", "must be a mapping, in YAML or JSON"),
        (b"? [hunter2]\n: 1", "must have names as keys"),
        (b"<<: hunter2", "must have a mapping, or a list of them, as its `<<`"),
        (b"", "must have `mcp.servers` with a mapping of names to servers, as mcp-agent's files do, or `mcpServers`"),
        (b"mcp:\n  servers:\n", "must have `mcp.servers`"),
        (b"openai: {api_key: hunter2}", "must have `mcp.servers`"),
        (b"mcp: {servers: [hunter2]}", "mcp.servers: must be a mapping of names to servers"),
        (b"mcpServers: hunter2", "mcpServers: must be a mapping of names to servers"),
        (b"mcp: {servers: {? [hunter2] : 1}}", "mcp.servers: must have names as keys"),
        (
            b"mcp: {servers: {s: {command: a}}}\nmcpServers: {s: {command: a}}",
            "has both `mcp.servers` and `mcpServers`",
        ),
    ];
    for (text, expected) in cases {
        let directory = Directory::new(&[]);
        for (name, pairs) in [(FILE, &[PICK][..]), ("mine.json", &[PICK, ("MCP_AGENT_CONFIG", "mine.json")])] {
            directory.write(name, text);
            let problems = lines(directory.load_env(pairs));
            assert_eq!(problems.len(), 1, "{expected}: {problems:?}");
            assert!(problems[0].contains(name) && problems[0].contains(expected), "{expected}: {problems:?}");
            assert!(!problems[0].contains("hunter2"), "{problems:?}");
        }
    }
}

#[test]
fn directories_in_its_place_are_no_files() {
    let directory = Directory::new(&[("mcp_agent.config.yaml/keep", ""), ("mcp_agent.secrets.yaml/keep", "")]);
    directory.write("config/mcp_agent.config.yaml", file("below").as_bytes());
    assert_eq!(command(&directory, &[]).0, "below");
    directory.write("mine.yaml", file("mine").as_bytes());
    assert_eq!(command(&directory, &[("MCP_AGENT_CONFIG", "mine.yaml")]).0, "mine", "beside secrets that are none");
    assert_eq!(
        lines(directory.load_env(&[PICK, ("MCP_AGENT_CONFIG", "config")])),
        ["MCP_AGENT_CONFIG (environment): must name a readable YAML or JSON file, but config is a directory"]
    );
}

#[test]
fn desktop_clients_files_are_read_as_they_are() {
    let json = "\u{feff}{\r\n\t\"mcpServers\": {\r\n\t\t\"s\": {\"command\":\"npx\",\"args\":[\"-y\",\"a\\u0062c\",8080,true],\r\n\
                \t\t\t\"env\":{\"KEY\":\"a\\/b\\n\",\"PORT\":8080}},\r\n\
                \t\t\"web\": {\"type\": \"http\", \"url\": \"https://h/mcp\", \"headers\": {\"X-Key\": \"k\"}}\r\n\t},\r\n\t\"globalShortcut\": \"Ctrl+Space\"\r\n}\r\n";
    for name in ["claude_desktop_config.json", "mcp.yaml"] {
        let directory = Directory::new(&[(name, json)]);
        let loaded = directory.load_env(&[("MCP_AGENT_SERVERS", "s,web"), ("MCP_AGENT_CONFIG", name)]).expect("fine");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let [s, web] = &loaded.settings.mcp.servers[..] else { panic!("two") };
        assert_eq!(
            stdio(s),
            ("npx", vec!["-y", "abc", "8080", "true"], vec![("KEY", "a/b\n"), ("PORT", "8080")], None)
        );
        assert_eq!(http(web), ("https://h/mcp", vec![("X-Key", "k")]));
    }
    // Serialisers that write ASCII only make two escapes of an emoji, which YAML does not know.
    let emoji = load_file(r#"{"mcpServers": {"s": {"command": "npx", "args": ["\ud83d\ude00"]}}}"#, "s", &[]);
    assert_eq!(stdio(&emoji.expect("fine").settings.mcp.servers[0]), ("npx", vec!["😀"], vec![], None));
    let problems = lines(load_file(r#"{"mcpServers": {"s": {"type": "sse", "url": "http://h"}}}"#, "s", &[]));
    assert!(
        problems[0].starts_with("mcp_agent.config.yaml: mcpServers.s.type: must be streamable_http"),
        "{problems:?}"
    );
}

#[test]
fn secrets_of_the_same_directory_are_laid_over() {
    let directory = Directory::new(&[
        (
            "etc/mcp.yaml",
            "mcp: {servers: {s: {command: npx, args: [a, b], env: {KEY: ~, OTHER: o}}, t: {command: t}}}\nopenai: {default_model: m}",
        ),
        (
            "etc/mcp_agent.secrets.yaml",
            "openai: {api_key: sk}\nmcp:\n  servers:\n    s: {args: [c], env: {KEY: k}, cwd: }\n    t:\n",
        ),
        ("mcp_agent.secrets.yaml", "mcp: {servers: {s: {command: not-this}}}"),
    ]);
    let load = || directory.load_env(&[("MCP_AGENT_SERVERS", "s,t"), ("MCP_AGENT_CONFIG", "etc/mcp.yaml")]);
    let loaded = load().expect("fine");
    let [s, t] = &loaded.settings.mcp.servers[..] else { panic!("two") };
    assert_eq!(stdio(s), ("npx", vec!["c"], vec![("KEY", "k"), ("OTHER", "o")], None));
    assert_eq!(stdio(t).0, "t", "a key without a value replaces nothing");

    directory.write("etc/mcp_agent.secrets.yaml", b"mcp: {servers: {s: {env: {KEY: '${hunter2'}, transport: sse}}}");
    let problems = lines(load());
    assert!(problems[0].starts_with("etc/mcp_agent.secrets.yaml: mcp.servers.s.transport: "), "{problems:?}");
    directory.write("etc/mcp_agent.secrets.yaml", b"mcp: {servers: {s: {env: {KEY: '${hunter2'}, args: }}}");
    let problems = lines(load());
    assert!(problems[0].starts_with("etc/mcp_agent.secrets.yaml: mcp.servers.s.env.KEY: "), "{problems:?}");
    directory.write("etc/mcp_agent.secrets.yaml", b"mcp: [hunter2");
    directory.write("etc/mcp.yaml", b"mcp: [hunter2");
    let problems = lines(load());
    assert_eq!(problems.len(), 2, "both at once: {problems:?}");
    assert!(problems[1].starts_with("etc/mcp_agent.secrets.yaml: is not valid YAML"), "{problems:?}");
}

#[test]
fn mappings_may_be_shared() {
    let text = "x-base: &base {command: npx, required: true, env: &env {A: a, B: b}}\n\
                mcp:\n  servers:\n    s:\n      <<: *base\n      required: false\n      env: {<<: [{A: first}, *env], C: c}\n\
                \x20   wrong: {<<: [hunter2], command: a}\n";
    let loaded = load_file(text, "s", &[]).expect("fine");
    let server = &loaded.settings.mcp.servers[0];
    assert_eq!(stdio(server), ("npx", vec![], vec![("A", "first"), ("B", "b"), ("C", "c")], None));
    assert!(!server.required, "what is said here is stronger");
    assert_eq!(
        lines(load_file(text, "wrong", &[])),
        ["mcp_agent.config.yaml: mcp.servers.wrong: must have a mapping, or a list of them, as its `<<`"]
    );
}

#[test]
fn the_example_can_be_used() {
    let text = include_str!("../../../../config/mcp_agent.config.example.yaml");
    let names = "filesystem,fetch,ham3d";
    let loaded = load_file(text, names, &[("HAM3D_DB_USER", "u"), ("HAM3D_DB_NAME", "n")]).expect("fine");
    assert_eq!(loaded.warnings, []);
    let [filesystem, fetch, ham3d] = &loaded.settings.mcp.servers[..] else { panic!("three") };
    assert_eq!(stdio(filesystem).1.last(), Some(&"/data"));
    assert_eq!(fetch.read_timeout, Some(std::time::Duration::from_secs(60)));
    assert!(ham3d.required && stdio(ham3d).2.contains(&("HAM3D_DB_PASSWORD", "")));
    // The alternative in its comments, too.
    let begin = text.find("    # ham3d:").expect("an alternative");
    let over_http: String =
        text[begin..].lines().flat_map(|line| [line.replacen("# ", "", 1), "\n".to_owned()]).collect();
    let over_http = format!("mcp:\n  servers:\n{over_http}");
    let loaded = load_file(&over_http, "ham3d", &[("HAM3D_TOKEN", "t")]).expect("fine");
    assert_eq!(http(&loaded.settings.mcp.servers[0]), ("http://ham3d:8080/mcp", vec![("Authorization", "Bearer t")]));
}
