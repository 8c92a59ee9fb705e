//! The archive as a file for spreadsheets: what clients wrote is text in it, wherever it is opened.

use serde_json::{Value, json};

use crate::{
    browser::{Page, Reader, browse},
    scene::{demo, page},
};

/// What a client wrote, and its cell.
const CELLS: [(&str, &str); 17] = [
    ("plain - text = text", "plain - text = text"),
    ("one, two", r#""one, two""#),
    ("one; two", r#""one; two""#),
    ("one\ttwo", "\"one\ttwo\""),
    (r#"said "no""#, r#""said ""no""""#),
    ("", ""),
    ("=1+1", "'=1+1"),
    ("＝1+1", "'＝1+1"),
    ("  -1", "'  -1"),
    (r#""=1""#, r#""'""=1""""#),
    ("\t@a", "\"\t'@a\""),
    ("\r\n+1", "\"\r\n'+1\""),
    ("hi;=cmd|'/c calc'!A0;x", "\"hi;'=cmd|'/c calc'!A0;x\""),
    ("hi; \" '=1", r#""hi;' "" '=1""#),
    ("hi;\u{a0}+1;-1;@a", "\"hi;'\u{a0}+1;'-1;'@a\""),
    ("- one\n- two\r＋three", "\"'- one\n'- two\r'＋three\""),
    ("ends;", r#""ends;""#),
];

/// The file of a session in which this was said.
async fn csv(tab: &Page, said: &[&str]) -> String {
    let messages: Vec<Value> = said.iter().map(|content| json!({"role": "user", "content": content})).collect();
    let session = json!({"id": "an-id", "metadata": {"note": "hi;=1"}, "messages": messages});
    let file = tab.script("return admin.asCsv([arguments[0]])", &[session]).await;
    file.as_str().expect("text").to_owned()
}

/// The cells as a spreadsheet finds them that parts them there.
pub(crate) fn cells(file: &str, separator: char) -> Vec<String> {
    let mut found = vec![String::new()];
    let (mut is_quoted, mut is_new) = (false, true);
    let mut letters = file.chars().peekable();
    while let Some(letter) = letters.next() {
        let cell = found.last_mut().expect("a cell");
        let is_doubled = is_quoted && letter == '"' && letters.next_if_eq(&'"').is_some();
        match letter {
            '"' if is_doubled => cell.push('"'),
            '"' if is_quoted || is_new => is_quoted = !is_quoted,
            '\r' | '\n' if !is_quoted => found.push(String::new()),
            _ if letter == separator && !is_quoted => found.push(String::new()),
            _ => cell.push(letter),
        }
        is_new = !is_quoted && (letter == separator || letter == '\r' || letter == '\n');
    }
    found
}

#[tokio::test]
async fn no_cell_of_an_export_is_a_formula() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/admin/ui")).await;
        for (said, cell) in CELLS {
            let file = csv(tab, &[said]).await;
            assert!(file.contains(&format!(",user,{cell},,\r\n")), "{said:?} is in {file:?}");
        }
        let file = csv(tab, &CELLS.map(|(said, _)| said)).await;
        for separator in [',', ';', '\t'] {
            for cell in cells(&file, separator) {
                let begin = cell.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '"');
                assert!(!begin.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']), "{separator:?}: {cell:?}");
            }
        }
        assert!(cells(&file, ',').contains(&"hi;'=cmd|'/c calc'!A0;x".to_owned()), "it is whole where commas part");
    })
    .await;
}

#[tokio::test]
async fn an_export_takes_no_longer_for_odd_messages() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/admin/ui")).await;
        for piece in [" ", "\n", "\t", ";", "\"", "' ", "; "] {
            // Work that grows with the square of it would not end before the browser gives a script up.
            let script = "return admin.asCsv([{messages: [{content: arguments[0].repeat(500_000)}]}]).length";
            let length = tab.script(script, &[json!(piece)]).await;
            assert!(length.as_u64().expect("a length") > 500_000, "{piece:?}");
        }
    })
    .await;
}
