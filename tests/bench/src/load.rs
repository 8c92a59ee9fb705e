//! Load: several connections, each asking as soon as it has been answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::Failure;
use crate::client::{Ask, Connection};

/// A silence this long inside a stream is a stall: a packet that waited for the acknowledgement
/// of the one before, which the peer delays by 40 ms.
pub(crate) const STALL: Duration = Duration::from_millis(35);

/// Gives the n-th question of a connection; `None` ends it.
pub(crate) type Questions = Arc<dyn Fn(usize, usize) -> Option<Ask> + Send + Sync>;

/// Says what is wrong with an answer of the expected status.
pub(crate) type Check = Arc<dyn Fn(&Bytes) -> Result<(), String> + Send + Sync>;

/// What to do to one address.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) questions: Questions,
    pub(crate) status: u16,
    pub(crate) check: Check,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Latencies of the right answers, in order of their size.
    pub(crate) latencies: Vec<Duration>,
    /// From the first question to the last answer.
    pub(crate) elapsed: Duration,
    /// Answers with a stall in them.
    pub(crate) stalls: usize,
    /// Wrong answers, and no answers.
    pub(crate) errors: usize,
    /// One of them.
    pub(crate) example: Option<String>,
}

impl Outcome {
    /// The latency that this share of the answers does not exceed.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        self.latencies.get(index).copied().unwrap_or_default()
    }

    /// An error when any answer was wrong: for what must work before anything is measured.
    pub(crate) fn all_right(self) -> Result<Self, Failure> {
        match self.example {
            Some(example) => Err(format!("{} wrong answers, such as: {example}", self.errors).into()),
            None => Ok(self),
        }
    }

    /// Takes in what came of another part.
    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.stalls += other.stalls;
        self.errors += other.errors;
        self.example = self.example.take().or(other.example);
    }

    /// Takes down what went wrong.
    pub(crate) fn fail(&mut self, example: impl ToString) {
        self.errors += 1;
        self.example.get_or_insert_with(|| example.to_string());
    }
}

impl Load {
    /// Asks until the questions are over, or for so long.
    pub(crate) async fn run(&self, length: Option<Duration>) -> Result<Outcome, Failure> {
        // All connect before any asks: connecting is not what is measured.
        let mut connections = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            connections.push(Connection::open(self.address).await?);
        }
        let start = Instant::now();
        let deadline = length.map(|length| start + length);
        let mut tasks = JoinSet::new();
        for (number, connection) in connections.into_iter().enumerate() {
            tasks.spawn(self.clone().ask(number, connection, deadline));
        }
        let mut outcome = Outcome::default();
        while let Some(part) = tasks.join_next().await {
            outcome.add(part?);
        }
        outcome.elapsed = start.elapsed();
        outcome.latencies.sort_unstable();
        Ok(outcome)
    }

    async fn ask(self, number: usize, mut connection: Connection, deadline: Option<Instant>) -> Outcome {
        let mut outcome = Outcome::default();
        for turn in 0.. {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            let Some(ask) = (self.questions)(number, turn) else { break };
            let exchange = match connection.exchange(ask).await {
                Ok(exchange) => exchange,
                Err(error) => {
                    outcome.fail(error);
                    match Connection::open(self.address).await {
                        Ok(fresh) => connection = fresh,
                        Err(error) => {
                            outcome.fail(error);
                            break;
                        }
                    }
                    continue;
                }
            };
            let verdict = if exchange.status.as_u16() == self.status {
                (self.check)(&exchange.body)
            } else {
                Err(format!("{}: {}", exchange.status, String::from_utf8_lossy(&exchange.body)))
            };
            match verdict {
                Ok(()) => {
                    outcome.latencies.push(exchange.took);
                    outcome.stalls += usize::from(exchange.longest_gap >= STALL);
                }
                Err(wrong) => outcome.fail(wrong),
            }
        }
        outcome
    }
}

/// An answer must contain this.
pub(crate) fn contains(needle: &'static str) -> Check {
    Arc::new(move |body| {
        let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        if text.contains(needle) { Ok(()) } else { Err(format!("no {needle:?} in {text:?}")) }
    })
}

/// A stream must have at least so many events, and contain this in the end.
pub(crate) fn streams(events: usize, end: &'static str) -> Check {
    Arc::new(move |body| {
        let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        let seen = text.matches("\n\n").count();
        if seen < events {
            return Err(format!("only {seen} events in {text:?}"));
        }
        if text.contains(end) { Ok(()) } else { Err(format!("no {end:?} in {text:?}")) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_latencies() {
        let outcome = Outcome { latencies: (1..=101).map(Duration::from_millis).collect(), ..Outcome::default() };
        assert_eq!(outcome.percentile(0.5), Duration::from_millis(51));
        assert_eq!(outcome.percentile(0.99), Duration::from_millis(100));
        assert_eq!(Outcome::default().percentile(0.5), Duration::ZERO);
    }

    #[test]
    fn streams_are_counted_and_must_end() {
        let check = streams(2, "[DONE]");
        assert!(check(&Bytes::from("data: a\n\ndata: [DONE]\n\n")).is_ok());
        assert!(check(&Bytes::from("data: [DONE]\n\n")).is_err());
        assert!(check(&Bytes::from("data: a\n\ndata: b\n\n")).is_err());
    }
}
