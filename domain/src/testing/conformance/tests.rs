//! The fakes keep the promises they stand in for, and the lists of the suites are complete.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;

use super::{
    Held, health, history, limits, llm, session_capacity, session_expiry, sessions, shared_bypass, spool, tools,
};
use crate::{
    admission::BucketPolicy,
    ports::{
        Clock,
        health::{Health, HealthCheck, HealthState},
        llm::LlmErrorKind,
    },
    testing::{
        Behaviour, FakeClock, Gate, MemoryBypass, MemoryHistory, MemoryLimiter, MemorySessions, MemorySpool, Reply,
        ScriptedLlm, ScriptedTools, paused::PausedClock, tools::RESULT_MAX,
    },
};

fn clock() -> Arc<dyn Clock> {
    Arc::new(PausedClock::new())
}

async fn store() -> sessions::Subject {
    let clock = clock();
    sessions::Subject::new(Arc::new(MemorySessions::new(clock.clone())), clock)
}

async fn forgetful_store() -> session_expiry::Subject {
    let (clock, idle) = (clock(), Duration::from_secs(60));
    session_expiry::Subject::new(Arc::new(MemorySessions::new(clock.clone()).with_idle(idle)), clock, idle)
}

async fn small_store() -> session_capacity::Subject {
    let clock = clock();
    let store = Arc::new(MemorySessions::new(clock.clone()).with_capacity(3));
    session_capacity::Subject { sessions: sessions::Subject::new(store, clock), capacity: 3 }
}

/// By a clock that is moved to the nanosecond: tokio's sleeps a little longer than it is told.
async fn limiter(policy: BucketPolicy) -> limits::Subject {
    let clock = FakeClock::new();
    let limiter = MemoryLimiter::new(policy, Arc::new(clock.clone()));
    let advanced = clock.clone();
    let advance = move |time| {
        advanced.advance(time);
        futures_util::future::ready(()).boxed()
    };
    limits::Subject {
        limiter: Arc::new(limiter),
        clock: Arc::new(clock),
        advance: Box::new(advance),
        slack: Duration::ZERO,
        held: Box::new(()),
    }
}

async fn bypass_list() -> super::bypass::Subject {
    super::bypass::Subject::new(Arc::new(MemoryBypass::default()), clock())
}

async fn shared_list() -> shared_bypass::Subject {
    let list = Arc::new(MemoryBypass::default());
    let open = move || -> futures_util::future::BoxFuture<'static, Arc<dyn crate::ports::limits::BypassList>> {
        let list = list.clone();
        Box::pin(async move { list as _ })
    };
    shared_bypass::Subject { open: Box::new(open), clock: clock(), held: Box::new(()) }
}

async fn archive() -> history::Subject {
    let clock = clock();
    history::Subject::new(Arc::new(MemoryHistory::new(clock.clone())), clock)
}

async fn small_spool() -> spool::Subject {
    spool::Subject::new(Arc::new(MemorySpool::new(50)), clock())
}

async fn spool_of_several_processes() -> super::durable_spool::Subject {
    let spool = MemorySpool::new(50).durable();
    let damaged = spool.clone();
    let open = move || -> futures_util::future::BoxFuture<'static, Arc<dyn crate::ports::history::Spool>> {
        let spool = spool.clone();
        Box::pin(async move { Arc::new(spool) as _ })
    };
    let held: Held = Box::new(());
    super::durable_spool::Subject { open: Box::new(open), damage: Box::new(move |id| damaged.corrupt(id)), held }
}

async fn model() -> llm::Subject {
    let clock = clock();
    let llm = ScriptedLlm::new(clock.clone(), []);
    let (scripted, stopped) = (llm.clone(), llm.clone());
    let script = move |scene| {
        scripted.push(match scene {
            llm::Scene::Says(pieces) => Reply::pieces(pieces),
            llm::Scene::Asks(text, calls) => Reply::text(text).asking(calls),
            llm::Scene::SaysNothing => Reply::default(),
            llm::Scene::Fails => Reply::fails(LlmErrorKind::Unavailable),
            llm::Scene::BreaksOff(pieces) => Reply::pieces(pieces).then_fails(LlmErrorKind::Unavailable),
            llm::Scene::Hangs(pieces) => Reply::pieces(pieces).then_hangs(),
        });
    };
    let stopped = move || stopped.stopped();
    let (script, stopped) = (Box::new(script), Box::new(stopped));
    llm::Subject { llm: Arc::new(llm), clock, script, stopped, held: Box::new(()) }
}

async fn toolbox() -> tools::Subject {
    let clock = clock();
    let offered = [
        ("s", "echo", Behaviour::Echoes),
        ("s", "fail", Behaviour::Fails("it broke".into())),
        ("s", "hang", Behaviour::Hangs),
        ("other", "meet", Behaviour::Gated(Gate::of(2))),
        ("other", "big", Behaviour::Answers("é".repeat(RESULT_MAX))),
    ];
    let port = ScriptedTools::new(clock.clone(), offered);
    let cancelled = port.clone();
    let cancelled = Box::new(move || cancelled.cancelled());
    tools::Subject { port: Arc::new(port), clock, result_max: RESULT_MAX, cancelled, held: Box::new(()) }
}

struct Told(HealthState, Option<&'static str>);

#[async_trait::async_trait]
impl HealthCheck for Told {
    async fn check(&self) -> Health {
        let last_error = self.1.map(str::to_owned);
        Health { name: "redis".into(), state: self.0, since: None, last_error, backlog: None, note: None }
    }
}

async fn checks() -> health::Subject {
    health::Subject {
        well: Arc::new(Told(HealthState::Up, None)),
        unwell: vec![Arc::new(Told(HealthState::Down, Some("connection refused")))],
        secrets: vec!["hunter2".into()],
        clock: clock(),
        held: Box::new(()),
    }
}

mod fakes {
    use super::*;

    crate::conformance_tests!(
        #[tokio::test(start_paused = true)]
        sessions,
        store
    );
    crate::conformance_tests!(
        #[tokio::test(start_paused = true)]
        session_expiry,
        forgetful_store
    );
    crate::conformance_tests!(
        #[tokio::test(start_paused = true)]
        session_capacity,
        small_store
    );
    crate::conformance_tests!(
        #[tokio::test(start_paused = true)]
        limits,
        limiter
    );
    crate::conformance_tests!(
        #[tokio::test(start_paused = true)]
        bypass,
        bypass_list
    );
    crate::conformance_tests!(
        #[tokio::test(start_paused = true)]
        shared_bypass,
        shared_list
    );
    crate::conformance_tests!(
        #[tokio::test(start_paused = true)]
        history,
        archive
    );
    crate::conformance_tests!(
        #[tokio::test(start_paused = true)]
        spool,
        small_spool
    );
    crate::conformance_tests!(
        #[tokio::test(start_paused = true)]
        durable_spool,
        spool_of_several_processes
    );
    crate::conformance_tests!(
        #[tokio::test(start_paused = true)]
        llm,
        model
    );
    crate::conformance_tests!(
        #[tokio::test(start_paused = true)]
        tools,
        toolbox
    );
    crate::conformance_tests!(
        #[tokio::test(start_paused = true)]
        health,
        checks
    );
}

#[test]
fn no_promise_is_left_out_of_its_suite() {
    let suites = include_str!("../conformance.rs");
    for (suite, source) in [
        (
            "sessions",
            concat!(
                include_str!("sessions.rs"),
                include_str!("sessions/turns.rs"),
                include_str!("sessions/dropped.rs"),
            ),
        ),
        ("session_expiry", include_str!("session_expiry.rs")),
        ("session_capacity", include_str!("session_capacity.rs")),
        ("limits", include_str!("limits.rs")),
        ("bypass", include_str!("bypass.rs")),
        ("shared_bypass", include_str!("shared_bypass.rs")),
        ("history", include_str!("history.rs")),
        ("spool", include_str!("spool.rs")),
        ("durable_spool", include_str!("durable_spool.rs")),
        ("llm", include_str!("llm.rs")),
        ("tools", include_str!("tools.rs")),
        ("health", include_str!("health.rs")),
    ] {
        let cases = |line: &str| {
            let (name, rest) = line.strip_prefix("pub async fn ")?.split_once('(')?;
            rest.starts_with("make:").then(|| name.to_owned())
        };
        let promises: Vec<String> = source.lines().filter_map(cases).collect();
        let (_, list) = suites.split_once(&format!("] {suite}, $make, [")).expect("the suite is listed");
        let (list, _) = list.split_once(']').expect("the list ends");
        assert!(!promises.is_empty());
        assert_eq!(list.split_whitespace().collect::<Vec<_>>(), promises, "{suite}");
    }
}
