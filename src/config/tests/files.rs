//! Which files are read, and what is said of bad ones.

use super::*;

fn host(directory: &Directory) -> (String, Option<PathBuf>) {
    let loaded = directory.load_env(&[]).expect("fine");
    (loaded.settings.server.host, loaded.file)
}

#[test]
fn the_first_of_the_usual_files_is_read_and_reported() {
    let directory = Directory::new(&[("config/app.config.example.yaml", "host: example")]);
    assert_eq!(host(&directory), ("0.0.0.0".to_owned(), None), "the example is never loaded");
    let weakest_first =
        ["app/config/app.config.yml", "app/config/app.config.yaml", "config/app.config.yml", "config/app.config.yaml"];
    for (index, path) in weakest_first.into_iter().enumerate() {
        let name = format!("host-{index}");
        directory.write(path, format!("host: {name}").as_bytes());
        assert_eq!(host(&directory), (name, Some(PathBuf::from(path))));
    }
}

#[test]
fn a_named_file_is_read_instead_of_the_usual_ones() {
    let directory = Directory::new(&[
        ("config/app.config.yaml", "host: usual"),
        ("one.yaml", "host: one"),
        ("two.yaml", "host: two"),
        ("three.yaml", "host: three"),
    ]);
    let host = |flags: Flags, pairs: &[(&str, &str)]| {
        let loaded = directory.load(flags, pairs).expect("fine");
        (loaded.settings.server.host, loaded.file)
    };
    directory.write(".env", b"APP_CONFIG_FILE=three.yaml");
    assert_eq!(host(Flags::default(), &[]), ("three".to_owned(), Some(PathBuf::from("three.yaml"))));
    assert_eq!(host(Flags::default(), &[("APP_CONFIG_FILE", "two.yaml")]).0, "two");
    let flags = Flags { config: Some(PathBuf::from("one.yaml")), ..Flags::default() };
    assert_eq!(host(flags, &[("APP_CONFIG_FILE", "two.yaml")]).0, "one");
}

#[test]
fn a_named_file_that_is_missing_is_a_problem_beside_the_others() {
    let directory = Directory::new(&[("config/app.config.yaml", "host: usual")]);
    let problems = lines(directory.load_env(&[
        ("APP_CONFIG_FILE", "no.yaml"),
        ("PORT", "x"),
        ("HISTORY_STORAGE_BACKEND", "mysql"),
    ]));
    assert_eq!(
        problems,
        [
            "APP_CONFIG_FILE (environment): must name a readable YAML file, but no.yaml does not exist",
            "PORT (environment): must be a whole number from 0 to 65535, not `x`",
        ],
        "what the file may have set is not called missing"
    );
    let flags = Flags { config: Some(PathBuf::from("config")), ..Flags::default() };
    let problems = lines(directory.load(flags, &[]));
    assert_eq!(problems, ["--config (command line): must name a readable YAML file, but config is a directory"]);
}

#[test]
fn naming_a_file_inside_the_file_has_no_effect() {
    let directory = Directory::new(&[("config/app.config.yaml", "app_config_file: other.yaml\nhost: here")]);
    let loaded = directory.load_env(&[]).expect("only a warning");
    assert_eq!(loaded.settings.server.host, "here");
    assert_eq!(effective(&loaded, "APP_CONFIG_FILE").source, SourceKind::Default);
    assert_eq!(
        warnings(&loaded),
        ["app_config_file (config/app.config.yaml): has no effect inside of the file itself"]
    );
}

#[test]
fn a_bad_file_is_named_with_line_and_column_and_without_its_text() {
    let cases: &[(&str, &str)] = &[
        ("host: a\nport: [8000\nadmin_token: hunter2", "line 3"),
        ("host: a\n  port: hunter2", "line 2 column"),
        ("cors_allow_origins: *\nadmin_token: hunter2", "line 1 column"),
        ("\thost: hunter2", "line 1 column"),
        ("admin_token: \"hunter2", "line 1 column"),
        ("admin_token: *hunter2", "line 1 column"),
        ("host: a\nhost: hunter2", "duplicate entry"),
        ("a: 1\n---\nadmin_token: hunter2", "more than one document"),
        ("a: 1\nadmin_token: !!int hunter2", "does not fit its tag at line 2 column"),
        ("- hunter2", "must be a mapping"),
        ("hunter2", "must be a mapping"),
        ("1: hunter2", "must have names as keys"),
    ];
    for (text, expected) in cases {
        let problems = lines(Directory::new(&[("config/app.config.yaml", text)]).load_env(&[]));
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].starts_with("config/app.config.yaml: "), "{problems:?}");
        assert!(problems[0].contains(expected), "{text}: {problems:?}");
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }
}

#[test]
fn a_file_that_is_not_utf8_is_named_with_line_and_column() {
    let directory = Directory::new(&[]);
    directory.write("config/app.config.yaml", b"host: a\nport: \xff");
    directory.write(".env", b"A=\xfe");
    assert_eq!(
        lines(directory.load_env(&[])),
        [
            ".env: must be UTF-8, and is not at line 1 column 3",
            "config/app.config.yaml: must be UTF-8, and is not at line 2 column 7",
        ]
    );
}

#[test]
fn bad_lines_of_dotenv_are_problems() {
    let directory = Directory::new(&[(".env", "PORT=80\nADMIN_TOKEN='hunter2\n")]);
    assert_eq!(lines(directory.load_env(&[])), [".env: line 2 column 13: expected a closing quote"]);
}

#[test]
fn empty_files_marks_of_editors_and_directories_in_their_place_do_no_harm() {
    let directory = Directory::new(&[("config/app.config.yaml", ""), (".env/keep", "")]);
    assert_eq!(host(&directory).0, "0.0.0.0");
    let directory = Directory::new(&[("config/app.config.yaml", "\u{feff}host: a"), (".env", "\u{feff}PORT=81")]);
    let settings = directory.load_env(&[]).expect("fine").settings;
    assert_eq!((settings.server.host.as_str(), settings.server.port), ("a", 81));
    let directory = Directory::new(&[("config/app.config.yaml", "# nothing\n"), (".env", "# nothing")]);
    assert_eq!(host(&directory).0, "0.0.0.0");
}

#[test]
fn scalars_of_yaml_are_taken_as_they_are_written() {
    let text = "api_keys: [0x10, 1e3, 0123, yes, 12_3, \"null\"]\nadmin_token: 1e5\nhistory_mysql_password: 0o17\nlog_level: 'info'\nmax_body_bytes: 2048\nmetrics_enabled: false";
    let settings = load([yaml(text)]).expect("fine").settings;
    let exposed = |secret: &secrecy::SecretString| secrecy::ExposeSecret::expose_secret(secret).to_owned();
    let keys: Vec<_> = settings.access.api_keys.iter().map(exposed).collect();
    assert_eq!(keys, ["0x10", "1e3", "0123", "yes", "12_3", "null"]);
    assert_eq!(settings.access.admin_token.as_ref().map(exposed).as_deref(), Some("1e5"));
    assert_eq!(settings.server.max_body_bytes, 2048);
    assert!(!settings.server.metrics_enabled);
}

#[test]
fn a_value_of_the_wrong_shape_is_refused() {
    let text = "port: [1]\nhost: {a: hunter2}\nmcp_agent_servers: {a: b}\napi_keys: [{a: hunter2}]\nrate_rps: !fast 2\nmemory_max: ~";
    let mut problems = lines(load([yaml(text)]));
    problems.sort();
    assert_eq!(
        problems,
        [
            "api_keys (app.config.yaml): must be a list of plain values",
            "host (app.config.yaml): must be a plain value, not a mapping or a tagged value",
            "mcp_agent_servers (app.config.yaml): must be a plain value, not a mapping or a tagged value",
            "port (app.config.yaml): must be one value, not a list",
            "rate_rps (app.config.yaml): must be a plain value, not a mapping or a tagged value",
        ]
    );
}
