//! Arguments in their forms, and what is wrong with the wrong ones.

use serde_json::json;

use crate::common::{client, found, refused, shop};

#[tokio::test]
async fn wrapped_in_a_payload_they_are_the_same() {
    let client = client(shop()).await;
    let arguments = json!({"query": "PLA", "limit": 3, "category_ids": "21", "sort_by": "price_low_high"});
    let direct = found(&client, arguments.clone()).await;
    assert_eq!(direct["count"], 3);
    assert_eq!(found(&client, json!({ "payload": arguments })).await, direct);
}

#[tokio::test]
async fn lists_as_text() {
    let client = client(shop()).await;
    let list = found(&client, json!({"brand_ids": [1, 5], "color_names": ["قرمز", "مشکی"]})).await;
    assert_ne!(list["count"], 0);
    assert_eq!(found(&client, json!({"brand_ids": "1, 5", "color_names": "قرمز، مشکی"})).await, list);
}

#[tokio::test]
async fn wrong_ones_are_refused_by_name() {
    let client = client(shop()).await;
    for (arguments, expected) in [
        (json!({"sort_by": "cheapest"}), "sort_by must be one of latest, oldest,"),
        (json!({"min_price": 2, "max_price": 1}), "min_price must not be greater than max_price."),
        (json!({"product_ids": [1, 2], "exclude_product_ids": [2]}), "must not name the same product: 2."),
        (json!({"limit": 0}), "limit must be a whole number from 1 to 100."),
        (json!({"limit": 101}), "limit must be a whole number from 1 to 100."),
        (json!({"offset": -1}), "offset must be a whole number of 0 or more."),
        (json!({"category_ids": "one"}), "category_ids must be a list"),
        (json!({"only_active": "maybe"}), "only_active must be true or false."),
        (json!({"brands": [1]}), "There is no argument brands; did you mean brand_ids?"),
        (json!({"payload": {"limit": 0}}), "limit must be"),
        (json!({"payload": {}, "limit": 1}), "not both"),
    ] {
        let refusal = refused(&client, arguments.clone()).await;
        assert!(refusal.contains(expected), "{arguments}: {refusal}");
    }
}

#[tokio::test]
async fn no_text_becomes_sql() {
    let client = client(shop()).await;
    let attacks = [
        "' OR '1'='1",
        "'; DROP TABLE ham3d_product; -- ",
        "x' UNION SELECT user, password FROM mysql.user -- ",
        r"\' OR 1=1 -- ",
        "%' OR 1=1 #",
        "1) OR (1=1",
        "?",
        "\u{bf27} OR 1=1 -- ",
        "{fn now()}",
        "' OR SLEEP(30) OR '",
    ];
    let all = found(&client, json!({"only_visible_colors": false})).await["total"].clone();
    for attack in attacks {
        for name in ["query", "color_kind"] {
            let found = found(&client, json!({ name: attack })).await;
            assert_eq!(found["total"], 0, "{name}: {attack}");
        }
        assert_eq!(found(&client, json!({"color_names": [attack]})).await["total"], 0, "{attack}");
        for name in ["category_ids", "brand_ids", "product_ids", "exclude_product_ids", "color_ids"] {
            refused(&client, json!({ name: [attack] })).await;
        }
        for name in
            ["language", "sort_by", "limit", "offset", "min_price", "max_price", "only_active", "only_visible_colors"]
        {
            refused(&client, json!({ name: attack })).await;
        }
    }
    assert_eq!(found(&client, json!({"only_visible_colors": false})).await["total"], all);
}

#[tokio::test]
async fn fifty_at_once() {
    let client = client(shop()).await;
    let mut calls = tokio::task::JoinSet::new();
    for index in 0..50_i64 {
        let peer = client.peer().clone();
        calls.spawn(async move {
            let arguments = json!({"limit": index % 9 + 1, "offset": index % 5, "only_active": false});
            let request = rmcp::model::CallToolRequestParams::new("search_products")
                .with_arguments(arguments.as_object().expect("an object").clone());
            let found = peer.call_tool(request).await.expect("a result").structured_content.expect("structured");
            // Each gets its own answer.
            assert_eq!((&found["limit"], &found["offset"]), (&arguments["limit"], &arguments["offset"]));
            assert_eq!(found["count"], arguments["limit"]);
        });
    }
    while let Some(call) = calls.join_next().await {
        call.expect("a call");
    }
}
