//! What stands in for traces in a build without the feature `otel`: the same names, and nothing behind them.

use std::{future::Future, sync::Arc};

use chat_domain::{
    agent::events::TurnEvents,
    chat::error::ChatError,
    ports::{BoxError, Propagation, llm::LlmPort, tools::ToolPort},
    session::SessionId,
};
use poem::http::request::Parts;

use super::LlmNames;
use crate::config::Traces;

/// The traces of this process: none.
#[derive(Clone, Default)]
pub struct Tracing;

/// A turn's events.
pub type TurnStream = TurnEvents;

impl Tracing {
    /// Nothing to start: an endpoint was refused with the configuration.
    ///
    /// # Errors
    /// Never.
    pub fn start(_: &Traces) -> Result<Self, BoxError> {
        Ok(Self)
    }

    /// What calls tell whoever they call: nothing.
    pub fn propagation(&self) -> Propagation {
        Propagation::default()
    }

    /// The same model.
    pub fn llm(&self, llm: Arc<dyn LlmPort>, _: LlmNames) -> Arc<dyn LlmPort> {
        llm
    }

    /// The same tools.
    pub fn tools(&self, tools: Arc<dyn ToolPort>) -> Arc<dyn ToolPort> {
        tools
    }

    /// A request that has come in.
    pub fn request<'a>(&self, _: &Parts, _: impl FnOnce() -> Option<&'a str>) -> RequestSpan {
        RequestSpan(())
    }

    /// Nothing to end.
    pub async fn stop(&self) {}
}

/// A request's span: none.
#[derive(Clone, Default)]
pub struct RequestSpan(());

/// Nothing to leave.
pub(super) struct Attached;

impl RequestSpan {
    pub(super) fn attach(&self) -> Attached {
        Attached
    }

    /// The trace it belongs to, as text.
    pub fn trace_id(&self) -> Option<String> {
        None
    }

    /// A turn in this session.
    pub fn turn<F>(&self, _: SessionId, opening: F) -> F
    where
        F: Future<Output = Result<TurnEvents, ChatError>>,
    {
        opening
    }

    /// It is over.
    pub fn end(&self, _: &str, _: Option<u16>) {}
}
