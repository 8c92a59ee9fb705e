//! What the database answers, and what becomes of it.

use std::collections::{HashMap, HashSet};

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Double, Nullable, Text},
};

use crate::result::{Color, Product};

#[derive(QueryableByName)]
pub(crate) struct CountRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) total: i64,
}

#[derive(QueryableByName)]
pub(crate) struct ProductRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    title: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    title_english: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    language: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    main_category_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    category_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    categories: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    categories_full: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    brand_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    price: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    price_text: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    view_count: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    sell_count: Option<i64>,
    #[diesel(sql_type = Nullable<Double>)]
    discount_percent: Option<f64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    state: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    active: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    image: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    alt_image: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    tags: Option<String>,
}

#[derive(QueryableByName)]
pub(crate) struct ColorRow {
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    title: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    hex_code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    kind: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    variant_title: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    asset_path: Option<String>,
}

/// Products with their colours, both in the order of their rows.
pub(crate) fn products(products: Vec<ProductRow>, colors: Vec<ColorRow>) -> Vec<Product> {
    let mut of_product: HashMap<i64, Vec<Color>> = HashMap::new();
    for row in colors {
        of_product.entry(row.product_id).or_default().push(Color {
            id: row.id,
            title: row.title,
            hex_code: row.hex_code,
            kind: row.kind,
            variant_title: row.variant_title,
            asset_path: row.asset_path,
        });
    }
    let product = |row: ProductRow| Product {
        id: row.id,
        code: row.code,
        title: row.title,
        title_english: row.title_english,
        language: row.language,
        main_category_id: row.main_category_id,
        category_id: row.category_id,
        category_ids: members(&[row.categories, row.categories_full]),
        brand_id: row.brand_id,
        price: row.price,
        price_text: row.price_text,
        view_count: row.view_count,
        sell_count: row.sell_count,
        discount_percent: row.discount_percent,
        state: row.state,
        active: row.active,
        image: row.image,
        alt_image: row.alt_image,
        tags: tags(row.tags.as_deref().unwrap_or_default()),
        colors: of_product.remove(&row.id).unwrap_or_default(),
    };
    products.into_iter().map(product).collect()
}

/// The numbers in comma lists, each once, in the order in which they come up.
fn members(lists: &[Option<String>]) -> Vec<i64> {
    let mut seen = HashSet::new();
    let numbers =
        lists.iter().flatten().flat_map(|list| list.split(',')).filter_map(|member| member.trim().parse().ok());
    numbers.filter(|number| seen.insert(*number)).collect()
}

/// Tags are typed by people: separated by commas of either script or one a line.
fn tags(text: &str) -> Vec<String> {
    let tags = text.split([',', '،', '\n', '\r']).map(str::trim);
    tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_either_script_and_of_lines() {
        assert_eq!(tags("pla, فیلامنت ،پرینتر\r\n silk ,,\n"), ["pla", "فیلامنت", "پرینتر", "silk"]);
        assert!(tags(" , ").is_empty());
    }

    #[test]
    fn members_once_each_in_order() {
        let lists = [Some(",5, 3,x,5".to_owned()), None, Some("3,8,".to_owned())];
        assert_eq!(members(&lists), [5, 3, 8]);
    }
}
