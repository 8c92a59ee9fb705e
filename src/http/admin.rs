//! The operator's API. The token has been checked before a request comes here.

use std::{num::IntErrorKind, str::FromStr, sync::Arc};

use chat_domain::{
    admission::{parse_network, show_network},
    ports::history::{ArchivedMessage, ArchivedSession, SessionQuery},
    session::{Caller, Metadata, Session, SessionId},
    time::Timestamp,
};
use chrono::{DateTime, Utc};
use poem::{Result, http::StatusCode};
use poem_openapi::{
    ApiResponse, NewType, Object, OpenApi,
    param::{Path, Query},
    types::{ParseError, ParseFromParameter, ParseResult},
};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Context,
    dto::{AnyObject, BypassBody, BypassEntry, MessageSchema},
    errors::ApiError,
    json::{StrictJson, Written},
    meta::{ConfigEntry, RuntimeInfo},
    views::messages,
};

/// The operations under `/admin`.
pub struct AdminApi(pub Arc<Context>);

/// The most sessions or messages of one page.
const MAX_PAGE: u32 = 200;

/// An active session.
#[derive(Debug, Object)]
#[oai(rename = "ActiveSession")]
struct ActiveSessionSchema {
    /// Its identity.
    id: Uuid,
    /// How many messages it remembers.
    memory_limit: u32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// The client's own notes.
    metadata: AnyObject,
    /// What answers it.
    provider: Option<String>,
    /// What would answer instead.
    fallback_provider: Option<String>,
}

#[derive(Serialize)]
struct SessionEntry<'a> {
    id: SessionId,
    memory_limit: u32,
    created_at: Timestamp,
    metadata: &'a Metadata,
    provider: Option<&'a str>,
    fallback_provider: Option<&'a str>,
}

impl<'a> SessionEntry<'a> {
    fn active(session: &'a Session, provider: Option<&'a str>) -> Self {
        Self {
            id: session.id,
            memory_limit: session.memory_limit.get(),
            created_at: session.created_at,
            metadata: &session.metadata,
            provider,
            fallback_provider: None,
        }
    }

    fn archived(archived: &'a ArchivedSession) -> Self {
        Self {
            fallback_provider: archived.fallback_provider.as_deref(),
            ..Self::active(&archived.session, archived.provider.as_deref())
        }
    }
}

/// A page of the archive's sessions.
#[derive(Debug, Object)]
#[oai(rename = "ArchivedSessions")]
struct ArchivedSessionsSchema {
    /// Newest first.
    sessions: Vec<ActiveSessionSchema>,
    /// As asked for.
    limit: u32,
    /// As asked for.
    offset: u64,
    /// How many are on this page.
    count: u64,
    /// How many match in all.
    total: u64,
}

#[derive(Serialize)]
struct ArchivedSessionsView<'a> {
    sessions: Vec<SessionEntry<'a>>,
    limit: u32,
    offset: u64,
    count: usize,
    total: u64,
}

/// A page of an archived session's messages.
#[derive(Debug, Object)]
#[oai(rename = "ArchivedMessages")]
struct ArchivedMessagesSchema {
    /// The session.
    session_id: Uuid,
    /// Oldest first.
    messages: Vec<ArchivedMessageSchema>,
    /// As asked for.
    limit: u32,
    /// As asked for.
    offset: u64,
    /// How many are on this page.
    count: u64,
    /// How many there are in all.
    total: u64,
}

/// An archived message.
#[derive(Debug, Object)]
#[oai(rename = "ArchivedMessage")]
struct ArchivedMessageSchema {
    /// Who said it.
    role: String,
    /// What was said.
    content: String,
    /// When.
    created_at: DateTime<Utc>,
    /// When it was archived.
    stored_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct ArchivedMessageView<'a> {
    role: &'static str,
    content: &'a str,
    created_at: Timestamp,
    stored_at: Timestamp,
}

impl<'a> From<&'a ArchivedMessage> for ArchivedMessageView<'a> {
    fn from(archived: &'a ArchivedMessage) -> Self {
        let message = &archived.message;
        Self {
            role: message.role.as_str(),
            content: &message.content,
            created_at: message.at,
            stored_at: archived.stored_at,
        }
    }
}

#[derive(Serialize)]
struct ArchivedMessagesView<'a> {
    session_id: SessionId,
    messages: Vec<ArchivedMessageView<'a>>,
    limit: u32,
    offset: u64,
    count: usize,
    total: u64,
}

#[derive(ApiResponse)]
enum Added {
    /// It is on the list.
    #[oai(status = 201)]
    Added(Written<BypassEntry>),
}

#[derive(ApiResponse)]
enum Removed {
    /// It is off the list.
    #[oai(status = 204)]
    Removed,
}

#[derive(ApiResponse)]
enum Listed {
    /// A page of them, newest first.
    #[oai(status = 200)]
    Listed(
        Written<Vec<ActiveSessionSchema>>,
        /// How many there are in all.
        #[oai(header = "X-Total-Count")]
        u64,
    ),
}

#[OpenApi]
impl AdminApi {
    /// Who is not limited
    #[oai(path = "/admin/bypass", method = "get", operation_id = "listBypass")]
    async fn list_bypass(&self) -> Result<Written<Vec<String>>> {
        let networks = self.0.admission.bypass.list().await.map_err(unavailable)?;
        Ok(Written::new(&networks.iter().map(show_network).collect::<Vec<_>>()))
    }

    /// Lift the limits for an address or a network
    #[oai(path = "/admin/bypass", method = "post", operation_id = "addBypass")]
    async fn add_bypass(&self, body: StrictJson<BypassBody>) -> Result<Added> {
        let network = parse_network(&body.0.ip).map_err(invalid_ip)?;
        self.0.admission.bypass.add(network).await.map_err(unavailable)?;
        Ok(Added::Added(Written::new(&BypassEntry { ip: show_network(&network) })))
    }

    /// Limit an address or a network again
    ///
    /// The `/` of a network is percent-encoded.
    #[oai(path = "/admin/bypass/:ip", method = "delete", operation_id = "removeBypass")]
    async fn remove_bypass(&self, ip: Path<String>) -> Result<Removed> {
        let network = parse_network(&ip.0).map_err(invalid_ip)?;
        if self.0.admission.bypass.remove(network).await.map_err(unavailable)? {
            return Ok(Removed::Removed);
        }
        Err(ApiError::new(StatusCode::NOT_FOUND, "bypass_not_found", "This address or network is not on the list")
            .into())
    }

    /// How all is set up
    #[oai(path = "/admin/runtime", method = "get", operation_id = "runtime")]
    async fn runtime(&self) -> Written<RuntimeInfo> {
        Written::new(&(self.0.runtime)())
    }

    /// The effective configuration, its secrets masked
    #[oai(path = "/admin/config", method = "get", operation_id = "config")]
    async fn config(&self) -> Written<Vec<ConfigEntry>> {
        Written::new(&self.0.config)
    }

    /// The active sessions
    #[oai(path = "/admin/sessions", method = "get", operation_id = "listSessions")]
    async fn sessions(&self, limit: Query<Option<PageNumber>>, offset: Query<Option<PageNumber>>) -> Result<Listed> {
        let (limit, offset) = page(limit.0, offset.0, 200)?;
        let (sessions, total) =
            self.0.sessions.list(offset as usize, limit as usize).await.map_err(|error| unavailable(error.into()))?;
        let provider = (self.0.runtime)().provider.default;
        let entries: Vec<SessionEntry<'_>> =
            sessions.iter().map(|session| SessionEntry::active(session, Some(&provider))).collect();
        Ok(Listed::Listed(Written::new(&entries), total as u64))
    }

    /// An active session's memory
    #[oai(path = "/admin/sessions/:session_id/messages", method = "get", operation_id = "listMessages")]
    async fn messages(&self, session_id: Path<Uuid>) -> Result<Written<Vec<MessageSchema>>> {
        let snapshot = self.0.chat.read(SessionId(session_id.0), &Caller::Operator).await.map_err(ApiError::from)?;
        Ok(Written::from_json(messages(&snapshot.memory)))
    }

    /// The archived sessions, newest first
    #[oai(path = "/admin/history/sessions", method = "get", operation_id = "listArchivedSessions")]
    async fn archived_sessions(
        &self,
        limit: Query<Option<PageNumber>>,
        offset: Query<Option<PageNumber>>,
        /// Made at this time or later, RFC 3339.
        start_date: Query<Option<String>>,
        /// Made at this time or earlier, RFC 3339.
        end_date: Query<Option<String>>,
    ) -> Result<Written<ArchivedSessionsSchema>> {
        let (limit, offset) = page(limit.0, offset.0, 50)?;
        let (from, until) = (date("start_date", start_date.0)?, date("end_date", end_date.0)?);
        if matches!((from, until), (Some(from), Some(until)) if from > until) {
            return Err(invalid_date("end_date must not be earlier than start_date").into());
        }
        let query = SessionQuery { from, until, offset, limit };
        let page = self.0.archive.sessions(&query).await.map_err(|error| unavailable(error.into()))?;
        let sessions: Vec<SessionEntry<'_>> = page.items.iter().map(SessionEntry::archived).collect();
        let count = sessions.len();
        Ok(Written::new(&ArchivedSessionsView { sessions, limit, offset, count, total: page.total }))
    }

    /// An archived session's messages
    #[oai(path = "/admin/history/sessions/:session_id/messages", method = "get", operation_id = "listArchivedMessages")]
    async fn archived_messages(
        &self,
        session_id: Path<Uuid>,
        limit: Query<Option<PageNumber>>,
        offset: Query<Option<PageNumber>>,
    ) -> Result<Written<ArchivedMessagesSchema>> {
        let (limit, offset) = page(limit.0, offset.0, MAX_PAGE)?;
        let session_id = SessionId(session_id.0);
        let page =
            self.0.archive.messages(session_id, offset, limit).await.map_err(|error| unavailable(error.into()))?;
        let Some(page) = page else {
            return Err(ApiError::from(chat_domain::chat::error::ChatError::SessionNotFound).into());
        };
        let messages: Vec<ArchivedMessageView<'_>> = page.items.iter().map(Into::into).collect();
        let count = messages.len();
        Ok(Written::new(&ArchivedMessagesView { session_id, messages, limit, offset, count, total: page.total }))
    }
}

// No rustdoc: it would be the parameters' title in the spec.
// A whole number of any size: one that no integer holds is out of range, not no number.
#[derive(NewType)]
#[oai(from_json = false, from_multipart = false, from_parameter = false, to_json = false, to_header = false)]
struct PageNumber(i64);

impl ParseFromParameter for PageNumber {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        value.parse().map(Self).or_else(|error: std::num::ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => Ok(Self(i64::MAX)),
            IntErrorKind::NegOverflow => Ok(Self(i64::MIN)),
            _ => Err(ParseError::custom(error)),
        })
    }
}

/// The part that is asked for.
fn page(limit: Option<PageNumber>, offset: Option<PageNumber>, default_limit: u32) -> Result<(u32, u64), ApiError> {
    let bad = |code, message: String| ApiError::new(StatusCode::BAD_REQUEST, code, message);
    let limit = match limit {
        None => default_limit,
        Some(PageNumber(limit)) => u32::try_from(limit)
            .ok()
            .filter(|limit| (1..=MAX_PAGE).contains(limit))
            .ok_or_else(|| bad("invalid_limit", format!("limit must be between 1 and {MAX_PAGE}")))?,
    };
    let offset = u64::try_from(offset.map_or(0, |PageNumber(offset)| offset))
        .map_err(|_| bad("invalid_offset", "offset must not be negative".to_owned()))?;
    Ok((limit, offset))
}

fn date(name: &str, text: Option<String>) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    // A `+` that was not percent-encoded has become a space.
    match Timestamp::from_str(&text.replace(' ', "+")) {
        Ok(time) => Ok(Some(time)),
        Err(_) => Err(invalid_date(&format!("{name} must be an RFC 3339 time like 2026-11-22T10:00:00Z"))),
    }
}

fn invalid_date(message: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_date", message)
}

fn invalid_ip(error: chat_domain::admission::NotANetwork) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_ip", error.to_string())
}

fn unavailable(error: chat_domain::ports::BoxError) -> ApiError {
    ApiError::storage_unavailable().because(&*error)
}
