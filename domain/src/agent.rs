//! The agent loop without its I/O: [`Turn`] says what to do next, [`driver`] does it.

pub mod driver;
pub mod events;
pub mod failover;
pub mod window;

use std::{collections::HashSet, sync::Arc};

use serde_json::{Value, value::RawValue};

use self::window::{PastRounds, Window};
use crate::{
    json,
    message::{FinishReason, FinishedCall, Round, ToolCall, ToolOutcome, Usage},
    options::CompletionOptions,
    ports::{
        llm::{Completion, Delivery, LlmError, LlmErrorKind, LlmRequest, ToolChoice},
        tools::{Tool, ToolCatalogue},
    },
    time::Moment,
};

/// How far the agent may go.
#[derive(Debug, Clone, Copy)]
pub struct AgentPolicy {
    /// LLM calls in a turn at the most (`AGENT_MAX_STEPS`); the last one cannot use tools. Less than 2 means 2: the first
    /// one always can.
    pub max_steps: u32,
    /// What becomes of the rounds of finished turns.
    pub past_rounds: PastRounds,
}

/// What a turn starts with.
pub struct Brief {
    /// The conversation.
    pub window: Window,
    /// The tools on offer.
    pub tools: Arc<ToolCatalogue>,
    /// The function the model has to call first, if a client named one.
    pub forced: Option<Arc<str>>,
    /// What the client set.
    pub options: Arc<CompletionOptions>,
    /// How the answer is wanted.
    pub delivery: Delivery,
    /// The end of the turn.
    pub deadline: Moment,
}

/// A running turn: a state machine that does no I/O. Whoever drives it calls the model with [`Turn::request`], reports
/// the answer to [`Turn::answered`], calls the tools it is told to and reports them to [`Turn::tools_finished`].
#[derive(Debug)]
pub struct Turn {
    request: LlmRequest,
    steps_left: u32,
    usage: Option<Usage>,
    /// The answer whose tools are being called.
    asking: Option<Completion>,
    past_rounds: PastRounds,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Ask the model.
    CallModel,
    /// Call these tools, all together, and report their outcomes in this order.
    CallTools(Vec<PlannedCall>),
    /// The turn is over.
    Done(Answer),
}

/// A tool call as it will be made.
#[derive(Debug)]
pub struct PlannedCall {
    /// What the model asked for.
    pub call: ToolCall,
    /// What will be done about it.
    pub plan: Plan,
}

/// What is done about a tool call.
#[derive(Debug)]
pub enum Plan {
    /// The tool is called with these arguments.
    Call(Tool, Box<RawValue>),
    /// Nothing is called; the model is told why.
    Refuse {
        /// The tool, if there is one of that name.
        tool: Option<Tool>,
        /// What the model is told.
        outcome: ToolOutcome,
    },
}

/// A turn's end.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// What the model said in the end; never empty.
    pub text: String,
    /// Why it stopped.
    pub finish: Option<FinishReason>,
    /// What all its calls used, if any told.
    pub usage: Option<Usage>,
    /// The rounds that led to it, as they are to be remembered.
    pub rounds: Vec<Round>,
}

impl Turn {
    /// A turn that is to begin with [`Step::CallModel`].
    pub fn new(brief: Brief, policy: AgentPolicy) -> Self {
        let tool_choice = brief.forced.map_or(ToolChoice::Auto, ToolChoice::Function);
        let Brief { window, tools, options, delivery, deadline, .. } = brief;
        let request = LlmRequest { window, rounds: Vec::new(), tools, tool_choice, options, delivery, deadline };
        Self { request, steps_left: policy.max_steps, usage: None, asking: None, past_rounds: policy.past_rounds }
    }

    /// What the model is to be asked.
    pub fn request(&self) -> &LlmRequest {
        &self.request
    }

    /// Takes the model's answer.
    ///
    /// # Errors
    /// When it is empty: an empty answer is a failure, never remembered.
    pub fn answered(&mut self, mut completion: Completion) -> Result<Step, LlmError> {
        self.steps_left = self.steps_left.saturating_sub(1);
        match (&mut self.usage, completion.usage.take()) {
            (Some(sum), Some(used)) => sum.add(used),
            (sum @ None, used) => *sum = used,
            (Some(_), None) => {}
        }
        // On the last step the model may not ask for tools; what it asks for all the same is not done.
        if completion.calls.is_empty() || self.request.tool_choice == ToolChoice::None {
            return self.finish(completion);
        }
        name_apart(&mut completion.calls, self.request.rounds.len());
        let planned = completion.calls.iter().map(|call| self.plan(call)).collect();
        self.asking = Some(completion);
        Ok(Step::CallTools(planned))
    }

    /// Takes the outcomes of the planned calls, in their order.
    pub fn tools_finished(&mut self, calls: Vec<FinishedCall>) -> Step {
        let asking = self.asking.take().unwrap_or_default();
        self.request.rounds.push(Round { text: asking.text.into(), calls, opaque: asking.opaque });
        self.request.tool_choice = if self.steps_left <= 1 { ToolChoice::None } else { ToolChoice::Auto };
        Step::CallModel
    }

    fn finish(&mut self, completion: Completion) -> Result<Step, LlmError> {
        if completion.text.trim().is_empty() {
            return Err(LlmErrorKind::InvalidResponse.into());
        }
        Ok(Step::Done(Answer {
            text: completion.text,
            finish: completion.finish,
            usage: self.usage.take(),
            rounds: window::remember(std::mem::take(&mut self.request.rounds), self.past_rounds),
        }))
    }

    fn plan(&self, call: &ToolCall) -> PlannedCall {
        let plan = match (self.request.tools.by_function(&call.name), object(&call.arguments)) {
            (None, _) => {
                let outcome = ToolOutcome::error(format!("There is no tool named {:?}.", call.name));
                Plan::Refuse { tool: None, outcome }
            }
            (Some(tool), Err(why)) => Plan::Refuse { tool: Some(tool.clone()), outcome: ToolOutcome::error(why) },
            (Some(tool), Ok(arguments)) => Plan::Call(tool.clone(), arguments),
        };
        PlannedCall { call: call.clone(), plan }
    }
}

/// Tool arguments as a JSON object. Nothing at all is an empty one: many models write that for a tool without
/// parameters. Anything else that is no object, or cannot be read whole, is told to the model, never guessed.
fn object(arguments: &str) -> Result<Box<RawValue>, String> {
    let arguments = arguments.trim();
    if arguments.is_empty() {
        return Ok(RawValue::from_string("{}".to_owned()).unwrap_or_default());
    }
    match json::parse::<Value>(arguments).and_then(|_| RawValue::from_string(arguments.to_owned())) {
        Ok(json) if json.get().starts_with('{') => Ok(json),
        Ok(_) => Err("The arguments must be a JSON object.".to_owned()),
        Err(error) => Err(format!("The arguments are not valid JSON ({error}); send a JSON object.")),
    }
}

/// Gives calls without an id, or with another's, one of their own: results are matched by it. Ids that are fine stay.
fn name_apart(calls: &mut [ToolCall], round: usize) {
    let given: HashSet<Box<str>> = calls.iter().map(|call| call.id.clone()).collect();
    let mut own = (0..).map(|n| Box::from(format!("call_{round}_{n}"))).filter(|id| !given.contains(id));
    let mut seen = HashSet::with_capacity(calls.len());
    for call in calls {
        if call.id.is_empty() || !seen.insert(call.id.clone()) {
            call.id = own.next().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests;
