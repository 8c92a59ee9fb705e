//! The service over its databases: what is kept in Redis, MySQL and MongoDB, shared by replicas, and not lost when one of
//! them, or a replica, goes away.
//!
//! A build for one database has the tests of that one alone.

#![expect(clippy::disallowed_methods, reason = "a test's tasks end with its runtime")]
#![cfg_attr(
    not(all(feature = "redis", feature = "mysql", feature = "mongodb")),
    allow(dead_code, reason = "what the tests of other databases need")
)]

mod archive;
mod databases;
mod scene;
mod spool;

// What else is kept in Redis, and replicas, which share it.
#[cfg(feature = "redis")]
mod deletion;
#[cfg(feature = "redis")]
mod faults;
#[cfg(feature = "redis")]
mod load;
#[cfg(feature = "redis")]
mod owners;
#[cfg(feature = "redis")]
mod replicas;
#[cfg(feature = "redis")]
mod shared;
#[cfg(feature = "redis")]
mod stalled;
#[cfg(feature = "redis")]
mod tls;
#[cfg(feature = "redis")]
mod trips;
#[cfg(feature = "redis")]
mod under_load;

// Several of them together.
#[cfg(all(feature = "redis", feature = "mysql", feature = "mongodb"))]
mod dead_letters;
#[cfg(all(feature = "redis", feature = "mysql", feature = "mongodb"))]
mod frozen;
#[cfg(all(feature = "redis", feature = "mysql", feature = "mongodb"))]
mod outage;
#[cfg(all(feature = "redis", feature = "mysql", feature = "mongodb"))]
mod starting;
#[cfg(all(feature = "redis", feature = "mysql", feature = "mongodb"))]
mod tombstones;
#[cfg(all(feature = "redis", feature = "mysql", feature = "mongodb"))]
mod topologies;
