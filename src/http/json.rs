//! JSON in and out: [`StrictJson`] reads a body without guessing, [`Written`] is one that serde has written.

use std::{borrow::Cow, fmt, marker::PhantomData};

use bytes::Bytes;
use chat_domain::json::RESERVED_NAME;
use poem::{
    FromRequest, IntoResponse, Request, RequestBody, Response, Result,
    http::{HeaderMap, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions,
    payload::Payload,
    registry::{MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchemaRef, Registry},
    types::Type,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::errors::{ApiError, FieldError};

const JSON: &str = "application/json";

/// How deep a body may nest: deep enough for every JSON schema seen, too shallow to overflow anybody's stack.
pub(super) const MAX_DEPTH: usize = 32;

/// A request body that can be read from a JSON object's members.
pub(super) trait Body: Type {
    /// Whether the request needs a body at all.
    const REQUIRED: bool = true;

    /// Takes what it needs and says what is wrong. Members it does not ask for are ignored: old clients send extras.
    /// What it returns counts only if nothing was wrong.
    fn read(members: &mut Members<'_>) -> Self;
}

/// A JSON request body: no coercion, and all that is wrong with it at once.
pub(super) struct StrictJson<T>(pub T);

impl<'a, T: Body + Send> ApiExtractor<'a> for StrictJson<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: JSON, schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: T::REQUIRED })
    }

    async fn from_request(request: &'a Request, body: &mut RequestBody, _: ExtractParamOptions<()>) -> Result<Self> {
        let bytes = <Bytes as FromRequest>::from_request(request, body).await?;
        Ok(Self(read(request.headers(), &bytes)?))
    }
}

/// Reads a body that came with these headers.
///
/// # Errors
/// 415 if it is not JSON as it stands, 422 with all that is wrong with it.
pub(super) fn read<T: Body>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.is_empty() && !T::REQUIRED {
        return Ok(T::read(&mut Members::default()));
    }
    // Clients that forget the header mean JSON; those that say something else mean that.
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    if content_type.is_some_and(|content_type| !is_json(content_type)) {
        return Err(ApiError::unsupported_media_type());
    }
    // Nothing is unpacked here: a few kilobytes would become gigabytes.
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(ApiError::unsupported_content_encoding());
    }
    parse(bytes)
}

/// Whether a content type is JSON's, with parameters or a `+json` suffix.
fn is_json(content_type: &str) -> bool {
    if content_type == JSON {
        return true;
    }
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let suffix = subtype.rsplit('+').next().unwrap_or_default();
    kind.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
}

/// Reads a body.
///
/// # Errors
/// 422 with all that is wrong.
pub(super) fn parse<T: Body>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.is_empty() {
        return Err(ApiError::invalid("body", "Field required"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ApiError::invalid("body", "Input should be valid UTF-8"))?;
    if nests_deeper_than(text, MAX_DEPTH) {
        return Err(ApiError::invalid("body", format!("Input should not nest deeper than {MAX_DEPTH} levels")));
    }
    let mut members: Members<'_> = serde_json::from_str(text).map_err(|error| {
        let reason = match error.classify() {
            serde_json::error::Category::Data if error.to_string().starts_with(DUPLICATE) => error.to_string(),
            serde_json::error::Category::Data if error.to_string().starts_with(TOO_MANY) => {
                format!("Input should not have more than {MAX_MEMBERS} members")
            }
            serde_json::error::Category::Data => "Input should be a JSON object".to_owned(),
            // Syntax errors name a place and what is expected there, never what is there.
            _ => format!("Input should be valid JSON: {error}"),
        };
        ApiError::invalid("body", reason)
    })?;
    let body = T::read(&mut members);
    if members.errors.is_empty() { Ok(body) } else { Err(ApiError::validation(members.errors)) }
}

/// Whether brackets outside of strings open more than `depth` levels.
fn nests_deeper_than(json: &str, depth: usize) -> bool {
    // Mostly there are not so many brackets at all, and counting them is quick: in blocks whose count fits into a byte.
    let in_block = |block: &[u8]| block.iter().map(|byte| u8::from(matches!(byte, b'[' | b'{'))).sum::<u8>();
    if json.as_bytes().chunks(u8::MAX.into()).map(|block| usize::from(in_block(block))).sum::<usize>() <= depth {
        return false;
    }
    let (mut level, mut in_string, mut escaped) = (0usize, false, false);
    for byte in json.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                level += 1;
                if level > depth {
                    return true;
                }
            }
            b']' | b'}' => level = level.saturating_sub(1),
            _ => {}
        }
    }
    false
}

const DUPLICATE: &str = "duplicate member";
const TOO_MANY: &str = "more members than anybody needs";

/// The most members of an object that is read: each is compared with all others, so many would cost their square.
const MAX_MEMBERS: usize = 1000;

/// A JSON object's members, each still as it was written, and what was found wrong with them.
#[derive(Default)]
pub(super) struct Members<'a> {
    found: Vec<(Cow<'a, str>, &'a RawValue)>,
    errors: Vec<FieldError>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Object<'a> {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                #[derive(Deserialize)]
                #[serde(transparent)]
                struct Key<'k>(#[serde(borrow)] Cow<'k, str>);
                let mut members = Members::default();
                while let Some((Key(name), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    if members.found.len() == MAX_MEMBERS {
                        return Err(serde::de::Error::custom(TOO_MANY));
                    }
                    if members.found.iter().any(|(known, _)| *known == name) {
                        // The name is not told: it is the client's text.
                        return Err(serde::de::Error::custom(DUPLICATE));
                    }
                    members.found.push((name, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

impl<'a> Members<'a> {
    /// A member as it was written; none if it is absent or `null`.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.found.iter().find(|(known, _)| known == name)?;
        (value.get() != "null").then_some(*value)
    }

    /// A member as a `T`; none if it is absent or `null`, or if it is no `T`, which is noted.
    pub(super) fn get<T: Deserialize<'a>>(&mut self, name: &str, expected: &str) -> Option<T> {
        let value = self.raw(name)?;
        serde_json::from_str(value.get()).map_err(|error| self.wrong(name, reason(&error, expected))).ok()
    }

    /// Notes what is wrong with a member.
    pub(super) fn wrong(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.errors.push(FieldError { path: path.into(), reason: reason.into() });
    }

    /// All members, each once.
    pub(super) fn into_owned(self) -> Vec<(String, Box<RawValue>)> {
        self.found.into_iter().map(|(name, value)| (name.into_owned(), value.to_owned())).collect()
    }
}

/// Why a value could not be read: for a name in it that nobody may use, or because it is not what was expected.
pub(super) fn reason(error: &serde_json::Error, expected: &str) -> String {
    if error.to_string().starts_with(RESERVED_NAME) {
        return format!("Input should not have a member named {RESERVED_NAME}");
    }
    format!("Input should be {expected}")
}

/// A JSON response body that serde has written from borrowed data; its schema is `T`'s.
pub(super) struct Written<T> {
    json: Vec<u8>,
    schema: PhantomData<fn() -> T>,
}

impl<T> Written<T> {
    /// Writes `value`, which must look as `T` says.
    pub(super) fn new(value: &impl Serialize) -> Self {
        // Our values have string keys and cannot fail on their own.
        Self::from_json(serde_json::to_vec(value).unwrap_or_default())
    }

    /// What has been written as `T` says.
    pub(super) fn from_json(json: Vec<u8>) -> Self {
        Self { json, schema: PhantomData }
    }
}

impl<T: Type> Payload for Written<T> {
    const CONTENT_TYPE: &'static str = JSON;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> IntoResponse for Written<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type(JSON).body(self.json)
    }
}

impl<T: Type> ApiResponse for Written<T> {
    fn meta() -> MetaResponses {
        let content = vec![MetaMediaType { content_type: JSON, schema: T::schema_ref() }];
        let ok = MetaResponse { description: "", status: Some(200), status_range: None, content, headers: vec![] };
        MetaResponses { responses: vec![ok] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_is_recognised_by_its_content_type() {
        for yes in
            ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/problem+json"]
        {
            assert!(is_json(yes), "{yes}");
        }
        for no in ["text/plain", "application/x-www-form-urlencoded", "json", "", "text/json", "application/jsonp"] {
            assert!(!is_json(no), "{no}");
        }
    }

    #[test]
    fn brackets_in_strings_are_no_depth() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!nests_deeper_than(&deep(32), 32));
        assert!(nests_deeper_than(&deep(33), 32));
        assert!(!nests_deeper_than(&format!(r#"{{"a":"\"{}"}}"#, "[".repeat(99)), 32));
        assert!(!nests_deeper_than(&"[]".repeat(99), 32));
    }

    #[test]
    fn an_object_has_a_bounded_number_of_members() {
        let object = |members: usize| {
            let extras: Vec<String> = (0..members - 1).map(|member| format!("\"m{member}\":0")).collect();
            format!("{{\"content\":\"hi\",{}}}", extras.join(","))
        };
        let read = |json: String| parse::<crate::http::dto::PostMessageBody>(json.as_bytes());
        assert!(read(object(MAX_MEMBERS)).is_ok());
        let error = read(object(MAX_MEMBERS + 1)).expect_err("one too many").to_string();
        assert_eq!(error, "Request validation failed: body: Input should not have more than 1000 members");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<crate::http::dto::PostMessageBody>(&bytes);
            let text = String::from_utf8_lossy(&bytes);
            let _ = nests_deeper_than(&text, 3);
        }
    }
}
