//! Who is not limited, in process memory: [`LocalBypass`].

use std::{
    net::IpAddr,
    sync::{
        PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use chat_domain::{
    admission::NetworkSet,
    ports::{BoxError, limits::BypassList},
};
use ipnet::IpNet;

/// Addresses and networks that are not limited, for as long as this process runs. Most services have none: asking an
/// empty list costs one load.
#[derive(Default)]
pub struct LocalBypass {
    is_used: AtomicBool,
    entries: RwLock<NetworkSet>,
}

impl LocalBypass {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    fn change<T>(&self, change: impl FnOnce(&mut NetworkSet) -> T) -> T {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut entries);
        self.is_used.store(!entries.is_empty(), Ordering::Release);
        changed
    }

    fn entries(&self) -> RwLockReadGuard<'_, NetworkSet> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BypassList for LocalBypass {
    fn contains(&self, address: IpAddr) -> bool {
        self.is_used.load(Ordering::Acquire) && self.entries().contains(address)
    }

    async fn list(&self) -> Result<Vec<IpNet>, BoxError> {
        Ok(self.entries().list())
    }

    async fn add(&self, network: IpNet) -> Result<(), BoxError> {
        self.change(|entries| entries.insert(network));
        Ok(())
    }

    async fn remove(&self, network: IpNet) -> Result<bool, BoxError> {
        Ok(self.change(|entries| entries.remove(network)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_domain::admission::{parse_network, show_network};

    fn network(text: &str) -> IpNet {
        parse_network(text).expect("a network")
    }

    fn holds(list: &LocalBypass, address: &str) -> bool {
        list.contains(address.parse().expect("an address"))
    }

    #[tokio::test]
    async fn addresses_and_networks_go_in_and_out() {
        let list = LocalBypass::new();
        assert!(!holds(&list, "10.0.0.1"));
        for text in ["2001:db8::/32", "10.0.0.1", "192.168.0.0/16", "10.0.0.1", "192.168.0.0/16"] {
            list.add(network(text)).await.expect("added");
        }
        let shown: Vec<String> = list.list().await.expect("a list").iter().map(show_network).collect();
        assert_eq!(shown, ["10.0.0.1", "192.168.0.0/16", "2001:db8::/32"]);
        assert!(holds(&list, "10.0.0.1") && holds(&list, "::ffff:10.0.0.1") && holds(&list, "192.168.255.255"));
        assert!(holds(&list, "2001:db8:ffff::1") && !holds(&list, "10.0.0.2") && !holds(&list, "2001:db9::1"));

        assert!(!list.remove(network("192.168.0.0/17")).await.expect("an answer"));
        assert!(!list.remove(network("192.168.0.1")).await.expect("an answer"));
        for text in ["192.168.0.0/16", "10.0.0.1", "2001:db8::/32"] {
            assert!(list.remove(network(text)).await.expect("an answer"), "{text}");
            assert!(!list.remove(network(text)).await.expect("an answer"), "{text}");
        }
        assert!(!holds(&list, "10.0.0.1") && !list.is_used.load(Ordering::Relaxed));
    }
}
