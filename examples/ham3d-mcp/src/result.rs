//! What the tool answers. The fields' comments are the published schema's descriptions.

use rmcp::schemars::{self, JsonSchema};
use serde::Serialize;

/// One page of what was found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SearchResult {
    /// How many products match in all.
    pub total: i64,
    /// How many of them are on this page.
    pub count: usize,
    /// The size of a page.
    pub limit: i64,
    /// How many products come before this page.
    pub offset: i64,
    /// The order of the products.
    pub sort_by: &'static str,
    /// The products of this page.
    pub results: Vec<Product>,
}

/// A product.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Product {
    /// Its number, for `product_ids` and `exclude_product_ids`.
    pub id: i64,
    /// The shop's own code for it.
    pub code: Option<String>,
    /// Its name.
    pub title: Option<String>,
    /// Its English name.
    pub title_english: Option<String>,
    /// The language of its texts.
    pub language: Option<String>,
    /// The category at the top of its own.
    pub main_category_id: Option<i64>,
    /// Its category.
    pub category_id: Option<i64>,
    /// All categories it is listed in.
    pub category_ids: Vec<i64>,
    /// Its brand.
    pub brand_id: Option<i64>,
    /// Its price, as the shop wrote it; may be empty.
    pub price: Option<String>,
    /// What the shop says instead of or beside the price.
    pub price_text: Option<String>,
    /// How often it has been viewed.
    pub view_count: Option<i64>,
    /// How often it has been sold.
    pub sell_count: Option<i64>,
    /// By how many per cent it is reduced.
    pub discount_percent: Option<f64>,
    /// The shop's own code for whether it can be had.
    pub state: Option<i64>,
    /// 1 if it is on sale.
    pub active: Option<i64>,
    /// Its picture.
    pub image: Option<String>,
    /// Another picture.
    pub alt_image: Option<String>,
    /// Words that describe it.
    pub tags: Vec<String>,
    /// The colours it comes in.
    pub colors: Vec<Color>,
}

/// A colour that a product comes in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Color {
    /// The colour's number, for `color_ids`.
    pub id: Option<i64>,
    /// The colour's name, for `color_names`.
    pub title: Option<String>,
    /// What it looks like, such as `#1a1a1a`.
    pub hex_code: Option<String>,
    /// Its kind, for `color_kind`.
    pub kind: Option<String>,
    /// What the product is called in this colour.
    pub variant_title: Option<String>,
    /// A picture of the product in this colour.
    pub asset_path: Option<String>,
}
