//! Turns with one tool call, beside a client that does nothing but call the same tool, and turns without one.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::Stage;
use crate::Failure;
use crate::cli::PhaseName;
use crate::process::{Tree, open_files};
use crate::report::{Report, rounds_table};
use crate::rounds::{Contend, Contender, Figures, alternate};
use crate::scenery::echo::{BareClient, Program, SERVER};
use crate::scenery::upstream::WITH_TOOLS;
use crate::service::{Service, answer_check, turns};
use crate::targets::{self, BARE_CLIENT, SERVICE, TOOLLESS};

/// Sessions that the turns go through.
const SESSIONS: usize = 1_000;

/// Turns at a time, and for the bare client calls: each with the title of its table.
const PLANS: [(usize, &str); 2] =
    [(1, "Turns with a tool call, one connection"), (16, "Turns with a tool call, 16 connections")];

/// How long connections that were closed may take to go.
const SETTLE: Duration = Duration::from_millis(500);

/// Whatever is put under load here.
enum Party {
    Turns(Contender),
    Calls(Arc<BareClient>),
}

impl Contend for Party {
    fn name(&self) -> &'static str {
        match self {
            Self::Turns(contender) => contender.name(),
            Self::Calls(_) => BARE_CLIENT,
        }
    }

    async fn measure(&self, connections: usize, length: Duration) -> Result<(Figures, Option<String>), Failure> {
        match self {
            Self::Turns(contender) => contender.measure(connections, length).await,
            // It runs in this process, as the service's client does in the service's.
            Self::Calls(client) => Figures::of(&Tree::alone(std::process::id()), client.run(connections, length)).await,
        }
    }
}

/// A service with its warm sessions.
struct Warm {
    name: &'static str,
    service: Service,
    sessions: Arc<[String]>,
}

/// What a service holds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Traces {
    child_processes: usize,
    open_files: usize,
}

/// Runs it.
pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<(), Failure> {
    let folder = stage.folder.path().join("tools");
    std::fs::create_dir(&folder)?;
    let program = Program::write(&folder)?;
    program.configure(&folder)?;
    let client = Arc::new(BareClient::start(&program).await?);
    let mut services = Vec::new();
    if !stage.cli.references_only {
        let model = format!("http://{}{WITH_TOOLS}", stage.upstream);
        let tools = [("MCP_AGENT_SERVERS", SERVER.to_owned())];
        let service = Service::start_with(&stage.cli.binary, &folder, &model, &tools).await?;
        services.push(Warm::new(SERVICE, service).await?);
        services.push(Warm::new(TOOLLESS, stage.service().await?).await?);
    }
    let before = traces(&services).await?;
    let mut raw = Vec::new();
    for (connections, title) in PLANS {
        let ours = services.iter().map(|warm| Party::Turns(warm.contender(connections)));
        let parties: Vec<Party> = ours.chain([Party::Calls(client.clone())]).collect();
        let rounds = alternate(&parties, connections, stage.cli.rounds(), stage.cli.round_length()).await?;
        print!("{}", rounds_table(title, &rounds));
        report.count_wrong(rounds.errors());
        raw.push(rounds);
    }
    let after = traces(&services).await?;
    // With one connection everybody waits for everybody: what is to be shown is shown with many.
    let mut judged: Vec<_> =
        raw.last().iter().flat_map(|rounds| targets::tool_turns(rounds.connections, rounds)).collect();
    if let (Some(before), Some(after)) = (before, after) {
        println!("  {after} after the rounds; {before} before them", after = after.told(), before = before.told());
        let more = |count: fn(&Traces) -> usize| count(&after) as f64 - count(&before) as f64;
        judged.extend(targets::tool_traces(more(|traces| traces.child_processes), more(|traces| traces.open_files)));
    }
    report.add(PhaseName::Tools.name(), &json!({"rounds": raw, "before": before, "after": after}), judged)
}

impl Warm {
    async fn new(name: &'static str, service: Service) -> Result<Self, Failure> {
        let sessions = service.create_sessions(SESSIONS).await?;
        service.warm(&sessions).await?;
        Ok(Self { name, service, sessions })
    }

    fn contender(&self, connections: usize) -> Contender {
        Contender {
            name: self.name,
            address: self.service.address,
            // What the tool server costs is not ours.
            tree: Tree::alone(self.service.pid()),
            questions: turns(&self.sessions, connections, false),
            check: answer_check(false),
            log: Some(self.service.log().to_owned()),
        }
    }
}

impl Traces {
    fn told(self) -> String {
        format!("{} child processes and {} open files", self.child_processes, self.open_files)
    }
}

/// Of the service with tools.
async fn traces(services: &[Warm]) -> Result<Option<Traces>, Failure> {
    let Some(Warm { service, .. }) = services.first() else { return Ok(None) };
    tokio::time::sleep(SETTLE).await;
    Ok(Some(Traces { child_processes: service.tree().children(), open_files: open_files(service.pid())? }))
}
