//! How a dependency is: [`HealthCheck`].

use std::sync::Arc;

use async_trait::async_trait;

use crate::time::Timestamp;

/// Tells how something is that turns depend on.
///
/// # Promises
/// - The answer comes within two seconds, whatever the dependency does.
/// - It holds no secret: errors are told without URLs and credentials.
#[async_trait]
pub trait HealthCheck: Send + Sync {
    /// Its health now.
    async fn check(&self) -> Health;
}

/// A dependency's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The dependency's name: `llm`, `redis`, `history`, `mcp:NAME`.
    pub name: Arc<str>,
    /// How it is.
    pub state: HealthState,
    /// Since when it is so, if that is known.
    pub since: Option<Timestamp>,
    /// Its last failure, in words for an operator.
    pub last_error: Option<String>,
    /// How much waits for it, if anything can.
    pub backlog: Option<u64>,
    /// What an operator should know besides (`not durable`).
    pub note: Option<&'static str>,
}

/// How a dependency is, as readiness counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthState {
    /// In order.
    Up,
    /// Turns go on, but not all is well.
    Degraded,
    /// No turn can do without it, and it is away.
    Down,
}

impl HealthState {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            HealthState::Up => "up",
            HealthState::Degraded => "degraded",
            HealthState::Down => "down",
        }
    }
}
