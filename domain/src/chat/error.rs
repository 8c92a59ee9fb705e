//! Every way in which a chat request can fail.

use std::{sync::Arc, time::Duration};

use thiserror::Error;

use crate::{
    archive::Unarchived,
    ports::{
        BoxError,
        llm::LlmError,
        sessions::{CommitError, CreateError, Lost, OpenError, Unavailable},
        tools::ForceError,
    },
    session::MemoryLimitTooLarge,
};

/// Why a chat request failed, by what a client can do about it. Nothing was remembered, but for a [`ChatError::Storage`]
/// at the very end, when a store did not answer: what it was given it may have kept.
#[derive(Debug, Error)]
pub enum ChatError {
    /// More messages than may be remembered were asked for.
    #[error(transparent)]
    MemoryLimit(#[from] MemoryLimitTooLarge),
    /// There is no such session, or no longer, or it is another caller's.
    #[error("no such session")]
    SessionNotFound,
    /// Others are speaking in this session.
    #[error("the session is busy")]
    SessionBusy {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// As many sessions as may be.
    #[error("as many sessions as may be")]
    Capacity,
    /// The client named a tool that cannot be told.
    #[error(transparent)]
    UnknownTool(ForceError),
    /// The client named a tool whose server is down.
    #[error("the server of the tool that was asked for is down")]
    ToolDown {
        /// The tool as the client named it.
        tool: Box<str>,
        /// Its server.
        server: Arc<str>,
    },
    /// A server no turn may do without is down.
    #[error("tool server {server} is required and down")]
    ToolsUnavailable {
        /// That server.
        server: Arc<str>,
    },
    /// No model is configured.
    #[error("no model is configured")]
    Unconfigured {
        /// What the operator has to set.
        remedy: Arc<str>,
    },
    /// The model failed.
    #[error(transparent)]
    Llm(#[from] LlmError),
    /// What keeps sessions or history does not answer.
    #[error("storage unavailable")]
    Storage(#[source] BoxError),
    /// The turn took too long.
    #[error("the turn took longer than {} s", limit.as_secs())]
    TurnTimeout {
        /// How long it may take.
        limit: Duration,
    },
}

/// What a client of a busy session is told to wait: about the length of a turn.
pub const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<CreateError> for ChatError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Capacity => ChatError::Capacity,
            CreateError::Unavailable(error) => error.into(),
        }
    }
}

impl From<Unavailable> for ChatError {
    fn from(error: Unavailable) -> Self {
        ChatError::Storage(error.into())
    }
}

impl From<Unarchived> for ChatError {
    fn from(error: Unarchived) -> Self {
        ChatError::Storage(error.into())
    }
}

impl From<OpenError> for ChatError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotFound => ChatError::SessionNotFound,
            OpenError::Busy | OpenError::QueueFull => ChatError::SessionBusy { retry_after: BUSY_RETRY_AFTER },
            OpenError::Unavailable(error) => error.into(),
        }
    }
}

impl From<Lost> for ChatError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Deleted => ChatError::SessionNotFound,
            Lost::FencedOff => ChatError::Storage(lost.into()),
        }
    }
}

impl From<CommitError> for ChatError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Lost(lost) => lost.into(),
            CommitError::Unavailable(error) => error.into(),
        }
    }
}
