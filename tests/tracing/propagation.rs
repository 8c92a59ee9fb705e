//! Whom the service calls, it tells of the trace; and whether a trace is kept, the caller and the sampler decide.

use chat_test_support::{RecordedRequest, Upstream};

use crate::{
    collector::one,
    scene::{Scene, TRACE, uses_a_tool},
};

fn told(request: &RecordedRequest) -> (String, String) {
    let header = |name| request.header(name).unwrap_or_default().to_owned();
    (header("traceparent"), header("tracestate"))
}

#[tokio::test]
async fn the_model_and_the_tools_server_are_told_of_their_own_span() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    scene.caller("01").say(&session, "hello").await.expect(200);
    let spans = scene.collector.trace(TRACE, 5).await;

    let chats = spans.iter().filter(|span| span.name == "chat vendor/model");
    let expected: Vec<_> =
        chats.map(|chat| (format!("00-{TRACE}-{}-01", chat.id), "vendor=opaque".to_owned())).collect();
    let asked: Vec<_> = scene.upstream.requests().iter().map(told).collect();
    assert_eq!(asked, expected);
    let tool = one(&spans, "execute_tool echo");
    assert_eq!(scene.journal("traceparent "), [format!("00-{TRACE}-{}-01", tool.id)]);
    assert_eq!(scene.journal("tracestate "), ["vendor=opaque"]);
}

#[tokio::test]
async fn a_trace_that_its_caller_does_not_keep_is_passed_on_and_not_kept() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    scene.caller("00").say(&session, "hello").await.expect(200);
    let (parent, _) = told(&scene.upstream.last_request());
    assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-00"), "{parent}");
    scene.client.say(&session, "hello").await.expect(200);
    scene.collector.named("invoke_agent chat-agent").await;
    assert!(scene.collector.spans().iter().all(|span| span.trace != TRACE));
}

#[tokio::test]
async fn the_sampler_decides_where_no_caller_does() {
    let scene = Scene::with(&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]).await;
    let session = scene.client.create_session().await;
    scene.client.say(&session, "hello").await.expect(200);
    scene.caller("01").say(&session, "hello").await.expect(200);
    scene.collector.trace(TRACE, 5).await;
    assert!(scene.collector.spans().iter().all(|span| span.trace == TRACE), "the caller's alone");
}

#[tokio::test]
async fn a_trace_that_makes_no_sense_is_begun_anew() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    for parent in ["nonsense", "00-0-0-01", "00-00000000000000000000000000000000-0000000000000000-01"] {
        scene.client.with_header("traceparent", parent).say(&session, "hello").await.expect(200);
        let (told, _) = told(&scene.upstream.last_request());
        assert!(told.starts_with("00-") && told.ends_with("-01") && told.len() == 55, "{told}");
    }
    // Of a state that is too long nothing is passed on: every span would carry it.
    let long = scene.caller("01").with_header("tracestate", &format!("vendor={}", "x".repeat(250)));
    let longer = scene.caller("01").with_header("tracestate", &format!("a={0},b={0},c={0}", "x".repeat(250)));
    for (caller, length) in [(long, 257), (longer, 0)] {
        caller.say(&session, "hello").await.expect(200);
        assert_eq!(told(&scene.upstream.last_request()).1.len(), length);
    }
}

#[tokio::test]
async fn without_a_collector_nobody_is_told_of_anything() {
    let upstream = Upstream::answering(uses_a_tool).await;
    let scene = Scene::over(upstream, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).await;
    let session = scene.client.create_session().await;
    scene.caller("01").say(&session, "hello").await.expect(200);
    assert_eq!(told(&scene.upstream.last_request()), (String::new(), String::new()));
    assert!(scene.journal("trace").is_empty() && scene.collector.posts().is_empty());
    let logs = scene.service.logs();
    assert!(logs.iter().all(|line| line.get("trace_id").is_none()), "{logs:?}");
}
