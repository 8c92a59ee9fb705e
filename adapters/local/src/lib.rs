//! Everything that needs no infrastructure: one process is enough for a whole service made of these.
//!
//! [`sessions`], [`limits`] and [`bypass`] keep their state in the process's memory; [`spool`] keeps what the archive's
//! database could not take, on disk or in memory; [`system`] is time, chance, identities and background work; [`demo`]
//! and [`unconfigured`] are models that ask nobody.
//!
//! No lock of this crate is held across an await, and none is global on the way of a message.

pub mod bypass;
pub mod demo;
pub mod limits;
pub mod sessions;
pub mod spool;
pub mod system;
pub mod unconfigured;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic elsewhere: nothing here leaves what it guards half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
