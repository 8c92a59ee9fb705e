//! Those who are not limited.

use serde_json::json;

use super::{BEHIND_A_PROXY, NEVER_REFILLED, from, knock, tokens};
use crate::scene::{Scene, assert_error, assert_rate_limited, field_errors, pairs};

#[tokio::test]
async fn who_is_on_the_list_is_not_limited() {
    let variables = [NEVER_REFILLED, BEHIND_A_PROXY, ("RATE_BURST", "1")];
    let (scene, operator) = Scene::with_operator(&variables).await;
    for (listed, free, limited) in [
        ("203.0.113.1", vec!["203.0.113.1", "::ffff:203.0.113.1"], "203.0.113.2"),
        ("198.51.100.0/24", vec!["198.51.100.1", "198.51.100.255", "::ffff:198.51.100.7"], "198.51.101.1"),
        ("2001:db8:1::/48", vec!["2001:db8:1::1", "2001:db8:1:ffff::"], "2001:db8:2::1"),
        ("::ffff:192.0.2.7", vec!["192.0.2.7"], "192.0.2.8"),
    ] {
        operator.post("/admin/bypass", &json!({"ip": listed})).await.expect(201);
        for address in free {
            for _ in 0..3 {
                knock(&from(&scene.client, address)).await.expect(404);
            }
            // Its key is not limited either: the operator knows the place, whoever sits there.
            let with_key = from(&scene.client, address).with_header("x-api-key", "a-key");
            for _ in 0..3 {
                knock(&with_key).await.expect(404);
            }
        }
        assert_eq!(tokens(&from(&scene.client, limited)).await, 1, "{limited}");
    }
    // Off the list, it is limited like any other.
    operator.delete("/admin/bypass/203.0.113.1").await.expect(204);
    assert_eq!(tokens(&from(&scene.client, "203.0.113.1")).await, 1);
    operator.delete("/admin/bypass/198.51.100.0%2F24").await.expect(204);
    assert_eq!(tokens(&from(&scene.client, "198.51.100.1")).await, 1);
}

#[tokio::test]
async fn the_list_is_kept_in_one_form() {
    let (_scene, operator) = Scene::with_operator(&[]).await;
    let list = async || operator.get("/admin/bypass").await.expect(200).body;
    assert_eq!(list().await, json!([]));
    for (written, canonical) in [
        ("10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", "10.0.0.1"),
        (" 10.0.0.1 ", "10.0.0.1"),
        ("10.0.0.1/32", "10.0.0.1"),
        ("::ffff:10.0.0.2", "10.0.0.2"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("192.168.7.9/16", "192.168.0.0/16"),
        ("::ffff:172.16.0.0/108", "172.16.0.0/12"),
        ("2001:db8:ffff::1/32", "2001:db8::/32"),
    ] {
        let answer = operator.post("/admin/bypass", &json!({"ip": written})).await.expect(201);
        assert_eq!(answer.body, json!({"ip": canonical}), "{written}");
        let listed = list().await;
        let count = listed.as_array().expect("a list").iter().filter(|entry| **entry == canonical).count();
        assert_eq!(count, 1, "{canonical} once in {listed}");
    }
    let sorted =
        ["10.0.0.1", "10.0.0.2", "10.0.0.3", "172.16.0.0/12", "192.168.0.0/16", "2001:db8::/32", "2001:db8::1"];
    assert_eq!(list().await, json!(sorted));

    // What is written otherwise is the same entry.
    for (written, status) in [
        ("::ffff:10.0.0.1", 204),
        ("10.0.0.1", 404),
        ("2001:db8:0::1", 204),
        ("192.168.0.0%2F16", 204),
        ("10.0.0.9", 404),
        ("10.0.0.0%2F8", 404),
    ] {
        let answer = operator.delete(&format!("/admin/bypass/{written}")).await;
        assert_eq!(answer.status, status, "{written}: {}", answer.text);
        if status == 404 {
            assert_error(&answer, 404, "bypass_not_found");
        }
    }
    assert_eq!(list().await, json!(["10.0.0.2", "10.0.0.3", "172.16.0.0/12", "2001:db8::/32"]));
}

#[tokio::test]
async fn what_is_no_address_does_not_get_on_the_list() {
    let (_scene, operator) = Scene::with_operator(&[]).await;
    let wrong = [
        "",
        " ",
        "sentinel",
        "10.0.0",
        "10.0.0.256",
        "010.0.0.1",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.1,10.0.0.2",
        "::1/129",
        "::g",
        "fe80::1%eth0",
        "http://10.0.0.1",
        "10.0.0.1:80",
        "*",
    ];
    for written in wrong {
        let answer = operator.post("/admin/bypass", &json!({"ip": written})).await;
        assert_error(&answer, 400, "invalid_ip");
        assert!(!answer.text.contains("sentinel"), "{}", answer.text);
    }
    for written in ["sentinel", "10.0.0.256", "10.0.0.0%2F33", "%20"] {
        assert_error(&operator.delete(&format!("/admin/bypass/{written}")).await, 400, "invalid_ip");
    }
    let answer = operator.post("/admin/bypass", &json!({"ip": 7})).await;
    assert_error(&answer, 422, "validation_error");
    assert_eq!(field_errors(&answer), pairs(&[("ip", "Input should be a valid string")]));
    assert_eq!(operator.get("/admin/bypass").await.expect(200).body, json!([]));
}

/// Being known is no reason to guess at the token: the list is about what costs money.
#[tokio::test]
async fn wrong_tokens_need_the_right_one_from_the_list_too() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    operator.post("/admin/bypass", &json!({"ip": "127.0.0.1"})).await.expect(201);
    let guessing = scene.client.with_header("x-admin-token", "guess");
    assert_error(&guessing.get("/admin/runtime").await, 401, "invalid_admin_token");
    // Ten at once and one a second: on any machine that guesses faster, one of these is refused.
    for _ in 0..100 {
        let answer = guessing.get("/admin/runtime").await;
        if answer.status == 429 {
            return assert_rate_limited(&answer);
        }
        assert_error(&answer, 401, "invalid_admin_token");
    }
    panic!("guesses are not limited");
}
