//! One fault after the other, each in a plain and in a streamed answer.

use std::time::Duration;

use chat_test_support::{Cut, DeadPort, Reply, Upstream};

use super::{SENTINEL, assert_provider_error};
use crate::scene::{KEY, Scene, launch, message};

const MEBIBYTE: usize = 1024 * 1024;

/// One attempt per turn, so that each fault is seen as it is.
const ONCE: (&str, &str) = ("LLM_MAX_RETRIES", "0");

/// Little patience, for faults that are about time.
const IMPATIENT: (&str, &str) = ("PROVIDER_TIMEOUT_SECONDS", "1");

/// Every one of these ends a turn with this kind of error, and nothing of the turn is remembered.
async fn end_a_turn(faults: impl IntoIterator<Item = (String, Reply, &'static str)>) {
    let scene = Scene::over(Upstream::scripted([]).await, &[ONCE]).await;
    for (name, reply, kind) in faults {
        println!("{name}");
        let session = scene.client.create_session().await;
        scene.upstream.push(reply.clone());
        let answer = scene.post(&session, message("hello")).await;
        assert_provider_error(&scene, &answer, kind);

        scene.upstream.push(reply);
        let events = scene.client.say_streaming(&session, "hello").await.expect("a stream").collect().await;
        let last = events.last().expect("events");
        assert_eq!(last.event, "error", "{events:?}");
        assert_eq!(last.data["error"], answer.body["error"], "streamed or not, it is the same error");
        assert_eq!(scene.memory(&session).await, []);
    }
    let log = scene.service.log_text();
    assert!(!log.contains(KEY) && log.contains("LLM attempt failed"), "{log}");
}

#[tokio::test]
async fn statuses() {
    let kinds = [
        ("auth", &[401, 402, 403][..]),
        ("rejected", &[400, 413, 422]),
        ("rate_limited", &[429]),
        ("unavailable", &[404, 408, 409, 500, 502, 503, 504, 529]),
        ("invalid_response", &[301, 302, 307, 308]),
    ];
    let faults = kinds.into_iter().flat_map(|(kind, statuses)| {
        statuses.iter().map(move |status| {
            let message = format!("{SENTINEL}: the key {KEY} at https://openrouter.ai/api/v1 for openrouter/auto");
            let reply = Reply::error(*status, &message).header("location", "http://127.0.0.1:1/v1/chat/completions");
            (format!("status {status}"), reply, kind)
        })
    });
    end_a_turn(faults).await;
}

#[tokio::test]
async fn errors_in_the_disguise_of_a_success() {
    let kinds = [
        ("auth", &[401, 402, 403][..]),
        ("rejected", &[400]),
        ("rate_limited", &[429]),
        ("unavailable", &[408, 500, 502, 503]),
    ];
    let faults = kinds.into_iter().flat_map(|(kind, codes)| {
        let of_code = move |code: &u16| {
            let reply = Reply::error_in_ok(*code, &format!("{SENTINEL} {KEY}"));
            (format!("200 with code {code}"), reply, kind)
        };
        codes.iter().map(of_code)
    });
    end_a_turn(faults).await;
}

#[tokio::test]
async fn answers_that_make_no_sense() {
    let page = format!("<html><body>{SENTINEL} {KEY}</body></html>");
    let faults = [
        ("malformed JSON", Reply::malformed()),
        ("wrong types", Reply::wrong_types()),
        ("no choices", Reply::no_choices()),
        ("content null", Reply::null_content()),
        ("empty content", Reply::text("")),
        ("nothing", Reply::body(200, "application/json", "").or_streamed(Reply::events().done())),
        ("a list", Reply::body(200, "application/json", "[]").or_streamed(Reply::events().data("[]").done())),
        ("a web page", Reply::body(200, "text/html", page)),
        ("20 MB", Reply::huge(20 * MEBIBYTE)),
    ];
    end_a_turn(faults.map(|(name, reply)| (name.to_owned(), reply, "invalid_response"))).await;
}

#[tokio::test]
async fn a_line_without_an_end_is_given_up() {
    let scene = Scene::over(Upstream::scripted([]).await, &[ONCE]).await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::events().raw("x".repeat(20 * MEBIBYTE)));
    let events = scene.client.say_streaming(&session, "hello").await.expect("a stream").collect().await;
    let last = events.last().expect("events");
    assert_eq!((last.event.as_str(), &last.data["error"]["details"]["kind"]), ("error", &"invalid_response".into()));
}

#[tokio::test]
async fn connections_that_break() {
    let faults = [
        ("reset before the answer", Reply::no_answer(Cut::Reset)),
        ("closed before the answer", Reply::no_answer(Cut::Close)),
        ("reset within", Reply::text("half an answer").cut_after(20, Cut::Reset)),
        ("closed within", Reply::text("half an answer").cut_after(20, Cut::Close)),
    ];
    end_a_turn(faults.map(|(name, reply)| (name.to_owned(), reply, "unavailable"))).await;
}

#[tokio::test]
async fn answers_that_take_too_long() {
    let drip = Duration::from_millis(300);
    let silent_stream = Reply::events().comment("still thinking").hang();
    let faults = [
        ("never", Reply::never()),
        ("slow", Reply::text("slow but there").drip(20, drip).or_streamed(silent_stream)),
        ("half", Reply::text("half").drip(1, drip).or_streamed(Reply::events().delta("half").hang())),
    ];
    for (name, reply) in faults {
        let scene = Scene::over(Upstream::scripted([]).await, &[ONCE, IMPATIENT]).await;
        let session = scene.client.create_session().await;
        scene.upstream.push(reply.clone());
        assert_provider_error(&scene, &scene.post(&session, message("hello")).await, "timeout");
        scene.upstream.push(reply);
        let events = scene.client.say_streaming(&session, "hello").await.expect("a stream").collect().await;
        assert_eq!(events.last().expect("events").data["error"]["details"]["kind"], "timeout", "{name}: {events:?}");
        scene.upstream.wait_for_aborted(2).await;
        assert_eq!(scene.memory(&session).await, []);
    }
}

#[tokio::test]
async fn a_streamed_answer_may_take_its_time_as_long_as_it_goes_on() {
    let scene = Scene::with(&[ONCE, ("PROVIDER_TIMEOUT_SECONDS", "5")]).await;
    let session = scene.client.create_session().await;
    // Each by far shorter than the timeout, all of them longer.
    let pause = Duration::from_millis(1500);
    let reply =
        ["a", "b", "c", "d", "e"].into_iter().fold(Reply::events(), |reply, text| reply.delta(text).wait(pause));
    scene.upstream.push(reply.finish("stop").done());
    let events = scene.client.say_streaming(&session, "hello").await.expect("a stream").collect().await;
    assert_eq!(events.last().expect("events").data["message"]["content"], "abcde");
}

#[tokio::test]
async fn a_backend_that_is_down() {
    let dead = DeadPort::take();
    let service = launch().env("OPENROUTER_KEY", KEY).env("OPENROUTER_BASE_URL", dead.base_url());
    let service = service.env("LLM_MAX_RETRIES", "0").start().await;
    let client = service.client();
    let session = client.create_session().await;
    let answer = client.say(&session, "hello").await.expect(502);
    assert_eq!(answer.body["error"]["details"]["kind"], "unavailable");
    assert!(!answer.text.contains(&dead.address().to_string()), "{}", answer.text);
}
