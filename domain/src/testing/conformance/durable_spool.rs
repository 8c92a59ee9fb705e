//! The promises of a [`Spool`] that outlives its process.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{
    Held,
    spool::{holds, operations},
};
use crate::ports::history::{Spool, SpoolError, SpoolId};

/// A fresh and empty spool that can be opened again, as the next process does, once the one before it is dropped.
pub struct Subject {
    /// Opens it.
    pub open: Box<dyn Fn() -> BoxFuture<'static, Arc<dyn Spool>> + Send + Sync>,
    /// Damages what it holds under an id, as a broken disk would; nobody has it open.
    pub damage: Box<dyn Fn(SpoolId) + Send + Sync>,
    /// What has to live as long.
    pub held: Held,
}

/// It says that it is durable.
pub async fn it_says_that_it_is_durable(make: impl AsyncFn() -> Subject) {
    assert!((make().await.open)().await.is_durable());
}

/// What one process was told is kept the next one finds, in order.
pub async fn the_next_process_finds_what_was_appended(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let ops = operations();
    let mut expected = Vec::new();
    for op in &ops {
        let spool = (it.open)().await;
        expected.push((spool.append(op).await.expect("an operation is kept"), op));
        holds(&*spool, &expected).await;
    }
    for _ in 0..2 {
        holds(&*(it.open)().await, &expected).await;
    }
}

/// The next process's ids are later than those of the one before it, also than those of what is gone.
pub async fn ids_increase_over_processes(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let mut last = None;
    for op in &operations() {
        let spool = (it.open)().await;
        let (kept, gone) = (spool.append(op).await.expect("kept"), spool.append(op).await.expect("kept"));
        assert!(last < Some(kept) && kept < gone);
        spool.remove(gone).await.expect("a removal");
        last = Some(kept);
    }
}

/// What was removed or buried does not come back with the next process.
pub async fn what_was_removed_or_buried_stays_away(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let ops = operations();
    let spool = (it.open)().await;
    let mut ids = Vec::new();
    for op in &ops {
        ids.push(spool.append(op).await.expect("an operation is kept"));
    }
    spool.remove(ids[0]).await.expect("a removal");
    spool.bury(ids[2], "never").await.expect("a burial");
    drop(spool);
    holds(&*(it.open)().await, &[(ids[1], &ops[1]), (ids[3], &ops[3])]).await;
}

/// A record that was damaged is told to be, can be buried, and harms no other.
pub async fn a_damaged_record_is_told_and_harms_no_other(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let ops = operations();
    let spool = (it.open)().await;
    let mut ids = Vec::new();
    for op in &ops {
        ids.push(spool.append(op).await.expect("an operation is kept"));
    }
    drop(spool);
    (it.damage)(ids[1]);
    let spool = (it.open)().await;
    // Whether its session can still be told is the disk's matter; that it is there has to be known, for an operator.
    let pending: Vec<_> = spool.pending().await.expect("a list").into_iter().map(|(id, _)| id).collect();
    if pending.contains(&ids[1]) {
        let loaded = spool.load(ids[1]).await;
        assert!(matches!(loaded, Err(SpoolError::Corrupt(_))), "{loaded:?}");
        spool.bury(ids[1], "unreadable").await.expect("a burial");
    }
    holds(&*spool, &[(ids[0], &ops[0]), (ids[2], &ops[2]), (ids[3], &ops[3])]).await;
    let next = spool.append(&ops[1]).await.expect("an operation is kept");
    assert!(next > ids[3]);
}
