//! Rate limits in process memory: [`LocalLimiter`].

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chat_domain::{
    admission::{self, Bucket, BucketPolicy},
    ports::{
        BoxError, Clock,
        limits::{Decision, Identity, RateLimiter},
    },
    time::Moment,
};

use crate::lock;

/// Identities that never share a lock.
const SHARDS: usize = 64;

/// Buckets of one shard at the most: a million in all, some 80 MiB, are what an attacker with many addresses can make us
/// remember. Beyond it those are forgotten early that would be full the soonest.
const MOST_BUCKETS: usize = 16 * 1024;

/// A shard with fewer buckets is not worth looking through before its time.
const FEW_BUCKETS: usize = 256;

/// Token buckets of one process, all of one rate and burst.
///
/// Buckets that are full again are forgotten by [`LocalLimiter::sweep`], and earlier where many come at once; memory is
/// bounded whatever comes.
pub struct LocalLimiter {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    policy: BucketPolicy,
    clock: Arc<dyn Clock>,
}

struct Shard {
    buckets: HashMap<Identity, Bucket>,
    /// Looked through when it has grown to this: twice of what was left last time, so that it costs little an insertion.
    sweep_at: usize,
}

impl LocalLimiter {
    /// A limiter that has seen nobody.
    pub fn new(policy: BucketPolicy, clock: Arc<dyn Clock>) -> Self {
        let shard = || Mutex::new(Shard { buckets: HashMap::new(), sweep_at: FEW_BUCKETS });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher: RandomState::new(), policy, clock }
    }

    /// Forgets the buckets that are full by `now`. To be called every now and then.
    pub fn sweep(&self, now: Moment) {
        for shard in &self.shards {
            lock(shard).sweep(&self.policy, now);
        }
    }

    /// How many buckets are remembered.
    #[cfg(test)]
    fn buckets(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).buckets.len()).sum()
    }

    fn shard_of(&self, identity: &Identity) -> usize {
        self.hasher.hash_one(identity) as usize % SHARDS
    }
}

impl Shard {
    fn bucket(&self, identity: &Identity, policy: &BucketPolicy, now: Moment) -> Bucket {
        self.buckets.get(identity).copied().unwrap_or_else(|| Bucket::full(policy, now))
    }

    fn keep(&mut self, identity: Identity, bucket: Bucket, policy: &BucketPolicy, now: Moment) {
        if bucket.is_full(policy, now) {
            self.buckets.remove(&identity);
            return;
        }
        self.buckets.insert(identity, bucket);
        if self.buckets.len() >= self.sweep_at {
            self.sweep(policy, now);
        }
    }

    fn sweep(&mut self, policy: &BucketPolicy, now: Moment) {
        // At the last step every bucket is full.
        for eighths in [0, 1, 2, 4, 8] {
            let full_by = now.plus(policy.time_to_fill().saturating_mul(eighths) / 8).plus(ROUNDING * eighths);
            self.buckets.retain(|_, bucket| !bucket.is_full(policy, full_by));
            // Short of the bound by a quarter: the next sweep is as many insertions away.
            if self.buckets.len() <= MOST_BUCKETS / 4 * 3 {
                break;
            }
        }
        self.sweep_at = (2 * self.buckets.len()).clamp(FEW_BUCKETS, MOST_BUCKETS);
        if self.buckets.capacity() > 4 * self.sweep_at {
            self.buckets.shrink_to(self.sweep_at);
        }
    }
}

/// A fill time is rounded to nanoseconds; a bucket must not be called full too late for it.
const ROUNDING: Duration = Duration::from_micros(1);

#[async_trait]
impl RateLimiter for LocalLimiter {
    async fn take(&self, identities: &[Identity]) -> Result<Decision, BoxError> {
        // Where no keys are shown, all requests come with an address alone.
        if let [identity] = identities {
            let now = self.clock.moment();
            let mut shard = lock(&self.shards[self.shard_of(identity)]);
            let mut bucket = shard.bucket(identity, &self.policy, now);
            let decision = admission::take(&mut [&mut bucket], &self.policy, now);
            shard.keep(*identity, bucket, &self.policy, now);
            return Ok(decision);
        }
        // Each once, by shard: two requests that need the same two locks take them in the same order.
        let mut placed: Vec<(usize, Identity)> = Vec::with_capacity(identities.len());
        for identity in identities {
            if !placed.iter().any(|(_, known)| known == identity) {
                placed.push((self.shard_of(identity), *identity));
            }
        }
        placed.sort_by_key(|(shard, _)| *shard);
        let now = self.clock.moment();
        let mut groups: Vec<_> = placed
            .chunk_by(|one, other| one.0 == other.0)
            .map(|group| (lock(&self.shards[group[0].0]), group))
            .collect();

        let mut buckets: Vec<Bucket> = groups
            .iter()
            .flat_map(|(shard, group)| group.iter().map(|(_, identity)| shard.bucket(identity, &self.policy, now)))
            .collect();
        let decision = admission::take(&mut buckets.iter_mut().collect::<Vec<_>>(), &self.policy, now);
        let mut buckets = buckets.into_iter();
        for (shard, group) in &mut groups {
            for ((_, identity), bucket) in group.iter().zip(&mut buckets) {
                shard.keep(*identity, bucket, &self.policy, now);
            }
        }
        Ok(decision)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's tasks end with its runtime")]
mod tests {
    use super::*;
    use crate::system::SystemClock;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use chat_domain::session::KeyHash;

    fn limiter(rate: f64, burst: u32) -> Arc<LocalLimiter> {
        let policy = BucketPolicy::new(rate, burst).expect("a policy");
        Arc::new(LocalLimiter::new(policy, Arc::new(SystemClock::new())))
    }

    fn ip(number: u32) -> Identity {
        Identity::Ip(IpAddr::V4(Ipv4Addr::from(number)))
    }

    fn key(number: u8) -> Identity {
        Identity::Key(KeyHash([number; 32]))
    }

    async fn passes(limiter: &LocalLimiter, identities: &[Identity]) -> bool {
        limiter.take(identities).await.expect("never fails") == Decision::Allow
    }

    #[tokio::test(start_paused = true)]
    async fn both_or_neither() {
        let limiter = limiter(1.0, 2);
        assert!(passes(&limiter, &[ip(1), key(1)]).await);
        assert!(passes(&limiter, &[ip(1)]).await);
        // The address has nothing left, so the key keeps its token.
        assert!(!passes(&limiter, &[ip(1), key(1)]).await);
        assert!(!passes(&limiter, &[key(1), ip(1)]).await);
        assert!(passes(&limiter, &[ip(2), key(1)]).await);
        assert!(!passes(&limiter, &[ip(3), key(1)]).await);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(passes(&limiter, &[key(1), ip(1)]).await);
        assert!(!passes(&limiter, &[ip(1)]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_and_one_named_twice() {
        let limiter = limiter(1.0, 1);
        assert!(passes(&limiter, &[]).await);
        assert!(passes(&limiter, &[ip(1), ip(1)]).await);
        assert!(!passes(&limiter, &[ip(1), ip(1)]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_as_long_as_told_suffices() {
        let limiter = limiter(3.0, 1);
        for _ in 0..50 {
            assert!(passes(&limiter, &[ip(1)]).await);
            let Ok(Decision::Refuse { retry_after }) = limiter.take(&[ip(1)]).await else { panic!("nothing is left") };
            tokio::time::advance(retry_after).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn full_buckets_are_forgotten() {
        let limiter = limiter(10.0, 5);
        for number in 0..1000 {
            passes(&limiter, &[ip(number), key(1)]).await;
        }
        assert!(limiter.buckets() >= 5);
        tokio::time::advance(Duration::from_millis(501)).await;
        limiter.sweep(limiter.clock.moment());
        assert_eq!(limiter.buckets(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_refused_of_unknown_identities_leave_nothing() {
        let limiter = limiter(1.0, 1);
        assert!(passes(&limiter, &[key(1)]).await);
        for number in 0..1000 {
            assert!(!passes(&limiter, &[ip(number), key(1)]).await);
        }
        assert_eq!(limiter.buckets(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_the_emptiest_are_remembered_under_attack() {
        // So slow a rate that nothing fills up meanwhile.
        let limiter = limiter(0.001, 10);
        let steady = ip(u32::MAX);
        for _ in 0..10 {
            assert!(passes(&limiter, &[steady]).await);
        }
        let many = (0..u128::MAX).map(|number| Identity::Ip(IpAddr::V6(Ipv6Addr::from(number << 64))));
        let same_shard = many.filter(|identity| limiter.shard_of(identity) == limiter.shard_of(&steady));
        for identity in same_shard.take(5 * MOST_BUCKETS / 2) {
            passes(&limiter, &[identity]).await;
        }
        assert!((1_000..=MOST_BUCKETS).contains(&limiter.buckets()), "{}", limiter.buckets());
        assert!(!passes(&limiter, &[steady]).await, "an exhausted bucket was forgotten before fuller ones");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn two_never_pass_on_one_token() {
        let limiter = limiter(1e-6, 100);
        let tasks: Vec<_> = (0..32u8)
            .map(|number| {
                let limiter = limiter.clone();
                tokio::spawn(async move {
                    let mut passed = 0;
                    for round in 0..100u32 {
                        // Every order of every pair of shards: a deadlock would show.
                        let mut pair = [key(0), ip(u32::from(number) + round % 7)];
                        if round % 2 == 0 {
                            pair.reverse();
                        }
                        passed += usize::from(passes(&limiter, &pair).await);
                    }
                    passed
                })
            })
            .collect();
        let mut passed = 0;
        for task in tasks {
            passed += task.await.expect("no panic");
        }
        assert_eq!(passed, 100);
    }
}
