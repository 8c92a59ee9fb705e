//! Secrets: from files, and never anywhere else.

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

const KEY: &str = "sk-hunter2-hunter2";

#[test]
fn a_secret_is_read_from_a_file() {
    let directory = Directory::new(&[
        ("run/key", "sk-from-file\n"),
        ("run/redis", "redis://:from-file@redis/1\r\n"),
        ("run/keys", "one\ntwo, three\n"),
        ("run/password", " spaces kept \n"),
        ("config/app.config.yaml", "redis_url_file: run/redis\napi_keys_file: run/keys"),
        (
            ".env",
            "HISTORY_MYSQL_PASSWORD_FILE=run/password\nHISTORY_STORAGE_BACKEND=mysql\nHISTORY_MYSQL_USER=u\nHISTORY_MYSQL_DATABASE=d",
        ),
    ]);
    let loaded = directory.load_env(&[("OPENROUTER_API_KEY_FILE", "run/key")]).expect("fine");
    let settings = &loaded.settings;
    assert_eq!(settings.llm.openrouter.key.as_ref().map(ExposeSecret::expose_secret), Some("sk-from-file"));
    assert_eq!(settings.memory.redis.as_ref().map(ExposeSecret::expose_secret), Some("redis://:from-file@redis/1"));
    assert_eq!(settings.access.api_keys.len(), 3);
    let HistoryBackend::MySql(mysql) = &settings.history.backend else { panic!("mysql") };
    assert_eq!(mysql.password.as_ref().map(ExposeSecret::expose_secret), Some(" spaces kept "));
    assert_eq!(effective(&loaded, "OPENROUTER_KEY").source, SourceKind::Env);
    assert_eq!(effective(&loaded, "REDIS_URL").value, "redis://:***@redis/1");
    assert_eq!(effective(&loaded, "REDIS_URL").source, SourceKind::Yaml);
    assert!(loaded.warnings.is_empty());
}

#[test]
fn a_secret_and_its_file_are_too_much() {
    let directory = Directory::new(&[("key", "sk-from-file"), ("config/app.config.yaml", "admin_token: hunter2")]);
    let problems = lines(directory.load_env(&[
        ("OPENROUTER_KEY", KEY),
        ("OPENROUTER_KEY_FILE", "key"),
        ("ADMIN_TOKEN_FILE", "key"),
    ]));
    assert_eq!(
        problems,
        [
            "admin_token (config/app.config.yaml): ADMIN_TOKEN_FILE (environment) is set as well; only one of them may be",
            "OPENROUTER_KEY (environment): OPENROUTER_KEY_FILE (environment) is set as well; only one of them may be",
        ]
    );
    let template =
        directory.load_env(&[("ADMIN_TOKEN_FILE", ""), ("OPENROUTER_KEY", ""), ("OPENROUTER_KEY_FILE", "key")]);
    assert!(template.is_ok(), "blank is unset");
    let directory = Directory::new(&[("token", "real")]);
    let loaded = directory.load_env(&[("ADMIN_TOKEN", "change-me"), ("ADMIN_TOKEN_FILE", "token")]).expect("fine");
    assert_eq!(loaded.settings.access.admin_token.as_ref().map(ExposeSecret::expose_secret), Some("real"));
}

#[test]
fn a_secrets_file_must_be_there_and_have_something_in_it() {
    let directory = Directory::new(&[("empty", " \n")]);
    assert_eq!(
        lines(directory.load_env(&[
            ("ADMIN_TOKEN_FILE", "missing"),
            ("API_KEYS_FILE", "empty"),
            ("MCP_API_KEY_FILE", ".")
        ])),
        [
            "ADMIN_TOKEN_FILE (environment): must name a readable file, but missing does not exist",
            "API_KEYS_FILE (environment): must name a file with the value in it, but empty is empty",
            "MCP_API_KEY_FILE (environment): must name a readable file, but . is a directory",
        ]
    );
}

#[test]
fn what_is_no_secret_has_no_file() {
    let loaded = load([yaml("host_file: x")]).expect("only a warning");
    assert_eq!(warnings(&loaded), ["host_file (app.config.yaml): is not a known setting"]);
    for variable in variables() {
        assert_eq!(variable.may_be_in_a_file(), variable.secrecy != Secrecy::Open);
    }
}

#[test]
fn the_secrets_are_these() {
    let of = |secrecy| {
        variables().filter(|variable| variable.secrecy == secrecy).map(|variable| variable.name).collect::<Vec<_>>()
    };
    assert_eq!(
        of(Secrecy::Secret),
        [
            "OPENROUTER_KEY",
            "OPENAI_API_KEY",
            "MCP_API_KEY",
            "ADMIN_TOKEN",
            "API_KEYS",
            "HISTORY_MYSQL_PASSWORD",
            "OTEL_EXPORTER_OTLP_HEADERS"
        ]
    );
    let urls = [
        "OPENROUTER_BASE_URL",
        "OPENAI_BASE_URL",
        "MCP_SERVER_URL",
        "REDIS_URL",
        "HISTORY_MONGODB_URI",
        "HISTORY_REDIS_URL",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ];
    assert_eq!(of(Secrecy::Url), urls);
    for variable in variables() {
        let sounds_secret = ["KEY", "TOKEN", "PASSWORD", "SECRET", "URL", "URI", "ENDPOINT", "HEADERS"]
            .iter()
            .any(|word| variable.name.contains(word));
        assert_eq!(sounds_secret, variable.secrecy != Secrecy::Open, "{}", variable.name);
    }
}

/// A configuration with a secret wherever one can be.
fn full() -> Vec<(&'static str, String)> {
    let url = |scheme: &str| format!("{scheme}://user:{KEY}@host/0");
    vec![
        ("OPENROUTER_KEY", KEY.to_owned()),
        ("OPENAI_API_KEY", KEY.to_owned()),
        ("MCP_API_KEY", KEY.to_owned()),
        ("ADMIN_TOKEN", KEY.to_owned()),
        ("API_KEYS", format!("a{KEY},b{KEY}")),
        ("HISTORY_MYSQL_PASSWORD", KEY.to_owned()),
        ("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{KEY}")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url("http")),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("https://user:{KEY}@host/v1/traces?token={KEY}")),
        ("OPENROUTER_BASE_URL", url("https")),
        ("OPENAI_BASE_URL", url("http")),
        ("MCP_SERVER_URL", format!("https://host/mcp?token={KEY}")),
        ("REDIS_URL", url("redis")),
        ("HISTORY_REDIS_URL", url("rediss")),
        ("HISTORY_MONGODB_URI", url("mongodb")),
    ]
}

#[test]
fn no_secret_is_in_what_is_shown() {
    let full = full();
    let pairs: Vec<_> = full.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for backend in ["none", "mysql", "mongodb", "redis"] {
        let more = [("HISTORY_STORAGE_BACKEND", backend), ("HISTORY_MYSQL_USER", "u"), ("HISTORY_MYSQL_DATABASE", "d")];
        let loaded = env(&[pairs.as_slice(), &more].concat()).expect("fine");
        let shown =
            format!("{loaded:?} {:#?} {}", loaded.settings, serde_json::to_string(&loaded.effective).expect("JSON"));
        assert!(!shown.contains(KEY), "{shown}");
    }
    let loaded = env(&pairs).expect("fine");
    assert_eq!(effective(&loaded, "API_KEYS").value, "***");
    assert_eq!(effective(&loaded, "REDIS_URL").value, "redis://user:***@host/0");
    assert_eq!(effective(&loaded, "MCP_SERVER_URL").value, "https://host/mcp?***");
    let layer = Values::environment(pairs.iter().copied());
    assert!(!format!("{layer:?}").contains(KEY));
}

#[test]
fn no_secret_is_in_a_problem_or_a_warning() {
    for variable in variables().filter(|variable| variable.secrecy != Secrecy::Open) {
        let bad = [
            format!("{KEY}\u{7f}é"),
            format!("[\"{KEY}\""),
            format!("redis://u:{KEY}@"),
            format!("https://u:{KEY}/{KEY}@host"),
            format!("{KEY}://{KEY}"),
        ];
        for value in bad {
            let alias = variable.aliases.first().copied().unwrap_or("UNRELATED");
            let result = env(&[(variable.name, &value), (alias, KEY)]);
            let said = match result {
                Ok(loaded) => format!("{loaded:?}"),
                Err(errors) => format!("{errors} {errors:?}"),
            };
            assert!(!said.contains(KEY), "{}: {said}", variable.name);
        }
        let shaped = load([yaml(&format!("{}: {{a: {KEY}}}", variable.key()))]);
        let errors = shaped.expect_err("a mapping");
        assert!(!format!("{errors:?}").contains(KEY));
    }
}

#[test]
fn urls_are_masked() {
    let cases: &[(&str, &str)] = &[
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://token@host", "redis://***@host"),
        ("rediss://user:se:cr@et@host/1", "rediss://user:***@host/1"),
        ("redis://user:se/cret@host/1", "***"),
        ("redis://12:34/56@host", "***"),
        ("mongodb://u:p@a:1,b:2/db?authSource=admin", "mongodb://u:***@a:1,b:2/db?***"),
        ("https://host/mcp?api_key=x#y", "https://host/mcp?***"),
        ("https://host/#x", "https://host/?***"),
        ("secret", "***"),
        ("se cret://host", "***"),
    ];
    for (url, shown) in cases {
        assert_eq!(super::super::url::masked(url), *shown, "{url}");
    }
}

proptest! {
    /// However strange a password is: if the URL is accepted, its display does not have it.
    #[test]
    fn no_accepted_url_shows_its_password(password in "[!-~]{6,20}", user in "[a-z]{0,3}") {
        let url = format!("redis://{user}:{password}@host/0");
        if let Ok(loaded) = env(&[("REDIS_URL", &url)]) {
            let shown = format!("{loaded:?}");
            prop_assert!(!shown.contains(&password), "{url}: {shown}");
        }
        for problem in problems(&[("REDIS_URL", &url)]) {
            prop_assert!(!problem.contains(&password), "{url}: {problem}");
        }
    }
}
