//! What a model asks for: [`Search`].
//!
//! Models write `"5"` for `5` and `"1, 2"` for `[1, 2]`, and there is one way to understand that: it is understood. What
//! could mean two things is refused, with all mistakes at once and in words that say what would be right.

mod reader;

use std::fmt;

use serde_json::{Map, Value};

use self::reader::Reader;

/// Every argument, in the order of the published schema.
pub const NAMES: [&str; 16] = [
    "query",
    "language",
    "category_ids",
    "brand_ids",
    "product_ids",
    "exclude_product_ids",
    "color_ids",
    "color_names",
    "color_kind",
    "only_active",
    "only_visible_colors",
    "min_price",
    "max_price",
    "limit",
    "offset",
    "sort_by",
];

/// The language asked for where none is named.
pub const DEFAULT_LANGUAGE: &str = "fa";
/// How many products there are on a page, unless asked otherwise.
pub const DEFAULT_LIMIT: i64 = 20;
/// How many there can be.
pub const MAX_LIMIT: i64 = 100;
/// How many ids or names one list may have: each is a part of the statement.
pub const MAX_LIST: usize = 100;
/// How many characters a language may have, such as `fa` or `zh-Hant`.
pub const MAX_LANGUAGE: usize = 16;
/// How many characters a text may have.
pub const MAX_TEXT: usize = 200;

/// The order of the products. In each, of two that are equal the newer one comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// The newest first.
    #[default]
    Latest,
    /// The oldest first.
    Oldest,
    /// What was looked at most first.
    MostViewed,
    /// What was sold most first.
    BestSelling,
    /// The cheapest first; what has no price in figures last.
    PriceLowHigh,
    /// The dearest first; what has no price in figures last.
    PriceHighLow,
}

impl SortBy {
    /// Every order.
    pub const ALL: [Self; 6] =
        [Self::Latest, Self::Oldest, Self::MostViewed, Self::BestSelling, Self::PriceLowHigh, Self::PriceHighLow];

    /// What it is called in arguments and results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Oldest => "oldest",
            Self::MostViewed => "most_viewed",
            Self::BestSelling => "best_selling",
            Self::PriceLowHigh => "price_low_high",
            Self::PriceHighLow => "price_high_low",
        }
    }
}

/// A search that can be made. An empty list is no condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// A fragment of the product's texts.
    pub query: Option<String>,
    /// The language of a variant.
    pub language: Option<String>,
    /// Categories, one of which it is in.
    pub category_ids: Vec<i64>,
    /// Brands, one of which it is of.
    pub brand_ids: Vec<i64>,
    /// Products, one of which it is.
    pub product_ids: Vec<i64>,
    /// Products, none of which it is.
    pub exclude_product_ids: Vec<i64>,
    /// Colours, one of which a variant has.
    pub color_ids: Vec<i64>,
    /// Names of colours, one of which a variant has.
    pub color_names: Vec<String>,
    /// The kind of a variant.
    pub color_kind: Option<String>,
    /// Whether what is not on sale is left out.
    pub only_active: bool,
    /// Whether hidden colours count for nothing.
    pub only_visible_colors: bool,
    /// The least price.
    pub min_price: Option<f64>,
    /// The greatest price.
    pub max_price: Option<f64>,
    /// The size of a page.
    pub limit: i64,
    /// How many products come before the page.
    pub offset: i64,
    /// The order.
    pub sort_by: SortBy,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            query: None,
            language: Some(DEFAULT_LANGUAGE.to_owned()),
            category_ids: Vec::new(),
            brand_ids: Vec::new(),
            product_ids: Vec::new(),
            exclude_product_ids: Vec::new(),
            color_ids: Vec::new(),
            color_names: Vec::new(),
            color_kind: None,
            only_active: true,
            only_visible_colors: true,
            min_price: None,
            max_price: None,
            limit: DEFAULT_LIMIT,
            offset: 0,
            sort_by: SortBy::default(),
        }
    }
}

/// All that is wrong with the arguments, a line each.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Search {
    /// Reads a tool call's arguments, given directly or wrapped as `{"payload": {…}}`.
    ///
    /// An argument that is `null` is one that was not given, but for `language`, where it means any.
    ///
    /// # Errors
    /// When an argument is unknown or wrong, or two contradict each other.
    pub fn parse(arguments: Map<String, Value>) -> Result<Self, Mistakes> {
        let mut reader = Reader::new(unwrap_payload(arguments)?);
        let language = if reader.given("language") { reader.language() } else { Search::default().language };
        let search = Self {
            query: reader.text("query"),
            language,
            category_ids: reader.ids("category_ids"),
            brand_ids: reader.ids("brand_ids"),
            product_ids: reader.ids("product_ids"),
            exclude_product_ids: reader.ids("exclude_product_ids"),
            color_ids: reader.ids("color_ids"),
            color_names: reader.names("color_names"),
            color_kind: reader.word("color_kind"),
            only_active: reader.flag("only_active", true),
            only_visible_colors: reader.flag("only_visible_colors", true),
            min_price: reader.price("min_price"),
            max_price: reader.price("max_price"),
            limit: reader.integer("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT),
            offset: reader.integer("offset", 0, 0..=i64::MAX),
            sort_by: reader.choice("sort_by", &SortBy::ALL, SortBy::name),
        };
        if let (Some(min), Some(max)) = (search.min_price, search.max_price)
            && min > max
        {
            reader.mistake("min_price must not be greater than max_price.".to_owned());
        }
        let both: Vec<_> = search.product_ids.iter().filter(|id| search.exclude_product_ids.contains(id)).collect();
        if !both.is_empty() {
            let both = both.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            reader.mistake(format!("product_ids and exclude_product_ids must not name the same product: {both}."));
        }
        reader.finish(search)
    }
}

fn unwrap_payload(mut arguments: Map<String, Value>) -> Result<Map<String, Value>, Mistakes> {
    match arguments.remove("payload") {
        None => Ok(arguments),
        Some(Value::Object(payload)) if arguments.is_empty() => Ok(payload),
        Some(Value::Object(_)) => {
            Err(Mistakes(vec!["Give the arguments either directly or within payload, not both.".to_owned()]))
        }
        Some(_) => Err(Mistakes(vec!["payload must be an object with the arguments.".to_owned()])),
    }
}

#[cfg(test)]
mod tests;
