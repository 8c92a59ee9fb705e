//! English and Persian: which is chosen, what changes, what is remembered.

use crate::{
    browser::{Page, Reader, browse},
    scene::{demo, page},
};

const PAGES: [&str; 3] = ["/chat", "/metrics/ui", "/admin/ui"];

async fn reads(tab: &Page, language: &str, direction: &str) {
    tab.until(&format!(
        "document.documentElement.lang === '{language}' && document.documentElement.dir === '{direction}'"
    ))
    .await;
}

#[tokio::test]
async fn a_page_speaks_its_readers_language_until_told_otherwise() {
    let service = demo().start().await;
    for (reader, [own, other]) in [
        (Reader::ENGLISH, [("en", "ltr"), ("fa", "rtl")]),
        (Reader::PERSIAN, [("fa", "rtl"), ("en", "ltr")]),
        (Reader { languages: "de-DE,de", ..Reader::ENGLISH }, [("en", "ltr"), ("fa", "rtl")]),
    ] {
        browse(reader, async |tab| {
            for path in PAGES {
                tab.open(&page(&service, path)).await;
                reads(tab, own.0, own.1).await;
            }
            let before = tab.text("main h1").await;
            tab.click("#language-switch").await;
            reads(tab, other.0, other.1).await;
            assert_ne!(tab.text("main h1").await, before, "its text has changed");
            tab.reload().await;
            reads(tab, other.0, other.1).await;
            // All pages remember it.
            for path in PAGES {
                tab.open(&page(&service, path)).await;
                reads(tab, other.0, other.1).await;
            }
            tab.click("#language-switch").await;
            reads(tab, own.0, own.1).await;
        })
        .await;
    }
}

/// No text is left in the other language, or as the name of a text that nobody wrote.
#[tokio::test]
async fn every_text_is_there_in_both_languages() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        for path in PAGES {
            tab.open(&page(&service, path)).await;
            let missing = "const texts = {}; for (const language of ['en', 'fa']) { agent.setLanguage(language); \
                texts[language] = [...document.querySelectorAll('[data-i18n], [data-i18n-label], [data-i18n-placeholder], \
                [data-i18n-title]')].flatMap(e => [e.dataset.i18n, e.dataset.i18nLabel, e.dataset.i18nPlaceholder, \
                e.dataset.i18nTitle]).filter(Boolean).map(key => [key, agent.t(key)]); } return texts.en.filter(([key, \
                text], index) => !text || text === key || texts.fa[index][1] === text || !/[\\u0600-\\u06ff]/.test(\
                texts.fa[index][1])).map(([key]) => key)";
            let missing = tab.script(missing, &[]).await;
            assert_eq!(missing, serde_json::json!([]), "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn persian_is_shown_in_its_own_letters() {
    let service = demo().start().await;
    browse(Reader::PERSIAN, async |tab| {
        tab.open(&page(&service, "/metrics/ui")).await;
        tab.until("[...document.fonts].some(f => f.family.includes('Vazirmatn') && f.status === 'loaded')").await;
        tab.sees("#tile-requests", "۰").await;
    })
    .await;
}
