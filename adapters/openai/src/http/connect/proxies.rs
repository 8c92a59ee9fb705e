//! Which proxy a URL is asked through.

use http::{Uri, uri::Scheme};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::config::BuildError;

/// The proxies of one client.
pub(in crate::http) struct Proxies(Matcher);

impl Proxies {
    /// Those that the environment names.
    pub(in crate::http) fn of_environment() -> Self {
        Self(Matcher::from_env())
    }

    /// None at all.
    pub(in crate::http) fn none() -> Self {
        Self(Matcher::builder().build())
    }

    /// This one for everything.
    pub(in crate::http) fn one(url: &str) -> Result<Self, BuildError> {
        let proxies = Self(Matcher::builder().all(url).build());
        let anywhere = Uri::from_static("http://anywhere/");
        // The matcher passes over what it cannot make sense of.
        proxies.of(&anywhere)?.ok_or(BuildError::Proxy)?;
        Ok(proxies)
    }

    /// The one that this URL is asked through, if any.
    pub(in crate::http) fn of(&self, uri: &Uri) -> Result<Option<Intercept>, BuildError> {
        let proxy = self.0.intercept(uri);
        match &proxy {
            Some(proxy) if proxy.uri().scheme() != Some(&Scheme::HTTP) => Err(BuildError::ProxyScheme),
            _ => Ok(proxy),
        }
    }
}
