//! A MariaDB of one's own, for tests of what talks to MySQL.
//!
//! It starts in about a second, so tests share one ([`MariaDb::shared`]) and take a database each
//! ([`MariaDb::database`]). A test that stops the server starts its own ([`MariaDb::start`]).

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{TempDir, signal};

/// How long a server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Characters that mean something in a URL are in it, so that a test finds out who forgets to encode them.
const PASSWORD: &str = "p@ss:w/rd";
const USER: &str = "tester";

/// Where Debian keeps servers, which is not where every user looks.
const PATH: &str = "PATH=\"$PATH:/usr/sbin:/usr/local/sbin\"";

/// Makes a data folder, `$1`. The option is for root alone, whom the server would else refuse.
const INSTALL: &str = r#"exec mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$1/data" \
    --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve --innodb-log-file-size=8M"#;

/// Runs a server in the folder `$1` on the port `$2`, and ends it as soon as standard input does: with the test's
/// process, however that ends. The folder goes with it, unless a line on standard input says otherwise.
const RUN: &str = r#"mariadbd --no-defaults --user="$(id -un)" --datadir="$1/data" --port="$2" --bind-address=127.0.0.1 \
    --socket="$1/socket" --pid-file="$1/pid" --init-file="$1/init.sql" --skip-name-resolve --skip-log-bin \
    --max-connections=500 --innodb-buffer-pool-size=16M --innodb-log-file-size=8M \
    --innodb-flush-log-at-trx-commit=2 >"$1/log" 2>&1 </dev/null &
server=$!
read -r word
kill -KILL $server 2>/dev/null
wait $server 2>/dev/null
[ "$word" = keep ] || rm -rf "$1""#;

/// A private `mariadbd` on a free port of 127.0.0.1; gone with its data when dropped.
#[derive(Debug)]
pub struct MariaDb {
    // Dropped after our own `drop` has ended the server.
    folder: TempDir,
    port: u16,
    process: Mutex<Option<Child>>,
    databases: AtomicU32,
}

impl MariaDb {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// When it cannot be started; the message says what to install where nothing is.
    #[must_use]
    pub fn start() -> Self {
        let folder = TempDir::new();
        let found = shell("command -v mariadbd mariadb-install-db mariadb", folder.path(), 0).output();
        assert!(
            found.is_ok_and(|output| output.status.success()),
            "MariaDB is missing: apt-get install mariadb-server-core mariadb-client-core, or mariadb-server"
        );
        let installed = shell(INSTALL, folder.path(), 0).output().expect("a shell");
        assert!(installed.status.success(), "mariadb-install-db failed: {}", text(&installed));
        let init = format!(
            "CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\n"
        );
        folder.write("init.sql", init);

        let mut server = Self { folder, port: 0, process: Mutex::new(None), databases: AtomicU32::new(0) };
        // A port that was free may be taken by the time it is bound.
        for attempt in 1.. {
            server.port = free_port();
            match server.launch() {
                Ok(()) => break,
                Err(log) => assert!(attempt < 5, "mariadbd does not start: {log}"),
            }
        }
        server
    }

    /// The server that all tests of one binary share.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<MariaDb> = OnceLock::new();
        // Never dropped: it ends because its standard input does, with this process.
        SHARED.get_or_init(Self::start)
    }

    /// Always 127.0.0.1.
    #[must_use]
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The same one after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A user who may do anything.
    #[must_use]
    pub fn user(&self) -> &'static str {
        USER
    }

    /// That user's password.
    #[must_use]
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Makes a new, empty database.
    #[must_use]
    pub fn database(&self) -> Database<'_> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("", &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"));
        Database { server: self, name }
    }

    /// Kills the server. Its data stay.
    pub fn stop(&self) {
        if let Some(mut process) = self.process().take() {
            let mut stdin = process.stdin.take().expect("piped");
            stdin.write_all(b"keep\n").expect("a shell that reads");
            process.wait().expect("our child");
        }
    }

    /// Starts the server again, on the same port and with the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.stop();
        if let Err(log) = self.launch() {
            panic!("mariadbd does not start again: {log}");
        }
    }

    /// Stops the process where it stands, as a machine does that has no time for it. Connections stay open.
    pub fn freeze(&self) {
        signal::send("-STOP", &self.folder.path().join("pid"));
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        signal::send("-CONT", &self.folder.path().join("pid"));
    }

    /// Runs statements with the `mariadb` client in a database ("" for none), and returns what they say: a line for each
    /// row, with tabs between its columns.
    ///
    /// # Panics
    /// When a statement fails.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let mut client = Command::new("mariadb");
        client.arg("--no-defaults").args(["--host", self.host()]).args(["--user", USER]).arg("--skip-ssl");
        client.arg(format!("--port={}", self.port)).arg(format!("--password={PASSWORD}"));
        client.args(["--batch", "--skip-column-names", "--default-character-set=utf8mb4"]).arg(database);
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = client.spawn().expect("the mariadb client");
        let mut stdin = client.stdin.take().expect("piped");
        let output = thread::scope(|scope| {
            // Elsewhere, so that neither side waits for the other to read; a client that gives up reads no further.
            scope.spawn(move || drop(stdin.write_all(statements.as_bytes())));
            client.wait_with_output().expect("our child")
        });
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).expect("the client writes UTF-8")
    }

    /// Starts the process; an error is the server's log.
    fn launch(&self) -> Result<(), String> {
        // The last start said that it was ready, too.
        let log = self.folder.write("log", "");
        let mut command = shell(RUN, self.folder.path(), self.port);
        let process = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        *self.process() = Some(process.expect("a shell"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Not by its port: somebody else may be there.
            let written = fs::read_to_string(&log).unwrap_or_default();
            if written.contains("ready for connections") {
                return Ok(());
            }
            if written.contains("Aborting") || Instant::now() > deadline {
                self.stop();
                return Err(written);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        if let Some(mut process) = self.process().take() {
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }
}

/// A database in a [`MariaDb`].
#[derive(Clone, Debug)]
pub struct Database<'a> {
    server: &'a MariaDb,
    name: String,
}

impl Database<'_> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server it is in.
    #[must_use]
    pub fn server(&self) -> &MariaDb {
        self.server
    }

    /// `mysql://USER:PASSWORD@HOST:PORT/NAME`, the password encoded as a URL needs it.
    #[must_use]
    pub fn url(&self) -> String {
        let password = PASSWORD.bytes().fold(String::new(), |mut encoded, byte| {
            let _ = write!(encoded, "%{byte:02X}");
            encoded
        });
        format!("mysql://{USER}:{password}@{}:{}/{}", self.server.host(), self.server.port, self.name)
    }

    /// Runs statements in it; see [`MariaDb::sql`].
    pub fn sql(&self, statements: &str) -> String {
        self.server.sql(&self.name, statements)
    }
}

fn shell(script: &str, folder: &Path, port: u16) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{PATH}\n{script}")).arg("sh").arg(folder).arg(port.to_string());
    // A server that starts removes all temporary tables it finds, those of others, too, who crash of it.
    command.env("TMPDIR", folder);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound listener").port()
}
