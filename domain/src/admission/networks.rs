//! Addresses and networks that are asked for with every request: [`NetworkSet`].

use std::{collections::HashSet, net::IpAddr};

use ipnet::IpNet;

use super::canonical;

/// Addresses and networks, each once and in its one form ([`parse_network`](super::parse_network)).
#[derive(Debug, Clone, Default)]
pub struct NetworkSet {
    /// Networks of one address, found at once however many there are.
    addresses: HashSet<IpAddr>,
    /// The others: few, looked through.
    networks: Vec<IpNet>,
}

impl NetworkSet {
    /// Whether an address, in whichever form, is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        self.addresses.contains(&address) || self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.networks.is_empty()
    }

    /// Puts one in; of one that is there already nothing happens.
    pub fn insert(&mut self, network: IpNet) {
        match single(network) {
            Some(address) => drop(self.addresses.insert(address)),
            None if self.networks.contains(&network) => {}
            None => self.networks.push(network),
        }
    }

    /// Takes one out, not what lies within it; tells whether it was there.
    pub fn remove(&mut self, network: IpNet) -> bool {
        match single(network) {
            Some(address) => self.addresses.remove(&address),
            None => {
                let before = self.networks.len();
                self.networks.retain(|known| *known != network);
                self.networks.len() < before
            }
        }
    }

    /// All of them, in order.
    pub fn list(&self) -> Vec<IpNet> {
        let addresses = self.addresses.iter().copied().map(IpNet::from);
        let mut list: Vec<IpNet> = addresses.chain(self.networks.iter().copied()).collect();
        list.sort_unstable();
        list
    }
}

impl FromIterator<IpNet> for NetworkSet {
    fn from_iter<T: IntoIterator<Item = IpNet>>(networks: T) -> Self {
        let mut set = Self::default();
        for network in networks {
            match single(network) {
                Some(address) => drop(set.addresses.insert(address)),
                None => set.networks.push(network),
            }
        }
        set.networks.sort_unstable();
        set.networks.dedup();
        set
    }
}

/// The address, if the network is one address.
fn single(network: IpNet) -> Option<IpAddr> {
    (network.prefix_len() == network.max_prefix_len()).then(|| network.addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{parse_network, show_network};

    fn network(text: &str) -> IpNet {
        parse_network(text).expect("a network")
    }

    #[test]
    fn addresses_and_networks_go_in_and_out() {
        let mut set: NetworkSet =
            ["192.0.2.7", "10.0.0.0/8", "10.0.0.0/8", "2001:db8::1"].map(network).into_iter().collect();
        let holds = |set: &NetworkSet, address: &str| set.contains(address.parse().expect("an address"));
        assert!(holds(&set, "192.0.2.7") && holds(&set, "::ffff:192.0.2.7") && !holds(&set, "192.0.2.8"));
        assert!(holds(&set, "10.1.2.3") && holds(&set, "2001:db8::1"));
        let shown: Vec<_> = set.list().iter().map(show_network).collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.0.2.7", "2001:db8::1"]);
        // What lies within one is another.
        assert!(!set.remove(network("10.1.2.3")) && holds(&set, "10.1.2.3"));
        for text in ["10.0.0.0/8", "192.0.2.7", "2001:db8::1"] {
            assert!(!set.is_empty() && set.remove(network(text)) && !set.remove(network(text)), "{text}");
        }
        assert!(set.is_empty() && !holds(&set, "10.1.2.3"));
    }
}
