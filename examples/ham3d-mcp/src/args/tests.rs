use serde_json::json;

use super::*;

fn parse(arguments: Value) -> Result<Search, String> {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    Search::parse(arguments).map_err(|mistakes| mistakes.to_string())
}

fn good(arguments: Value) -> Search {
    parse(arguments).expect("good arguments")
}

fn bad(arguments: Value) -> String {
    parse(arguments).expect_err("bad arguments")
}

#[test]
fn nothing_at_all_is_the_defaults() {
    assert_eq!(good(json!({})), Search::default());
    assert_eq!(good(json!({"payload": {}})), Search::default());
}

#[test]
fn null_is_not_given_but_any_language() {
    let all: Map<String, Value> = NAMES.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    assert_eq!(good(Value::Object(all)), Search { language: None, ..Search::default() });
    assert_eq!(good(json!({"language": " "})).language, None);
    assert_eq!(good(json!({"language": " zh-Hant "})).language.as_deref(), Some("zh-Hant"));
    for wrong in [json!("فارسی"), json!("' OR 1"), json!("a".repeat(17)), json!(1)] {
        assert_eq!(
            bad(json!({"language": wrong})),
            "language must be a language's code, such as fa or en, or null for any."
        );
    }
}

#[test]
fn wrapped_is_direct() {
    let arguments = json!({"query": "pla", "limit": 5});
    assert_eq!(good(json!({ "payload": arguments })), good(arguments));
    assert!(bad(json!({"payload": {}, "limit": 5})).contains("not both"));
    assert!(bad(json!({"payload": "x"})).contains("payload must be an object"));
    assert!(bad(json!({"payload": {"payload": {}}})).contains("no argument payload"));
}

#[test]
fn lists_in_every_form() {
    for list in [json!([1, 2, 2]), json!(["1", 2.0]), json!("1, 2"), json!("1,2,"), json!("1،2")] {
        assert_eq!(good(json!({"category_ids": list})).category_ids, [1, 2], "{list}");
    }
    assert_eq!(good(json!({"brand_ids": 7})).brand_ids, [7]);
    assert!(good(json!({"brand_ids": []})).brand_ids.is_empty());
    assert!(good(json!({"brand_ids": " , "})).brand_ids.is_empty());
    assert_eq!(good(json!({"color_names": "قرمز، آبی"})).color_names, ["قرمز", "آبی"]);
    assert_eq!(good(json!({"color_names": ["a, b"]})).color_names, ["a, b"], "an item is not split");
    for wrong in [json!(["x"]), json!("1;2"), json!([1.5]), json!([-1]), json!([null]), json!({}), json!(vec![1; 101])]
    {
        let mistake = bad(json!({"product_ids": wrong}));
        assert!(mistake.starts_with("product_ids must be a list of at most 100 whole numbers"), "{wrong}: {mistake}");
    }
    assert!(bad(json!({"color_names": [1]})).starts_with("color_names must be a list"));
}

#[test]
fn numbers_in_their_bounds() {
    for limit in [json!(1), json!(100), json!("50"), json!(20.0)] {
        assert!(parse(json!({"limit": limit})).is_ok(), "{limit}");
    }
    for limit in [json!(0), json!(101), json!(-1), json!("x"), json!(1.5), json!(true), json!([]), json!(1e300)] {
        assert_eq!(bad(json!({"limit": limit})), "limit must be a whole number from 1 to 100.", "{limit}");
    }
    assert_eq!(bad(json!({"offset": -1})), "offset must be a whole number of 0 or more.");
    assert_eq!(good(json!({"offset": i64::MAX})).offset, i64::MAX);
}

#[test]
fn prices() {
    let search = good(json!({"min_price": "1.5", "max_price": 1.5}));
    assert_eq!((search.min_price, search.max_price), (Some(1.5), Some(1.5)));
    assert_eq!(good(json!({"min_price": ""})).min_price, None);
    for price in [json!(-1), json!("NaN"), json!("1e999"), json!("1,000"), json!(true)] {
        assert!(bad(json!({"max_price": price})).starts_with("max_price must be a number of 0 or more"), "{price}");
    }
    assert_eq!(bad(json!({"min_price": 2, "max_price": 1})), "min_price must not be greater than max_price.");
}

#[test]
fn texts_and_words() {
    assert_eq!(good(json!({"query": "  100%_ \\ '"})).query.as_deref(), Some("100%_ \\ '"));
    assert_eq!(good(json!({"query": " "})).query, None);
    assert_eq!(good(json!({"color_kind": 2})).color_kind.as_deref(), Some("2"));
    assert!(good(json!({"query": "ی".repeat(200)})).query.is_some());
    assert_eq!(bad(json!({"query": "ی".repeat(201)})), "query must be a text of at most 200 characters.");
    assert!(bad(json!({"query": 5})).starts_with("query must be a text"));
}

#[test]
fn flags() {
    assert!(!good(json!({"only_active": false})).only_active);
    assert!(!good(json!({"only_visible_colors": "False"})).only_visible_colors);
    assert_eq!(bad(json!({"only_active": 1})), "only_active must be true or false.");
}

#[test]
fn every_order_by_its_name() {
    for sort_by in SortBy::ALL {
        assert_eq!(good(json!({"sort_by": sort_by.name()})).sort_by, sort_by);
    }
    assert_eq!(
        bad(json!({"sort_by": "cheapest"})),
        "sort_by must be one of latest, oldest, most_viewed, best_selling, price_low_high, price_high_low."
    );
}

#[test]
fn a_product_is_wanted_or_not() {
    assert_eq!(
        bad(json!({"product_ids": [1, 2, 3], "exclude_product_ids": "3, 1"})),
        "product_ids and exclude_product_ids must not name the same product: 1, 3."
    );
}

#[test]
fn unknown_arguments_are_refused_with_the_nearest_known_one() {
    assert_eq!(bad(json!({"colour_ids": [1]})), "There is no argument colour_ids; did you mean color_ids?");
    let mistake = bad(json!({"zzz": 1}));
    assert!(mistake.starts_with("There is no argument zzz; there are query, language,"), "{mistake}");
}

#[test]
fn all_mistakes_at_once() {
    let mistakes = bad(json!({"limit": 0, "offset": -1, "sort_by": "x", "nonsense": 1}));
    assert_eq!(mistakes.lines().count(), 4, "{mistakes}");
}
