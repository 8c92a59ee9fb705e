//! The promises of the port, against a scripted endpoint.

use std::sync::Arc;

use chat_domain::testing::conformance::llm::{Scene, Subject};
use chat_test_support::{Cut, Reply, Upstream};

use crate::{clock, llm_with_clock};

async fn fresh() -> Subject {
    let upstream = Arc::new(Upstream::scripted([]).await);
    let clock = clock();
    Subject {
        llm: Arc::new(llm_with_clock(&upstream, clock.clone())),
        clock,
        script: Box::new({
            let upstream = upstream.clone();
            move |scene| upstream.push(reply(scene))
        }),
        stopped: Box::new({
            let upstream = upstream.clone();
            move || upstream.aborted()
        }),
        held: Box::new(upstream),
    }
}

fn reply(scene: Scene) -> Reply {
    match scene {
        Scene::Says(texts) => Reply::stream(texts),
        Scene::Asks(text, calls) => {
            let plain = serde_json::json!({"choices": [{"message": {
                "content": text,
                "tool_calls": calls.iter().map(|(id, name, arguments)| serde_json::json!({
                    "id": id, "type": "function", "function": {"name": name, "arguments": arguments},
                })).collect::<Vec<_>>(),
            }, "finish_reason": "tool_calls"}]});
            let mut streamed = Reply::events().delta(text);
            for (index, (id, name, arguments)) in calls.into_iter().enumerate() {
                streamed = streamed.tool_begin(index, id, name).tool_arguments(index, arguments);
            }
            Reply::json(200, &plain).or_streamed(streamed.finish("tool_calls").done())
        }
        Scene::SaysNothing => Reply::null_content(),
        Scene::Fails => Reply::status(503),
        Scene::BreaksOff(texts) => {
            let whole = Reply::text(texts.concat()).cut_after(20, Cut::Close);
            let streamed = texts.into_iter().fold(Reply::events(), Reply::delta);
            whole.or_streamed(streamed.cut(Cut::Close))
        }
        Scene::Hangs(texts) if texts.is_empty() => Reply::never(),
        Scene::Hangs(texts) => texts.into_iter().fold(Reply::events(), Reply::delta).hang(),
    }
}

chat_domain::conformance_tests!(llm, fresh);
