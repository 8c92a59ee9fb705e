//! Conditions on colours hold for one and the same variant; colours are shown in their order.

use chat_test_support::mariadb::Database;
use serde_json::{Value, json};

use crate::common::{Client, client, found, ids, shop_with};

/// Colours: 1 red, visible; 2 blue, visible; 3 gold, hidden. Products:
/// 1: fa red solid, fa blue silk. 2: en red solid. 3: fa gold solid. 4: no variant. 5: fa, of a colour that is gone.
/// 6: fa gold solid and en red solid.
fn palette() -> Database<'static> {
    shop_with(
        "INSERT INTO ham3d_product_color (id, title, color, state_show) VALUES
             (1, 'Red', '#f00', 1), (2, 'Blue', '#00f', 1), (3, 'Gold', '#fc0', 0);
         INSERT INTO ham3d_product (id, title) VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e'), (6, 'f');
         INSERT INTO ham3d_price_color_tab (id, productid, colorid, lang, kind, title, pic, `order`) VALUES
             (1, 1, 1, 'fa', 'solid', 'a red', 'a1.webp', 2), (2, 1, 2, 'fa', 'silk', 'a blue', 'a2.webp', 1),
             (3, 2, 1, 'en', 'solid', 'b red', NULL, NULL), (4, 3, 3, 'fa', 'solid', 'c gold', NULL, 1),
             (5, 5, 99, 'fa', 'solid', 'e gone', NULL, 1), (6, 6, 3, 'fa', 'solid', 'f gold', NULL, 1),
             (7, 6, 1, 'en', 'solid', 'f red', NULL, 2);",
    )
}

async fn sorted(client: &Client, arguments: Value) -> Vec<i64> {
    let mut ids = ids(client, arguments).await;
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn by_default_a_visible_colour_in_persian_is_needed() {
    let client = client(&palette()).await;
    // 6 has a visible colour and a Persian variant, but not in one.
    assert_eq!(sorted(&client, json!({})).await, [1]);
}

#[tokio::test]
async fn language_and_visibility_each_alone() {
    let client = client(&palette()).await;
    assert_eq!(sorted(&client, json!({"language": "en"})).await, [2, 6]);
    assert_eq!(sorted(&client, json!({"language": null})).await, [1, 2, 6]);
    assert_eq!(sorted(&client, json!({"only_visible_colors": false})).await, [1, 3, 5, 6]);
    assert_eq!(sorted(&client, json!({"language": "de", "only_visible_colors": false})).await, [0_i64; 0]);
}

#[tokio::test]
async fn without_any_condition_on_colours_none_is_needed() {
    let client = client(&palette()).await;
    assert_eq!(sorted(&client, json!({"language": null, "only_visible_colors": false})).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn ids_names_and_kinds() {
    let client = client(&palette()).await;
    let open = |mut arguments: Value| {
        arguments["language"] = Value::Null;
        arguments["only_visible_colors"] = json!(false);
        arguments
    };
    assert_eq!(sorted(&client, open(json!({"color_ids": [3]}))).await, [3, 6]);
    assert_eq!(sorted(&client, open(json!({"color_ids": [2, 3]}))).await, [1, 3, 6]);
    assert_eq!(sorted(&client, open(json!({"color_ids": [99]}))).await, [5]);
    assert_eq!(sorted(&client, open(json!({"color_names": "blue"}))).await, [1]);
    assert_eq!(sorted(&client, open(json!({"color_names": "Gold, Blue"}))).await, [1, 3, 6]);
    assert_eq!(sorted(&client, open(json!({"color_names": ["Blu"]}))).await, [0_i64; 0], "names are whole");
    assert_eq!(sorted(&client, open(json!({"color_kind": "silk"}))).await, [1]);
    assert_eq!(sorted(&client, json!({"color_ids": [3]})).await, [0_i64; 0], "hidden");
}

#[tokio::test]
async fn one_variant_keeps_them_all() {
    let client = client(&palette()).await;
    // 1 comes in red and in silk, but its silk is blue.
    assert_eq!(sorted(&client, json!({"color_names": "red", "color_kind": "silk"})).await, [0_i64; 0]);
    assert_eq!(sorted(&client, json!({"color_names": "blue", "color_kind": "silk"})).await, [1]);
    assert_eq!(sorted(&client, json!({"color_ids": [1], "color_names": "blue"})).await, [0_i64; 0]);
    // 6 comes in gold and in English, but its English is red.
    let gold = json!({"language": "en", "color_ids": [3], "only_visible_colors": false});
    assert_eq!(sorted(&client, gold).await, [0_i64; 0]);
}

#[tokio::test]
async fn a_product_shows_what_can_be_had_of_it_in_order() {
    let client = client(&palette()).await;
    let titles = |found: &Value, id: i64| {
        let product = found["results"].as_array().expect("results").iter().find(|product| product["id"] == id);
        let colors = product.expect("there")["colors"].as_array().expect("colors").clone();
        colors.iter().map(|color| color["variant_title"].as_str().expect("a title").to_owned()).collect::<Vec<_>>()
    };
    // Asked for red, it still shows its blue, which comes first.
    let red = found(&client, json!({"color_ids": [1]})).await;
    assert_eq!(titles(&red, 1), ["a blue", "a red"]);
    assert_eq!(
        red["results"][0]["colors"][0],
        json!({"id": 2, "title": "Blue", "hex_code": "#00f", "kind": "silk", "variant_title": "a blue", "asset_path": "a2.webp"})
    );
    let english = found(&client, json!({"language": "en"})).await;
    assert_eq!(titles(&english, 6), ["f red"]);
    let all = found(&client, json!({"language": null, "only_visible_colors": false})).await;
    assert_eq!(titles(&all, 6), ["f gold", "f red"]);
    assert!(titles(&all, 4).is_empty());
    assert_eq!(titles(&all, 5), ["e gone"]);
}

/// One statement more for all products of a page, not one for each.
#[tokio::test]
async fn a_page_takes_three_statements() {
    // On a server of its own: it counts for all its clients.
    let server = chat_test_support::MariaDb::start();
    let database = server.database();
    assert!(crate::common::load(&database).status().expect("load.sh").success());
    let client = client(&database).await;
    ids(&client, json!({})).await;
    let selects = || -> u64 {
        let status = database.sql("SHOW GLOBAL STATUS LIKE 'Com_select'");
        status.split_whitespace().last().expect("a number").parse().expect("a number")
    };
    let before = selects();
    assert!(ids(&client, json!({"limit": 100})).await.len() > 20);
    // The connection is looked at first.
    let after = selects();
    assert!(after - before <= 4, "{}", after - before);
}
