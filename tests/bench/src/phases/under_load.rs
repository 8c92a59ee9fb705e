//! Turns against proxies, in alternating rounds.

use std::sync::Arc;

use serde_json::json;

use super::Stage;
use crate::Failure;
use crate::cli::PhaseName;
use crate::client::Ask;
use crate::load::{contains, streams};
use crate::process::{Process, Tree};
use crate::report::{Report, rounds_table};
use crate::rounds::{Contender, alternate};
use crate::scenery::nginx;
use crate::scenery::upstream::{MARK, STREAM_EVENTS, message};
use crate::service::{Service, answer_check, turns};
use crate::targets::{self, NGINX, PASSTHROUGH, SERVICE, SSE_PROXY};

/// Sessions that the turns go through.
const SESSIONS: usize = 1_000;

/// What a phase does.
struct Plan {
    name: PhaseName,
    title: &'static str,
    connections: usize,
    stream: bool,
    references: &'static [&'static str],
}

const PLANS: [Plan; 5] = [
    Plan {
        name: PhaseName::Turns1,
        title: "JSON turns, one connection",
        connections: 1,
        stream: false,
        references: &[NGINX, PASSTHROUGH],
    },
    Plan {
        name: PhaseName::Turns64,
        title: "JSON turns, 64 connections",
        connections: 64,
        stream: false,
        references: &[NGINX, PASSTHROUGH],
    },
    Plan {
        name: PhaseName::Streams1,
        title: "Streams of 50 events, one connection",
        connections: 1,
        stream: true,
        references: &[NGINX, PASSTHROUGH, SSE_PROXY],
    },
    Plan {
        name: PhaseName::Streams16,
        title: "Streams of 50 events, 16 connections",
        connections: 16,
        stream: true,
        references: &[NGINX, SSE_PROXY],
    },
    Plan {
        name: PhaseName::Streams64,
        title: "Streams of 50 events, 64 connections",
        connections: 64,
        stream: true,
        references: &[NGINX, PASSTHROUGH],
    },
];

/// A proxy in front of the upstream.
struct Proxy {
    name: &'static str,
    process: Process,
    address: std::net::SocketAddr,
}

/// The service with its warm sessions.
struct Warm {
    service: Service,
    sessions: Arc<[String]>,
}

/// Runs the phases that are wanted.
pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<(), Failure> {
    let plans: Vec<&Plan> = PLANS.iter().filter(|plan| stage.cli.wants(plan.name)).collect();
    if plans.is_empty() {
        return Ok(());
    }
    let proxies = start_proxies(stage)?;
    let warm = if stage.cli.references_only { None } else { Some(warm_service(stage).await?) };
    for plan in plans {
        let body = body(stage, warm.as_ref(), plan.stream).await?;
        let ours = warm.iter().map(|warm| warm.contender(plan));
        let theirs = plan.references.iter().filter_map(|name| {
            let proxy = proxies.iter().find(|proxy| proxy.name == *name)?;
            Some(proxy.contender(plan, &body))
        });
        let contenders: Vec<Contender> = ours.chain(theirs).collect();
        let (rounds, length) = (stage.cli.rounds(), stage.cli.round_length());
        let result = alternate(&contenders, plan.connections, rounds, length).await?;
        let title = format!("{} ({} bytes)", plan.title, body.len());
        print!("{}", rounds_table(&title, &result));
        report.count_wrong(result.errors());
        report.add(plan.name.name(), &result, targets::of_rounds(plan.name, &result))?;
    }
    Ok(())
}

fn start_proxies(stage: &Stage<'_>) -> Result<Vec<Proxy>, Failure> {
    let upstream = stage.upstream.to_string();
    let (process, address) = nginx::start(stage.folder.path(), stage.upstream)?;
    let mut proxies = vec![Proxy { name: NGINX, process, address }];
    for (name, command) in [(PASSTHROUGH, "passthrough"), (SSE_PROXY, "sse-proxy")] {
        let (process, address) = Process::start_self(&[command, &upstream])?;
        proxies.push(Proxy { name, process, address });
    }
    Ok(proxies)
}

async fn warm_service(stage: &Stage<'_>) -> Result<Warm, Failure> {
    let service = stage.service().await?;
    let sessions = service.create_sessions(SESSIONS).await?;
    service.warm(&sessions).await?;
    Ok(Warm { service, sessions })
}

/// What the proxies are given: the very bytes that a turn sends, or their likeness.
async fn body(stage: &Stage<'_>, warm: Option<&Warm>, stream: bool) -> Result<Vec<u8>, Failure> {
    if let Some(Warm { service, sessions }) = warm {
        return service.body_of_turn(sessions, stream, stage.upstream).await;
    }
    let role = |number| if number % 2 == 0 { "user" } else { "assistant" };
    let message = |number| json!({"role": role(number), "content": message("A question or an answer")});
    let messages: Vec<_> = (0..11).map(message).collect();
    let mut body = json!({"model": "bench/model", "messages": messages});
    if stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    Ok(body.to_string().into_bytes())
}

impl Warm {
    fn contender(&self, plan: &Plan) -> Contender {
        Contender {
            name: SERVICE,
            address: self.service.address,
            tree: self.service.tree(),
            questions: turns(&self.sessions, plan.connections, plan.stream),
            check: answer_check(plan.stream),
            log: Some(self.service.log().to_owned()),
        }
    }
}

impl Proxy {
    fn contender(&self, plan: &Plan, body: &[u8]) -> Contender {
        let ask = Ask::post("/v1/chat/completions", body.to_vec()).streamed(plan.stream);
        Contender {
            name: self.name,
            address: self.address,
            tree: Tree::of(self.process.pid()),
            questions: Arc::new(move |_, _| Some(ask.clone())),
            check: if plan.stream { streams(STREAM_EVENTS, "[DONE]") } else { contains(MARK) },
            log: None,
        }
    }
}
