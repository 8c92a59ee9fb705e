//! The promises of [`BypassList`] that every list keeps.

use std::{net::IpAddr, sync::Arc, time::Duration};

use ipnet::IpNet;

use super::{Held, eventually_within};
use crate::{
    admission::parse_network,
    ports::{Clock, limits::BypassList},
};

/// A fresh and empty list.
pub struct Subject {
    /// The list.
    pub list: Arc<dyn BypassList>,
    /// A clock to wait by.
    pub clock: Arc<dyn Clock>,
    /// What has to live as long.
    pub held: Held,
}

impl Subject {
    /// A list and a clock.
    pub fn new(list: Arc<dyn BypassList>, clock: Arc<dyn Clock>) -> Self {
        Self { list, clock, held: Box::new(()) }
    }

    /// The same, keeping something alive.
    #[must_use]
    pub fn holding(mut self, held: impl std::any::Any + Send) -> Self {
        self.held = Box::new(held);
        self
    }

    async fn add(&self, networks: &[&str]) {
        for text in networks {
            self.list.add(network(text)).await.expect("a network is added");
        }
    }

    async fn remove(&self, text: &str) -> bool {
        self.list.remove(network(text)).await.expect("an answer")
    }

    async fn listed(&self) -> Vec<String> {
        let networks = self.list.list().await.expect("a list");
        networks.iter().map(crate::admission::show_network).collect()
    }

    async fn contains(&self, text: &str, expected: bool) {
        told(&*self.clock, &*self.list, text, expected).await;
    }
}

/// How long a change may take to be seen.
const WITHIN: Duration = Duration::from_secs(1);

pub(super) fn network(text: &str) -> IpNet {
    parse_network(text).expect("a network")
}

/// That the list tells of an address as expected, within the second.
pub(super) async fn told(clock: &dyn Clock, list: &dyn BypassList, text: &str, expected: bool) {
    let address: IpAddr = text.parse().expect("an address");
    let what = format!("{text} is {}in the list", if expected { "" } else { "not " });
    eventually_within(clock, WITHIN, &what, async || list.contains(address) == expected).await;
}

/// A list that nothing was added to holds nobody.
pub async fn an_empty_list_holds_nobody(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    assert_eq!(it.listed().await, [""; 0]);
    for text in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
        assert!(!it.list.contains(text.parse().expect("an address")), "{text}");
    }
}

/// What was added is there, until it is removed.
pub async fn what_was_added_is_contained_and_listed(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    it.add(&["203.0.113.7", "2001:db8::7"]).await;
    it.contains("203.0.113.7", true).await;
    it.contains("2001:db8::7", true).await;
    it.contains("203.0.113.8", false).await;
    it.contains("2001:db8::8", false).await;
    assert_eq!(it.listed().await, ["203.0.113.7", "2001:db8::7"]);
    assert!(it.remove("203.0.113.7").await);
    it.contains("203.0.113.7", false).await;
    it.contains("2001:db8::7", true).await;
    assert_eq!(it.listed().await, ["2001:db8::7"]);
}

/// A network holds the addresses in it and no others.
pub async fn a_network_contains_its_addresses(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    it.add(&["10.1.0.0/16", "2001:db8:1::/48"]).await;
    for (text, expected) in [
        ("10.1.0.0", true),
        ("10.1.255.255", true),
        ("10.2.0.0", false),
        ("10.0.255.255", false),
        ("2001:db8:1:ffff::1", true),
        ("2001:db8:2::1", false),
        // The same bits in the other family are another address.
        ("::a01:1", false),
    ] {
        it.contains(text, expected).await;
    }
}

/// What is added a second time is there once, and gone when removed once.
pub async fn adding_twice_is_adding_once(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    it.add(&["203.0.113.7", "203.0.113.7"]).await;
    assert_eq!(it.listed().await, ["203.0.113.7"]);
    assert!(it.remove("203.0.113.7").await);
    assert!(!it.remove("203.0.113.7").await);
    it.contains("203.0.113.7", false).await;
}

/// Removing a part of a network, or one around it, removes nothing.
pub async fn a_network_is_taken_out_as_it_was_put_in(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    it.add(&["10.1.0.0/16", "10.1.2.3"]).await;
    for text in ["10.1.0.0/24", "10.0.0.0/8", "10.1.2.4", "10.1.0.0"] {
        assert!(!it.remove(text).await, "{text}");
    }
    assert!(it.remove("10.1.0.0/16").await);
    it.contains("10.1.9.9", false).await;
    it.contains("10.1.2.3", true).await;
    assert_eq!(it.listed().await, ["10.1.2.3"]);
}

/// The list is sorted, in whatever order it was made: as networks sort.
pub async fn the_list_is_sorted(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let texts = ["2001:db8::/32", "10.0.0.0/8", "9.9.9.9", "203.0.113.7", "10.0.0.1", "::1"];
    it.add(&texts).await;
    let mut expected: Vec<IpNet> = texts.map(network).into();
    expected.sort();
    assert_eq!(it.list.list().await.expect("a list"), expected);
}
