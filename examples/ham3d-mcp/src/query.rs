//! A [`Search`] as SQL.
//!
//! The tables belong to a shop: a column may have another type there than in our example, such as text for a number. So
//! what is selected is cast, and what is compared as a number is looked at first.

use std::{iter, sync::LazyLock};

use crate::{
    args::{Search, SortBy},
    statement::{Statement, Value},
};

/// The columns that `query` is looked for in.
const TEXTS: [&str; 6] = ["p.title", "p.title2", "p.title_english", "p.seo_keywords", "p.seo_description", "p.tags"];

/// One category; it is asked for four times. Lists may be written with spaces.
const IN_CATEGORY: &str = "(p.catid = ? OR p.maincatid = ? OR FIND_IN_SET(?, REPLACE(p.catidby, ' ', '')) \
     OR FIND_IN_SET(?, REPLACE(p.catidby_full, ' ', '')))";
const IN_CATEGORY_TIMES: usize = 4;

/// A variant and its colour. The colour itself may have been deleted: then nothing of it is known, nor visible.
const VARIANTS: &str = " FROM ham3d_price_color_tab v LEFT JOIN ham3d_product_color c ON c.id = v.colorid";

const PRODUCT_COLUMNS: &str = "SELECT CAST(p.id AS SIGNED) AS id, CAST(p.code AS CHAR) AS code, \
     CAST(p.title AS CHAR) AS title, CAST(p.title_english AS CHAR) AS title_english, CAST(p.lang AS CHAR) AS language, \
     CAST(p.maincatid AS SIGNED) AS main_category_id, CAST(p.catid AS SIGNED) AS category_id, \
     CAST(p.catidby AS CHAR) AS categories, CAST(p.catidby_full AS CHAR) AS categories_full, \
     CAST(p.brandid AS SIGNED) AS brand_id, CAST(p.price AS CHAR) AS price, CAST(p.price_text AS CHAR) AS price_text, \
     CAST(p.hit AS SIGNED) AS view_count, CAST(p.sell AS SIGNED) AS sell_count, \
     p.discount_percent + 0e0 AS discount_percent, CAST(p.state AS SIGNED) AS state, CAST(p.active AS SIGNED) AS active, \
     CAST(p.pic AS CHAR) AS image, CAST(p.alt_pic AS CHAR) AS alt_image, CAST(p.tags AS CHAR) AS tags";

const COLOR_COLUMNS: &str = "SELECT CAST(v.productid AS SIGNED) AS product_id, CAST(v.colorid AS SIGNED) AS id, \
     CAST(c.title AS CHAR) AS title, CAST(c.color AS CHAR) AS hex_code, CAST(v.kind AS CHAR) AS kind, \
     CAST(v.title AS CHAR) AS variant_title, CAST(v.pic AS CHAR) AS asset_path";

/// The price as a number, or NULL where the text is none.
///
/// Shops write prices as people do: `1,250,000`, `۱۲۵۰۰۰`, `۱٬۲۵۰٬۰۰۰`. A bare cast would make 1 of the first and 0 of
/// the others, and 0 of an empty one.
static PRICE: LazyLock<String> = LazyLock::new(|| {
    let separators = [',', '،', '٬', ' ', '\u{a0}'].map(|separator| (separator, String::new()));
    let persian = ('۰'..='۹').zip(0..).map(|(digit, value)| (digit, value.to_string()));
    let arabic = ('٠'..='٩').zip(0..).map(|(digit, value)| (digit, value.to_string()));
    let replacements = iter::once(('٫', ".".to_owned())).chain(separators).chain(persian).chain(arabic);
    let plain = replacements.fold("p.price".to_owned(), |sql, (from, to)| format!("REPLACE({sql}, '{from}', '{to}')"));
    format!("(CASE WHEN {plain} REGEXP '^[0-9]+([.][0-9]+)?$' THEN CAST({plain} AS DECIMAL(30, 4)) END)")
});

/// How many products match.
pub(crate) fn count(search: &Search) -> Statement {
    let mut statement = Statement::default();
    statement.push("SELECT COUNT(*) AS total", []);
    statement.append(matching(search));
    statement
}

/// One page of them.
pub(crate) fn page(search: &Search) -> Statement {
    let mut statement = Statement::default();
    statement.push(PRODUCT_COLUMNS, []);
    statement.append(matching(search));
    match search.sort_by {
        SortBy::Latest => statement.push(" ORDER BY p.`date` DESC", []),
        // NULL is less than any date; what has none is not the oldest.
        SortBy::Oldest => statement.push(" ORDER BY p.`date` IS NULL, p.`date`", []),
        SortBy::MostViewed => statement.push(" ORDER BY CAST(p.hit AS SIGNED) DESC", []),
        SortBy::BestSelling => statement.push(" ORDER BY CAST(p.sell AS SIGNED) DESC", []),
        SortBy::PriceLowHigh => {
            statement.push(" ORDER BY ", []);
            statement.push(&PRICE, []);
            statement.push(" IS NULL, ", []);
            statement.push(&PRICE, []);
        }
        SortBy::PriceHighLow => {
            statement.push(" ORDER BY ", []);
            statement.push(&PRICE, []);
            statement.push(" DESC", []);
        }
    }
    statement.push(", p.id DESC LIMIT ? OFFSET ?", [search.limit.into(), search.offset.into()]);
    statement
}

/// What may be shown of these products' variants, of which there is one at least.
///
/// All that can be had in this language, and not only what was asked for: `color_ids` and the like choose products.
pub(crate) fn colors(search: &Search, products: &[i64]) -> Statement {
    let mut statement = Statement::default();
    statement.push(COLOR_COLUMNS, []);
    statement.push(VARIANTS, []);
    statement.push(" WHERE v.productid IN ", []);
    statement.push_list(products.iter().copied());
    for condition in offered(search) {
        statement.push(" AND ", []);
        statement.append(condition);
    }
    statement.push(" ORDER BY v.`order` IS NULL, v.`order`, v.id", []);
    statement
}

/// `FROM` and `WHERE` of the products.
fn matching(search: &Search) -> Statement {
    let mut conditions = Vec::new();
    if let Some(query) = &search.query {
        let pattern = pattern(query);
        conditions.push(any(TEXTS.into_iter().map(|column| {
            let mut contains = comparable(column, &pattern);
            contains.push(" LIKE ? ESCAPE '!'", [pattern.as_str().into()]);
            contains
        })));
    }
    if !search.category_ids.is_empty() {
        let categories = search.category_ids.iter().map(|id| repeated(IN_CATEGORY, IN_CATEGORY_TIMES, *id));
        conditions.push(any(categories));
    }
    conditions.extend(listed("p.brandid IN ", &search.brand_ids));
    conditions.extend(listed("p.id IN ", &search.product_ids));
    conditions.extend(listed("p.id NOT IN ", &search.exclude_product_ids));
    if search.only_active {
        conditions.push(plain("p.active = 1", None));
    }
    // NULL compares as neither: what has no price is in no range of prices.
    for (bound, comparison) in [(search.min_price, " >= ?"), (search.max_price, " <= ?")] {
        if let Some(bound) = bound {
            let mut condition = plain(&PRICE, None);
            condition.push(comparison, [bound.into()]);
            conditions.push(condition);
        }
    }
    conditions.extend(with_variant(search));

    let mut statement = Statement::default();
    statement.push(" FROM ham3d_product p", []);
    for (index, condition) in conditions.into_iter().enumerate() {
        statement.push(if index == 0 { " WHERE " } else { " AND " }, []);
        statement.append(condition);
    }
    statement
}

/// That there is one variant which keeps every condition on colours; nothing where there is no such condition.
fn with_variant(search: &Search) -> Option<Statement> {
    let mut conditions = offered(search);
    conditions.extend(listed("v.colorid IN ", &search.color_ids));
    if !search.color_names.is_empty() {
        let mut names = comparable("c.title", &search.color_names.concat());
        names.push(" IN ", []);
        names.push_list(search.color_names.iter().map(String::as_str));
        conditions.push(names);
    }
    if let Some(kind) = &search.color_kind {
        // As text: a number would be equal to any text that begins with it.
        conditions.push(plain("CAST(v.kind AS CHAR) = ?", Some(kind.as_str().into())));
    }
    if conditions.is_empty() {
        return None;
    }
    let mut statement = plain("EXISTS (SELECT 1", None);
    statement.push(VARIANTS, []);
    statement.push(" WHERE v.productid = p.id", []);
    for condition in conditions {
        statement.push(" AND ", []);
        statement.append(condition);
    }
    statement.push(")", []);
    Some(statement)
}

/// Which variants a customer is shown at all.
fn offered(search: &Search) -> Vec<Statement> {
    let language = search.language.as_deref().map(|language| plain("v.lang = ?", Some(language.into())));
    let visible = search.only_visible_colors.then(|| plain("c.state_show = 1", None));
    language.into_iter().chain(visible).collect()
}

/// A column in a form that can be compared with this text.
///
/// Older tables have an encoding without emoji and the like, and comparing them with one is an error. Nothing but such
/// text is worth the conversion: it loses the column's own rules for what is equal.
fn comparable(column: &'static str, text: &str) -> Statement {
    let mut statement = Statement::default();
    if text.chars().any(|character| character > '\u{ffff}') {
        statement.push("CONVERT(", []);
        statement.push(column, []);
        statement.push(" USING utf8mb4)", []);
    } else {
        statement.push(column, []);
    }
    statement
}

fn plain(sql: &'static str, value: Option<Value>) -> Statement {
    let mut statement = Statement::default();
    statement.push(sql, value);
    statement
}

fn repeated(sql: &'static str, times: usize, value: impl Into<Value>) -> Statement {
    let mut statement = Statement::default();
    statement.push(sql, iter::repeat_n(value.into(), times));
    statement
}

fn listed(sql: &'static str, ids: &[i64]) -> Option<Statement> {
    if ids.is_empty() {
        return None;
    }
    let mut statement = plain(sql, None);
    statement.push_list(ids.iter().copied());
    Some(statement)
}

fn any(alternatives: impl Iterator<Item = Statement>) -> Statement {
    let mut statement = Statement::default();
    for (index, alternative) in alternatives.enumerate() {
        statement.push(if index == 0 { "(" } else { " OR " }, []);
        statement.append(alternative);
    }
    statement.push(")", []);
    statement
}

/// A pattern for LIKE that matches the text itself, anywhere.
///
/// The escape character is our own: whether a backslash is one depends on the server's settings.
fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_literal() {
        assert_eq!(pattern(r"100%_!\'"), r"%100!%!_!!\'%");
    }

    #[test]
    fn a_statement_has_a_value_for_each_question_mark() {
        let search = Search {
            query: Some("?".to_owned()),
            language: Some("fa".to_owned()),
            category_ids: vec![1, 2],
            brand_ids: vec![3],
            product_ids: vec![4, 5],
            exclude_product_ids: vec![6],
            color_ids: vec![7],
            color_names: vec!["red".to_owned(), "blue".to_owned()],
            color_kind: Some("solid".to_owned()),
            min_price: Some(1.0),
            max_price: Some(2.0),
            ..Search::default()
        };
        for statement in [count(&search), page(&search), colors(&search, &[1, 2, 3])] {
            let (sql, values) = statement.parts();
            assert_eq!(sql.matches('?').count() - sql.matches(")?$").count(), values, "{sql}");
        }
    }

    #[test]
    fn without_conditions_on_colours_there_is_none() {
        let search = Search { language: None, only_visible_colors: false, ..Search::default() };
        assert!(with_variant(&search).is_none());
        assert!(with_variant(&Search::default()).is_some());
    }
}
