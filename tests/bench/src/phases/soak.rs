//! The long run: many sessions, many clients, no error and no growth.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Stage;
use crate::Failure;
use crate::cli::PhaseName;
use crate::load::Load;
use crate::process::Tree;
use crate::report::Report;
use crate::rounds::median;
use crate::service::{Service, answer_check, turns};
use crate::targets;

const CLIENTS: usize = 64;
const MIB: f64 = 1024.0 * 1024.0;

/// Memory at a time since the start, in MiB.
type Sample = (f64, f64);

/// Runs it.
pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<(), Failure> {
    let service = stage.service().await?;
    let sessions = service.create_sessions(stage.cli.sessions()).await?;
    service.warm(&sessions).await?;
    let length = stage.cli.soak_length();
    let load = Load {
        address: service.address,
        connections: CLIENTS,
        questions: turns(&sessions, CLIENTS, false),
        status: 200,
        check: answer_check(false),
    };
    let mut samples = Vec::new();
    let outcome = tokio::select! {
        outcome = load.run(Some(length)) => outcome?,
        failure = watch(&service, &mut samples) => return Err(failure),
    };
    let growth = growth(&samples, length);
    let turns = outcome.latencies.len();
    println!(
        "\nLong run: {turns} turns in {:.0} s over {} sessions, {CLIENTS} clients, {} errors, p99 {:.2} ms",
        outcome.elapsed.as_secs_f64(),
        sessions.len(),
        outcome.errors,
        outcome.percentile(0.99).as_secs_f64() * 1e3,
    );
    let every = (samples.len() / 12).max(1);
    let memory = samples.iter().step_by(every).map(|(second, mib)| format!("{second:.0} s: {mib:.1}"));
    println!("  memory in MiB at {}", memory.collect::<Vec<_>>().join(", "));
    if let Some(example) = &outcome.example {
        println!("  such as: {example}");
    }
    let raw = json!({"turns": turns, "errors": outcome.errors, "rss_mib": samples, "growth": growth});
    report.add(PhaseName::Soak.name(), &raw, targets::soak(outcome.errors, growth))
}

/// Takes a sample each second, and keeps the log from filling the disk.
async fn watch(service: &Service, samples: &mut Vec<Sample>) -> Failure {
    let tree: Tree = service.tree();
    let start = Instant::now();
    loop {
        samples.push((start.elapsed().as_secs_f64(), tree.rss() as f64 / MIB));
        if let Err(failure) = service.empty_log() {
            return failure;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The memory in the last sixth of the run, by that in the sixth behind its first third.
fn growth(samples: &[Sample], length: Duration) -> f64 {
    let length = length.as_secs_f64();
    let typical = |from: f64, to: f64| {
        let within = |second: f64| second >= from * length && second < to * length;
        median(samples.iter().filter(|(second, _)| within(*second)).map(|(_, mib)| *mib))
    };
    match (typical(1.0 / 3.0, 0.5), typical(5.0 / 6.0, 2.0)) {
        (Some(early), Some(late)) => late / early,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_of_the_later_part() {
        let samples: Vec<Sample> =
            (0..60).map(|second| (f64::from(second), if second < 20 { 10.0 } else { 20.0 })).collect();
        assert_eq!(growth(&samples, Duration::from_secs(60)), 1.0);
        assert!(growth(&[], Duration::from_secs(60)).is_nan());
    }
}
