//! The agent loop's I/O: asks the model, calls the tools, tells what happens.

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    Answer, Plan, PlannedCall, Step, Turn,
    events::{Emitter, TurnEvent},
};
use crate::{
    message::FinishedCall,
    ports::{
        CallCount, Ports,
        llm::{Completion, LlmError, LlmErrorKind, LlmEvent},
    },
};

/// Drives a turn to its answer.
///
/// # Errors
/// When the model fails; tools never fail a turn.
pub(crate) async fn drive(mut turn: Turn, ports: &Ports, emitter: &Emitter) -> Result<Answer, LlmError> {
    let mut step = Step::CallModel;
    loop {
        step = match step {
            Step::CallModel => {
                let completion = ask(&turn, ports, emitter).await?;
                turn.answered(completion)?
            }
            Step::CallTools(planned) => {
                let finished = call_all(&turn, planned, ports, emitter).await;
                turn.tools_finished(finished)
            }
            Step::Done(answer) => return Ok(answer),
        };
    }
}

async fn ask(turn: &Turn, ports: &Ports, emitter: &Emitter) -> Result<Completion, LlmError> {
    let request = turn.request();
    let mut answer = ports.llm.stream(request).await?;
    while let Some(event) = answer.next().await {
        match event? {
            LlmEvent::Text(text) => emitter.emit(TurnEvent::Delta(text)).await,
            LlmEvent::End(completion) => {
                if let Some(usage) = &completion.usage {
                    ports.observer.tokens(usage);
                }
                return Ok(completion);
            }
        }
    }
    Err(LlmError::new(LlmErrorKind::InvalidResponse, "the answer ended without an end"))
}

/// Calls all tools of a round together; the outcomes are in the order of the calls.
async fn call_all(turn: &Turn, planned: Vec<PlannedCall>, ports: &Ports, emitter: &Emitter) -> Vec<FinishedCall> {
    let mut results: Vec<Option<FinishedCall>> = Vec::new();
    results.resize_with(planned.len(), || None);
    let mut running = FuturesUnordered::new();
    for (index, planned) in planned.into_iter().enumerate() {
        let (server, tool) = match &planned.plan {
            Plan::Call(tool, _) | Plan::Refuse { tool: Some(tool), .. } => (tool.server.clone(), tool.name.clone()),
            Plan::Refuse { tool: None, .. } => ("".into(), planned.call.name.as_ref().into()),
        };
        emitter
            .emit(TurnEvent::ToolStarted { call: planned.call.clone(), server: server.clone(), tool: tool.clone() })
            .await;
        running.push(async move {
            let began = ports.clock.moment();
            let outcome = match planned.plan {
                Plan::Call(tool, arguments) => {
                    ports.tools.call(&planned.call.id, &tool, &arguments, turn.request().deadline).await
                }
                Plan::Refuse { outcome, .. } => outcome,
            };
            let took = ports.clock.moment().since(began);
            (index, FinishedCall { call: planned.call, server, tool, outcome, took })
        });
    }
    while let Some((index, finished)) = running.next().await {
        let count = CallCount { name: &finished.server, took: finished.took, failed: finished.outcome.is_error };
        ports.observer.tool_call(count, &finished.tool);
        let event = TurnEvent::ToolFinished {
            call_id: finished.call.id.clone(),
            server: finished.server.clone(),
            tool: finished.tool.clone(),
            is_error: finished.outcome.is_error,
            took: finished.took,
        };
        emitter.emit(event).await;
        results[index] = Some(finished);
    }
    results.into_iter().flatten().collect()
}
