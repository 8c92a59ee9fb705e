//! Which products are found, and in what order.

use serde_json::json;

use crate::common::{all_ids, client, found, ids, shop, shop_with};

/// Products 1 to 6 with one visible Persian colour each, but for what a test says otherwise.
fn six(columns: &str, rows: [&str; 6]) -> String {
    let mut sql = String::from("INSERT INTO ham3d_product_color (id, title) VALUES (1, 'قرمز');");
    for (id, row) in (1..).zip(rows) {
        sql += &format!(
            "INSERT INTO ham3d_product (id, title, {columns}) VALUES ({id}, 'p{id}', {row});
             INSERT INTO ham3d_price_color_tab (productid, colorid) VALUES ({id}, 1);"
        );
    }
    sql
}

#[tokio::test]
async fn a_query_is_looked_for_in_six_columns() {
    let columns = "title2, title_english, seo_keywords, seo_description, tags, code";
    let mut rows: [String; 6] = std::array::from_fn(|_| "'', '', '', '', '', ''".to_owned());
    for (index, row) in rows.iter_mut().enumerate() {
        let mut values = ["''"; 6];
        values[index] = "'with a Needle in it'";
        *row = values.join(", ");
    }
    let client = client(&shop_with(&six(columns, rows.each_ref().map(String::as_str)))).await;
    // The sixth has it in its code, which is not one of them.
    assert_eq!(all_ids(&client, json!({"query": "needle"})).await, [1, 2, 3, 4, 5]);
    assert_eq!(all_ids(&client, json!({"query": "p6"})).await, [6]);
    assert!(all_ids(&client, json!({"query": "needles"})).await.is_empty());
}

#[tokio::test]
async fn what_means_something_to_sql_is_only_text() {
    let titles = [r"'100% sure'", "'100 and sure'", "'a_b'", "'axb'", r"'back\\slash'", r#"'it''s a "quote" !%'"#];
    let client = client(&shop_with(&six("title2", titles))).await;
    for (query, expected) in [
        ("100%", vec![1]),
        ("%", vec![1, 6]),
        ("100% s", vec![1]),
        ("_", vec![3]),
        ("a_b", vec![3]),
        (r"\", vec![5]),
        (r"back\s", vec![5]),
        ("it's", vec![6]),
        (r#""quote""#, vec![6]),
        ("!", vec![6]),
        ("!%", vec![6]),
        (r"\%", vec![]),
        ("%%", vec![]),
    ] {
        assert_eq!(all_ids(&client, json!({"query": query})).await, expected, "{query}");
    }
}

#[tokio::test]
async fn persian_text_is_found_and_comes_back_as_it_is() {
    let client = client(shop()).await;
    let found = found(&client, json!({"query": "شب‌تاب", "only_visible_colors": false})).await;
    assert_eq!(found["results"][0]["title"], "فیلامنت PLA شب‌تاب");
    assert_eq!(all_ids(&client, json!({"query": "مقدماتی 🎓"})).await.len(), 1);
    assert_eq!(all_ids(&client, json!({"query": "۴۰%"})).await.len(), 1);
}

#[tokio::test]
async fn categories_wherever_they_are_written() {
    let rows = [
        "7, 0, '', ''",
        "0, 7, '', ''",
        "0, 0, '1, 7 ,9', ''",
        "0, 0, NULL, '1,7'",
        "0, 0, '77,17,71', '70'",
        "8, 0, NULL, NULL",
    ];
    let client = client(&shop_with(&six("catid, maincatid, catidby, catidby_full", rows))).await;
    assert_eq!(all_ids(&client, json!({"category_ids": [7]})).await, [1, 2, 3, 4]);
    assert_eq!(all_ids(&client, json!({"category_ids": "7, 8"})).await, [1, 2, 3, 4, 6]);
    assert!(all_ids(&client, json!({"category_ids": [79]})).await.is_empty());
}

#[tokio::test]
async fn brands_and_products() {
    let client = client(&shop_with(&six("brandid", ["1", "1", "2", "2", "3", "NULL"]))).await;
    assert_eq!(all_ids(&client, json!({"brand_ids": [1, 3]})).await, [1, 2, 5]);
    assert_eq!(all_ids(&client, json!({"product_ids": [2, 4, 99]})).await, [2, 4]);
    assert_eq!(all_ids(&client, json!({"exclude_product_ids": "1,2,3"})).await, [4, 5, 6]);
    assert_eq!(all_ids(&client, json!({"brand_ids": [1], "exclude_product_ids": [1]})).await, [2]);
}

#[tokio::test]
async fn what_is_not_on_sale_is_left_out_unless_asked_for() {
    let client = client(&shop_with(&six("active", ["1", "0", "1", "0", "1", "2"]))).await;
    assert_eq!(all_ids(&client, json!({"only_active": true})).await, [1, 3, 5]);
    assert_eq!(ids(&client, json!({})).await, [5, 3, 1]);
    assert_eq!(ids(&client, json!({"only_active": false})).await.len(), 6);
}

const PRICES: [&str; 6] = ["'1,000'", "'۹۰۰'", "''", "'ask us'", "'1٬000٫5'", "'95'"];

#[tokio::test]
async fn prices_are_compared_as_numbers() {
    let client = client(&shop_with(&six("price", PRICES))).await;
    assert_eq!(all_ids(&client, json!({"min_price": 900})).await, [1, 2, 5]);
    assert_eq!(all_ids(&client, json!({"max_price": 900})).await, [2, 6]);
    assert_eq!(all_ids(&client, json!({"min_price": 1000, "max_price": 1000})).await, [1]);
    assert_eq!(all_ids(&client, json!({"min_price": 1000.25})).await, [5]);
    assert_eq!(all_ids(&client, json!({"min_price": 0})).await, [1, 2, 5, 6], "no price is in no range");
}

#[tokio::test]
async fn prices_are_sorted_as_numbers_and_what_has_none_comes_last() {
    let client = client(&shop_with(&six("price", PRICES))).await;
    assert_eq!(ids(&client, json!({"sort_by": "price_low_high"})).await, [6, 2, 1, 5, 4, 3]);
    assert_eq!(ids(&client, json!({"sort_by": "price_high_low"})).await, [5, 1, 2, 6, 4, 3]);
}

#[tokio::test]
async fn every_order_with_the_newest_first_among_equals() {
    let rows = [
        "'2025-01-01', 5, 9",
        "'2025-03-01', 5, 7",
        "'2025-03-01', 80, 9",
        "NULL, 5, 10",
        "'2024-01-01', 9, 9",
        "'2025-01-01', 9, 0",
    ];
    let client = client(&shop_with(&six("`date`, hit, sell", rows))).await;
    for (sort_by, expected) in [
        ("latest", [3, 2, 6, 1, 5, 4]),
        ("oldest", [5, 6, 1, 3, 2, 4]),
        ("most_viewed", [3, 6, 5, 4, 2, 1]),
        ("best_selling", [4, 5, 3, 1, 2, 6]),
    ] {
        let found = found(&client, json!({ "sort_by": sort_by })).await;
        assert_eq!(found["sort_by"], sort_by);
        let ids: Vec<_> = found["results"].as_array().expect("results").iter().map(|product| &product["id"]).collect();
        assert_eq!(json!(ids), json!(expected), "{sort_by}");
    }
    assert_eq!(ids(&client, json!({})).await, [3, 2, 6, 1, 5, 4], "latest is the default");
}

#[tokio::test]
async fn pages_cover_all_without_overlap() {
    let client = client(shop()).await;
    let all = ids(&client, json!({"limit": 100, "sort_by": "best_selling"})).await;
    let mut paged = Vec::new();
    for offset in (0..).step_by(7) {
        let page = found(&client, json!({"limit": 7, "offset": offset, "sort_by": "best_selling"})).await;
        assert_eq!((&page["total"], &page["limit"], &page["offset"]), (&json!(all.len()), &json!(7), &json!(offset)));
        let results = page["results"].as_array().expect("results");
        paged.extend(results.iter().map(|product| product["id"].as_i64().expect("an id")));
        if results.is_empty() {
            break;
        }
    }
    assert_eq!(paged, all);
    assert!(all.len() > 20);
    assert_eq!(ids(&client, json!({})).await.len(), 20);
    assert_eq!(found(&client, json!({"offset": i64::MAX})).await["count"], 0);
}

#[tokio::test]
async fn tags_and_categories_are_taken_apart() {
    let rows = ["'11, 40,,x', ' 40 ,1,11'", "NULL, NULL", "'', ''", "'5', NULL", "NULL, '6,6'", "'0', ''"];
    let sql =
        six("catidby, catidby_full", rows) + "UPDATE ham3d_product SET tags = 'a, b،c\\r\\n d \\n,,' WHERE id = 1";
    let client = client(&shop_with(&sql)).await;
    let found = found(&client, json!({"sort_by": "oldest"})).await;
    let by_id = |id: i64| {
        found["results"].as_array().expect("results").iter().find(|product| product["id"] == id).expect("there")
    };
    assert_eq!(by_id(1)["tags"], json!(["a", "b", "c", "d"]));
    assert_eq!(by_id(2)["tags"], json!([]));
    assert_eq!(by_id(1)["category_ids"], json!([11, 40, 1]));
    assert_eq!(by_id(2)["category_ids"], json!([]));
    assert_eq!(by_id(5)["category_ids"], json!([6]));
}

/// A shop's tables are not ours: numbers may be text there, and text of an older encoding.
#[tokio::test]
async fn columns_of_other_types_do_as_well() {
    let sql = six("price, hit, sell, discount_percent", ["'5', 10, 1, 2.5"; 6])
        + "ALTER TABLE ham3d_product MODIFY hit VARCHAR(9), MODIFY state VARCHAR(9), MODIFY discount_percent VARCHAR(9),
              MODIFY catid VARCHAR(9), MODIFY active VARCHAR(9), MODIFY brandid BIGINT UNSIGNED, MODIFY `date` INT,
              MODIFY price DECIMAL(12, 2), MODIFY code INT, MODIFY tags LONGTEXT CHARACTER SET utf8mb3, MODIFY id BIGINT;
           ALTER TABLE ham3d_price_color_tab MODIFY kind INT, MODIFY lang VARCHAR(9) CHARACTER SET utf8mb3;
           ALTER TABLE ham3d_product_color MODIFY title VARCHAR(9) CHARACTER SET utf8mb3;
           UPDATE ham3d_price_color_tab SET kind = 3;
           UPDATE ham3d_product SET hit = '9', code = 12, tags = 'پلا' WHERE id = 1";
    let client = client(&shop_with(&sql)).await;
    // As text, 9 would be more than 10.
    assert_eq!(ids(&client, json!({"sort_by": "most_viewed"})).await, [6, 5, 4, 3, 2, 1]);
    let found = found(&client, json!({"color_kind": 3, "min_price": 5, "query": "پلا"})).await;
    assert_eq!(found["total"], 1);
    let product = &found["results"][0];
    assert_eq!((&product["code"], &product["view_count"]), (&json!("12"), &json!(9)));
    assert_eq!((&product["price"], &product["discount_percent"]), (&json!("5.00"), &json!(2.5)));
    assert_eq!(product["colors"][0]["kind"], "3");
    assert!(ids(&client, json!({"query": "🎓"})).await.is_empty());
    assert!(ids(&client, json!({"color_kind": "x"})).await.is_empty());
    assert!(ids(&client, json!({"color_names": "🎓"})).await.is_empty());
}
