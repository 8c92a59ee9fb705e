use std::process::Command;

use super::{RedisServer, wait_until};
use crate::TempDir;

/// A cluster: masters, and as many replicas of each as wanted.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts a cluster of three masters and waits until all nodes agree that it works.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(replicas_each: usize) -> Self {
        let options =
            ["--save", "", "--appendonly", "yes", "--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
        let nodes: Vec<RedisServer> = (0..3 * (1 + replicas_each))
            .map(|_| RedisServer::launch_on_free_port(TempDir::new(), &options, "Ready to accept connections"))
            .collect();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(nodes.iter().map(RedisServer::address));
        create.args(["--cluster-replicas", &replicas_each.to_string(), "--cluster-yes"]);
        let output = create.output().expect("redis-cli");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = Self { nodes };
        wait_until("a cluster", || cluster.nodes.iter().all(|node| cluster.is_well(node)));
        // One that has never followed would not take its master's place.
        let follows = |node: &RedisServer| !node.cli(&["INFO", "replication"]).contains("master_link_status:down");
        wait_until("replicas that follow", || cluster.nodes.iter().all(follows));
        cluster
    }

    fn is_well(&self, node: &RedisServer) -> bool {
        let (info, known) = (node.cli(&["CLUSTER", "INFO"]), node.cli(&["CLUSTER", "NODES"]));
        info.contains("cluster_state:ok") && known.lines().count() == self.nodes.len() && !known.contains("fail")
    }

    /// Its nodes.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// `redis-cluster://` with all nodes.
    #[must_use]
    pub fn url(&self) -> String {
        let others: Vec<String> = self.nodes[1..].iter().map(|node| format!("node={}", node.address())).collect();
        format!("redis-cluster://{}?{}", self.nodes[0].address(), others.join("&"))
    }

    /// The master in whose slots a key lies.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn master_of(&self, key: &str) -> &RedisServer {
        let slot: u32 = self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]).parse().expect("a slot");
        let holds = |line: &str| {
            let mut words = line.split(' ');
            let address = words.nth(1).and_then(|address| address.split('@').next()).map(str::to_owned);
            let is_master = words.next().is_some_and(|flags| flags.contains("master") && !flags.contains("fail"));
            let holds = words.skip(5).any(|slots| match slots.split_once('-') {
                Some((first, last)) => (first.parse().unwrap_or(u32::MAX)..=last.parse().unwrap_or(0)).contains(&slot),
                None => slots.parse() == Ok(slot),
            });
            (is_master && holds).then_some(address).flatten()
        };
        let known = self.nodes[0].cli(&["CLUSTER", "NODES"]);
        let address = known.lines().find_map(holds).expect("a master of the slot");
        self.nodes.iter().find(|node| node.address() == address).expect("a node of ours")
    }
}
