//! From text to values. Each parser's error says what would be right; it does not quote the text, which may be secret.

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;

use super::settings::{Fallback, LlmProvider};
use super::url::is_host_name;

/// A hundred years: longer waits overflow clocks.
const MAX_SECONDS: f64 = 3_155_760_000.0;

/// A whole number; `5.0` is one too, since YAML files have it.
pub(super) fn integer<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let text = text.trim();
        let digits = match text.split_once('.') {
            Some((whole, zeros)) if !zeros.is_empty() && zeros.chars().all(|c| c == '0') => whole,
            _ => text,
        };
        digits
            .parse::<u64>()
            .ok()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| match (*range.start(), *range.end()) {
                (low, u64::MAX) => format!("must be a whole number of at least {low}"),
                (low, high) => format!("must be a whole number from {low} to {high}"),
            })
    }
}

/// A number in a range, which excludes NaN and the infinities.
pub(super) fn number(range: RangeInclusive<f64>) -> impl Fn(&str) -> Result<f64, String> {
    move |text| {
        let number = text.trim().parse::<f64>().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("must be a number from {} to {}", range.start(), range.end()))
    }
}

/// A duration of at least `least` seconds; fractions are fine.
pub(super) fn seconds(least: f64) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let number = text.trim().parse::<f64>().ok();
        number
            .filter(|number| (least..=MAX_SECONDS).contains(number))
            .map(Duration::from_secs_f64)
            .ok_or_else(|| format!("must be a number of seconds, from {least} to {MAX_SECONDS}"))
    }
}

/// What Python's settings take for a truth value.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "y" | "on" | "t" => Ok(true),
        "false" | "0" | "no" | "n" | "off" | "f" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// One of a few words, in any case. The first ones are named when none fits; aliases come last.
pub(super) fn choice<T: Copy>(
    named: &[(&'static str, T)],
    aliases: &[(&'static str, T)],
) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let text = text.trim();
        let mut all = named.iter().chain(aliases);
        all.find(|(word, _)| word.eq_ignore_ascii_case(text))
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| format!("must be one of {}", join(named.iter().map(|(word, _)| word))))
    }
}

fn join(words: impl Iterator<Item = impl Display>) -> String {
    words.map(|word| word.to_string()).collect::<Vec<_>>().join(", ")
}

/// Text on one line, without the blanks around it.
pub(super) fn line(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err("must be one line without control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Text exactly as it is.
pub(super) fn verbatim(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// A password exactly as it is.
pub(super) fn password(text: &str) -> Result<SecretString, String> {
    Ok(SecretString::from(text))
}

/// A token that is sent in a header of its own, where there are no line breaks and nothing but ASCII.
pub(super) fn token(text: &str) -> Result<SecretString, String> {
    printable(text, |c| c.is_ascii_graphic() || c == ' ')
        .ok_or_else(|| "must be printable ASCII on one line, since it is sent in an HTTP header".to_owned())
}

/// A key that is sent as `Authorization: Bearer`, where a space would end it.
pub(super) fn key(text: &str) -> Result<SecretString, String> {
    printable(text, |c| c.is_ascii_graphic())
        .ok_or_else(|| "must be printable ASCII without spaces, since it is sent in an HTTP header".to_owned())
}

/// A header as OpenTelemetry's variables have it: `name=value`, the value percent-encoded.
pub(super) fn header(text: &str) -> Result<(String, SecretString), String> {
    let expected = "must be a list of NAME=VALUE for HTTP headers, with commas and spaces in a value as %2C and %20";
    let pair = text.split_once('=').and_then(|(name, value)| {
        let name = hyper::header::HeaderName::try_from(name.trim()).ok()?;
        Some((name.as_str().to_owned(), printable(&percent_decoded(value)?, |c| c.is_ascii_graphic() || c == ' ')?))
    });
    pair.ok_or_else(|| expected.to_owned())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn printable(text: &str, allowed: impl Fn(char) -> bool) -> Option<SecretString> {
    let text = text.trim();
    (!text.is_empty() && text.chars().all(allowed)).then(|| SecretString::from(text))
}

/// A path.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    line(text).map(PathBuf::from)
}

/// A word without blanks or commas, as options and models have for names.
pub(super) fn word(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == ',') {
        return Err("must be a list of names without spaces in them".to_owned());
    }
    Ok(text.to_owned())
}

/// An MCP server's name. Desktop clients allow spaces, and the model sees a name that is made from it.
pub(super) fn server_name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = (1..=64).contains(&text.chars().count()) && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
        .ok_or_else(|| "must be a list of names of at most 64 characters, without control characters".to_owned())
}

/// A table's name. It is spliced into SQL, where names cannot be bound.
pub(super) fn table(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    fits.then(|| text.to_owned()).ok_or_else(|| "must be 1 to 64 letters, digits and underscores".to_owned())
}

/// A MongoDB collection's name, by MongoDB's rules.
pub(super) fn collection(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = (1..=120).contains(&text.len()) && !text.starts_with("system.") && !text.contains(['$', '\0', ' ']);
    fits.then(|| text.to_owned())
        .ok_or_else(|| "must be at most 120 characters, without `$` or spaces, and not start with `system.`".to_owned())
}

/// A database's name, by the stricter rules of MySQL and MongoDB together.
pub(super) fn database(text: &str) -> Result<String, String> {
    let text = text.trim();
    let strange = |c: char| c.is_whitespace() || c.is_control() || "/\\.\"$*<>:|?`'".contains(c);
    let fits = (1..=63).contains(&text.len()) && !text.contains(strange);
    fits.then(|| text.to_owned()).ok_or_else(|| {
        "must be the name of a database: at most 63 characters, without spaces, dots, slashes and quotes".to_owned()
    })
}

/// What keeps deployments apart; it has to fit into a column of 64 characters.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = (1..=64).contains(&text.chars().count()) && !text.contains(char::is_control);
    fits.then(|| text.to_owned()).ok_or_else(|| "must be at most 64 characters on one line".to_owned())
}

/// A host's name or address.
pub(super) fn host(text: &str) -> Result<String, String> {
    let text = text.trim();
    let text = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let fits = text.parse::<IpAddr>().is_ok() || (is_host_name(text) && !text.contains('%'));
    fits.then(|| text.to_owned()).ok_or_else(|| "must be an address or a host name, without a port".to_owned())
}

/// A network; an address alone is a network of one. Host bits are dropped: `10.1.2.3/8` is `10.0.0.0/8`.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or_else(|_| address())
        .map(|network| network.trunc())
        .map_err(|_| "must be a list of addresses and networks like 10.0.0.0/8, 2001:db8::/32".to_owned())
}

/// A web origin as browsers send it.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text == "*" || text == "null" {
        return Ok(text.to_owned());
    }
    let fits = text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && text.is_ascii() && !host.contains(['/', '?', '#', '@', '*', ' ', ','])
    });
    fits.then(|| text.to_ascii_lowercase()).ok_or_else(|| {
        "must be `*` or a list of origins like https://app.example.com, without a path or a slash at the end".to_owned()
    })
}

/// `openrouter:MODEL` or `openai:MODEL`. Only the first colon counts: models have colons and slashes in their names.
pub(super) fn fallback(text: &str) -> Result<Fallback, String> {
    let expected = || "must be a list of openrouter:MODEL and openai:MODEL".to_owned();
    let (backend, model) = text.split_once(':').ok_or_else(expected)?;
    let provider = match backend.trim().to_ascii_lowercase().as_str() {
        "openrouter" => LlmProvider::OpenRouter,
        "openai" => LlmProvider::OpenAi,
        _ => return Err(expected()),
    };
    match line(model) {
        Ok(model) if !model.is_empty() => Ok(Fallback { provider, model }),
        _ => Err(expected()),
    }
}
