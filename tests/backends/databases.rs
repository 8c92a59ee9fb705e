//! Places to keep history in, of each kind, on a server of one's own or on one that is shared.

use std::{
    ops::Deref,
    sync::atomic::{AtomicU32, Ordering},
};

use chat_test_support::{Launch, MariaDb, MongoDb, RedisServer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Redis,
    MySql,
    MongoDb,
}

/// A place of its own: a database, or a namespace.
pub(crate) struct Database {
    server: Server,
    name: String,
}

enum Server {
    Redis(Held<RedisServer>),
    MySql(Held<MariaDb>),
    MongoDb(Held<MongoDb>),
}

enum Held<T: 'static> {
    Own(Box<T>),
    Shared(&'static T),
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Own(server) => server,
            Self::Shared(server) => server,
        }
    }
}

impl Kind {
    /// On a server that nobody stops.
    pub(crate) fn shared(self) -> Database {
        Database::on(match self {
            Self::Redis => Server::Redis(Held::Shared(RedisServer::shared())),
            Self::MySql => Server::MySql(Held::Shared(MariaDb::shared())),
            Self::MongoDb => Server::MongoDb(Held::Shared(MongoDb::shared())),
        })
    }

    /// On a server that may be stopped.
    pub(crate) fn own(self) -> Database {
        Database::on(match self {
            // What it has acknowledged it has written.
            Self::Redis => Server::Redis(Held::Own(RedisServer::start_with(&["--appendfsync", "always"]).into())),
            Self::MySql => Server::MySql(Held::Own(MariaDb::start().into())),
            Self::MongoDb => Server::MongoDb(Held::Own(MongoDb::start().into())),
        })
    }
}

impl Database {
    fn on(server: Server) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = match &server {
            Server::Redis(_) => format!("archive_{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            Server::MySql(server) => server.database().name().to_owned(),
            Server::MongoDb(server) => server.database(),
        };
        Self { server, name }
    }

    /// A service that keeps its history here.
    pub(crate) fn given_to(&self, launch: Launch) -> Launch {
        let name = self.name.as_str();
        match &self.server {
            Server::Redis(server) => launch
                .envs([("HISTORY_STORAGE_BACKEND", "redis"), ("HISTORY_NAMESPACE", name)])
                .env("HISTORY_REDIS_URL", server.url()),
            Server::MySql(server) => launch
                .envs([("HISTORY_STORAGE_BACKEND", "mysql"), ("HISTORY_MYSQL_HOST", server.host())])
                .env("HISTORY_MYSQL_PORT", server.port().to_string())
                .envs([("HISTORY_MYSQL_USER", server.user()), ("HISTORY_MYSQL_PASSWORD", server.password())])
                .env("HISTORY_MYSQL_DATABASE", name),
            Server::MongoDb(server) => launch
                .envs([("HISTORY_STORAGE_BACKEND", "mongodb"), ("HISTORY_MONGODB_URI", server.uri())])
                .env("HISTORY_MONGODB_DATABASE", name),
        }
    }

    pub(crate) fn stop(&self) {
        match &self.server {
            Server::Redis(server) => server.kill(),
            Server::MySql(server) => server.stop(),
            Server::MongoDb(server) => server.stop(),
        }
    }

    pub(crate) fn restart(&self) {
        match &self.server {
            Server::Redis(server) => server.restart(),
            Server::MySql(server) => server.restart(),
            Server::MongoDb(server) => server.restart(),
        }
    }

    /// Stops the server where it stands. Connections stay open.
    pub(crate) fn freeze(&self) {
        match &self.server {
            Server::Redis(server) => server.freeze(),
            Server::MySql(server) => server.freeze(),
            Server::MongoDb(server) => server.freeze(),
        }
    }

    pub(crate) fn thaw(&self) {
        match &self.server {
            Server::Redis(server) => server.thaw(),
            Server::MySql(server) => server.thaw(),
            Server::MongoDb(server) => server.thaw(),
        }
    }

    /// From now on refuses for good what is large of a session of which it has no message yet.
    pub(crate) fn refuse(&self, session: &str) {
        match &self.server {
            Server::Redis(server) => {
                server.cli(&["SET", &format!("{}:messages:{session}", self.name), "not a list"]);
            }
            Server::MySql(server) => {
                server.sql(&self.name, "SET GLOBAL max_allowed_packet = 1048576");
            }
            Server::MongoDb(_) => panic!("nothing that is said is too large for it"),
        }
    }

    /// Takes it.
    pub(crate) fn take_again(&self, session: &str) {
        match &self.server {
            Server::Redis(server) => {
                server.cli(&["DEL", &format!("{}:messages:{session}", self.name)]);
            }
            Server::MySql(server) => {
                server.sql(&self.name, "SET GLOBAL max_allowed_packet = 16777216");
            }
            Server::MongoDb(_) => panic!("it refuses nothing"),
        }
    }

    /// The roles of a session's messages as they lie there, oldest first; none where no program of the server's shows it.
    pub(crate) fn roles(&self, session: &str) -> Option<Vec<String>> {
        match &self.server {
            Server::Redis(server) => {
                let list = server.cli(&["LRANGE", &format!("{}:messages:{session}", self.name), "0", "-1"]);
                let message = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
                Some(list.lines().map(|line| message(line)["role"].as_str().expect("a role").to_owned()).collect())
            }
            Server::MySql(server) => {
                let select =
                    format!("SELECT role FROM chat_messages WHERE session_id = '{session}' ORDER BY created_at, id");
                Some(server.sql(&self.name, &select).lines().map(str::to_owned).collect())
            }
            Server::MongoDb(_) => None,
        }
    }
}

/// The tests of these names, once for each kind that the build has.
macro_rules! of_each_kind {
    ($($(#[$attribute:meta])* $test:ident),+ $(,)?) => {
        $crate::databases::of_each_kind!(@ "redis" redis Redis $([$(#[$attribute])* $test])+);
        $crate::databases::of_each_kind!(@ "mysql" mysql MySql $([$(#[$attribute])* $test])+);
        $crate::databases::of_each_kind!(@ "mongodb" mongodb MongoDb $([$(#[$attribute])* $test])+);
    };
    (@ $feature:literal $module:ident $kind:ident $([$(#[$attribute:meta])* $test:ident])+) => {
        #[cfg(feature = $feature)]
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                $(#[$attribute])*
                async fn $test() {
                    super::$test($crate::databases::Kind::$kind).await;
                }
            )+
        }
    };
}
pub(crate) use of_each_kind;
