//! What a turn costs in Redis: commands that the service waits for, as the server sees them.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use chat_test_support::{RedisServer, Upstream};

use crate::scene::{agent, blocking};

/// Every command a server is sent, for as long as it is looked at.
struct Monitor(Child);

impl Monitor {
    /// Looks from now on.
    fn start(redis: &RedisServer) -> (Self, impl Iterator<Item = String> + use<>) {
        let mut monitor = Command::new("redis-cli");
        monitor.args(["-p", &redis.port().to_string(), "MONITOR"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut monitor = monitor.spawn().expect("redis-cli");
        let mut lines = BufReader::new(monitor.stdout.take().expect("piped")).lines().map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("OK"));
        (Self(monitor), lines)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_with_limits_and_history_is_four_commands() {
    const TURNS: usize = 100;
    let redis = RedisServer::start();
    let upstream = Upstream::start().await;
    let launch = agent(&upstream).env("REDIS_URL", redis.url()).env("HISTORY_STORAGE_BACKEND", "redis");
    let service = launch.start().await;
    let client = service.client();
    let session = client.create_session().await;
    // The first turn takes the scripts along.
    client.say(&session, "first").await.expect(200);
    let (_monitor, lines) = Monitor::start(&redis);
    for number in 0..TURNS {
        client.say(&session, &number.to_string()).await.expect(200);
    }
    redis.cli(&["ECHO", "the end"]);
    let mut commands: BTreeMap<String, usize> = BTreeMap::new();
    blocking(|| {
        for line in lines.take_while(|line| !line.contains("\"the end\"")) {
            // `1763805600.123456 [0 127.0.0.1:4711] "EVALSHA" "…"`; what a script does has `lua` for its sender.
            let (sender, command) = line.split_once("] ").expect("a command");
            if !sender.ends_with("lua") {
                let name = command.split('"').nth(1).expect("a name").to_uppercase();
                *commands.entry(name).or_default() += 1;
            }
        }
    });
    println!("{TURNS} turns: {commands:?}");
    // What goes on beside the turns, whether there are any or not: the bypass list is read anew, sessions are swept.
    let beside = ["SMEMBERS", "SET", "GET", "ZRANGE", "ZREVRANGE", "EXISTS", "PING", "INFO"];
    let of_turns = commands.iter().filter(|(name, _)| !beside.contains(&name.as_str()));
    let of_turns: usize = of_turns.map(|(_, count)| count).sum();
    assert!(of_turns > 3 * TURNS, "limits, opening, storing and archiving are seen: {commands:?}");
    // On a busy machine a lease may be renewed in between, and a message archived once more whose answer was late.
    assert!(of_turns < 4 * TURNS + TURNS / 2, "{commands:?}");
    let beside: usize = beside.iter().filter_map(|name| commands.get(*name)).sum();
    assert!(beside < TURNS / 2, "not beside every turn: {commands:?}");
}
