//! The service over its databases: what is kept in Redis, MySQL and MongoDB, shared by replicas, and not lost when one of
//! them, or a replica, goes away.

#![expect(clippy::disallowed_methods, reason = "a test's tasks end with its runtime")]

mod archive;
mod databases;
mod dead_letters;
mod deletion;
mod faults;
mod frozen;
mod load;
mod outage;
mod owners;
mod replicas;
mod scene;
mod shared;
mod spool;
mod starting;
mod tls;
mod tombstones;
mod topologies;
mod trips;
mod under_load;
