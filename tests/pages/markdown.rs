//! How an answer is laid out, and that no text takes the page long.

use serde_json::json;

use crate::{
    browser::{Page, Reader, browse},
    scene::{demo, page},
};

/// What reading as much as is ever read at once may take, and what the page may stand still for while an answer is laid
/// out, in milliseconds. A machine with nothing else to do needs a tenth of it, and that for a hundred thousand lines or
/// items; work that grows with the square of the text takes longer.
const BOUNDS: [f64; 2] = [4_000.0, 15_000.0];

/// What is of 200 kB when it is repeated: a beginning, and what comes over and over.
const ODD: [(&str, &str); 36] = [
    ("", "some words that fill a line, and a `bit` of *everything*, "),
    ("", "*a_"),
    ("", "_a*"),
    ("", "**a_"),
    ("", "*a_ b\n"),
    ("", "*a_ b\n\n"),
    ("", "a_"),
    ("", "*a_b`"),
    ("", "~~"),
    ("", "~~a~"),
    ("", "`"),
    ("", "`a``"),
    ("", "["),
    ("", "[a]("),
    ("", "[[a](b)"),
    ("", "[a]: b\n"),
    ("", "!!"),
    ("", "<"),
    ("", "<a href=\""),
    ("", ">"),
    ("", "> "),
    ("", "> *a_\n"),
    ("", "- "),
    ("", "- a\n"),
    ("", "- *a_\n"),
    ("- ", "(\n"),
    ("", "1. "),
    ("| a | b |\n| - | - |\n", "| *a* | `b` |\n"),
    ("| a | b |\n| - | - |\n", "| *a_ | `b |\n"),
    ("", "| a "),
    ("a", " "),
    ("", "\\"),
    ("", "http://a("),
    ("www.-", "\""),
    ("", "a@b."),
    ("", "😀"),
];

/// Lays a text out as an answer that was found complete: how long reading it takes, and how long the page stood still.
async fn lay_out(tab: &Page, beginning: &str, piece: &str, times: usize) -> [f64; 2] {
    let script = "document.querySelector('#laid-out')?.remove(); \
        const element = agent.el('div', {id: 'laid-out', class: 'markdown'}); \
        document.querySelector('main').append(element); \
        const text = arguments[0] + arguments[1].repeat(arguments[2]); \
        const start = performance.now(); \
        markdownTokens(text.slice(0, LONGEST_BLOCK)); \
        const read = performance.now() - start; \
        return new Promise(done => { \
            let [last, longest] = [performance.now(), 0]; \
            const look = () => { \
                const now = performance.now(); \
                longest = Math.max(longest, now - last); \
                last = now; \
            }; \
            const watch = setInterval(look, 10); \
            const stream = new MarkdownStream(element, {onrender: () => { \
                if (stream.text.length < text.length) return; \
                element.offsetHeight; \
                look(); \
                clearInterval(watch); \
                done([read, longest]); \
            }}); \
            stream.finish(text); \
        })";
    let took = tab.script(script, &[json!(beginning), json!(piece), json!(times)]).await;
    [0, 1].map(|index| took[index].as_f64().expect("milliseconds"))
}

/// The same of a text as it is.
async fn lay_out_text(tab: &Page, text: &str) {
    lay_out(tab, text, "", 0).await;
}

#[tokio::test]
async fn no_text_freezes_the_page() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        for (beginning, piece) in ODD {
            let lay_out = async || lay_out(tab, beginning, piece, 200_000 / piece.len()).await;
            let is_quick = |took: [f64; 2]| took[0] < BOUNDS[0] && took[1] < BOUNDS[1];
            let mut took = lay_out().await;
            println!("{took:.0?} ms for {beginning:?} and {piece:?}");
            if !is_quick(took) {
                // The machine may have been busy with something else. What is slow by itself is slow again.
                let again = lay_out().await;
                took = [0, 1].map(|index| took[index].min(again[index]));
            }
            assert!(is_quick(took), "{took:.0?} ms for {beginning:?} and {piece:?}");
        }
        lay_out_text(tab, "").await;
    })
    .await;
}

#[tokio::test]
async fn what_is_too_much_to_lay_out_is_shown_as_it_was_written() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        let loose = "*a_\n".repeat(600);
        lay_out_text(tab, &format!("*before*\n\n{loose}\n*after*")).await;
        assert_eq!(tab.count("#laid-out em").await, 2);
        let shown = tab.script("return document.querySelector('#laid-out .md-plain').textContent", &[]).await;
        assert_eq!(shown, loose.trim_end());

        lay_out_text(tab, &format!("{}deep", "> ".repeat(200))).await;
        tab.sees("#laid-out blockquote .md-plain", "> deep").await;
        lay_out_text(tab, &format!("http://a.example/{} and http://b.example/", "a".repeat(3000))).await;
        assert_eq!(tab.count("#laid-out a[href='http://b.example/']").await, 1);
        assert_eq!(tab.count("#laid-out a").await, 1);
    })
    .await;
}

#[tokio::test]
async fn what_people_write_is_laid_out_however_much_it_is() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        let glossary = "**A word**: what it means, in `some` detail\n".repeat(150);
        let list = "- *one* of many, with a [link](http://a.example/)\n".repeat(400);
        let table = format!("| a | b | c |\n| - | - | - |\n{}", "| **a** | `b_c` | *d* and *e* |\n".repeat(400));
        let nested: String = (0..8).map(|depth| format!("{}- level *{depth}*\n", "  ".repeat(depth))).collect();
        lay_out_text(tab, &[glossary, list, table, nested].join("\n")).await;
        for (css, count) in [
            ("p strong", 150),
            ("p code", 150),
            ("ul a", 400),
            ("td strong", 400),
            ("td em", 800),
            ("ul ul ul ul ul ul ul ul em", 1),
            (".md-plain", 0),
        ] {
            assert_eq!(tab.count(&format!("#laid-out {css}")).await, count, "{css}");
        }
    })
    .await;
}
