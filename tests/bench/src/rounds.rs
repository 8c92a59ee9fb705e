//! Alternating rounds: each program in turn under the same load, compared within the round.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Failure;
use crate::load::{Check, Load, Outcome, Questions};
use crate::process::Tree;

/// Before the first round, each program gets so much load for its pools and caches.
const WARM_UP: Duration = Duration::from_millis(300);

/// A program under load.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) tree: Tree,
    pub(crate) questions: Questions,
    pub(crate) check: Check,
    /// A log to be emptied after each round.
    pub(crate) log: Option<PathBuf>,
}

/// What takes its turn in each round.
pub(crate) trait Contend {
    /// Its name in the figures.
    fn name(&self) -> &'static str;

    /// Puts it under load for so long; one of the wrong answers beside the figures.
    async fn measure(&self, connections: usize, length: Duration) -> Result<(Figures, Option<String>), Failure>;
}

/// What one program did in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) turns: usize,
    pub(crate) errors: usize,
    pub(crate) turns_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) cpu_us_per_turn: f64,
    pub(crate) stalls_per_1000_turns: f64,
    pub(crate) rss_mib: f64,
}

/// What all of them did.
#[derive(Debug, Serialize)]
pub(crate) struct Rounds {
    pub(crate) connections: usize,
    pub(crate) contenders: Vec<Series>,
    /// One of the wrong answers, if there were any.
    pub(crate) wrong_answer: Option<String>,
}

/// The rounds of one program, in order.
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Figures>,
}

/// Runs the rounds.
pub(crate) async fn alternate(
    contenders: &[impl Contend],
    connections: usize,
    rounds: u32,
    length: Duration,
) -> Result<Rounds, Failure> {
    let names = contenders.iter().map(Contend::name);
    let series = names.map(|name| Series { name, rounds: Vec::new() }).collect();
    let mut result = Rounds { connections, contenders: series, wrong_answer: None };
    for contender in contenders {
        contender.measure(connections, WARM_UP.min(length)).await?;
    }
    for round in 0..rounds as usize {
        // Whoever begins finds another state of the machine: nobody always does.
        for place in 0..contenders.len() {
            let index = (round + place) % contenders.len();
            let (figures, wrong_answer) = contenders[index].measure(connections, length).await?;
            result.contenders[index].rounds.push(figures);
            result.wrong_answer = result.wrong_answer.or(wrong_answer);
        }
    }
    Ok(result)
}

impl Contend for Contender {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn measure(&self, connections: usize, length: Duration) -> Result<(Figures, Option<String>), Failure> {
        self.measure_until(connections, length, async || Ok(())).await
    }
}

impl Contender {
    /// Puts it under load for so long, and measures on until what it has left to do is done as well.
    pub(crate) async fn measure_until(
        &self,
        connections: usize,
        length: Duration,
        done: impl AsyncFnOnce() -> Result<(), Failure>,
    ) -> Result<(Figures, Option<String>), Failure> {
        let load = Load {
            address: self.address,
            connections,
            questions: self.questions.clone(),
            status: 200,
            check: self.check.clone(),
        };
        let load = async {
            let mut outcome = load.run(Some(length)).await?;
            let end = Instant::now();
            done().await?;
            outcome.elapsed += end.elapsed();
            Ok(outcome)
        };
        let measured = Figures::of(&self.tree, load).await?;
        if let Some(log) = &self.log {
            std::fs::OpenOptions::new().write(true).open(log)?.set_len(0)?;
        }
        Ok(measured)
    }
}

impl Figures {
    /// Of processes while they are under a load; one of the wrong answers beside them.
    pub(crate) async fn of(
        tree: &Tree,
        load: impl Future<Output = Result<Outcome, Failure>>,
    ) -> Result<(Self, Option<String>), Failure> {
        let before = tree.cpu();
        let outcome = load.await?;
        let cpu = tree.cpu().saturating_sub(before);
        let turns = outcome.latencies.len();
        let per_turn = |amount: f64| amount / turns.max(1) as f64;
        let milliseconds = |share| outcome.percentile(share).as_secs_f64() * 1e3;
        let figures = Self {
            turns,
            errors: outcome.errors,
            turns_per_second: turns as f64 / outcome.elapsed.as_secs_f64(),
            p50_ms: milliseconds(0.5),
            p99_ms: milliseconds(0.99),
            cpu_us_per_turn: per_turn(cpu.as_secs_f64() * 1e6),
            stalls_per_1000_turns: per_turn(outcome.stalls as f64 * 1e3),
            rss_mib: tree.rss() as f64 / f64::from(1 << 20),
        };
        Ok((figures, outcome.example))
    }
}

impl Rounds {
    /// The median over a program's rounds.
    pub(crate) fn median(&self, name: &str, figure: impl Fn(&Figures) -> f64) -> Option<f64> {
        median(self.series(name)?.rounds.iter().map(figure))
    }

    /// The median of the ratios of two programs, each ratio within one round.
    pub(crate) fn ratio(&self, name: &str, reference: &str, figure: impl Fn(&Figures) -> f64) -> Option<f64> {
        let (ours, theirs) = (self.series(name)?, self.series(reference)?);
        let pairs = ours.rounds.iter().zip(&theirs.rounds);
        median(pairs.map(|(ours, theirs)| figure(ours) / figure(theirs)))
    }

    /// How many answers were wrong.
    pub(crate) fn errors(&self) -> usize {
        self.contenders.iter().flat_map(|series| &series.rounds).map(|figures| figures.errors).sum()
    }

    fn series(&self, name: &str) -> Option<&Series> {
        self.contenders.iter().find(|series| series.name == name)
    }
}

/// The median of those that are numbers.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, f64::NAN, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let figures = |p50_ms| Figures {
            turns: 1,
            errors: 0,
            turns_per_second: 1.0,
            p50_ms,
            p99_ms: 1.0,
            cpu_us_per_turn: 1.0,
            stalls_per_1000_turns: 0.0,
            rss_mib: 1.0,
        };
        let series = |name, p50s: [f64; 3]| Series { name, rounds: p50s.map(figures).into() };
        let contenders = vec![series("ours", [2.0, 20.0, 9.0]), series("theirs", [1.0, 10.0, 3.0])];
        let rounds = Rounds { connections: 1, contenders, wrong_answer: None };
        assert_eq!(rounds.ratio("ours", "theirs", |figures| figures.p50_ms), Some(2.0));
    }
}
