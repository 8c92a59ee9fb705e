//! What the service costs when nobody asks: its file, its start, its memory.

use std::time::Duration;

use serde_json::json;

use super::Stage;
use crate::Failure;
use crate::cli::PhaseName;
use crate::report::Report;
use crate::rounds::median;
use crate::service::Service;
use crate::targets;

/// After its first answer, a service may still be settling.
const SETTLE: Duration = Duration::from_millis(500);

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

/// The size of the binary.
pub(super) fn size(stage: &Stage<'_>, report: &mut Report) -> Result<(), Failure> {
    let binary = &stage.cli.binary;
    let file = std::fs::metadata(binary).map_err(|error| format!("{}: {error}", binary.display()))?;
    let mib = file.len() as f64 / MIB;
    report.add(PhaseName::Size.name(), &json!({"mib": mib}), [targets::size(mib)])
}

/// The time from its start to its first answer.
pub(super) async fn start(stage: &Stage<'_>, report: &mut Report) -> Result<(), Failure> {
    let mut starts = Vec::new();
    for _ in 0..stage.cli.starts() {
        starts.push(stage.service().await?.started_in.as_secs_f64() * 1e3);
    }
    let typical = median(starts.iter().copied()).unwrap_or(f64::NAN);
    println!("\nStart to first answer: {typical:.1} ms (median of {})", starts.len());
    report.add(PhaseName::Start.name(), &json!({"ms": starts}), [targets::start(typical)])
}

/// Memory at rest, and what sessions add to it.
pub(super) async fn memory(stage: &Stage<'_>, report: &mut Report) -> Result<(), Failure> {
    let service = stage.service().await?;
    let rest = settled_rss(&service).await;

    // The first of them use up what the allocator holds in reserve and grow the pools; what as
    // many others add is theirs.
    let sessions = stage.cli.sessions();
    let first = service.create_sessions(sessions).await?;
    let before = settled_rss(&service).await;
    let second = service.create_sessions(sessions).await?;
    let empty = settled_rss(&service).await - before;

    service.warm(&first).await?;
    let before = settled_rss(&service).await;
    service.warm(&second).await?;
    let messages = settled_rss(&service).await - before;

    let full = empty + messages;
    println!(
        "\nMemory: {:.1} MiB at rest; {sessions} idle sessions add {:.1} MiB, with ten messages each {:.1} MiB",
        rest / MIB,
        empty / MIB,
        full / MIB,
    );
    let raw = json!({"at_rest_mib": rest / MIB, "sessions": sessions,
        "empty_sessions_mib": empty / MIB, "full_sessions_mib": full / MIB});
    let per_session = |bytes: f64| bytes / KIB / sessions as f64;
    let targets = [
        targets::at_rest(rest / MIB),
        targets::empty_session(per_session(empty)),
        targets::full_session(per_session(full)),
    ];
    report.add(PhaseName::Memory.name(), &raw, targets)
}

async fn settled_rss(service: &Service) -> f64 {
    tokio::time::sleep(SETTLE).await;
    service.tree().rss() as f64
}
