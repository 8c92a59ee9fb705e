//! [`MemoryLimiter`] and [`MemoryBypass`].

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use ipnet::IpNet;

use crate::{
    admission::{Bucket, BucketPolicy, take},
    ports::{
        BoxError, Clock,
        limits::{BypassList, Decision, Identity, RateLimiter},
    },
};

/// A limiter over [`take`] itself.
pub struct MemoryLimiter {
    policy: BucketPolicy,
    clock: Arc<dyn Clock>,
    buckets: Mutex<HashMap<Identity, Bucket>>,
    away: AtomicBool,
}

impl MemoryLimiter {
    /// A limiter that has seen nobody.
    pub fn new(policy: BucketPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { policy, clock, buckets: Mutex::default(), away: AtomicBool::new(false) }
    }

    /// From now on it does not answer, or does again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// How many buckets it keeps.
    pub fn buckets(&self) -> usize {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[async_trait]
impl RateLimiter for MemoryLimiter {
    async fn take(&self, identities: &[Identity]) -> Result<Decision, BoxError> {
        if self.away.load(Ordering::SeqCst) {
            return Err("the limiter is away".into());
        }
        let now = self.clock.moment();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket::full(&self.policy, now);
        let mut own: Vec<Bucket> = identities.iter().map(|who| *buckets.get(who).unwrap_or(&full)).collect();
        let decision = take(&mut own.iter_mut().collect::<Vec<_>>(), &self.policy, now);
        buckets.extend(identities.iter().copied().zip(own));
        buckets.retain(|_, bucket| !bucket.is_full(&self.policy, now));
        Ok(decision)
    }
}

/// A list of its own.
#[derive(Default)]
pub struct MemoryBypass(Mutex<BTreeSet<IpNet>>);

impl MemoryBypass {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<IpNet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BypassList for MemoryBypass {
    fn contains(&self, address: IpAddr) -> bool {
        self.lock().iter().any(|network| network.contains(&address))
    }

    async fn list(&self) -> Result<Vec<IpNet>, BoxError> {
        Ok(self.lock().iter().copied().collect())
    }

    async fn add(&self, network: IpNet) -> Result<(), BoxError> {
        self.lock().insert(network);
        Ok(())
    }

    async fn remove(&self, network: IpNet) -> Result<bool, BoxError> {
        Ok(self.lock().remove(&network))
    }
}
