//! Whose request it is when it comes through proxies.

use super::{NEVER_REFILLED, from, tokens};
use crate::scene::Scene;

const BURST: (&str, &str) = ("RATE_BURST", "2");

/// The address that a request with this header is logged under.
async fn logged(scene: &Scene, forwarded_for: &[&str]) -> String {
    let id = format!("asked-{}", scene.service.events("request_completed").len());
    let client = scene.client.with_header("x-request-id", &id);
    let request = client.request(reqwest::Method::GET, "/");
    let request = forwarded_for.iter().fold(request, |request, value| request.header("x-forwarded-for", *value));
    assert!(request.send().await.expect("an answer").status().is_success());
    let line = scene.service.wait_for_log(|line| line["request_id"] == id.as_str()).await;
    line["client_ip"].as_str().expect("an address").to_owned()
}

#[tokio::test]
async fn nobody_is_believed_by_default() {
    let scene = Scene::with(&[NEVER_REFILLED, BURST]).await;
    assert_eq!(tokens(&from(&scene.client, "203.0.113.1")).await, 2);
    assert_eq!(tokens(&from(&scene.client, "203.0.113.2")).await, 0, "another address is only claimed");
    assert_eq!(tokens(&scene.client).await, 0);
    assert_eq!(logged(&scene, &["203.0.113.1"]).await, "127.0.0.1");
}

#[tokio::test]
async fn the_right_most_untrusted_address_counts() {
    let scene = Scene::with(&[("TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8, 2001:db8::/32")]).await;
    for (forwarded_for, expected) in [
        (&[][..], "127.0.0.1"),
        (&["203.0.113.1"], "203.0.113.1"),
        // What stands left of an untrusted address anybody may have written.
        (&["198.51.100.1, 203.0.113.1"], "203.0.113.1"),
        (&["198.51.100.1", "203.0.113.1"], "203.0.113.1"),
        (&["203.0.113.1, 10.0.0.7"], "203.0.113.1"),
        (&["203.0.113.1", "10.0.0.7,10.0.0.8"], "203.0.113.1"),
        (&["198.51.100.1, 203.0.113.1, 10.0.0.7, 127.0.0.2"], "203.0.113.1"),
        (&["203.0.113.1, 2001:db8::7"], "203.0.113.1"),
        (&["203.0.113.1, ::ffff:10.0.0.7"], "203.0.113.1"),
        (&["::ffff:203.0.113.1"], "203.0.113.1"),
        (&["2001:DB9::1"], "2001:db9::1"),
        // All of them ours: the farthest one.
        (&["10.0.0.8, 10.0.0.7"], "10.0.0.8"),
        // Unreadable: the proxy that wrote it is the last one known.
        (&["sentinel"], "127.0.0.1"),
        (&["203.0.113.1, sentinel, 10.0.0.7"], "10.0.0.7"),
        (&[""], "127.0.0.1"),
    ] {
        assert_eq!(logged(&scene, forwarded_for).await, expected, "{forwarded_for:?}");
    }
    assert!(!scene.service.log_text().contains("sentinel"));
}

#[tokio::test]
async fn no_header_makes_a_client_somebody_else() {
    const NAMES: [&str; 12] = [
        "x-forwarded-for",
        "x-real-ip",
        "forwarded",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-forwarded-for",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
        "x-forwarded",
        "forwarded-for",
        "via",
    ];
    // Neither where no proxy is trusted, nor behind one, which adds the address that it sees to what the client wrote.
    for (trusted, seen) in [("none", None), ("127.0.0.0/8", Some("203.0.113.9"))] {
        let scene = Scene::with(&[NEVER_REFILLED, BURST, ("TRUSTED_PROXIES", trusted)]).await;
        let mut passed = 0;
        for number in 0..8 {
            for name in NAMES {
                let claimed = format!("198.51.100.{number}");
                let value = if name == "forwarded" { format!("for={claimed}") } else { claimed };
                let mut request = scene.client.request(reqwest::Method::POST, "/sessions").header(name, value);
                if let Some(seen) = seen {
                    request = request.header("x-forwarded-for", seen);
                }
                passed += usize::from(request.send().await.expect("an answer").status() == 201);
            }
        }
        assert_eq!(passed, 2, "{trusted}");
    }
}
