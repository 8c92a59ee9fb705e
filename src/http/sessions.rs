//! The public API: sessions and what is said in them.

use std::sync::Arc;

use chat_domain::{
    agent::events::TurnEvent,
    chat::{NewSession, PostMessage},
    options::CompletionOptions,
    ports::llm::Delivery,
    session::{Caller, MemoryLimit, SessionId},
};
use futures_util::StreamExt;
use poem::{
    IntoResponse, Request, Response, Result,
    http::{HeaderMap, header},
};
use poem_openapi::{ApiResponse, OpenApi, ResponseContent, param::Path};
use uuid::Uuid;

use super::{
    Context,
    dto::{CreateSessionBody, PostMessageBody, SessionSchema, SessionWithHistorySchema, TurnSchema, memory_limit},
    errors::{self, ApiError, FieldError},
    json::{self, StrictJson, Written},
    request::RequestRecord,
    sse::EventFrames,
    views::{SessionView, write_turn},
};

/// The operations under `/sessions`.
pub struct SessionsApi(pub Arc<Context>);

#[derive(ApiResponse)]
enum Created {
    /// The session.
    #[oai(status = 201)]
    Created(Written<SessionSchema>),
}

#[derive(ApiResponse)]
enum Deleted {
    /// It is gone, with its memory and its history.
    #[oai(status = 204)]
    Deleted,
}

#[derive(ApiResponse)]
enum Answered {
    /// The answer: as JSON, or with `Accept: text/event-stream` as it comes.
    #[oai(status = 200)]
    Answered(Answer),
}

#[derive(ResponseContent)]
enum Answer {
    Whole(Written<TurnSchema>),
    Streamed(EventFrames),
}

#[OpenApi]
impl SessionsApi {
    /// Make a session
    ///
    /// A session is one conversation. Whoever knows its id can speak in it; with client keys, only the key that made it.
    #[oai(path = "/sessions", method = "post", operation_id = "createSession")]
    async fn create(&self, request: &Request, body: StrictJson<CreateSessionBody>) -> Result<Created> {
        let memory_limit = checked_limit(&self.0, body.0.memory_limit)?;
        let new = NewSession { memory_limit, metadata: body.0.into_metadata() };
        let session = self.0.chat.create(new, &caller(request)).await.map_err(ApiError::from)?;
        if let Some(record) = record(request) {
            record.set_session(session.id);
        }
        Ok(Created::Created(Written::new(&SessionView::new(&session))))
    }

    /// Read a session and its memory
    #[oai(path = "/sessions/:session_id", method = "get", operation_id = "readSession")]
    async fn read(&self, request: &Request, session_id: Path<Uuid>) -> Result<Written<SessionWithHistorySchema>> {
        let snapshot = self.0.chat.read(SessionId(session_id.0), &caller(request)).await.map_err(ApiError::from)?;
        Ok(Written::new(&SessionView::with_history(&snapshot.session, &snapshot.memory)))
    }

    /// Delete a session, its memory and its history
    ///
    /// Messages of it that are being answered end with `session_not_found`. With `X-Admin-Token` any session is deleted,
    /// whoever's it is, and no client's key is needed. Where clients have keys, only so is a session that has expired.
    #[oai(path = "/sessions/:session_id", method = "delete", operation_id = "deleteSession")]
    async fn delete(&self, request: &Request, session_id: Path<Uuid>) -> Result<Deleted> {
        let id = SessionId(session_id.0);
        if let Some(record) = record(request) {
            record.set_session(id);
        }
        self.0.chat.delete(id, &caller(request)).await.map_err(ApiError::from)?;
        Ok(Deleted::Deleted)
    }

    /// Say something and get the answer
    ///
    /// Messages of one session are answered one after the other. With `Accept: text/event-stream` the answer comes as
    /// Server-Sent Events. A client that goes away before the answer is complete takes its message back.
    #[oai(path = "/sessions/:session_id/messages", method = "post", operation_id = "postMessage")]
    async fn post(
        &self,
        request: &Request,
        session_id: Path<Uuid>,
        body: StrictJson<PostMessageBody>,
    ) -> Result<Answered> {
        let Some(record) = record(request) else { return Err(ApiError::internal().into()) };
        let id = SessionId(session_id.0);
        Ok(Answered::Answered(answer(&self.0, &record, caller(request), request.headers(), id, body.0).await?))
    }
}

/// Answers a message that came on the shortest way: its path has been read and its body is here.
///
/// All turns that spell their path as everybody does come this way. Through the router and the extractors it would be
/// the same turn, at the price of half the JSON work; what they add (the schema) the spec has all the same.
pub(super) async fn answer_directly(
    context: &Context,
    record: &Arc<RequestRecord>,
    caller: Caller,
    headers: &HeaderMap,
    id: SessionId,
    body: &[u8],
) -> Result<Response, ApiError> {
    let body = json::read(headers, body)?;
    answer(context, record, caller, headers, id, body).await.map(IntoResponse::into_response)
}

/// The session whose messages this path is, if it is written plainly.
pub(super) fn messages_path(path: &str) -> Option<SessionId> {
    let id = path.strip_prefix("/sessions/")?.strip_suffix("/messages")?;
    // The hyphenated form alone: others are for the router to judge.
    if id.len() == uuid::fmt::Hyphenated::LENGTH { id.parse().ok() } else { None }
}

async fn answer(
    context: &Context,
    record: &Arc<RequestRecord>,
    caller: Caller,
    headers: &HeaderMap,
    id: SessionId,
    body: PostMessageBody,
) -> Result<Answer, ApiError> {
    record.set_session(id);
    let delivery = if wants_events(headers) { Delivery::Streamed } else { Delivery::Whole };
    let post = to_post(context, body, delivery)?;
    let mut events = record.span.turn(id, context.chat.send(id, &caller, post)).await?;
    if delivery == Delivery::Streamed {
        return Ok(Answer::Streamed(EventFrames::new(events, record.clone())));
    }
    while let Some(event) = events.next().await {
        match event {
            TurnEvent::Completed(outcome) => {
                record.set_turn(&outcome);
                let mut json = Vec::new();
                write_turn(&mut json, &outcome);
                return Ok(Answer::Whole(Written::from_json(json)));
            }
            TurnEvent::Failed(error) => return Err(error.into()),
            TurnEvent::Started { .. }
            | TurnEvent::Delta(_)
            | TurnEvent::ToolStarted { .. }
            | TurnEvent::ToolFinished { .. } => {}
        }
    }
    Err(ApiError::internal())
}

fn checked_limit(context: &Context, requested: Option<u64>) -> Result<Option<MemoryLimit>, ApiError> {
    memory_limit(requested).map_err(|requested| errors::memory_limit(requested, context.memory.max.get()))
}

fn to_post(context: &Context, mut body: PostMessageBody, delivery: Delivery) -> Result<PostMessage, ApiError> {
    let options = CompletionOptions::judge(body.take_options(), &context.options).map_err(|errors| {
        let errors = errors
            .into_iter()
            .map(|error| FieldError { path: format!("options.{}", error.name), reason: error.reason });
        ApiError::validation(errors.collect())
    })?;
    Ok(PostMessage {
        content: body.content.into(),
        role: body.role.map_or(chat_domain::message::Role::User, Into::into),
        memory_limit: checked_limit(context, body.memory_limit)?,
        options,
        delivery,
    })
}

/// On whose behalf the request came, as the pipeline found out.
fn caller(request: &Request) -> Caller {
    request.extensions().get().copied().unwrap_or(Caller::Client(None))
}

fn record(request: &Request) -> Option<Arc<RequestRecord>> {
    request.extensions().get().cloned()
}

/// Whether a client asks for events: only by name, `*/*` means JSON.
fn wants_events(headers: &HeaderMap) -> bool {
    let ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    ranges
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .any(|range| range.eq_ignore_ascii_case("text/event-stream"))
}
