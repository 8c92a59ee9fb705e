//! Who may come in: limits, client keys, the operator's token.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chat_domain::admission::{Verdict, limited_as};
use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{
    super::{Context, errors::ApiError, hash_key, request::RequestRecord, same_secret},
    X_ADMIN_TOKEN,
};

/// Limits and keys. The IP is limited before a key is looked at: what a wrong key is told comes after the limiter's word.
pub(super) async fn admit(context: &Context, headers: &HeaderMap, record: &RequestRecord) -> Result<(), ApiError> {
    let shown = shown_key(headers).map(|key| hash_key(key.as_bytes()));
    let required = context.api_keys.are_required();
    let key = shown.filter(|key| !required || context.api_keys.contains(key));
    if let Some(key) = key {
        record.set_key(key);
    }
    match context.admission.decide(record.client_ip, key).await {
        Verdict::Pass => {}
        Verdict::PassUnchecked(error) => {
            context.metrics.limiter_error();
            tracing::warn!(error = %error, "the rate limiter does not answer: the request passes unchecked");
        }
        Verdict::Refuse { retry_after } => {
            context.metrics.rate_limited();
            return Err(ApiError::rate_limited(retry_after));
        }
        Verdict::RefuseUnchecked(error) => {
            context.metrics.limiter_error();
            tracing::warn!(error = %error, "the rate limiter does not answer: the request is refused");
            return Err(ApiError::storage_unavailable());
        }
    }
    match (required, shown, key) {
        (false, _, _) | (true, _, Some(_)) => Ok(()),
        (true, None, _) => Err(unauthorized("missing_api_key", "Send your key as `X-API-Key`", "X-API-Key")),
        (true, Some(_), None) => Err(unauthorized("invalid_api_key", "This key is not one of ours", "X-API-Key")),
    }
}

/// The header that carries a client's key.
static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The key a client shows, in either of the two headers that mean the same.
fn shown_key(headers: &HeaderMap) -> Option<&str> {
    let own = headers.get(&X_API_KEY).and_then(|value| value.to_str().ok());
    let bearer = || {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    };
    own.or_else(bearer).map(str::trim).filter(|key| !key.is_empty())
}

/// Addresses that have guessed too often, each until it may guess again.
#[derive(Default)]
pub struct Guesses(Mutex<HashMap<IpAddr, Instant>>);

impl Guesses {
    fn locked_for(&self, address: IpAddr) -> Option<Duration> {
        let until = *self.locks().get(&limited_as(address))?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// Locks last for a second or so: with each new one the old ones are let go.
    fn lock(&self, address: IpAddr, pause: Duration) {
        let now = Instant::now();
        let mut locks = self.locks();
        locks.retain(|_, until| *until > now);
        locks.insert(limited_as(address), now + pause);
    }

    fn locks(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a token is shown that could be the operator's; [`check_admin`] tells whether it is.
pub(super) fn shows_admin_token(context: &Context, headers: &HeaderMap) -> bool {
    context.admin_token.is_some() && headers.get(X_ADMIN_TOKEN).is_some_and(|shown| !shown.is_empty())
}

/// The operator's token: off, missing, wrong, in this order. Who shows a wrong one is limited.
pub(super) async fn check_admin(
    context: &Context,
    headers: &HeaderMap,
    record: &RequestRecord,
) -> Result<(), ApiError> {
    let Some(token) = &context.admin_token else {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "admin_disabled",
            "The admin API is off: set ADMIN_TOKEN to turn it on",
        ));
    };
    let shown = headers.get(X_ADMIN_TOKEN).map(|value| value.as_bytes()).filter(|value| !value.is_empty());
    // Not even the right one: a guess would be right at any speed.
    if shown.is_some()
        && let Some(left) = context.guesses.locked_for(record.client_ip)
    {
        return Err(ApiError::rate_limited(left));
    }
    if shown.is_some_and(|shown| same_secret(shown, token)) {
        return Ok(());
    }
    if let Verdict::Refuse { retry_after } = context.admin_admission.decide(record.client_ip, None).await {
        context.guesses.lock(record.client_ip, retry_after);
        return Err(ApiError::rate_limited(retry_after));
    }
    Err(match shown {
        None => unauthorized("missing_admin_token", "Send the admin token as `X-Admin-Token`", "X-Admin-Token"),
        Some(_) => unauthorized("invalid_admin_token", "This is not the admin token", "X-Admin-Token"),
    })
}

fn unauthorized(code: &'static str, message: &str, scheme: &'static str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, code, message)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guesser_is_locked_with_its_whole_network_and_nobody_else() {
        let guesses = Guesses::default();
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        guesses.lock(address("2001:db8:1:2::9"), Duration::from_secs(60));
        guesses.lock(address("203.0.113.7"), Duration::ZERO);
        assert!(
            guesses.locked_for(address("2001:db8:1:2:3:4:5:6")).is_some_and(|left| left <= Duration::from_secs(60))
        );
        assert_eq!(guesses.locked_for(address("2001:db8:1:3::9")), None);
        assert_eq!(guesses.locked_for(address("203.0.113.7")), None, "its time is over");
    }

    #[test]
    fn a_key_is_found_in_either_header() {
        let key = |pairs: &[(&'static str, &'static str)]| {
            let headers =
                pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
            shown_key(&headers.collect()).map(str::to_owned)
        };
        assert_eq!(key(&[("x-api-key", "k")]).as_deref(), Some("k"));
        assert_eq!(key(&[("authorization", "bearer k")]).as_deref(), Some("k"));
        assert_eq!(key(&[("authorization", "Bearer k"), ("x-api-key", "own")]).as_deref(), Some("own"));
        for none in
            [("authorization", "Basic k"), ("authorization", "k"), ("x-api-key", ""), ("authorization", "Bearer ")]
        {
            assert_eq!(key(&[none]), None, "{none:?}");
        }
    }
}
