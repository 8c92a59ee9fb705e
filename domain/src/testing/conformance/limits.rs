//! The promises of [`RateLimiter`], first of all that it decides as [`take`](crate::admission::take) does.

use std::{cell::Cell, net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};

use super::{Advance, Held};
use crate::{
    admission::BucketPolicy,
    ports::{
        Clock,
        limits::{Decision, Identity, RateLimiter},
    },
    testing::samples::key,
};

/// A limiter that has seen nobody yet, of the policy the factory was given.
pub struct Subject {
    /// The limiter.
    pub limiter: Arc<dyn RateLimiter>,
    /// A clock to measure by.
    pub clock: Arc<dyn Clock>,
    /// Lets the limiter's time pass.
    pub advance: Advance,
    /// What its time may be off by: zero with a fake clock, some tens of milliseconds with a server's own.
    pub slack: Duration,
    /// What has to live as long.
    pub held: Held,
}

impl Subject {
    /// A limiter that tells the time by a clock of ours, which is waited for.
    pub fn new(limiter: Arc<dyn RateLimiter>, clock: Arc<dyn Clock>) -> Self {
        let sleeper = clock.clone();
        let advance = move |time| sleeper.sleep_until(sleeper.moment().plus(time));
        Self { limiter, clock, advance: Box::new(advance), slack: Duration::ZERO, held: Box::new(()) }
    }

    /// The same, with a clock that is not to be had: some of what is exact elsewhere is told within `slack`.
    #[must_use]
    pub fn within(mut self, slack: Duration) -> Self {
        self.slack = slack;
        self
    }

    /// The same, keeping something alive.
    #[must_use]
    pub fn holding(mut self, held: impl std::any::Any + Send) -> Self {
        self.held = Box::new(held);
        self
    }

    async fn take(&self, who: &[Identity]) -> Decision {
        self.limiter.take(who).await.expect("the limiter answers")
    }

    /// That it decides as expected, or what is wrong.
    fn check(&self, what: &str, decision: Decision, expected: Decision) -> Result<(), String> {
        let fits = match (decision, expected) {
            (Decision::Allow, Decision::Allow) => true,
            (Decision::Refuse { retry_after }, Decision::Refuse { retry_after: told }) => {
                // A millisecond for stores that count in them.
                retry_after > Duration::ZERO && retry_after.abs_diff(told) <= self.slack.max(Duration::from_millis(1))
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(format!("{what}: {decision:?}, and not {expected:?}")) }
    }
}

/// How often what happens in time is tried on a machine that is too busy for it.
const TRIES: usize = 20;

/// Lets the requests of a scenario come when they should. What goes wrong in time is wrong; where half of the slack was
/// spent on a busy machine, a fresh limiter is asked again.
async fn in_time(
    make: impl AsyncFn() -> Subject,
    scenario: impl AsyncFn(&Subject, &dyn Fn(Duration) -> BoxFuture<'static, ()>) -> Result<(), String>,
) {
    for left in (0..TRIES).rev() {
        let it = make().await;
        let (began, passed) = (it.clock.moment(), Cell::new(Duration::ZERO));
        let pass = |time| {
            passed.set(passed.get() + time);
            (it.advance)(time)
        };
        let Err(wrong) = scenario(&it, &pass).await else { return };
        let late = it.clock.moment().since(began).saturating_sub(passed.get());
        assert!(left > 0 && late > it.slack / 2, "{wrong} (late by {late:?})");
    }
}

/// One row: a policy, and what happens under it.
#[derive(Debug)]
pub struct Scenario {
    /// What it shows.
    pub shows: &'static str,
    /// Requests a second.
    pub rate: f64,
    /// Requests at once.
    pub burst: u32,
    /// What happens, in order.
    pub steps: &'static [Step],
}

/// So many milliseconds later somebody asks, and is told.
#[derive(Debug)]
pub struct Step {
    /// After the step before it.
    pub after_ms: u64,
    /// The address that asks, by its last byte.
    pub address: u8,
    /// The key that it shows.
    pub key: Option<u8>,
    /// What it is told: to pass, or to wait for so many milliseconds.
    pub told: Told,
}

/// A decision of the table.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    /// It may pass.
    Pass,
    /// Not before so many milliseconds.
    Wait(u64),
}

const fn step(after_ms: u64, address: u8, key: Option<u8>, told: Told) -> Step {
    Step { after_ms, address, key, told }
}

/// What token buckets decide: the one table every limiter, and [`take`](crate::admission::take) itself, is held to.
/// Waits are hundreds of milliseconds apart, so that a real clock does not blur them.
pub const TABLE: &[Scenario] = &[
    Scenario {
        shows: "a burst passes, then one a period",
        rate: 1.0,
        burst: 3,
        steps: &[
            step(0, 1, None, Told::Pass),
            step(0, 1, None, Told::Pass),
            step(0, 1, None, Told::Pass),
            step(0, 1, None, Told::Wait(1000)),
            step(400, 1, None, Told::Wait(600)),
            step(700, 1, None, Told::Pass),
            step(0, 1, None, Told::Wait(900)),
        ],
    },
    Scenario {
        shows: "a bucket holds no more than its burst",
        rate: 4.0,
        burst: 2,
        steps: &[
            step(0, 1, None, Told::Pass),
            step(1500, 1, None, Told::Pass),
            step(0, 1, None, Told::Pass),
            step(0, 1, None, Told::Wait(250)),
        ],
    },
    Scenario {
        shows: "both buckets must have a token, and a refusal takes of neither",
        rate: 0.5,
        burst: 2,
        steps: &[
            step(0, 1, Some(7), Told::Pass),
            step(0, 1, Some(7), Told::Pass),
            // The address is empty: the other key keeps its tokens.
            step(0, 1, Some(8), Told::Wait(2000)),
            step(0, 1, Some(8), Told::Wait(2000)),
            step(0, 2, Some(8), Told::Pass),
            step(0, 3, Some(8), Told::Pass),
            // The key is empty: the other addresses keep theirs.
            step(0, 4, Some(8), Told::Wait(2000)),
            step(0, 4, None, Told::Pass),
            step(0, 4, None, Told::Pass),
            step(0, 4, None, Told::Wait(2000)),
        ],
    },
    Scenario {
        shows: "of two empty buckets the emptier one says how long",
        rate: 0.5,
        burst: 1,
        steps: &[
            step(0, 1, None, Told::Pass),
            step(800, 2, Some(7), Told::Pass),
            step(0, 1, Some(7), Told::Wait(2000)),
            step(0, 1, None, Told::Wait(1200)),
        ],
    },
    Scenario {
        shows: "a slow rate keeps its fractions",
        rate: 0.1,
        burst: 1,
        steps: &[
            step(0, 1, None, Told::Pass),
            step(300, 1, None, Told::Wait(9700)),
            step(300, 1, None, Told::Wait(9400)),
        ],
    },
];

impl Step {
    /// Who asks.
    pub fn identities(&self) -> Vec<Identity> {
        let address = Identity::Ip(IpAddr::from([203, 0, 113, self.address]));
        [Some(address), self.key.map(|byte| Identity::Key(key(byte)))].into_iter().flatten().collect()
    }

    /// What it is told.
    pub fn decision(&self) -> Decision {
        match self.told {
            Told::Pass => Decision::Allow,
            Told::Wait(millis) => Decision::Refuse { retry_after: Duration::from_millis(millis) },
        }
    }
}

fn policy(rate: f64, burst: u32) -> BucketPolicy {
    BucketPolicy::new(rate, burst).expect("a policy that lets something through")
}

fn address(byte: u8) -> [Identity; 1] {
    [Identity::Ip(IpAddr::from([198, 51, 100, byte]))]
}

/// It decides as the [`TABLE`] says.
pub async fn it_decides_as_the_table_says(make: impl AsyncFn(BucketPolicy) -> Subject) {
    for scenario in TABLE {
        let fresh = async || make(policy(scenario.rate, scenario.burst)).await;
        in_time(fresh, async |it, pass| {
            for (index, step) in scenario.steps.iter().enumerate() {
                if step.after_ms > 0 {
                    pass(Duration::from_millis(step.after_ms)).await;
                }
                let what = format!("{}, step {index}", scenario.shows);
                it.check(&what, it.take(&step.identities()).await, step.decision())?;
            }
            Ok(())
        })
        .await;
    }
}

/// Who waits exactly as long as it was told passes.
pub async fn who_waits_as_told_passes(make: impl AsyncFn(BucketPolicy) -> Subject) {
    // Rates whose periods are no round numbers, binary or decimal.
    for rate in [3.0, 7.0, 11.0] {
        in_time(
            async || make(policy(rate, 1)).await,
            async |it, pass| {
                it.check("the first", it.take(&address(1)).await, Decision::Allow)?;
                for _ in 0..5 {
                    let refused = it.take(&address(1)).await;
                    let Decision::Refuse { retry_after } = refused else { return Err("one token too many".into()) };
                    pass(retry_after).await;
                    let what = format!("after {retry_after:?} at {rate}/s");
                    it.check(&what, it.take(&address(1)).await, Decision::Allow)?;
                }
                Ok(())
            },
        )
        .await;
    }
}

/// A refused request does not make the next one wait longer.
pub async fn a_refused_request_takes_nothing(make: impl AsyncFn(BucketPolicy) -> Subject) {
    in_time(
        async || make(policy(1.0, 1)).await,
        async |it, pass| {
            it.check("the first", it.take(&address(1)).await, Decision::Allow)?;
            for _ in 0..20 {
                it.check(
                    "refused",
                    it.take(&address(1)).await,
                    Decision::Refuse { retry_after: Duration::from_secs(1) },
                )?;
            }
            pass(Duration::from_millis(1050)).await;
            it.check("a second later", it.take(&address(1)).await, Decision::Allow)
        },
    )
    .await;
}

/// Every identity has a bucket of its own: a key is not the address of the same bytes, and no address another's.
pub async fn identities_are_limited_apart(make: impl AsyncFn(BucketPolicy) -> Subject) {
    let it = make(policy(0.1, 1)).await;
    let six = |text: &str| Identity::Ip(text.parse().expect("an address"));
    let everybody = [
        address(1)[0],
        address(2)[0],
        six("2001:db8::1"),
        six("2001:db8::2"),
        Identity::Key(key(1)),
        Identity::Key(key(2)),
    ];
    for who in everybody {
        assert_eq!(it.take(&[who]).await, Decision::Allow, "{who:?}");
        assert_ne!(it.take(&[who]).await, Decision::Allow, "{who:?}");
    }
}

/// Of many requests at once as many pass as there are tokens.
pub async fn two_requests_never_pass_on_one_token(make: impl AsyncFn(BucketPolicy) -> Subject) {
    let it = make(policy(0.05, 10)).await;
    let key = Identity::Key(key(9));
    let asking = (0..40).map(|n| {
        let (it, who) = (&it, [address(n)[0], key]);
        async move { it.take(&who).await }
    });
    let passed = join_all(asking).await.into_iter().filter(|decision| *decision == Decision::Allow).count();
    assert_eq!(passed, 10);
}
