//! The model of a service without credentials: [`UnconfiguredLlm`].

use std::sync::Arc;

use async_trait::async_trait;
use chat_domain::ports::llm::{LlmError, LlmErrorKind, LlmPort, LlmRequest, LlmStatus, LlmStream};

/// Answers nothing and says what to do about it. The service around it runs: sessions, limits and health can be looked
/// at before there is a key.
#[derive(Debug, Clone)]
pub struct UnconfiguredLlm {
    remedy: Arc<str>,
}

impl UnconfiguredLlm {
    /// `remedy` tells the operator in a sentence what to set.
    pub fn new(remedy: impl Into<Arc<str>>) -> Self {
        Self { remedy: remedy.into() }
    }
}

#[async_trait]
impl LlmPort for UnconfiguredLlm {
    async fn stream(&self, _request: &LlmRequest) -> Result<LlmStream, LlmError> {
        Err(LlmError::new(LlmErrorKind::Auth, &*self.remedy))
    }

    fn status(&self) -> LlmStatus {
        LlmStatus::Unconfigured { remedy: self.remedy.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_set() {
        let llm = UnconfiguredLlm::new("Set OPENROUTER_KEY.");
        assert_eq!(llm.status(), LlmStatus::Unconfigured { remedy: "Set OPENROUTER_KEY.".into() });
    }
}
