//! What a server answers to a call, as text for the model.

use chat_domain::{agent::window::cut, json::parse, message::ToolOutcome};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Value, json};

/// The outcome of a call that was answered, of at most `max` bytes and a mark of what was cut.
///
/// Text is passed on as it is. What a model cannot read as text (images, sound, binary resources) is told of in a JSON
/// object that says what it is and how large, one to a line. Structured content is passed on as JSON, unless it is what
/// the text says as well, as the protocol recommends: a model should not read a file twice.
pub(crate) fn of(result: CallToolResult, max: usize) -> ToolOutcome {
    let is_error = result.is_error.unwrap_or(false);
    let mut content = String::new();
    for block in result.content {
        let part = text_of(block);
        if content.is_empty() {
            content = part;
        } else {
            content.push('\n');
            content.push_str(&part);
        }
    }
    // Of a text that is cut anyway nothing more would be seen, and to parse it would cost many times its size.
    if let Some(structured) = result.structured_content.filter(|_| content.len() <= max)
        && !says_the_same(&content, &structured)
    {
        if !content.is_empty() {
            content.push('\n');
        }
        content.push_str(&structured.to_string());
    }
    if content.is_empty() {
        content.push_str(if is_error { "The tool failed and did not say why." } else { "The tool answered nothing." });
    }
    let content = cut(&content, max).unwrap_or(content);
    ToolOutcome { content: content.into(), is_error }
}

/// Whether the text is this value, or what the value wraps: servers that have only a text make an object of one member
/// of it.
fn says_the_same(text: &str, structured: &Value) -> bool {
    let wrapped = structured.as_object().filter(|object| object.len() == 1).and_then(|object| object.values().next());
    if wrapped.and_then(Value::as_str) == Some(text) {
        return true;
    }
    let parsed: Option<Value> = parse(text).ok();
    parsed.is_some() && (parsed.as_ref() == Some(structured) || parsed.as_ref() == wrapped)
}

fn text_of(block: ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Image(image) => binary("image", None, Some(&image.mime_type), &image.data),
        ContentBlock::Audio(audio) => binary("audio", None, Some(&audio.mime_type), &audio.data),
        ContentBlock::Resource(embedded) => match embedded.resource {
            ResourceContents::TextResourceContents { uri, mime_type, text, .. } => {
                json!({"type": "resource", "uri": uri, "mime_type": mime_type, "text": text}).to_string()
            }
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                binary("resource", Some(&uri), mime_type.as_deref(), &blob)
            }
            _ => json!({"type": "resource", "note": "of a kind that is not known here"}).to_string(),
        },
        ContentBlock::ResourceLink(link) => json!({
            "type": "resource_link",
            "uri": link.uri,
            "name": link.name,
            "mime_type": link.mime_type,
            "description": link.description,
        })
        .to_string(),
        _ => json!({"type": "unknown", "note": "content of a kind that is not known here"}).to_string(),
    }
}

fn binary(kind: &str, uri: Option<&str>, mime_type: Option<&str>, base64: &str) -> String {
    let padding = base64.bytes().rev().take_while(|&byte| byte == b'=').count();
    let bytes = (base64.len() / 4 * 3).saturating_sub(padding);
    let mut told = json!({"type": kind, "mime_type": mime_type, "bytes": bytes, "note": "binary content, not shown"});
    if let (Some(uri), Some(told)) = (uri, told.as_object_mut()) {
        told.insert("uri".into(), uri.into());
    }
    told.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(json: Value) -> CallToolResult {
        serde_json::from_value(json).expect("a result")
    }

    fn outcome(json: Value) -> ToolOutcome {
        of(result(json), 1000)
    }

    #[test]
    fn text_is_passed_on_block_by_block() {
        let two = json!({"content": [{"type": "text", "text": "سلام"}, {"type": "text", "text": "b"}]});
        assert_eq!(outcome(two), ToolOutcome::ok("سلام\nb"));
        let failed = json!({"content": [{"type": "text", "text": "no"}], "isError": true});
        assert_eq!(outcome(failed), ToolOutcome::error("no"));
    }

    #[test]
    fn what_is_no_text_says_what_it_is() {
        let all = outcome(json!({"content": [
            {"type": "image", "mimeType": "image/png", "data": "AAAA"},
            {"type": "audio", "mimeType": "audio/wav", "data": "AAA="},
            {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/plain", "text": "words"}},
            {"type": "resource", "resource": {"uri": "file:///b", "blob": "AA=="}},
            {"type": "resource_link", "uri": "file:///c", "name": "c"},
        ]}));
        let lines: Vec<Value> = all.content.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines[0]["type"], "image");
        assert_eq!((&lines[0]["bytes"], &lines[0]["mime_type"]), (&json!(3), &json!("image/png")));
        assert_eq!((&lines[1]["type"], &lines[1]["bytes"]), (&json!("audio"), &json!(2)));
        assert_eq!((&lines[2]["uri"], &lines[2]["text"]), (&json!("file:///a"), &json!("words")));
        assert_eq!((&lines[3]["uri"], &lines[3]["bytes"]), (&json!("file:///b"), &json!(1)));
        assert_eq!((&lines[4]["type"], &lines[4]["uri"]), (&json!("resource_link"), &json!("file:///c")));
        assert!(!all.content.contains("AAAA"), "no base64");
    }

    #[test]
    fn structured_content_is_told_once() {
        let both = json!({"content": [{"type": "text", "text": r#"{ "a": 1 }"#}], "structuredContent": {"a": 1}});
        assert_eq!(outcome(both), ToolOutcome::ok(r#"{ "a": 1 }"#));
        let wrapped = json!({"content": [{"type": "text", "text": "words"}], "structuredContent": {"result": "words"}});
        assert_eq!(outcome(wrapped), ToolOutcome::ok("words"));
        let number = json!({"content": [{"type": "text", "text": "[1]"}], "structuredContent": {"result": [1]}});
        assert_eq!(outcome(number), ToolOutcome::ok("[1]"));
        let only = json!({"content": [], "structuredContent": {"a": 1}});
        assert_eq!(outcome(only), ToolOutcome::ok(r#"{"a":1}"#));
        let other = json!({"content": [{"type": "text", "text": "one"}], "structuredContent": {"a": 1}});
        assert_eq!(outcome(other), ToolOutcome::ok("one\n{\"a\":1}"));
    }

    #[test]
    fn a_text_with_a_reserved_name_is_a_text() {
        let text = json!({chat_domain::json::RESERVED_NAME: "[1]"}).to_string();
        let both = json!({"content": [{"type": "text", "text": text}], "structuredContent": {"result": [1]}});
        assert_eq!(outcome(both), ToolOutcome::ok(format!("{text}\n{{\"result\":[1]}}")));
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        assert!(!outcome(json!({"content": []})).content.is_empty());
        let failed = outcome(json!({"content": [], "isError": true}));
        assert!(failed.is_error && !failed.content.is_empty());
    }

    #[test]
    fn what_is_long_is_cut_at_a_characters_end() {
        let long = of(result(json!({"content": [{"type": "text", "text": "سلام".repeat(1000)}]})), 101);
        assert!(
            long.content.starts_with("سلام") && long.content.ends_with("[cut: 100 of 8000 bytes]"),
            "{}",
            long.content
        );
        let both = json!({"content": [{"type": "text", "text": "x".repeat(200)}], "structuredContent": {"a": 1}});
        let cut = of(result(both), 100).content;
        assert!(cut.ends_with("[cut: 100 of 200 bytes]"), "nothing is added to what is cut: {cut}");
    }
}
