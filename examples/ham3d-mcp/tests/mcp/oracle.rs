//! The database's answers, compared with those of a plain filter over the same rows.

use std::cmp::{Ordering, Reverse};

use ham3d_mcp::args::SortBy;
use proptest::{
    prelude::*,
    sample::{select, subsequence},
    test_runner::{Config, TestRunner},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::common::{client, found, shop};

#[derive(Debug, Deserialize)]
struct Row {
    id: i64,
    texts: Vec<Option<String>>,
    categories: Vec<Option<i64>>,
    category_lists: Vec<Option<String>>,
    brand: Option<i64>,
    price: Option<String>,
    hit: i64,
    sell: i64,
    active: i64,
    date: Option<String>,
    #[serde(default)]
    variants: Vec<Variant>,
}

#[derive(Clone, Debug, Deserialize)]
struct Variant {
    product: i64,
    color: i64,
    language: String,
    kind: String,
    name: String,
    visible: i64,
}

fn lines<T: for<'de> Deserialize<'de>>(select: &str) -> Vec<T> {
    let output = shop().sql(select);
    // The client doubles backslashes.
    output.lines().map(|line| serde_json::from_str(&line.replace(r"\\", r"\")).expect("JSON")).collect()
}

fn rows() -> Vec<Row> {
    let variants: Vec<Variant> = lines(
        "SELECT JSON_OBJECT('product', v.productid, 'color', c.id, 'language', v.lang, 'kind', v.kind, 'name', c.title,
                            'visible', c.state_show)
         FROM ham3d_price_color_tab v JOIN ham3d_product_color c ON c.id = v.colorid",
    );
    let mut rows: Vec<Row> = lines(
        "SELECT JSON_OBJECT('id', id, 'texts', JSON_ARRAY(title, title2, title_english, seo_keywords, seo_description, tags),
                            'categories', JSON_ARRAY(catid, maincatid),
                            'category_lists', JSON_ARRAY(catidby, catidby_full), 'brand', brandid, 'price', price,
                            'hit', hit, 'sell', sell, 'active', active, 'date', `date`)
         FROM ham3d_product",
    );
    for row in &mut rows {
        row.variants = variants.iter().filter(|variant| variant.product == row.id).cloned().collect();
    }
    rows
}

impl Row {
    fn price(&self) -> Option<f64> {
        let plain = self.price.as_ref()?.chars().filter(|character| !",٬ ".contains(*character)).map(|character| {
            match "۰۱۲۳۴۵۶۷۸۹".chars().position(|digit| digit == character) {
                Some(digit) => char::from(b"0123456789"[digit]),
                None => character,
            }
        });
        plain.collect::<String>().parse().ok()
    }

    fn matches(&self, asked: &Value) -> bool {
        let list = |name: &str| asked.get(name).and_then(Value::as_array);
        let has =
            |name: &str, id: Option<i64>| list(name).is_none_or(|list| id.is_some_and(|id| list.contains(&json!(id))));
        let contains = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        let members = self.category_lists.iter().flatten().flat_map(|list| list.split(','));
        let members = members.filter_map(|member| member.trim().parse().ok());
        let categories: Vec<i64> = self.categories.iter().flatten().copied().chain(members).collect();
        let flag = |name: &str| asked.get(name) != Some(&json!(false));
        let language = asked.get("language").map_or(Some("fa"), Value::as_str);
        let asks_for_colors = language.is_some()
            || flag("only_visible_colors")
            || ["color_ids", "color_names", "color_kind"].iter().any(|name| asked.get(*name).is_some());
        let variant = |variant: &Variant| {
            language.is_none_or(|language| variant.language == language)
                && (!flag("only_visible_colors") || variant.visible == 1)
                && has("color_ids", Some(variant.color))
                && list("color_names").is_none_or(|names| names.contains(&json!(variant.name)))
                && asked.get("color_kind").is_none_or(|kind| *kind == json!(variant.kind))
        };
        let bound = |name: &str| asked.get(name).and_then(Value::as_f64);
        asked
            .get("query")
            .and_then(Value::as_str)
            .is_none_or(|part| self.texts.iter().flatten().any(|text| contains(text, part)))
            && list("category_ids")
                .is_none_or(|ids| ids.iter().any(|id| categories.iter().any(|own| json!(own) == *id)))
            && has("brand_ids", self.brand)
            && has("product_ids", Some(self.id))
            && list("exclude_product_ids").is_none_or(|ids| !ids.contains(&json!(self.id)))
            && (!flag("only_active") || self.active == 1)
            && bound("min_price").is_none_or(|min| self.price().is_some_and(|price| price >= min))
            && bound("max_price").is_none_or(|max| self.price().is_some_and(|price| price <= max))
            && (!asks_for_colors || self.variants.iter().any(variant))
    }
}

fn order(sort_by: SortBy, one: &Row, other: &Row) -> Ordering {
    let price = |row: &Row, sign: f64| row.price().map_or(f64::INFINITY, |price| price * sign);
    let first = match sort_by {
        SortBy::Latest => other.date.cmp(&one.date),
        SortBy::Oldest => (one.date.is_none(), &one.date).cmp(&(other.date.is_none(), &other.date)),
        SortBy::MostViewed => Reverse(one.hit).cmp(&Reverse(other.hit)),
        SortBy::BestSelling => Reverse(one.sell).cmp(&Reverse(other.sell)),
        SortBy::PriceLowHigh => price(one, 1.0).total_cmp(&price(other, 1.0)),
        SortBy::PriceHighLow => price(one, -1.0).total_cmp(&price(other, -1.0)),
    };
    first.then(other.id.cmp(&one.id))
}

/// Any mixture of conditions that may find something: each is there one time in five.
fn asked() -> impl Strategy<Value = Value> {
    fn sometimes<T: Into<Value> + std::fmt::Debug>(
        name: &'static str,
        value: impl Strategy<Value = T>,
    ) -> impl Strategy<Value = Option<(&'static str, Value)>> {
        prop::option::weighted(0.2, value.prop_map(move |value| (name, value.into())))
    }
    let some = |ids: std::ops::Range<i64>, count: usize| subsequence(ids.collect::<Vec<_>>(), 1..=count);
    let queries =
        ["PLA", "پرینتر", "رزین", "%", "_", "40%", "\\", "'", "printer", "قطعات", "چاپ", "nothing like it", "GT2"];
    let prices = prop_oneof![Just(0.0), Just(95_000.0_f64), 0.0..3_000_000.0_f64, 0.0..50_000_000.0_f64];
    let languages = select(vec![json!("fa"), json!("en"), Value::Null, Value::Null]);
    let names = subsequence(vec!["قرمز", "مشکی", "سفید", "طلایی", "Red", "Black"], 1..=3);
    let chosen = (
        sometimes("query", select(queries.to_vec())),
        sometimes("language", languages),
        sometimes("category_ids", subsequence(vec![1, 2, 3, 4, 11, 12, 21, 23, 25, 31, 40], 1..=4)),
        sometimes("brand_ids", some(1..9, 4)),
        sometimes("product_ids", some(1..38, 20)),
        sometimes("color_ids", some(1..11, 5)),
        sometimes("color_names", names),
        sometimes("color_kind", select(vec!["solid", "silk", "matte", "none"])),
        sometimes("only_active", any::<bool>()),
        sometimes("only_visible_colors", Just(false)),
    );
    let sort_by = select(SortBy::ALL.to_vec());
    let bounds =
        (prop::option::weighted(0.3, (prices.clone(), prices)), sometimes("exclude_product_ids", some(38..40, 2)));
    (chosen, bounds, sort_by, 1..40_i64, 0..12_i64).prop_map(|(chosen, (prices, excluded), sort_by, limit, offset)| {
        let (a, b, c, d, e, f, g, h, i, j) = chosen;
        let given = [a, b, c, d, e, f, g, h, i, j, excluded].into_iter().flatten();
        let mut asked: serde_json::Map<_, _> = given.map(|(name, value)| (name.to_owned(), value)).collect();
        if let Some((one, other)) = prices {
            let (one, other): (f64, f64) = (one, other);
            asked.insert("min_price".to_owned(), json!(one.min(other)));
            asked.insert("max_price".to_owned(), json!(one.max(other)));
        }
        asked.insert("sort_by".to_owned(), json!(sort_by.name()));
        asked.insert("limit".to_owned(), json!(limit));
        asked.insert("offset".to_owned(), json!(offset));
        Value::Object(asked)
    })
}

#[test]
fn any_search_finds_what_a_plain_filter_finds() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let client = runtime.block_on(client(shop()));
    let rows = rows();
    let mut hits = 0;
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&asked(), |asked| {
        let sort_by = SortBy::ALL.into_iter().find(|order| json!(order.name()) == asked["sort_by"]).expect("an order");
        let mut expected: Vec<&Row> = rows.iter().filter(|row| row.matches(&asked)).collect();
        expected.sort_by(|one, other| order(sort_by, one, other));
        let number = |name: &str| usize::try_from(asked[name].as_u64().expect("a number")).expect("small");
        let page: Vec<i64> = expected.iter().skip(number("offset")).take(number("limit")).map(|row| row.id).collect();

        let found = runtime.block_on(found(&client, asked.clone()));
        let ids: Vec<i64> = found["results"]
            .as_array()
            .expect("results")
            .iter()
            .map(|row| row["id"].as_i64().expect("an id"))
            .collect();
        prop_assert_eq!(&found["total"], &json!(expected.len()));
        prop_assert_eq!(ids, page);
        Ok(())
    });
    outcome.expect("the same products");
    for row in &rows {
        hits += usize::from(row.matches(&json!({})));
    }
    assert!(hits > 20, "the example has {hits} products to find");
}
