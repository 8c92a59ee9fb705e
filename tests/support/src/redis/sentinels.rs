use super::{RedisServer, wait_until};
use crate::TempDir;

/// A master, a replica of it, and three sentinels that make the one the other when it is gone for a second.
#[derive(Debug)]
pub struct RedisSentinels {
    sentinels: Vec<RedisServer>,
    servers: [RedisServer; 2],
}

/// The name under which sentinels know the master.
const NAME: &str = "ours";

impl RedisSentinels {
    /// Starts all of them and waits until the sentinels know of each other and of the replica: earlier they could not
    /// put it in the master's place.
    ///
    /// # Panics
    /// When they cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let master = RedisServer::start();
        let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
        let sentinel = || {
            let folder = TempDir::new();
            let config = format!(
                "sentinel monitor {NAME} 127.0.0.1 {} 2\n\
                 sentinel down-after-milliseconds {NAME} 1000\n\
                 sentinel failover-timeout {NAME} 5000\n",
                master.port()
            );
            folder.write("sentinel.conf", config);
            RedisServer::launch_on_free_port(folder, &["sentinel.conf", "--sentinel"], "+monitor master")
        };
        let sentinels = vec![sentinel(), sentinel(), sentinel()];
        let sentinels = Self { sentinels, servers: [master, replica] };
        wait_until("sentinels that know each other", || sentinels.sentinels.iter().all(knows_all));
        wait_until("a replica that follows", || {
            sentinels.servers[1].cli(&["INFO", "replication"]).contains("master_link_status:up")
        });
        sentinels
    }

    /// The master they began with, and its replica.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer; 2] {
        &self.servers
    }

    /// `redis-sentinel://` with all sentinels.
    #[must_use]
    pub fn url(&self) -> String {
        let others: String = self.sentinels[1..].iter().map(|one| format!("&node={}", one.address())).collect();
        format!("redis-sentinel://{}/0?sentinelServiceName={NAME}{others}", self.sentinels[0].address())
    }
}

fn knows_all(sentinel: &RedisServer) -> bool {
    let known = sentinel.cli(&["SENTINEL", "MASTER", NAME]);
    let field = |name: &str| known.lines().skip_while(|line| *line != name).nth(1).map(str::to_owned);
    field("num-slaves").as_deref() == Some("1") && field("num-other-sentinels").as_deref() == Some("2")
}
