//! Who may ask how often: whose request it is, the token buckets' arithmetic, the decision.

mod networks;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use thiserror::Error;

pub use self::networks::NetworkSet;
use crate::{
    ports::{
        BoxError,
        limits::{BypassList, Decision, Identity, RateLimiter},
    },
    session::KeyHash,
    time::Moment,
};

/// How fast a bucket fills and how much it holds, in requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BucketPolicy {
    rate: f64,
    burst: f64,
}

impl BucketPolicy {
    /// `rate` requests a second on average, `burst` at once. None unless `rate` is a positive finite number and `burst`
    /// at least 1: with less no request would ever pass.
    pub fn new(rate: f64, burst: u32) -> Option<Self> {
        (rate.is_finite() && rate > 0.0 && burst >= 1).then_some(Self { rate, burst: f64::from(burst) })
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Requests at once.
    pub fn burst(&self) -> f64 {
        self.burst
    }

    /// How long an empty bucket takes to be full: a bucket left alone for so long can be forgotten.
    pub fn time_to_fill(&self) -> Duration {
        Duration::try_from_secs_f64(self.burst / self.rate).unwrap_or(Duration::MAX)
    }
}

/// One identity's bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    tokens: f64,
    at: Moment,
}

impl Bucket {
    /// The full bucket an identity begins with.
    pub fn full(policy: &BucketPolicy, now: Moment) -> Self {
        Self { tokens: policy.burst, at: now }
    }

    /// Whether it has filled up by `now`, so that forgetting it changes nothing.
    pub fn is_full(&self, policy: &BucketPolicy, now: Moment) -> bool {
        self.filled(policy, now) >= policy.burst
    }

    fn filled(&self, policy: &BucketPolicy, now: Moment) -> f64 {
        (self.tokens + now.since(self.at).as_secs_f64() * policy.rate).min(policy.burst)
    }
}

/// Takes a token of every bucket, or of none if one has none. This is the one definition; a store that decides elsewhere
/// is held to it by the conformance suite's table.
pub fn take(buckets: &mut [&mut Bucket], policy: &BucketPolicy, now: Moment) -> Decision {
    let mut missing: f64 = 0.0;
    for bucket in &mut *buckets {
        bucket.tokens = bucket.filled(policy, now);
        bucket.at = bucket.at.max(now);
        missing = missing.max(1.0 - bucket.tokens);
    }
    // Fractions add up to a token within rounding; without the allowance a client that waits exactly as long as it was
    // told would be refused again.
    if missing <= 1e-9 {
        for bucket in buckets {
            bucket.tokens = (bucket.tokens - 1.0).max(0.0);
        }
        return Decision::Allow;
    }
    Decision::Refuse { retry_after: Duration::try_from_secs_f64(missing / policy.rate).unwrap_or(Duration::MAX) }
}

/// An address in its one form: an IPv4 address that came mapped into IPv6 is the IPv4 address.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// A network, or an address as a network of one, in its one form: canonical and without host bits.
///
/// # Errors
/// When the text is neither.
pub fn parse_network(text: &str) -> Result<IpNet, NotANetwork> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(canonical(address).into());
    }
    let network: IpNet = text.parse().map_err(|_| NotANetwork)?;
    Ok(match network.trunc() {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => ipnet::Ipv4Net::new(v4, v6.prefix_len() - 96).map_or(IpNet::V6(v6), IpNet::V4),
            None => IpNet::V6(v6),
        },
        network => network,
    })
}

/// How a network is shown: an address of its own without its prefix length.
pub fn show_network(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}

/// The text is neither an address nor a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected an IP address like 203.0.113.7 or a network like 10.0.0.0/8")]
pub struct NotANetwork;

/// Whose request it is: the right-most address of the way that is not a trusted proxy's.
///
/// `forwarded_for` are the values of the `X-Forwarded-For` headers in the order received; each may list several
/// addresses. They are only believed if `peer` is trusted, and from the right: what stands left of an untrusted address
/// anybody may have written.
pub fn client_ip<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = canonical(peer);
    if !is_trusted(&client) {
        return client;
    }
    for hop in forwarded_for.rev().flat_map(|value| value.rsplit(',')) {
        match parse_hop(hop.trim()) {
            Some(address) => client = address,
            // A hop nobody can read: the proxy before it is the last one known.
            None => return client,
        }
        if !is_trusted(&client) {
            return client;
        }
    }
    client
}

/// An address as proxies write it: with a port at times, IPv6 then in brackets.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    hop.parse()
        .or_else(|_| hop.parse().map(|socket: std::net::SocketAddr| socket.ip()))
        .or_else(|_| hop.trim_start_matches('[').trim_end_matches(']').parse::<Ipv6Addr>().map(IpAddr::V6))
        .ok()
        .map(canonical)
}

/// What is done when the limiter does not answer (`RATE_LIMIT_ON_ERROR`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLimiterError {
    /// The request passes: a broken limiter is no reason to answer nobody.
    #[default]
    Allow,
    /// The request is refused.
    Deny,
}

/// Decides whether a request may pass.
#[derive(Clone)]
pub struct Admission {
    /// The buckets.
    pub limiter: Arc<dyn RateLimiter>,
    /// Who is not limited.
    pub bypass: Arc<dyn BypassList>,
    /// What a silent limiter means.
    pub on_error: OnLimiterError,
}

/// The decision about a request.
#[derive(Debug)]
pub enum Verdict {
    /// It may pass.
    Pass,
    /// It may pass although nobody could say whether: the limiter failed.
    PassUnchecked(BoxError),
    /// Not before this time has passed.
    Refuse {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The limiter failed, and that means no.
    RefuseUnchecked(BoxError),
}

impl Admission {
    /// Decides about a request from `address` that showed `key`.
    pub async fn decide(&self, address: IpAddr, key: Option<KeyHash>) -> Verdict {
        let address = canonical(address);
        if self.bypass.contains(address) {
            return Verdict::Pass;
        }
        let identities = [Identity::Ip(limited_as(address)), key.map_or(Identity::Ip(UNSPECIFIED), Identity::Key)];
        match self.limiter.take(&identities[..if key.is_some() { 2 } else { 1 }]).await {
            Ok(Decision::Allow) => Verdict::Pass,
            Ok(Decision::Refuse { retry_after }) => Verdict::Refuse { retry_after },
            Err(error) if self.on_error == OnLimiterError::Allow => Verdict::PassUnchecked(error),
            Err(error) => Verdict::RefuseUnchecked(error),
        }
    }
}

/// The address by which one is limited, instead of one's own: an IPv4 address, or an IPv6 network of 64 bits, which is what one customer gets at least and
/// could otherwise be as many identities as it likes.
pub fn limited_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

const UNSPECIFIED: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Moment {
        Moment(Duration::from_millis(millis))
    }

    #[test]
    fn a_policy_lets_something_through() {
        assert!(BucketPolicy::new(0.1, 1).is_some());
        for (rate, burst) in [(0.0, 5), (-1.0, 5), (f64::NAN, 5), (f64::INFINITY, 5), (1.0, 0)] {
            assert_eq!(BucketPolicy::new(rate, burst), None, "{rate} {burst}");
        }
    }

    #[test]
    fn both_or_neither() {
        let policy = BucketPolicy::new(1.0, 2).expect("a policy");
        let (mut ip, mut key) = (Bucket::full(&policy, at(0)), Bucket::full(&policy, at(0)));
        assert_eq!(take(&mut [&mut ip], &policy, at(0)), Decision::Allow);
        assert_eq!(take(&mut [&mut ip], &policy, at(0)), Decision::Allow);
        let refused = take(&mut [&mut ip, &mut key], &policy, at(500));
        assert_eq!(refused, Decision::Refuse { retry_after: Duration::from_millis(500) });
        // The key's bucket still holds both of its tokens.
        for _ in 0..2 {
            assert_eq!(take(&mut [&mut key], &policy, at(500)), Decision::Allow);
        }
        assert_eq!(take(&mut [&mut key], &policy, at(500)), Decision::Refuse { retry_after: Duration::from_secs(1) });
    }

    proptest! {
        #[test]
        fn never_more_than_burst_plus_rate_and_waiting_as_told_suffices(rate in 0.1f64..50.0, burst in 1u32..20, gaps in prop::collection::vec(0u64..3_000, 1..60)) {
            let policy = BucketPolicy::new(rate, burst).expect("a policy");
            let mut bucket = Bucket::full(&policy, at(0));
            let (mut now, mut passed) = (0u64, 0f64);
            for gap in gaps {
                now += gap;
                match take(&mut [&mut bucket], &policy, at(now)) {
                    Decision::Allow => passed += 1.0,
                    Decision::Refuse { retry_after } => {
                        prop_assert!(retry_after > Duration::ZERO);
                        let mut later = bucket;
                        let told = Moment(at(now).0 + retry_after + Duration::from_nanos(1));
                        prop_assert_eq!(take(&mut [&mut later], &policy, told), Decision::Allow);
                    }
                }
                prop_assert!(passed <= f64::from(burst) + now as f64 / 1000.0 * rate + 1e-3);
            }
        }
    }

    #[test]
    fn an_ipv6_customer_is_one_identity() {
        let of = |text: &str| limited_as(text.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2::9"), "2001:db8:1:2::");
        assert_eq!(of("203.0.113.7"), "203.0.113.7");
    }

    #[test]
    fn networks_have_one_form() {
        for (text, form) in [
            ("10.0.0.1", "10.0.0.1"),
            (" 10.1.2.3/8 ", "10.0.0.0/8"),
            ("10.0.0.1/32", "10.0.0.1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(parse_network(text).map(|network| show_network(&network)), Ok(form.to_owned()), "{text}");
        }
        for text in ["", "ten", "10.0.0", "10.0.0.1/33", "10.0.0.1/", "::1/129", "1.2.3.4:80", "10.0.0.1/-1"] {
            assert_eq!(parse_network(text), Err(NotANetwork), "{text}");
        }
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_from_the_right() {
        let trusted = ["10.0.0.0/8", "::1/128"].map(|text| parse_network(text).expect("a network"));
        let client = |peer: &str, headers: &[&str]| {
            client_ip(peer.parse().expect("an address"), headers.iter().copied(), &trusted).to_string()
        };
        assert_eq!(client("198.51.100.9", &["203.0.113.7"]), "198.51.100.9");
        assert_eq!(client("10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 203.0.113.7, 10.9.9.9"]), "203.0.113.7");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "203.0.113.7", "10.9.9.9"]), "203.0.113.7");
        assert_eq!(client("10.0.0.1", &["203.0.113.7:5123"]), "203.0.113.7");
        assert_eq!(client("::1", &["[2001:db8::7]:443"]), "2001:db8::7");
        assert_eq!(client("::1", &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(client("10.0.0.1", &["203.0.113.7, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.3"]), "10.0.0.3");
    }
}
