//! Under which names a variable is found, and which source wins.

use super::*;

#[test]
fn the_strongest_source_wins_and_is_reported() {
    let dotenv = |name: &str, value: &str| Values::new(SourceKind::Dotenv, ".env").with(name, Raw::text(value));
    let flags = || Values::from(Flags { host: Some("127.0.0.1".to_owned()), port: Some(1), config: None });
    let layers = [
        flags(),
        Values::environment([("PORT", "2"), ("RATE_BURST", "2")]),
        dotenv("PORT", "3")
            .with("RATE_BURST", Raw::text("3"))
            .with("MEMORY_MAX", Raw::text("3"))
            .with("MEMORY_DEFAULT", Raw::text("3")),
        yaml("port: 4\nrate_burst: 4\nmemory_max: 40\nmax_sessions: 4"),
    ];
    let loaded = load(layers).expect("fine");
    let shown = |name| {
        let line = effective(&loaded, name);
        format!("{} {}", line.value, line.source)
    };
    assert_eq!(shown("HOST"), "127.0.0.1 flag");
    assert_eq!(shown("PORT"), "1 flag");
    assert_eq!(shown("RATE_BURST"), "2 env");
    assert_eq!(shown("MEMORY_MAX"), "3 dotenv");
    assert_eq!(shown("MAX_SESSIONS"), "4 yaml");
    assert_eq!(shown("LLM_MAX_RETRIES"), "2 default");
    assert_eq!((loaded.settings.server.port, loaded.settings.access.rate_burst), (1, 2));
}

#[test]
fn the_alias_of_a_stronger_source_beats_the_documented_name_of_a_weaker_one() {
    let layers = [Values::environment([("OPENROUTER_DEFAULT_MODEL", "from/env")]), yaml("openrouter_model: from/yaml")];
    let loaded = load(layers).expect("fine");
    assert_eq!(loaded.settings.llm.model, "from/env");
    assert!(loaded.warnings.is_empty());
}

#[test]
fn every_alias_is_found_in_capitals_and_in_lower_case() {
    let aliases: &[(&str, &str, &str)] = &[
        ("OPENROUTER_DEFAULT_MODEL", "OPENROUTER_MODEL", "a/b"),
        ("DEFAULT_PROVIDER_NAME", "DEFAULT_PROVIDER", "demo"),
        ("MCP_AGENT_LLM_PROVIDER", "MCP_AGENT_LLM", "openrouter"),
        ("MCP_AGENT_DEFAULT_MODEL", "MCP_AGENT_MODEL", "a/b"),
        ("OPENROUTER_API_KEY", "OPENROUTER_KEY", "sk"),
    ];
    let known: Vec<_> =
        variables().flat_map(|variable| variable.aliases.iter().map(|alias| (*alias, variable.name))).collect();
    assert_eq!(known.len(), aliases.len());
    for (alias, name, value) in aliases {
        assert!(known.contains(&(*alias, *name)));
        for spelling in [(*alias).to_owned(), alias.to_ascii_lowercase(), (*name).to_owned(), name.to_ascii_lowercase()]
        {
            for layer in [Values::environment([(spelling.as_str(), *value)]), yaml(&format!("{spelling}: {value}"))] {
                let kind = layer.kind();
                let loaded = load([layer]).expect("fine");
                assert_eq!(effective(&loaded, name).source, kind, "{spelling}");
                assert!(loaded.warnings.is_empty(), "{spelling}");
            }
        }
    }
}

#[test]
fn the_documented_name_wins_over_an_alias_of_the_same_source() {
    let both = [("OPENROUTER_API_KEY", "sk-alias"), ("OPENROUTER_KEY", "sk-documented")];
    let loaded = env(&both).expect("fine");
    let key = loaded.settings.llm.openrouter.key.as_ref().map(secrecy::ExposeSecret::expose_secret);
    assert_eq!(key, Some("sk-documented"));
    assert_eq!(
        warnings(&loaded),
        ["OPENROUTER_API_KEY (environment): is ignored, since OPENROUTER_KEY is set there as well"]
    );
    let loaded = load([yaml("openrouter_default_model: old/model\nopenrouter_model: new/model")]).expect("fine");
    assert_eq!(loaded.settings.llm.model, "new/model");
    let agreeing = env(&[("OPENROUTER_API_KEY", "sk"), ("OPENROUTER_KEY", "sk")]).expect("fine");
    assert!(agreeing.warnings.is_empty());
    let blank = env(&[("OPENROUTER_DEFAULT_MODEL", "old/model"), ("OPENROUTER_MODEL", " ")]).expect("fine");
    assert_eq!(blank.settings.llm.model, "old/model");
}

#[test]
fn a_problem_names_the_variable_and_the_place_as_the_user_wrote_them() {
    let directory = Directory::new(&[
        (".env", "default_provider=demo\nMEMORY_MAX=no\n"),
        ("config/app.config.yaml", "rate_rps: 0\n"),
    ]);
    let mut problems = lines(directory.load(
        Flags { host: Some("not a host".to_owned()), ..Flags::default() },
        &[("mcp_agent_llm_provider", "azure")],
    ));
    problems.sort();
    assert_eq!(
        problems,
        [
            "--host (command line): must be an address or a host name, without a port, not `not a host`",
            "MEMORY_MAX (.env): must be a whole number from 1 to 4294967295, not `no`",
            "mcp_agent_llm_provider (environment): must be one of openrouter, openai, not `azure`",
            "rate_rps (config/app.config.yaml): must be a number from 0.000001 to 1000000, not `0`",
        ]
    );
}

#[test]
fn an_unknown_key_of_the_file_is_a_warning_that_strict_mode_refuses() {
    let text = "rate_rsp: 2\nopenrouter_kye: sk-abc\nadmin_tokn_file: x\ncompletely_else: {a: [1, null]}\n";
    let loaded = load([yaml(text)]).expect("only warnings");
    assert_eq!(
        warnings(&loaded),
        [
            "admin_tokn_file (app.config.yaml): is not a known setting; did you mean admin_token_file?",
            "completely_else (app.config.yaml): is not a known setting",
            "openrouter_kye (app.config.yaml): is not a known setting; did you mean openrouter_key?",
            "rate_rsp (app.config.yaml): is not a known setting; did you mean rate_rps?",
        ]
    );
    let refused = loaded.strict().expect_err("strict");
    assert_eq!(refused.problems.len(), 4);
    assert!(env(&[]).expect("fine").strict().is_ok());
}

#[test]
fn what_else_is_in_the_environment_is_none_of_our_business() {
    let loaded = env(&[("RATE_RSP", "2"), ("HAM3D_DB_USER", "root"), ("PATH", "/bin")]).expect("fine");
    assert!(loaded.warnings.is_empty());
}

#[test]
fn warnings_come_with_the_problems_they_may_explain() {
    let errors = load([yaml("history_storage_backend: mysql\nhistory_mysql_database: chat\nhistory_mysql_usr: chat")]);
    let errors = errors.expect_err("no user");
    assert_eq!(errors.problems.len(), 1);
    assert!(errors.warnings[0].to_string().contains("did you mean history_mysql_user?"));
}

#[test]
fn the_effective_configuration_is_made_for_a_json_answer() {
    let loaded = env(&[("PORT", "80")]).expect("fine");
    let line = serde_json::to_string(effective(&loaded, "PORT")).expect("JSON");
    assert_eq!(line, r#"{"name":"PORT","value":"80","source":"env"}"#);
}
