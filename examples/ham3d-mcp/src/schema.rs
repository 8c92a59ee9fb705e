//! What the tool's description says of its arguments.

use serde_json::{Map, Value, json};

use crate::args::{DEFAULT_LANGUAGE, DEFAULT_LIMIT, MAX_LANGUAGE, MAX_LIMIT, MAX_LIST, MAX_TEXT, SortBy};

/// The schema of the arguments in their direct form.
#[must_use]
pub fn input() -> Map<String, Value> {
    let text = |description: &str| json!({"type": "string", "maxLength": MAX_TEXT, "description": description});
    let list = |items: Value, example: &str, description: &str| {
        json!({
            "anyOf": [
                {"type": "array", "items": items, "maxItems": MAX_LIST},
                {"type": "string", "description": format!("Separated by commas, such as {example}.")},
            ],
            "description": description,
        })
    };
    let ids = |description: &str| list(json!({"type": "integer", "minimum": 0}), "1, 2", description);
    let price = |description: &str| json!({"type": "number", "minimum": 0, "description": description});
    let flag = |description: &str| json!({"type": "boolean", "default": true, "description": description});

    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "query": text("A fragment of a product's titles, tags, keywords or description."),
            "language": {
                "type": ["string", "null"],
                "default": DEFAULT_LANGUAGE,
                "maxLength": MAX_LANGUAGE,
                "description": "Only products with a variant (a colour they come in) in this language, such as fa or en; \
                    null for any language.",
            },
            "category_ids": ids("Only products in one of these categories."),
            "brand_ids": ids("Only products of one of these brands."),
            "product_ids": ids("Only these products."),
            "exclude_product_ids": ids("None of these products."),
            "color_ids": ids("Only products with a variant in one of these colours."),
            "color_names": list(
                json!({"type": "string", "maxLength": MAX_TEXT}),
                "red, blue",
                "Only products with a variant in a colour of one of these names, in full.",
            ),
            "color_kind": text("Only products with a variant of this kind, as in a colour's `kind`."),
            "only_active": flag("Whether to leave out products that are not on sale."),
            "only_visible_colors": flag(
                "Whether to count only variants in visible colours; products without one are left out. False together \
                 with language null finds products without any colours, too.",
            ),
            "min_price": price("The least price. Products without a price in figures are left out."),
            "max_price": price("The greatest price. Products without a price in figures are left out."),
            "limit": {
                "type": "integer",
                "default": DEFAULT_LIMIT,
                "minimum": 1,
                "maximum": MAX_LIMIT,
                "description": "How many products to show.",
            },
            "offset": {
                "type": "integer",
                "default": 0,
                "minimum": 0,
                "description": "How many products to pass over, for the next page.",
            },
            "sort_by": {
                "type": "string",
                "enum": SortBy::ALL.map(SortBy::name),
                "default": SortBy::default().name(),
                "description": "The order of the products.",
            },
        },
    });
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{NAMES, Search};

    #[test]
    fn describes_every_argument_and_no_other() {
        let schema = input();
        let properties = schema["properties"].as_object().expect("properties");
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        assert_eq!(properties.keys().collect::<Vec<_>>(), names);
        for (name, property) in properties {
            assert!(property["description"].is_string(), "{name}");
        }
    }

    #[test]
    fn its_defaults_are_those_of_the_search() {
        let schema = input();
        let properties = schema["properties"].as_object().expect("properties");
        let defaults =
            properties.iter().filter_map(|(name, property)| Some((name.clone(), property.get("default")?.clone())));
        let defaults: Map<_, _> = defaults.collect();
        assert_eq!(defaults.len(), 6);
        assert_eq!(Search::parse(defaults), Ok(Search::default()));
    }
}
