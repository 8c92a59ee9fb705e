//! The service in the test's own process, for what cannot be configured: timeouts too long to be waited for, and models
//! that no upstream can be.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use chat_agent::http::{
    AllowedOrigins, ApiKeys, Context, HealthChecks, Service,
    metrics::Metrics,
    server::{ConnectionLimits, serve},
};
use chat_domain::{
    admission::{Admission, BucketPolicy, OnLimiterError},
    agent::{AgentPolicy, window::PastRounds},
    archive::Archive,
    chat::{ChatPolicy, ChatService},
    options::OptionPolicy,
    ports::{Clock, Ports, health::HealthCheck, llm::LlmPort, tools::NoTools},
    session::{MemoryLimit, MemoryLimits},
};
use chat_local::{
    bypass::LocalBypass,
    limits::LocalLimiter,
    sessions::{LocalSessions, SessionPolicy},
    system::{SystemClock, SystemIds, TrackedTasks},
};
use chat_test_support::Client;
use tokio::{net::TcpListener, runtime::Handle, sync::oneshot, task::JoinHandle};

/// How long a peer may dawdle in these tests: long enough for a loaded machine, not too long to wait for.
pub(crate) const PATIENCE: Duration = Duration::from_millis(400);

/// All of a connection's limits, short.
pub(crate) const IMPATIENT: ConnectionLimits =
    ConnectionLimits { max_connections: 100, first_byte: PATIENCE, header_read: PATIENCE, write_stall: PATIENCE };

/// For tests of something else.
const LONG: Duration = Duration::from_secs(300);

/// All of a connection's limits, far away.
pub(crate) const PATIENT: ConnectionLimits =
    ConnectionLimits { max_connections: 100, first_byte: LONG, header_read: LONG, write_stall: LONG };

/// A service over a model, on a port of its own.
pub(crate) struct InProcess {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<bool>,
}

impl InProcess {
    pub(crate) async fn start(llm: impl LlmPort + 'static, limits: ConnectionLimits) -> Self {
        Self::start_with(llm, limits, LONG).await
    }

    /// The same with so much time for a turn.
    pub(crate) async fn start_with(
        llm: impl LlmPort + 'static,
        limits: ConnectionLimits,
        turn_timeout: Duration,
    ) -> Self {
        Self::serve(context(Arc::new(llm), turn_timeout), limits).await
    }

    /// The same with something that its readiness depends on.
    pub(crate) async fn depending_on(check: Arc<dyn HealthCheck>, llm: impl LlmPort + 'static) -> Self {
        let checks = HealthChecks::new(vec![check]);
        Self::serve(Context { checks, ..context(Arc::new(llm), LONG) }, PATIENT).await
    }

    async fn serve(context: Context, limits: ConnectionLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let service = Service::new(context);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(serve(listener, service, limits, stopped, Duration::from_secs(10)));
        Self { address, stop, serving }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.base_url())
    }

    /// Ends it in order; whether all connections ended.
    pub(crate) async fn stop(self) -> bool {
        let _ = self.stop.send(());
        self.serving.await.expect("no panic")
    }
}

fn context(llm: Arc<dyn LlmPort>, turn_timeout: Duration) -> Context {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let sessions = Arc::new(LocalSessions::new(SessionPolicy { capacity: 1000, ttl: None }, clock.clone()));
    let metrics = Arc::new(Metrics::default());
    let ports = Ports {
        sessions: sessions.clone(),
        llm,
        tools: Arc::new(NoTools::new()),
        clock: clock.clone(),
        ids: Arc::new(SystemIds),
        tasks: Arc::new(TrackedTasks::new(Handle::current())),
        observer: metrics.clone(),
    };
    let limit = MemoryLimit::new(100).expect("a limit");
    let memory = MemoryLimits { default: limit, max: limit };
    let policy = ChatPolicy {
        memory,
        system_prompt: None,
        instruction: None,
        turn_timeout,
        agent: AgentPolicy { max_steps: NonZeroU32::MIN.get(), past_rounds: PastRounds::Replay },
    };
    let archive = Archive::disabled();
    let generous = BucketPolicy::new(1e6, 1_000_000).expect("a policy");
    let admission = Admission {
        limiter: Arc::new(LocalLimiter::new(generous, clock)),
        bypass: Arc::new(LocalBypass::new()),
        on_error: OnLimiterError::Allow,
    };
    Context {
        chat: Arc::new(ChatService::new(ports, archive.clone(), policy)),
        archive,
        sessions,
        memory,
        options: OptionPolicy::default(),
        admission: admission.clone(),
        admin_admission: admission,
        guesses: Default::default(),
        api_keys: ApiKeys::default(),
        admin_token: None,
        trusted_proxies: Vec::new(),
        cors: AllowedOrigins::Any,
        max_body_bytes: 1 << 20,
        body_timeout: PATIENCE,
        tracing: Default::default(),
        metrics,
        metrics_enabled: true,
        checks: HealthChecks::default(),
        runtime: Box::new(|| unreachable!("the operator is not asked in here")),
        config: Vec::new(),
        draining: Arc::default(),
    }
}
