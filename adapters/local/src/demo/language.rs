//! The words of the demo model, in each of its [`Language`]s.

/// A language the demo model speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Persian,
}

use Language::{English, Persian};

impl Language {
    /// The language whose script most letters of a text are in.
    pub(super) fn of(text: &str) -> Self {
        let is_arabic =
            |char: &char| matches!(char, '\u{600}'..='\u{6ff}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}');
        let arabic = text.chars().filter(is_arabic).count();
        let latin = text.chars().filter(char::is_ascii_alphabetic).count();
        if arabic > latin { Persian } else { English }
    }

    /// The first thing it says to somebody.
    pub(super) fn introduction(self) -> &'static str {
        match self {
            English => {
                "Hello! I am the demo model of this service: I run inside it, without a key and without a network, and \
                 always answer the same to the same conversation. To talk to a real model, set OPENROUTER_KEY."
            }
            Persian => {
                "سلام! من مدل نمایشی این سرویس هستم: درون خود آن اجرا می‌شوم، بدون کلید و بدون شبکه، و به گفت‌وگوی یکسان \
                 همیشه پاسخ یکسان می‌دهم. برای گفت‌وگو با یک مدل واقعی، OPENROUTER_KEY را تنظیم کنید."
            }
        }
    }

    pub(super) fn you_said(self, quote: &str) -> String {
        match self {
            English => format!("You said: “{quote}”."),
            Persian => format!("شما گفتید: «{quote}»."),
        }
    }

    /// How much is remembered besides the message that is being answered.
    pub(super) fn remembered(self, messages: usize) -> String {
        match (self, messages) {
            (English, 0) => "I remember nothing of this conversation but this message.".to_owned(),
            (English, 1) => "I remember 1 earlier message of this conversation.".to_owned(),
            (English, _) => format!("I remember {messages} earlier messages of this conversation."),
            (Persian, 0) => "از این گفت‌وگو چیزی جز همین پیام را به یاد ندارم.".to_owned(),
            (Persian, _) => format!("از این گفت‌وگو {} پیام پیشین را به یاد دارم.", persian(messages)),
        }
    }

    pub(super) fn nice_to_meet(self, name: &str) -> String {
        match self {
            English => format!("Nice to meet you, {name}. I will know your name as long as I remember this message."),
            Persian => format!("خوشوقتم، {name}. تا وقتی این پیام را به یاد دارم نامتان را می‌دانم."),
        }
    }

    pub(super) fn your_name(self, name: Option<&str>) -> String {
        match (self, name) {
            (English, Some(name)) => format!("Your name is {name}."),
            (English, None) => "Your name is not in the messages I remember.".to_owned(),
            (Persian, Some(name)) => format!("نام شما {name} است."),
            (Persian, None) => "نام شما در پیام‌هایی که به یاد دارم نیست.".to_owned(),
        }
    }

    /// What can be done with tools, if there are any.
    pub(super) fn tools(self, functions: &[&str]) -> Option<String> {
        let (first, all) = (functions.first()?, functions.join(", "));
        Some(match self {
            English => format!("I can call these tools: {all}. Write “/tool {first} {{…}}” to see one at work."),
            Persian => format!("می‌توانم این ابزارها را به کار ببرم: {all}. برای دیدن یکی بنویسید: /tool {first} {{…}}"),
        })
    }

    pub(super) fn no_such_tool(self, name: &str) -> String {
        match self {
            English => format!("I know no tool named “{name}”."),
            Persian => format!("ابزاری به نام «{name}» نمی‌شناسم."),
        }
    }

    pub(super) fn tool_said(self, tool: &str, is_error: bool, result: &str) -> String {
        match (self, is_error) {
            (English, false) => format!("The tool {tool} answered: {result}"),
            (English, true) => format!("The tool {tool} failed: {result}"),
            (Persian, false) => format!("ابزار {tool} پاسخ داد: {result}"),
            (Persian, true) => format!("ابزار {tool} خطا داد: {result}"),
        }
    }
}

/// A number in Persian digits.
fn persian(number: usize) -> String {
    let digit = |digit: char| digit.to_digit(10).and_then(|value| char::from_u32(0x6f0 + value)).unwrap_or(digit);
    number.to_string().chars().map(digit).collect()
}

/// Whether somebody asks for their own name.
pub(super) fn asks_for_name(text: &str) -> bool {
    let text = text.to_lowercase();
    let asks = ["what is my name", "what's my name", "what’s my name", "know my name", "remember my name?", "who am i"];
    let asks_in_persian = ["اسم من چی", "نام من چی", "اسمم چی", "نامم چی", "اسم من را می‌دانی", "اسم مرا می‌دانی"];
    asks.iter().chain(&asks_in_persian).any(|asked| text.contains(asked))
}

/// The name somebody says to have.
pub(super) fn told_name(text: &str) -> Option<&str> {
    if asks_for_name(text) {
        return None;
    }
    // Lower case in ASCII leaves every byte where it was.
    let lower = text.to_ascii_lowercase();
    let markers = ["my name is ", "اسم من ", "نام من ", "اسمم "];
    let begin = markers.iter().find_map(|marker| lower.find(marker).map(|at| at + marker.len()))?;
    let rest = &text[begin..];
    let ends = [".", ",", "!", "?", ";", "\n", "،", "؛", "؟", " and ", " است", " هست", " و "];
    let end = ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
    let name = rest[..end].trim();
    (!name.is_empty() && name.chars().count() <= 40).then_some(name)
}
