//! The promises of [`HealthCheck`].

use std::{sync::Arc, time::Duration};

use super::Held;
use crate::ports::{
    Clock,
    health::{HealthCheck, HealthState},
};

/// One dependency in the states it can be in.
pub struct Subject {
    /// A check of one that is in order.
    pub well: Arc<dyn HealthCheck>,
    /// Checks of one that refuses, hangs, fails: whatever can be brought about.
    pub unwell: Vec<Arc<dyn HealthCheck>>,
    /// What no answer may quote: passwords and the URLs they stand in.
    pub secrets: Vec<String>,
    /// A clock to measure by.
    pub clock: Arc<dyn Clock>,
    /// What has to live as long.
    pub held: Held,
}

/// The answer comes within two seconds, whatever the dependency does.
pub async fn it_answers_within_two_seconds(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for check in it.unwell.iter().chain([&it.well]) {
        let began = it.clock.moment();
        let health = super::soon(&*it.clock, "health", check.check()).await;
        let took = it.clock.moment().since(began);
        assert!(took <= Duration::from_millis(2100), "{} after {took:?}", health.name);
    }
}

/// What is in order is up; what is not is not, and says why.
pub async fn it_tells_what_is_well_from_what_is_not(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let well = it.well.check().await;
    assert_eq!(well.state, HealthState::Up, "{well:?}");
    for check in &it.unwell {
        let health = check.check().await;
        assert_ne!(health.state, HealthState::Up, "{health:?}");
        assert!(health.last_error.as_deref().is_some_and(|error| !error.is_empty()), "{health:?}");
        assert_eq!(health.name, well.name);
    }
}

/// No answer holds a secret.
pub async fn it_holds_no_secret(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for check in it.unwell.iter().chain([&it.well]) {
        let told = format!("{:?}", check.check().await);
        for secret in &it.secrets {
            assert!(!told.contains(secret.as_str()), "a secret is told");
        }
    }
}
