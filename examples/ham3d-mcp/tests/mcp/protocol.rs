//! What the server says of itself.

use serde_json::{Value, json};

use crate::common::{call, client, shop};

#[tokio::test]
async fn its_name_and_its_one_tool() {
    let client = client(shop()).await;
    let info = client.peer_info().expect("info");
    assert_eq!(info.server_info.as_ref().expect("a name").name, "ham3d-mysql");
    let tools = client.list_all_tools().await.expect("tools");
    assert_eq!(tools.len(), 1);
    let tool = serde_json::to_value(&tools[0]).expect("JSON");
    assert_eq!(tool["name"], "search_products");
    assert_eq!(tool["annotations"]["readOnlyHint"], true);
    let input = &tool["inputSchema"];
    assert_eq!((&input["type"], &input["additionalProperties"]), (&json!("object"), &json!(false)));
    assert_eq!(input["properties"]["sort_by"]["enum"].as_array().map(Vec::len), Some(6));
    assert_eq!(input["properties"]["limit"]["maximum"], 100);
    assert_eq!(input["properties"]["brand_ids"]["anyOf"][0]["type"], "array");
    let output = &tool["outputSchema"];
    assert_eq!(output["required"].as_array().map(Vec::len), Some(6), "{output}");
}

#[tokio::test]
async fn a_result_is_structured_and_text_and_as_the_schema_says() {
    let client = client(shop()).await;
    let result = call(&client, json!({"product_ids": [2]})).await;
    let structured = result.structured_content.expect("structured");
    let text = &result.content[0].as_text().expect("text").text;
    assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), structured);

    let schema = client.list_all_tools().await.expect("tools")[0].output_schema.clone().expect("a schema");
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&structured), keys(&schema["properties"]));
    assert_eq!(keys(&structured["results"][0]), keys(&schema["$defs"]["Product"]["properties"]));
    assert_eq!(keys(&structured["results"][0]["colors"][0]), keys(&schema["$defs"]["Color"]["properties"]));
}

#[tokio::test]
async fn every_field_of_a_product() {
    let client = client(shop()).await;
    let result = crate::common::found(&client, json!({"product_ids": "2"})).await;
    assert_eq!(
        result,
        json!({
            "total": 1, "count": 1, "limit": 20, "offset": 0, "sort_by": "latest",
            "results": [{
                "id": 2, "code": "PR-110", "title": "پرینتر سه‌بعدی آرمان ۲", "title_english": "Arman Two 3D Printer",
                "language": "fa", "main_category_id": 1, "category_id": 11, "category_ids": [11, 40, 1], "brand_id": 1,
                "price": "27,900,000", "price_text": null, "view_count": 1520, "sell_count": 44,
                "discount_percent": 5.0, "state": 1, "active": 1, "image": "products/pr-110.webp", "alt_image": null,
                "tags": ["پرینتر", "دو نازله", "FDM"],
                "colors": [{
                    "id": 4, "title": "مشکی", "hex_code": "#1a1a1a", "kind": "solid",
                    "variant_title": "پرینتر سه‌بعدی آرمان ۲ – مشکی", "asset_path": "colors/4.webp",
                }],
            }],
        })
    );
}

#[tokio::test]
async fn another_tool_is_an_error_of_the_protocol() {
    let client = client(shop()).await;
    let error = client.call_tool(rmcp::model::CallToolRequestParams::new("delete_products")).await;
    assert!(error.expect_err("refused").to_string().contains("search_products"));
}
