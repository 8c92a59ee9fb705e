//! Who may ask how often: [`RateLimiter`] and [`BypassList`].

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use ipnet::IpNet;

use super::BoxError;
use crate::session::KeyHash;

/// Somebody who is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity {
    /// By address.
    Ip(IpAddr),
    /// By API key.
    Key(KeyHash),
}

/// Whether a request may pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// It may.
    Allow,
    /// Not before this time has passed; more than zero.
    Refuse {
        /// When it is worth trying again.
        retry_after: Duration,
    },
}

/// Token buckets, one an identity, all of one rate and burst (see [`crate::admission::BucketPolicy`]).
///
/// # Promises
/// - A request passes only if the buckets of all its identities have a token, and then takes one of each; refused, it
///   takes none. That is one step: two requests never pass on one token.
/// - It decides as [`crate::admission::take`] does.
/// - A bucket that is full again is forgotten: memory does not grow with the identities ever seen.
#[async_trait]
pub trait RateLimiter: Send + Sync {
    /// Decides about a request of these identities.
    async fn take(&self, identities: &[Identity]) -> Result<Decision, BoxError>;
}

/// Addresses and networks that are not limited.
///
/// # Promises
/// - What was added is there for every process that shares the list, within the second, and after a restart where the
///   list outlives the process.
/// - [`BypassList::contains`] is a look at a snapshot: it neither waits nor does I/O.
#[async_trait]
pub trait BypassList: Send + Sync {
    /// Whether this address is in the list, alone or in a network.
    fn contains(&self, address: IpAddr) -> bool;

    /// The list, sorted.
    async fn list(&self) -> Result<Vec<IpNet>, BoxError>;

    /// Puts a network in; a single address is a network of its own.
    async fn add(&self, network: IpNet) -> Result<(), BoxError>;

    /// Takes a network out; false if it is not in. A network is only taken out as it was put in.
    async fn remove(&self, network: IpNet) -> Result<bool, BoxError>;
}
