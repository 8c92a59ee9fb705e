//! [`ScriptedLlm`]: a model that says what a test wrote down for it, and remembers what it was asked.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{FutureExt, Stream, future::BoxFuture};
use serde_json::{Value, value::RawValue};

use crate::{
    agent::window::Entry,
    message::{FinishReason, Opaque, Round, ToolCall, Usage},
    ports::{
        Clock,
        llm::{
            Completion, Delivery, LlmError, LlmErrorKind, LlmEvent, LlmPort, LlmRequest, LlmStatus, LlmStream,
            ToolChoice,
        },
    },
};

/// One scripted answer.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pieces: Vec<String>,
    completion: Completion,
    before: Duration,
    yields: usize,
    ending: Ending,
}

#[derive(Debug, Clone, Default)]
enum Ending {
    #[default]
    Proper,
    Failure(LlmErrorKind, Option<Duration>),
    Silence,
}

impl Reply {
    /// An answer of these pieces.
    pub fn pieces<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Self {
        let pieces: Vec<String> = pieces.into_iter().map(str::to_owned).filter(|piece| !piece.is_empty()).collect();
        let completion =
            Completion { text: pieces.concat(), finish: Some(FinishReason::Stop), ..Completion::default() };
        Self { pieces, completion, ..Self::default() }
    }

    /// An answer in one piece.
    pub fn text(text: &str) -> Self {
        Self::pieces([text])
    }

    /// An answer that asks for tools: id, function, arguments.
    pub fn calls<'a>(calls: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Self {
        Self::pieces([]).asking(calls)
    }

    /// The same, asking for these tools besides.
    #[must_use]
    pub fn asking<'a>(mut self, calls: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Self {
        let call = |(id, name, arguments): (&str, &str, &str)| ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        };
        self.completion.calls = calls.into_iter().map(call).collect();
        self.completion.finish = Some(FinishReason::ToolCalls);
        self
    }

    /// No answer but a failure.
    pub fn fails(kind: LlmErrorKind) -> Self {
        Self::pieces([]).then_fails(kind)
    }

    /// A failure with the wish to be left alone for so long.
    pub fn throttles(kind: LlmErrorKind, pause: Duration) -> Self {
        Self { ending: Ending::Failure(kind, Some(pause)), ..Self::default() }
    }

    /// No answer, ever.
    pub fn hangs() -> Self {
        Self::pieces([]).then_hangs()
    }

    /// The same, failing where it would have ended.
    #[must_use]
    pub fn then_fails(mut self, kind: LlmErrorKind) -> Self {
        self.ending = Ending::Failure(kind, None);
        self
    }

    /// The same, falling silent where it would have ended.
    #[must_use]
    pub fn then_hangs(mut self) -> Self {
        self.ending = Ending::Silence;
        self
    }

    /// The same, telling what it used, a JSON object.
    #[must_use]
    pub fn using(mut self, usage: Value) -> Self {
        self.completion.usage = serde_json::from_value::<Usage>(usage).ok();
        self
    }

    /// The same, with something the backend wants back.
    #[must_use]
    pub fn with_opaque(mut self, json: &str) -> Self {
        self.completion.opaque = RawValue::from_string(json.to_owned()).ok().map(|raw| Opaque(raw.into()));
        self
    }

    /// The same, after thinking for so long.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.before = time;
        self
    }

    /// The same, each part of it ready only after so many polls that find it is not.
    #[must_use]
    pub fn yielding(mut self, polls: usize) -> Self {
        self.yields = polls;
        self
    }

    fn is_empty(&self) -> bool {
        matches!(self.ending, Ending::Proper) && self.completion.text.is_empty() && self.completion.calls.is_empty()
    }
}

/// What a model was asked, in a form that outlives the request and can be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What it was shown, a line each: `role:text`, and `call:function(arguments)=result` for each call of a round
    /// (`=!result` if it failed), before them `round:text` if the round had any.
    pub shown: Vec<String>,
    /// The calls of the running turn's rounds with what the backend wanted back.
    pub rounds: Vec<Round>,
    /// The functions on offer.
    pub tools: Vec<String>,
    /// Its freedom to use them.
    pub tool_choice: ToolChoice,
    /// The client's model, if it named one.
    pub model: Option<String>,
    /// How the answer was wanted.
    pub delivery: Delivery,
}

impl From<&LlmRequest> for Asked {
    fn from(request: &LlmRequest) -> Self {
        let mut shown = Vec::new();
        for entry in request.window.entries(&request.rounds) {
            match entry {
                Entry::System(text) => shown.push(format!("system:{text}")),
                Entry::Said(role, text) => shown.push(format!("{}:{text}", role.as_str())),
                Entry::Round(round) => {
                    if !round.text.is_empty() {
                        shown.push(format!("round:{}", round.text));
                    }
                    shown.extend(round.calls.iter().map(|finished| {
                        let (call, outcome) = (&finished.call, &finished.outcome);
                        let failed = if outcome.is_error { "!" } else { "" };
                        format!("call:{}({})={failed}{}", call.name, call.arguments, outcome.content)
                    }));
                }
            }
        }
        Self {
            shown,
            rounds: request.rounds.clone(),
            tools: request.tools.tools().iter().map(|tool| tool.function.to_string()).collect(),
            tool_choice: request.tool_choice.clone(),
            model: request.options.model.as_deref().map(str::to_owned),
            delivery: request.delivery,
        }
    }
}

type Improvise = Box<dyn Fn(&LlmRequest) -> Reply + Send + Sync>;

/// A model that plays a script. Cloning gives the same model.
#[derive(Clone)]
pub struct ScriptedLlm {
    stage: Arc<Stage>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Stage {
    state: Mutex<Script>,
    improvise: Option<Improvise>,
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    asked: Vec<Asked>,
    stopped: usize,
    running: usize,
    status: Option<LlmStatus>,
}

impl Stage {
    fn lock(&self) -> MutexGuard<'_, Script> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ScriptedLlm {
    /// A model that gives these answers, one a call, and fails as rejected when there are no more.
    pub fn new(clock: Arc<dyn Clock>, replies: impl IntoIterator<Item = Reply>) -> Self {
        let script = Script { replies: replies.into_iter().collect(), ..Script::default() };
        Self { stage: Arc::new(Stage { state: Mutex::new(script), improvise: None }), clock }
    }

    /// A model that makes its answers up from what it is asked.
    pub fn improvising(
        clock: Arc<dyn Clock>,
        improvise: impl Fn(&LlmRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self { stage: Arc::new(Stage { state: Mutex::default(), improvise: Some(Box::new(improvise)) }), clock }
    }

    /// Adds an answer to the script.
    pub fn push(&self, reply: Reply) {
        self.stage.lock().replies.push_back(reply);
    }

    /// From now on its status is this.
    pub fn set_status(&self, status: LlmStatus) {
        self.stage.lock().status = Some(status);
    }

    /// All it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.stage.lock().asked.clone()
    }

    /// How many calls were dropped before their end.
    pub fn stopped(&self) -> usize {
        self.stage.lock().stopped
    }

    /// How many calls have neither ended nor been dropped.
    pub fn running(&self) -> usize {
        self.stage.lock().running
    }
}

/// A call: counted as stopped when dropped before its end.
struct Call {
    stage: Arc<Stage>,
    ended: bool,
}

impl Call {
    fn begin(stage: &Arc<Stage>) -> Self {
        stage.lock().running += 1;
        Self { stage: stage.clone(), ended: false }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut script = self.stage.lock();
        script.running -= 1;
        script.stopped += usize::from(!self.ended);
    }
}

#[async_trait]
impl LlmPort for ScriptedLlm {
    async fn stream(&self, request: &LlmRequest) -> Result<LlmStream, LlmError> {
        let reply = {
            let mut script = self.stage.lock();
            script.asked.push(request.into());
            script.replies.pop_front()
        };
        let improvised = || self.stage.improvise.as_ref().map(|improvise| improvise(request));
        let reply = reply.or_else(improvised).unwrap_or_else(|| Reply::fails(LlmErrorKind::Rejected));
        let thinking = self.clock.sleep_until(self.clock.moment().plus(reply.before));
        let mut answer = Answer {
            call: Some(Call::begin(&self.stage)),
            deadline: self.clock.sleep_until(request.deadline),
            thinking: (!reply.before.is_zero()).then_some(thinking),
            first: None,
            yields_left: reply.yields,
            next_piece: if request.delivery == Delivery::Whole { reply.pieces.len() } else { 0 },
            reply,
        };
        match poll_fn(|cx| answer.poll_part(cx)).await {
            Some(Ok(first)) => {
                answer.first = Some(first);
                Ok(Box::pin(answer))
            }
            Some(Err(error)) => Err(error),
            None => Err(LlmErrorKind::InvalidResponse.into()),
        }
    }

    fn status(&self) -> LlmStatus {
        self.stage.lock().status.clone().unwrap_or(LlmStatus::Ready)
    }
}

struct Answer {
    call: Option<Call>,
    deadline: BoxFuture<'static, ()>,
    thinking: Option<BoxFuture<'static, ()>>,
    first: Option<LlmEvent>,
    yields_left: usize,
    next_piece: usize,
    reply: Reply,
}

impl Answer {
    fn end(&mut self) {
        if let Some(call) = &mut self.call {
            call.ended = true;
        }
        self.call = None;
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<LlmEvent, LlmError>>> {
        if self.call.is_none() {
            return Poll::Ready(None);
        }
        if self.deadline.poll_unpin(cx).is_ready() {
            self.end();
            return Poll::Ready(Some(Err(LlmErrorKind::Timeout.into())));
        }
        if let Some(thinking) = &mut self.thinking {
            futures_util::ready!(thinking.poll_unpin(cx));
            self.thinking = None;
        }
        if self.yields_left > 0 {
            self.yields_left -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.yields_left = self.reply.yields;
        if let Some(piece) = self.reply.pieces.get(self.next_piece) {
            self.next_piece += 1;
            return Poll::Ready(Some(Ok(LlmEvent::Text(piece.clone()))));
        }
        let end = match &self.reply.ending {
            Ending::Silence => {
                self.yields_left = 0;
                return Poll::Pending;
            }
            Ending::Proper if self.reply.is_empty() => Err(LlmErrorKind::InvalidResponse.into()),
            Ending::Proper => Ok(LlmEvent::End(self.reply.completion.clone())),
            Ending::Failure(kind, pause) => Err(LlmError::from(*kind).retry_after(*pause)),
        };
        self.end();
        Poll::Ready(Some(end))
    }
}

impl Stream for Answer {
    type Item = Result<LlmEvent, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => self.poll_part(cx),
        }
    }
}
