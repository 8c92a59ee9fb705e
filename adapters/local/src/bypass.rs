//! Who is not limited, in process memory: [`LocalBypass`].

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use chat_domain::{
    admission::canonical,
    ports::{BoxError, limits::BypassList},
};
use ipnet::IpNet;

/// Addresses and networks that are not limited, for as long as this process runs. Most services have none: asking an
/// empty list costs one load.
#[derive(Default)]
pub struct LocalBypass {
    is_used: AtomicBool,
    entries: RwLock<Entries>,
}

#[derive(Default)]
struct Entries {
    /// Networks of one address, found at once however many there are.
    addresses: HashSet<IpAddr>,
    /// The others: few, looked through.
    networks: Vec<IpNet>,
}

impl LocalBypass {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut entries);
        self.is_used.store(!entries.addresses.is_empty() || !entries.networks.is_empty(), Ordering::Release);
        changed
    }
}

/// The address, if the network is one address.
fn single(network: IpNet) -> Option<IpAddr> {
    (network.prefix_len() == network.max_prefix_len()).then(|| network.addr())
}

#[async_trait]
impl BypassList for LocalBypass {
    fn contains(&self, address: IpAddr) -> bool {
        if !self.is_used.load(Ordering::Acquire) {
            return false;
        }
        let address = canonical(address);
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.addresses.contains(&address) || entries.networks.iter().any(|network| network.contains(&address))
    }

    async fn list(&self) -> Result<Vec<IpNet>, BoxError> {
        let mut list: Vec<IpNet> = {
            let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
            entries.addresses.iter().copied().map(IpNet::from).chain(entries.networks.iter().copied()).collect()
        };
        list.sort_unstable();
        Ok(list)
    }

    async fn add(&self, network: IpNet) -> Result<(), BoxError> {
        self.change(|entries| match single(network) {
            Some(address) => {
                entries.addresses.insert(address);
            }
            None if entries.networks.contains(&network) => {}
            None => entries.networks.push(network),
        });
        Ok(())
    }

    async fn remove(&self, network: IpNet) -> Result<bool, BoxError> {
        Ok(self.change(|entries| match single(network) {
            Some(address) => entries.addresses.remove(&address),
            None => {
                let before = entries.networks.len();
                entries.networks.retain(|known| *known != network);
                entries.networks.len() < before
            }
        }))
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
