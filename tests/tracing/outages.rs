//! A collector that is away, or slow, costs nobody anything; what is left is delivered at the end.

use std::time::{Duration, Instant};

use chat_test_support::{DeadPort, Reply, Service, Upstream, assert_eventually};
use serde_json::Value;

use crate::{
    collector::Collector,
    scene::{SOON, program},
};

async fn over(endpoint: &str, variables: &[(&str, &str)]) -> (Service, Upstream) {
    let upstream = Upstream::start().await;
    let launch = program(endpoint).env("OPENROUTER_BASE_URL", upstream.base_url());
    (launch.envs(variables.iter().copied()).start().await, upstream)
}

/// What is warned of by what sends the traces: how many files may be open is another matter.
fn warnings(service: &Service) -> Vec<Value> {
    let is_ours = |line: &Value| line["target"].as_str().is_some_and(|target| target.contains("::otel"));
    service.logs().into_iter().filter(|line| line["level"] == "WARNING" && is_ours(line)).collect()
}

#[tokio::test]
async fn a_collector_that_is_away_is_one_warning_and_no_turns_business() {
    let dead = DeadPort::take();
    let address = dead.address();
    let (mut service, _upstream) = over(&format!("http://secret@{address}"), &[]).await;
    let client = service.client();
    let session = client.create_session().await;
    for _ in 0..20 {
        client.say(&session, "hello").await.expect(200);
    }
    let away = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("collector of traces is away"));
    let line = service.wait_for_log(away).await;
    assert!(line["error"].as_str().is_some_and(|error| error.contains("refused")), "{line}");
    for _ in 0..20 {
        client.say(&session, "hello").await.expect(200);
    }
    assert_eq!(warnings(&service).len(), 1, "{:?}", warnings(&service));

    drop(dead);
    let collector = Collector::at(address).await;
    client.say(&session, "hello").await.expect(200);
    let back = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("collector of traces is back"));
    let line = service.wait_for_log(back).await;
    assert!(line["lost"].as_u64().is_some_and(|lost| lost > 0), "{line}");
    assert_eventually!(!collector.spans().is_empty(), SOON);
    let exit = service.terminate().await;
    assert!(exit.status.success() && !exit.stderr.contains("secret"), "{}", exit.stderr);
}

#[tokio::test]
async fn what_is_left_is_delivered_at_the_end_with_the_configured_headers() {
    let collector = Collector::start().await;
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20sesame,x-team=shop");
    let variables = [("OTEL_BSP_SCHEDULE_DELAY", "600000"), headers, ("OTEL_SERVICE_NAME", "shop-chat")];
    let (mut service, _upstream) = over(&collector.endpoint(), &variables).await;
    service.client().create_session().await;
    assert!(collector.posts().is_empty());
    let exit = service.terminate().await;
    assert!(exit.status.success() && !exit.stderr.contains("sesame"), "{}", exit.stderr);
    let spans = collector.spans();
    assert_eq!((spans.len(), &*spans[0].name), (1, "POST /sessions"));
    assert_eq!(spans[0].resource["service.name"], "shop-chat");
    let post = &collector.posts()[0];
    assert_eq!((post.path.as_str(), post.header("content-type")), ("/v1/traces", Some("application/x-protobuf")));
    assert_eq!((post.bearer(), post.header("x-team")), (Some("sesame"), Some("shop")));
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_neither_turns_nor_the_end() {
    let silent = Upstream::answering(|_| Reply::text("").after(Duration::from_secs(600))).await;
    let (mut service, _upstream) = over(&format!("http://{}", silent.address()), &[]).await;
    let client = service.client();
    let session = client.create_session().await;
    silent.wait_for_requests(1).await;
    let began = Instant::now();
    for _ in 0..50 {
        client.say(&session, "hello").await.expect(200);
    }
    assert!(began.elapsed() < Duration::from_secs(8), "turns waited for the collector");
    let exit = service.terminate().await;
    assert!(exit.status.success() && exit.took < Duration::from_secs(10), "{exit:?}");
    assert!(exit.stderr.contains("the last traces could not be delivered"), "{}", exit.stderr);
}
