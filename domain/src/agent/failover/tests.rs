//! Which backend is asked, how often, when; under a paused clock, so that pauses can be told to the millisecond.

use futures_util::{StreamExt, future::join};

use super::*;
use crate::{
    agent::window::{PastRounds, Window},
    message::Role,
    ports::llm::{Completion, ToolChoice},
    testing::{FixedRandom, RecordingObserver, Reply, ScriptedLlm, paused::PausedClock, samples::said, tasks::Seen},
};

struct Backends {
    clock: Arc<dyn Clock>,
    a: ScriptedLlm,
    b: ScriptedLlm,
    observer: RecordingObserver,
    failover: Failover,
}

/// Too short a time for a retry.
const SHORT: Duration = Duration::from_millis(50);

/// Backends `a` and, if `second`, `b`; jitter comes out as `chance`.
fn backends_by_chance(second: bool, chance: f64) -> Backends {
    let clock: Arc<dyn Clock> = Arc::new(PausedClock::new());
    let (a, b) = (ScriptedLlm::new(clock.clone(), []), ScriptedLlm::new(clock.clone(), []));
    let observer = RecordingObserver::default();
    let mut both = vec![Backend::new("a", Arc::new(a.clone()))];
    if second {
        both.push(Backend::new("b", Arc::new(b.clone())));
    }
    let failover = Failover::new(both, 2, clock.clone(), Arc::new(FixedRandom(chance)), Arc::new(observer.clone()));
    Backends { clock, a, b, observer, failover }
}

fn backends(second: bool) -> Backends {
    backends_by_chance(second, 1.0)
}

impl Backends {
    fn request(&self, delivery: Delivery, time: Duration) -> LlmRequest {
        LlmRequest {
            window: Window::new(None, &[], 10, said(Role::User, "hi", 0), PastRounds::Replay),
            rounds: vec![],
            tools: Arc::default(),
            tool_choice: ToolChoice::Auto,
            options: Arc::default(),
            delivery,
            deadline: self.clock.moment().plus(time),
        }
    }

    /// Asks for a whole answer within a minute; its text.
    async fn ask(&self) -> Result<String, LlmErrorKind> {
        self.ask_within(Duration::from_secs(60)).await
    }

    async fn ask_within(&self, time: Duration) -> Result<String, LlmErrorKind> {
        read(self.failover.stream(&self.request(Delivery::Whole, time)).await).await.1
    }

    /// How often each was asked.
    fn asked(&self) -> (usize, usize) {
        (self.a.asked().len(), self.b.asked().len())
    }

    /// Has `a` fail so often, each a call of its own.
    async fn fail(&self, kind: LlmErrorKind, times: usize) {
        for _ in 0..times {
            self.a.push(Reply::fails(kind));
            let _ = self.failover.ask(&self.failover.backends[0], &self.request(Delivery::Whole, SHORT)).await;
        }
    }
}

/// The streamed pieces of an answer, and its text or its failure.
async fn read(stream: Result<LlmStream, LlmError>) -> (Vec<String>, Result<String, LlmErrorKind>) {
    let mut pieces = Vec::new();
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(error) => return (pieces, Err(error.kind)),
    };
    while let Some(event) = stream.next().await {
        match event {
            Ok(LlmEvent::Text(text)) => pieces.push(text),
            Ok(LlmEvent::End(Completion { text, .. })) => return (pieces, Ok(text)),
            Err(error) => return (pieces, Err(error.kind)),
        }
    }
    panic!("an answer without an end")
}

const KINDS: [LlmErrorKind; 8] = [
    LlmErrorKind::Auth,
    LlmErrorKind::NotFound,
    LlmErrorKind::RateLimited,
    LlmErrorKind::Busy,
    LlmErrorKind::Unavailable,
    LlmErrorKind::Timeout,
    LlmErrorKind::InvalidResponse,
    LlmErrorKind::Rejected,
];

#[tokio::test(start_paused = true)]
async fn the_first_backend_answers_while_it_can() {
    let it = backends(true);
    it.a.push(Reply::text("from a"));
    assert_eq!(it.ask().await.expect("an answer"), "from a");
    assert_eq!(it.asked(), (1, 0));
    assert_eq!(it.observer.take(), [Seen::LlmCall("a".into(), false)]);
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_failure_has_its_remedy() {
    use LlmErrorKind::{Busy, RateLimited, Rejected, Unavailable};
    for kind in KINDS {
        let it = backends(true);
        for _ in 0..3 {
            it.a.push(Reply::fails(kind));
        }
        it.b.push(Reply::text("from b"));
        let (answer, asked) = match kind {
            RateLimited | Busy | Unavailable => (Ok("from b".to_owned()), (3, 1)),
            Rejected => (Err(Rejected), (1, 0)),
            _ => (Ok("from b".to_owned()), (1, 1)),
        };
        assert_eq!((it.ask().await, it.asked()), (answer, asked), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_works_is_an_answer() {
    let it = backends(true);
    it.a.push(Reply::fails(LlmErrorKind::Busy));
    it.a.push(Reply::fails(LlmErrorKind::Unavailable));
    it.a.push(Reply::text("at last"));
    assert_eq!(it.ask().await.expect("an answer"), "at last");
    let expected = [("a", true), ("a", true), ("a", false)].map(|(name, failed)| Seen::LlmCall(name.into(), failed));
    assert_eq!(it.observer.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn when_nobody_answers_the_last_failure_is_told() {
    let it = backends(true);
    it.a.push(Reply::fails(LlmErrorKind::Timeout));
    it.b.push(Reply::fails(LlmErrorKind::Auth));
    assert_eq!(it.ask().await, Err(LlmErrorKind::Auth));
    // Alone, too.
    let it = backends(false);
    it.a.push(Reply::fails(LlmErrorKind::Timeout));
    assert_eq!(it.ask().await, Err(LlmErrorKind::Timeout));
    let nobody = Failover::new(vec![], 2, it.clock.clone(), Arc::new(FixedRandom(0.0)), Arc::new(it.observer.clone()));
    let request = it.request(Delivery::Whole, Duration::from_secs(1));
    assert_eq!(read(nobody.stream(&request).await).await.1, Err(LlmErrorKind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn pauses_double_and_half_of_each_is_chance() {
    for (chance, pauses) in [(0.0, [100, 200]), (1.0, [200, 400]), (0.5, [150, 300])] {
        let it = backends_by_chance(false, chance);
        for _ in 0..2 {
            it.a.push(Reply::fails(LlmErrorKind::Unavailable));
        }
        it.a.push(Reply::text("at last"));
        let began = it.clock.moment();
        it.ask().await.expect("an answer");
        let took = it.clock.moment().since(began).as_millis();
        assert!(took.abs_diff(pauses.iter().sum()) <= 2, "{took} ms with chance {chance}");
    }
    let it = backends(false);
    assert_eq!([0, 1, 4, 5, 60].map(|n| it.failover.backoff(n).as_millis()), [200, 400, 3200, 5000, 5000]);
}

#[tokio::test(start_paused = true)]
async fn a_backends_wish_to_be_left_alone_is_honoured() {
    let it = backends(true);
    it.a.push(Reply::throttles(LlmErrorKind::RateLimited, Duration::from_secs(7)));
    it.a.push(Reply::text("at last"));
    let began = it.clock.moment();
    assert_eq!(it.ask().await.expect("an answer"), "at last");
    assert_eq!(it.clock.moment().since(began).as_secs(), 7);
    // A wish for less than our own pause does not shorten it.
    it.a.push(Reply::throttles(LlmErrorKind::RateLimited, Duration::from_millis(1)));
    it.a.push(Reply::text("again"));
    let began = it.clock.moment();
    it.ask().await.expect("an answer");
    assert!(it.clock.moment().since(began) >= Duration::from_millis(200));
}

#[tokio::test(start_paused = true)]
async fn a_pause_beyond_the_deadline_is_not_waited_for() {
    let it = backends(true);
    it.a.push(Reply::throttles(LlmErrorKind::RateLimited, Duration::from_secs(61)));
    it.b.push(Reply::text("from b"));
    let began = it.clock.moment();
    assert_eq!(it.ask().await.expect("an answer"), "from b");
    assert_eq!(it.clock.moment(), began);
    // Nor is our own, shortly before the end.
    it.a.push(Reply::fails(LlmErrorKind::Unavailable));
    it.b.push(Reply::text("from b"));
    assert_eq!(it.ask_within(Duration::from_millis(150)).await.expect("an answer"), "from b");
    assert_eq!(it.clock.moment(), began);
    // With nobody else the failure is told, with the wish, for the client.
    let it = backends(false);
    it.a.push(Reply::throttles(LlmErrorKind::RateLimited, Duration::from_secs(61)));
    let request = it.request(Delivery::Whole, Duration::from_secs(60));
    let error = it.failover.stream(&request).await.err().expect("a failure");
    assert_eq!((error.kind, error.retry_after), (LlmErrorKind::RateLimited, Some(Duration::from_secs(61))));
}

#[tokio::test(start_paused = true)]
async fn after_the_deadline_nobody_is_asked() {
    let it = backends(true);
    it.a.push(Reply::hangs());
    it.b.push(Reply::text("too late"));
    assert_eq!(it.ask().await, Err(LlmErrorKind::Timeout));
    assert_eq!(it.asked(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_retried_after_the_first_part() {
    let it = backends(true);
    it.a.push(Reply::pieces(["half an "]).then_fails(LlmErrorKind::Unavailable));
    let request = it.request(Delivery::Streamed, Duration::from_secs(60));
    let (pieces, end) = read(it.failover.stream(&request).await).await;
    assert_eq!((pieces, end), (vec!["half an ".to_owned()], Err(LlmErrorKind::Unavailable)));
    assert_eq!(it.asked(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn answers_that_break_off_open_the_circuit_whole_ones_do_not() {
    let it = backends(true);
    for times in [FAILURES_TO_OPEN - 1, FAILURES_TO_OPEN] {
        for _ in 0..times {
            it.a.push(Reply::pieces(["half"]).then_fails(LlmErrorKind::Unavailable));
            let request = it.request(Delivery::Streamed, Duration::from_secs(60));
            read(it.failover.stream(&request).await).await.1.expect_err("broken off");
        }
        // One that ends well starts the count anew.
        it.a.push(Reply::pieces(["fi", "ne"]));
        it.b.push(Reply::text("from b"));
        let request = it.request(Delivery::Streamed, Duration::from_secs(60));
        let text = read(it.failover.stream(&request).await).await.1.expect("an answer");
        assert_eq!(text, if times == FAILURES_TO_OPEN { "from b" } else { "fine" });
    }
}

#[tokio::test(start_paused = true)]
async fn five_outages_in_a_row_open_the_circuit_for_ten_seconds() {
    for kind in KINDS {
        let it = backends(true);
        it.fail(kind, 5).await;
        let is_outage = matches!(kind, LlmErrorKind::Unavailable | LlmErrorKind::Timeout);
        assert_eq!(it.observer.take().contains(&Seen::Circuit("a".into(), true)), is_outage, "{kind:?}");
        it.a.push(Reply::text("from a"));
        it.b.push(Reply::text("from b"));
        let expected = if is_outage { "from b" } else { "from a" };
        assert_eq!(it.ask().await.expect("an answer"), expected, "{kind:?}");
        if is_outage {
            assert_eq!(it.failover.status(), LlmStatus::Degraded { backend: "a".into() });
            it.b.push(Reply::text("from b"));
            tokio::time::sleep(OPEN_FOR - Duration::from_millis(1)).await;
            assert_eq!(it.ask().await.expect("an answer"), "from b", "{kind:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(it.ask().await.expect("an answer"), "from a", "{kind:?}");
            assert_eq!(it.observer.take().last(), Some(&Seen::Circuit("a".into(), false)));
        }
        assert_eq!(it.failover.status(), LlmStatus::Ready);
    }
}

#[tokio::test(start_paused = true)]
async fn only_failures_in_a_row_count() {
    let it = backends(true);
    for between in [Reply::text("fine"), Reply::fails(LlmErrorKind::Auth)] {
        it.fail(LlmErrorKind::Unavailable, 4).await;
        it.a.push(between);
        it.b.push(Reply::text("from b"));
        it.ask().await.expect("an answer");
        it.fail(LlmErrorKind::Unavailable, 4).await;
        assert_eq!(it.failover.status(), LlmStatus::Ready);
        it.a.push(Reply::text("fine"));
        assert_eq!(it.ask().await.expect("an answer"), "fine");
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_open_circuit_lets_one_through() {
    let it = backends(true);
    it.fail(LlmErrorKind::Unavailable, 5).await;
    tokio::time::sleep(OPEN_FOR).await;
    it.a.push(Reply::text("from a").after(Duration::from_secs(1)));
    it.b.push(Reply::text("from b"));
    let (trying, other) = join(it.ask(), it.ask()).await;
    assert_eq!((trying, other), (Ok("from a".into()), Ok("from b".into())));
    // It closed.
    assert_eq!(it.observer.take().into_iter().filter(|seen| matches!(seen, Seen::Circuit(..))).count(), 2);
    it.a.push(Reply::text("from a"));
    it.a.push(Reply::text("from a"));
    let (one, other) = join(it.ask(), it.ask()).await;
    assert_eq!((one, other), (Ok("from a".into()), Ok("from a".into())));
}

#[tokio::test(start_paused = true)]
async fn a_half_open_circuit_that_fails_is_open_again() {
    let it = backends(true);
    it.fail(LlmErrorKind::Unavailable, 5).await;
    tokio::time::sleep(OPEN_FOR).await;
    let asked_before = it.asked().0;
    for _ in 0..3 {
        it.a.push(Reply::fails(LlmErrorKind::Timeout));
        it.b.push(Reply::text("from b"));
        assert_eq!(it.ask().await.expect("an answer"), "from b");
    }
    assert_eq!(it.asked().0, asked_before + 1, "one turn tried it");
    tokio::time::sleep(OPEN_FOR).await;
    it.b.push(Reply::text("from b"));
    it.ask().await.expect("an answer");
    assert_eq!(it.asked().0, asked_before + 2);
    let opened: Vec<_> = it.observer.take().into_iter().filter(|seen| matches!(seen, Seen::Circuit(..))).collect();
    assert_eq!(opened, [Seen::Circuit("a".into(), true)], "it opened once");
}

#[tokio::test(start_paused = true)]
async fn the_only_backend_is_always_asked() {
    let it = backends(false);
    it.fail(LlmErrorKind::Unavailable, 5).await;
    assert_eq!(it.failover.status(), LlmStatus::Degraded { backend: "a".into() });
    it.a.push(Reply::text("from a"));
    assert_eq!(it.ask().await.expect("an answer"), "from a");
    assert_eq!(it.failover.status(), LlmStatus::Ready);
}

#[tokio::test(start_paused = true)]
async fn with_all_circuits_open_the_first_is_asked() {
    let it = backends(true);
    for (index, llm) in [&it.a, &it.b].into_iter().enumerate() {
        for _ in 0..5 {
            llm.push(Reply::fails(LlmErrorKind::Timeout));
            let request = it.request(Delivery::Whole, Duration::from_secs(9));
            let _ = it.failover.ask(&it.failover.backends[index], &request).await;
        }
    }
    it.a.push(Reply::text("from a"));
    assert_eq!(it.ask().await.expect("an answer"), "from a");
}

#[tokio::test(start_paused = true)]
async fn dropping_stops_the_attempt_that_runs() {
    let it = backends(true);
    it.a.push(Reply::hangs());
    let request = it.request(Delivery::Streamed, Duration::from_secs(60));
    {
        let mut asking = it.failover.stream(&request);
        assert!(futures_util::poll!(&mut asking).is_pending());
    }
    assert_eq!((it.a.stopped(), it.asked()), (1, (1, 0)));
    it.a.push(Reply::pieces(["first"]).then_hangs());
    let stream = it.failover.stream(&request).await.expect("a first part");
    drop(stream);
    assert_eq!(it.a.stopped(), 2);
}

#[tokio::test(start_paused = true)]
async fn it_is_unconfigured_only_if_all_are() {
    let unconfigured = |name: &str| LlmStatus::Unconfigured { remedy: name.into() };
    let it = backends(true);
    it.a.set_status(unconfigured("set a"));
    assert_eq!(it.failover.status(), LlmStatus::Degraded { backend: "a".into() });
    it.b.set_status(unconfigured("set b"));
    assert_eq!(it.failover.status(), unconfigured("set a"));
    it.a.set_status(LlmStatus::Ready);
    assert_eq!(it.failover.status(), LlmStatus::Degraded { backend: "b".into() });
    it.b.set_status(LlmStatus::Ready);
    assert_eq!(it.failover.status(), LlmStatus::Ready);
}
