-- The tables that the server reads. A real shop has them already, perhaps with more columns and other types.
-- Nothing is dropped or overwritten: where a table is there, this stops.

CREATE TABLE ham3d_product (
    id               INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    code             VARCHAR(64),
    title            VARCHAR(255) NOT NULL,
    title2           VARCHAR(255),
    title_english    VARCHAR(255),
    lang             VARCHAR(8)   NOT NULL DEFAULT 'fa',
    maincatid        INT,
    catid            INT,
    catidby          TEXT COMMENT 'further categories, separated by commas',
    catidby_full     TEXT COMMENT 'all categories up to the top, separated by commas',
    brandid          INT,
    price            VARCHAR(64) COMMENT 'as people write it; may be empty',
    price_text       VARCHAR(255),
    hit              INT UNSIGNED NOT NULL DEFAULT 0,
    sell             INT UNSIGNED NOT NULL DEFAULT 0,
    discount_percent DECIMAL(5, 2),
    state            INT,
    active           TINYINT      NOT NULL DEFAULT 1,
    pic              VARCHAR(255),
    alt_pic          VARCHAR(255),
    tags             TEXT,
    seo_keywords     TEXT,
    seo_description  TEXT,
    `date`           DATETIME,
    KEY (active, `date`)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE ham3d_product_color (
    id         INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    title      VARCHAR(64)  NOT NULL,
    color      VARCHAR(16),
    state_show TINYINT      NOT NULL DEFAULT 1 COMMENT '0: not shown to customers'
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- A variant: a product in a colour, for readers of a language.
CREATE TABLE ham3d_price_color_tab (
    id        INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    productid INT UNSIGNED NOT NULL,
    colorid   INT UNSIGNED NOT NULL,
    lang      VARCHAR(8)   NOT NULL DEFAULT 'fa',
    kind      VARCHAR(32),
    title     VARCHAR(255),
    pic       VARCHAR(255),
    `order`   INT,
    KEY (productid, lang)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
