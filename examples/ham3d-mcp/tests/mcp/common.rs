//! A shop, and clients of the server over it.

use std::{process::Stdio, sync::OnceLock, time::Duration};

use chat_test_support::{MariaDb, install_crypto, mariadb::Database};
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult},
    service::RunningService,
    transport::{
        StreamableHttpClientTransport, TokioChildProcess, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr, Command},
};

const SCHEMA: &str = include_str!("../../catalogue/schema.sql");

/// How long a test waits for what happens at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Client = RunningService<RoleClient, ()>;

/// The example catalogue, loaded as the README says. Tests only read it.
pub(crate) fn shop() -> &'static Database<'static> {
    static SHOP: OnceLock<Database<'static>> = OnceLock::new();
    SHOP.get_or_init(|| {
        let database = MariaDb::shared().database();
        let output = load(&database).output().expect("load.sh");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        database
    })
}

pub(crate) fn load(database: &Database<'_>) -> std::process::Command {
    let mut load = std::process::Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/catalogue/load.sh"));
    load.envs(variables(database));
    load
}

/// A shop of the test's own, with these rows.
pub(crate) fn shop_with(rows: &str) -> Database<'static> {
    let database = MariaDb::shared().database();
    database.sql(SCHEMA);
    database.sql(rows);
    database
}

pub(crate) fn variables(database: &Database<'_>) -> Vec<(&'static str, String)> {
    let server = database.server();
    vec![
        ("HAM3D_DB_HOST", server.host().to_owned()),
        ("HAM3D_DB_PORT", server.port().to_string()),
        ("HAM3D_DB_USER", server.user().to_owned()),
        ("HAM3D_DB_PASSWORD", server.password().to_owned()),
        ("HAM3D_DB_NAME", database.name().to_owned()),
    ]
}

/// The binary, with no environment but this.
pub(crate) fn binary(variables: Vec<(&'static str, String)>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ham3d-mcp"));
    command.env_clear().envs(variables).kill_on_drop(true);
    command
}

pub(crate) async fn over_stdio(command: Command) -> Client {
    let (transport, _) = TokioChildProcess::builder(command).stderr(Stdio::null()).spawn().expect("the binary");
    tokio::time::timeout(PATIENCE, ().serve(transport)).await.expect("an answer").expect("a handshake")
}

/// A client of the server over this database.
pub(crate) async fn client(database: &Database<'_>) -> Client {
    over_stdio(binary(variables(database))).await
}

/// A server over HTTP.
pub(crate) struct HttpServer {
    pub(crate) child: Child,
    pub(crate) address: String,
    stderr: BufReader<ChildStderr>,
}

impl HttpServer {
    pub(crate) async fn start(database: &Database<'_>, flags: &[&str], more: &[(&'static str, &str)]) -> Self {
        install_crypto();
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let mut command = binary(variables(database).into_iter().chain(more).collect());
        command.args(["--http", "127.0.0.1:0"]).args(flags).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("listening address=") {
            line.clear();
            let read = tokio::time::timeout(PATIENCE, stderr.read_line(&mut line)).await.expect("a log line");
            assert!(read.expect("UTF-8") > 0, "it ended before it listened");
        }
        let address = line.trim().rsplit('=').next().expect("an address").to_owned();
        Self { child, address, stderr }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn client(&self) -> Client {
        let config = StreamableHttpClientTransportConfig::with_uri(self.url("/mcp"));
        let transport = StreamableHttpClientTransport::with_client(http(), config);
        tokio::time::timeout(PATIENCE, ().serve(transport)).await.expect("an answer").expect("a handshake")
    }

    /// What it logs from here on to its end.
    pub(crate) async fn rest_of_log(&mut self) -> String {
        let mut log = String::new();
        self.stderr.read_to_string(&mut log).await.expect("UTF-8");
        log
    }
}

/// A client that goes straight there, whatever the environment says of proxies.
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

pub(crate) async fn call(client: &Client, arguments: Value) -> CallToolResult {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let request = CallToolRequestParams::new("search_products").with_arguments(arguments);
    tokio::time::timeout(PATIENCE, client.call_tool(request)).await.expect("an answer").expect("a result")
}

/// What is found.
pub(crate) async fn found(client: &Client, arguments: Value) -> Value {
    let shown = arguments.to_string();
    let result = call(client, arguments).await;
    assert_eq!(result.is_error, Some(false), "{shown}: {:?}", result.content);
    result.structured_content.expect("structured content")
}

/// The ids of what is found.
pub(crate) async fn ids(client: &Client, arguments: Value) -> Vec<i64> {
    let found = found(client, arguments).await;
    let results = found["results"].as_array().expect("results");
    assert_eq!(found["count"], json!(results.len()));
    results.iter().map(|product| product["id"].as_i64().expect("an id")).collect()
}

/// The ids of what is found, whatever its colours and activity, in their own order.
pub(crate) async fn all_ids(client: &Client, mut arguments: Value) -> Vec<i64> {
    for (name, value) in [
        ("language", Value::Null),
        ("only_visible_colors", json!(false)),
        ("only_active", json!(false)),
        ("limit", json!(100)),
    ] {
        if arguments.get(name).is_none() {
            arguments[name] = value;
        }
    }
    let mut ids = ids(client, arguments).await;
    ids.sort_unstable();
    ids
}

/// What a refusal says.
pub(crate) async fn refused(client: &Client, arguments: Value) -> String {
    let shown = arguments.to_string();
    let result = call(client, arguments).await;
    assert_eq!(result.is_error, Some(true), "{shown}: {:?}", result.content);
    assert!(result.structured_content.is_none());
    result.content[0].as_text().expect("text").text.clone()
}
