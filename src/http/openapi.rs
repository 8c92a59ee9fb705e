//! The API's description: what poem-openapi derives from the handlers, and what it cannot know: which errors each
//! operation can give, with which headers, and who may call.

use std::sync::Arc;

use poem_openapi::OpenApiService;
use serde_json::{Map, Value, json};

use super::{
    Context,
    admin::AdminApi,
    meta::{MetaApi, READY},
    pages,
    sessions::SessionsApi,
};

type Apis = (MetaApi, SessionsApi, AdminApi);

/// The operations, as poem-openapi serves and describes them.
pub fn service(context: &Arc<Context>) -> OpenApiService<Apis, ()> {
    let apis = (MetaApi(context.clone()), SessionsApi(context.clone()), AdminApi(context.clone()));
    OpenApiService::new(apis, "Chat agent backend", env!("CARGO_PKG_VERSION"))
        .description("Chat sessions with memory, tools and an archive over any OpenAI-compatible model.")
        .license(poem_openapi::LicenseObject::new("MIT OR Apache-2.0"))
}

/// The finished document as JSON.
pub fn document(derived: String) -> String {
    let Ok(mut spec) = serde_json::from_str::<Value>(&derived) else { return derived };
    let security = json!({
        "ApiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A client's key, where the operator asks for one; `Authorization: Bearer` is the same." },
        "AdminToken": { "type": "apiKey", "in": "header", "name": "X-Admin-Token", "description": "The operator's token." },
    });
    spec["components"]["securitySchemes"] = security;
    if let Some(schemas) = spec["components"]["schemas"].as_object_mut() {
        schemas.values_mut().for_each(mark_nullable);
        schemas.insert("Error".to_owned(), error_schema());
        schemas.insert("RateLimited".to_owned(), rate_limited_schema());
    }
    if let Some(paths) = spec["paths"].as_object_mut() {
        for (path, operations) in paths {
            for (method, operation) in operations.as_object_mut().into_iter().flatten() {
                complete(path, method, operation);
            }
        }
    }
    serde_json::to_string_pretty(&spec).unwrap_or(derived) + "\n"
}

/// A property that need not be there may also be null, in requests (where that is the same) and in answers.
fn mark_nullable(schema: &mut Value) {
    let required: Vec<String> = serde_json::from_value(schema["required"].clone()).unwrap_or_default();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        if required.contains(name) {
            continue;
        }
        if let Some(reference) = property.as_object_mut().and_then(|property| property.remove("$ref")) {
            *property = json!({ "allOf": [{ "$ref": reference }] });
        }
        property["nullable"] = true.into();
    }
}

/// What an operation can fail with, by its path and method.
fn failures(path: &str, method: &str) -> Vec<(u16, &'static str)> {
    let mut all = vec![(500, "`internal_error`")];
    let is_chat = path.starts_with("/sessions");
    if is_chat || path.starts_with("/admin") {
        all.push((403, "`origin_not_allowed`: asked by a page of an origin that the operator has not listed"));
    }
    if is_chat {
        all.push((401, "`missing_api_key`, `invalid_api_key`: only where the operator asks for keys"));
        all.push(match method {
            "delete" => (429, "Too many requests of this address or key, or too many wrong admin tokens"),
            _ => (429, "Too many requests of this address or key"),
        });
        all.push((503, "`storage_unavailable`"));
    }
    if is_chat && method == "delete" {
        all.push((
            401,
            "`missing_api_key`, `invalid_api_key`: only where the operator asks for keys; `invalid_admin_token`",
        ));
    }
    if path.starts_with("/admin") {
        all.push((401, "`missing_admin_token`, `invalid_admin_token`"));
        all.push((429, "Too many wrong tokens"));
        all.push((503, "`admin_disabled`, `storage_unavailable`"));
        all.push((400, "`invalid_ip`, `invalid_limit`, `invalid_offset`, `invalid_date`"));
    }
    if path.contains('{') || path.contains("/history/") || path == "/admin/sessions" {
        all.push((422, "`validation_error`: what is wrong where"));
    }
    if path.contains("{session_id}") {
        all.push((404, "`session_not_found`"));
    }
    if path.contains("{ip}") {
        all.push((404, "`bypass_not_found`"));
    }
    if path == READY {
        all.push((429, "Too many wrong admin tokens"));
    }
    if path == "/metrics" {
        all.push((404, "`not_found`: metrics are off"));
    }
    // Whatever the operation does with a body, one that is sent is read.
    all.push((408, "`request_timeout`: the body did not arrive in time"));
    all.push((413, "`payload_too_large`"));
    if method == "post" {
        all.push((415, "`unsupported_media_type`: the body is no JSON"));
        all.push((422, "`validation_error`, `unknown_tool`: what is wrong where"));
        if is_chat {
            all.push((400, "`invalid_memory_limit`: over the maximum"));
            all.push((503, "`storage_unavailable`, `capacity`"));
        }
    }
    if path.ends_with("/messages") && method == "post" {
        all.push((409, "`session_busy`: too many messages are waiting, or they waited too long"));
        all.push((502, "`provider_error` (`details.kind` tells how), `tool_error`"));
        all.push((503, "`provider_unconfigured`, `tools_unavailable`, `storage_unavailable`"));
        all.push((504, "`turn_timeout`"));
    }
    all
}

fn complete(path: &str, method: &str, operation: &mut Value) {
    let request_id = json!({ "description": "What identifies the request: the client's own, or a new one.", "schema": { "type": "string" } });
    if path.starts_with("/sessions") {
        operation["security"] = json!([{}, { "ApiKey": [] }]);
        if method == "delete" {
            operation["security"] = json!([{}, { "ApiKey": [] }, { "AdminToken": [] }]);
        }
    }
    if path.starts_with("/admin") {
        operation["security"] = json!([{ "AdminToken": [] }]);
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, description) in failures(path, method) {
        let is_new = !responses.contains_key(&status.to_string());
        let response = responses.entry(status.to_string()).or_insert_with(|| failure(status));
        // Of two reasons for one status the later one is the more telling.
        if is_new || response["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/Error" {
            response["description"] = description.into();
        }
    }
    for response in responses.values_mut() {
        upper_case_names(response);
        response["headers"]["X-Request-ID"] = request_id.clone();
    }
}

/// poem-openapi writes header names in capitals; they are the same headers, but nobody writes them so.
fn upper_case_names(response: &mut Value) {
    if let Some(headers) = response["headers"].as_object_mut()
        && let Some(total) = headers.remove("X-TOTAL-COUNT")
    {
        headers.insert("X-Total-Count".to_owned(), total);
    }
}

fn failure(status: u16) -> Value {
    let schema = if status == 429 { "RateLimited" } else { "Error" };
    let mut headers = Map::new();
    let mut header = |name: &str, description: &str, kind: &str| {
        headers.insert(name.to_owned(), json!({ "description": description, "schema": { "type": kind } }));
    };
    match status {
        401 => header("WWW-Authenticate", "The header the key belongs into.", "string"),
        409 | 429 | 502 => header("Retry-After", "Seconds after which it is worth trying again.", "integer"),
        _ => {}
    }
    json!({
        "description": "",
        "headers": headers,
        "content": { "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } },
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong.",
        "required": ["error", "request_id"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": { "type": "string", "description": "What went wrong, for programs." },
                    "message": { "type": "string", "description": "What went wrong and what would be right, for people." },
                    "details": { "type": "object", "description": "More, depending on the code.", "additionalProperties": true },
                },
            },
            "request_id": { "type": "string", "description": "To be quoted when asking for help." },
        },
    })
}

fn rate_limited_schema() -> Value {
    json!({
        "type": "object",
        "description": "One request too many.",
        "required": ["error", "retry_after"],
        "properties": {
            "error": { "type": "string", "enum": ["rate_limited"] },
            "retry_after": { "type": "number", "description": "Seconds after which it is worth trying again." },
        },
    })
}

/// Which path takes which methods.
pub struct Paths(Vec<Described>);

struct Described {
    route: String,
    segments: Vec<Segment>,
    methods: String,
}

enum Segment {
    Text(String),
    Any,
}

impl Paths {
    /// Those of a document, those that serve it, and the pages.
    pub fn of(document: &str) -> Self {
        let spec: Value = serde_json::from_str(document).unwrap_or_default();
        let described = spec["paths"].as_object().into_iter().flatten().map(|(path, operations)| {
            let methods = operations.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase());
            (path.clone(), methods.collect::<Vec<_>>())
        });
        let serving = ["/openapi.json", "/docs"].into_iter().chain(pages::paths());
        let serving = serving.map(|path| (path.to_owned(), vec!["GET".to_owned()]));
        let paths = described.chain(serving).map(|(path, mut methods)| {
            if methods.iter().any(|method| method == "GET") {
                methods.push("HEAD".to_owned());
            }
            methods.push("OPTIONS".to_owned());
            methods.sort();
            let segment = |segment: &str| match segment.starts_with('{') {
                true => Segment::Any,
                false => Segment::Text(segment.to_owned()),
            };
            Described { segments: segments(&path).map(segment).collect(), methods: methods.join(", "), route: path }
        });
        Self(paths.collect())
    }

    /// The methods of a path, as `Allow` lists them; none if there is no such path.
    pub fn allow(&self, path: &str) -> Option<String> {
        self.find(path).map(|found| found.methods.clone())
    }

    /// The path with names where it has ids: `/sessions/{session_id}`; none if there is no such path.
    pub fn route(&self, path: &str) -> Option<&str> {
        self.find(path).map(|found| found.route.as_str())
    }

    fn find(&self, path: &str) -> Option<&Described> {
        let wanted: Vec<&str> = segments(path).collect();
        let matches = |pattern: &[Segment]| {
            pattern.len() == wanted.len()
                && pattern.iter().zip(&wanted).all(|(segment, wanted)| match segment {
                    Segment::Text(text) => text == wanted,
                    Segment::Any => !wanted.is_empty(),
                })
        };
        self.0.iter().find(|described| matches(&described.segments))
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}
