//! The service under test: its process, its sessions, its turns.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Failure;
use crate::client::{Ask, Connection, Exchange};
use crate::load::{Check, Load, Questions, contains, streams};
use crate::process::{Process, Tree};
use crate::scenery::upstream::{MARK, STREAM_EVENTS, message};

/// A service that does not serve by then has failed to start.
const START: Duration = Duration::from_secs(20);

/// Turns until ten messages are remembered: each is a question and an answer.
pub(crate) const WARM_TURNS: usize = 5;

/// Connections that prepare sessions.
const PREPARERS: usize = 32;

/// A running service.
pub(crate) struct Service {
    process: Process,
    /// Where it serves.
    pub(crate) address: SocketAddr,
    /// From its start to its first answer.
    pub(crate) started_in: Duration,
    log: PathBuf,
}

impl Service {
    /// Starts it and waits for its first answer.
    pub(crate) async fn start(binary: &Path, folder: &Path, upstream: SocketAddr) -> Result<Self, Failure> {
        Self::start_with(binary, folder, &format!("http://{upstream}/v1"), &[]).await
    }

    /// Starts it with further variables, in a folder whose files they may name.
    pub(crate) async fn start_with(
        binary: &Path,
        folder: &Path,
        model: &str,
        more: &[(&str, String)],
    ) -> Result<Self, Failure> {
        if !binary.exists() {
            let binary = binary.display();
            return Err(format!("{binary} is not there: cargo build --release, or --binary PATH").into());
        }
        let log = folder.join("service.log");
        // Appending, so that the file can be emptied while it is written.
        File::create(&log)?;
        let stderr = OpenOptions::new().append(true).open(&log)?;
        let start = Instant::now();
        let mut process = Process::start(
            Command::new(binary.canonicalize()?)
                .env_clear()
                .envs([
                    ("OPENROUTER_KEY", "bench"),
                    ("RATE_RPS", "1000000"),
                    ("RATE_BURST", "1000000"),
                    ("MEMORY_DEFAULT", "10"),
                    ("MAX_SESSIONS", "1000000"),
                    ("HOST", "127.0.0.1"),
                    ("PORT", "0"),
                ])
                .env("OPENROUTER_BASE_URL", model)
                .envs(more.iter().cloned())
                .current_dir(folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(stderr),
        )?;
        let address = loop {
            if let Some(address) = listening(&log)? {
                break address;
            }
            let tail = || std::fs::read_to_string(&log).unwrap_or_default();
            process.check_running().map_err(|error| format!("the service {error}: {}", tail()))?;
            if start.elapsed() > START {
                return Err(format!("the service does not listen: {}", tail()).into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        ask(address, Ask::get("/"), 200).await?;
        Ok(Self { process, address, started_in: start.elapsed(), log })
    }

    /// How many operations wait in its spool for the database of its history.
    pub(crate) async fn backlog(&self) -> Result<usize, Failure> {
        let metrics = ask(self.address, Ask::get("/metrics").accepting("text/plain"), 200).await?;
        let metrics = String::from_utf8_lossy(&metrics.body);
        let backlog = metrics.lines().find_map(|line| line.strip_prefix("chat_history_backlog "));
        Ok(backlog.ok_or("/metrics does not tell the backlog")?.trim().parse::<f64>()? as usize)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its processes.
    pub(crate) fn tree(&self) -> Tree {
        Tree::of(self.pid())
    }

    /// Its log: emptied now and then, lest a long run fill the disk.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Makes sessions.
    pub(crate) async fn create_sessions(&self, number: usize) -> Result<Arc<[String]>, Failure> {
        let ids = Arc::new(Mutex::new(Vec::with_capacity(number)));
        let check: Check = Arc::new({
            let ids = Arc::clone(&ids);
            move |body| {
                let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
                let id = body["id"].as_str().ok_or("a session without an id")?;
                ids.lock().unwrap_or_else(PoisonError::into_inner).push(id.to_owned());
                Ok(())
            }
        });
        let questions: Questions = Arc::new(move |connection, turn| {
            (connection + turn * PREPARERS < number).then(|| Ask::post("/sessions", "{}"))
        });
        let load = Load { address: self.address, connections: PREPARERS, questions, status: 201, check };
        load.run(None).await?.all_right()?;
        let ids = std::mem::take(&mut *ids.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(ids.into())
    }

    /// Fills the sessions' memories.
    pub(crate) async fn warm(&self, sessions: &Arc<[String]>) -> Result<(), Failure> {
        let connections = PREPARERS.min(sessions.len());
        let endless = turns(sessions, connections, false);
        let share = shares(sessions.len(), connections);
        let questions: Questions =
            Arc::new(
                move |connection, turn| {
                    if turn < WARM_TURNS * share(connection) { endless(connection, turn) } else { None }
                },
            );
        let check = answer_check(false);
        let load = Load { address: self.address, connections, questions, status: 200, check };
        load.run(None).await?.all_right()?;
        self.empty_log()
    }

    /// What the service sends upstream for a turn of such a session.
    pub(crate) async fn body_of_turn(
        &self,
        sessions: &Arc<[String]>,
        stream: bool,
        upstream: SocketAddr,
    ) -> Result<Vec<u8>, Failure> {
        let turn = turns(sessions, 1, stream)(0, 0).ok_or("no session")?;
        ask(self.address, turn, 200).await?;
        Ok(ask(upstream, Ask::get("/last"), 200).await?.body.to_vec())
    }

    /// Empties the log.
    pub(crate) fn empty_log(&self) -> Result<(), Failure> {
        Ok(OpenOptions::new().write(true).open(&self.log)?.set_len(0)?)
    }
}

/// Turns over these sessions without end; no two connections ever meet in one session.
pub(crate) fn turns(sessions: &Arc<[String]>, connections: usize, stream: bool) -> Questions {
    let sessions = Arc::clone(sessions);
    let share = shares(sessions.len(), connections);
    let body = json!({"content": message("A question of the load program")}).to_string();
    let body = bytes::Bytes::from(body);
    Arc::new(move |connection, turn| {
        let session = &sessions[connection + turn % share(connection) * connections];
        Some(Ask::post(format!("/sessions/{session}/messages"), body.clone()).streamed(stream))
    })
}

/// The check of a turn's answer.
pub(crate) fn answer_check(stream: bool) -> Check {
    if stream { streams(STREAM_EVENTS, "message.completed") } else { contains(MARK) }
}

/// How many sessions each connection has, when they are dealt out in turn.
fn shares(sessions: usize, connections: usize) -> impl Fn(usize) -> usize {
    move |connection| (sessions - connection).div_ceil(connections)
}

async fn ask(address: SocketAddr, ask: Ask, status: u16) -> Result<Exchange, Failure> {
    let path = ask.path.clone();
    let exchange = Connection::open(address).await?.exchange(ask).await?;
    if exchange.status.as_u16() != status {
        let body = String::from_utf8_lossy(&exchange.body);
        return Err(format!("{path} answers {}: {body}", exchange.status).into());
    }
    Ok(exchange)
}

fn listening(log: &Path) -> Result<Option<SocketAddr>, Failure> {
    let log = std::fs::read_to_string(log)?;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let address =
        lines.filter(|line| line["event"] == "listening").find_map(|line| line["address"].as_str().map(str::to_owned));
    Ok(address.map(|address| address.parse()).transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn connections_never_share_a_session() {
        let sessions: Arc<[String]> = (0..10).map(|number| number.to_string()).collect();
        let questions = turns(&sessions, 4, false);
        let paths = |connection| -> HashSet<String> {
            (0..20).filter_map(|turn| questions(connection, turn)).map(|ask| ask.path).collect()
        };
        let each: Vec<_> = (0..4).map(paths).collect();
        assert_eq!(each.iter().map(HashSet::len).sum::<usize>(), 10);
        assert_eq!(each.into_iter().flatten().collect::<HashSet<_>>().len(), 10);
    }
}
