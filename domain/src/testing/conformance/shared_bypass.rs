//! The promises of a [`BypassList`] that several processes share.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{
    Held,
    bypass::{network, told},
};
use crate::ports::{Clock, limits::BypassList};

/// A fresh and empty list that can be opened again and again, each time as another process does.
pub struct Subject {
    /// Opens the list once more.
    pub open: Box<dyn Fn() -> BoxFuture<'static, Arc<dyn BypassList>> + Send + Sync>,
    /// A clock to wait by.
    pub clock: Arc<dyn Clock>,
    /// What has to live as long.
    pub held: Held,
}

/// What one process adds another one sees.
pub async fn what_one_adds_the_other_sees_within_a_second(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let (one, other) = ((it.open)().await, (it.open)().await);
    for text in ["203.0.113.7", "2001:db8::7"] {
        one.add(network(text)).await.expect("a network is added");
        told(&*it.clock, &*other, text, true).await;
        told(&*it.clock, &*one, text, true).await;
    }
    assert_eq!(one.list().await.expect("a list"), other.list().await.expect("a list"));
}

/// What one process removes is gone for the other.
pub async fn what_one_removes_the_other_misses_within_a_second(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let (one, other) = ((it.open)().await, (it.open)().await);
    one.add(network("10.0.0.0/8")).await.expect("a network is added");
    told(&*it.clock, &*other, "10.1.2.3", true).await;
    assert!(other.remove(network("10.0.0.0/8")).await.expect("an answer"));
    told(&*it.clock, &*one, "10.1.2.3", false).await;
    told(&*it.clock, &*other, "10.1.2.3", false).await;
    assert!(!one.remove(network("10.0.0.0/8")).await.expect("an answer"));
}

/// A process that starts later, the others gone, sees what was added.
pub async fn a_newcomer_sees_what_is_there(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let first = (it.open)().await;
    first.add(network("203.0.113.7")).await.expect("a network is added");
    drop(first);
    let newcomer = (it.open)().await;
    told(&*it.clock, &*newcomer, "203.0.113.7", true).await;
    assert_eq!(newcomer.list().await.expect("a list"), [network("203.0.113.7")]);
}
