//! The pages for people: chat, metrics, administration. Files of `examples/`, in the binary as they are on disk.
//!
//! They are free to all: a page holds nothing but its own text. What it shows it asks for as any client does, and shows
//! the keys that its reader gives it.

use bytes::Bytes;
use poem::{
    Request, Response, Route,
    endpoint::make_sync,
    get,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};
use sha2::{Digest, Sha256};

/// Where the page for operators is: below a path that asks for the token, and without it, as it is where it is entered.
pub(super) const ADMIN: &str = "/admin/ui";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const FONT: &str = "font/woff2";
const TEXT: &str = "text/plain; charset=utf-8";

/// Path, content type, bytes.
type File = (&'static str, &'static str, &'static [u8]);

macro_rules! page {
    ($path:expr, $file:literal) => {
        ($path, HTML, include_bytes!(concat!("../../examples/", $file)))
    };
}

macro_rules! asset {
    ($kind:expr, $name:literal) => {
        (concat!("/assets/", $name), $kind, include_bytes!(concat!("../../examples/assets/", $name)))
    };
}

/// All that is served; the licences are there because what they are for is.
const FILES: &[File] = &[
    page!("/chat", "chat.html"),
    page!("/metrics/ui", "metrics.html"),
    page!(ADMIN, "admin.html"),
    asset!(CSS, "admin.css"),
    asset!(CSS, "base.css"),
    asset!(CSS, "chat.css"),
    asset!(CSS, "metrics.css"),
    asset!(SCRIPT, "admin-bypass.js"),
    asset!(SCRIPT, "admin-config.js"),
    asset!(SCRIPT, "admin-export.js"),
    asset!(SCRIPT, "admin-history.js"),
    asset!(SCRIPT, "admin-parts.js"),
    asset!(SCRIPT, "admin-runtime.js"),
    asset!(SCRIPT, "admin-sessions.js"),
    asset!(SCRIPT, "admin.js"),
    asset!(SCRIPT, "chart.js"),
    asset!(SCRIPT, "chat-answer.js"),
    asset!(SCRIPT, "chat-composer.js"),
    asset!(SCRIPT, "chat-conversation.js"),
    asset!(SCRIPT, "chat-options.js"),
    asset!(SCRIPT, "chat-parts.js"),
    asset!(SCRIPT, "chat-sessions.js"),
    asset!(SCRIPT, "chat-stream.js"),
    asset!(SCRIPT, "chat-tabs.js"),
    asset!(SCRIPT, "chat-texts.js"),
    asset!(SCRIPT, "chat-turn.js"),
    asset!(SCRIPT, "chat.js"),
    asset!(SCRIPT, "common-ui.js"),
    asset!(SCRIPT, "common.js"),
    asset!(SCRIPT, "markdown.js"),
    asset!(SCRIPT, "metrics-texts.js"),
    asset!(SCRIPT, "metrics.js"),
    asset!(TEXT, "vendor/marked.LICENSE.txt"),
    asset!(SCRIPT, "vendor/marked.umd.js"),
    asset!(TEXT, "vendor/vazirmatn.LICENSE.txt"),
    asset!(FONT, "vendor/vazirmatn.woff2"),
];

/// What a page may do: run and show what is served beside it, ask this service, and nothing else. No text becomes
/// markup or code (trusted types), whatever a model or a client wrote.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// What no page of ours uses. Copying to the clipboard, which they do, stays.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), camera=(), clipboard-read=(), display-capture=(), \
    encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), \
    picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), usb=(), xr-spatial-tracking=()";

/// On every page and all that belongs to it.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    // For browsers that do not know `frame-ancestors`.
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    // An answer of a model may link anywhere, and nobody there needs to know where the service is.
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // A page that opened this one, or that this one opens, gets no hold of it.
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("permissions-policy"), HeaderValue::from_static(PERMISSIONS)),
    // Kept, and asked for again each time: a new version of the service comes with all of its pages at once.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// The paths of all that is served.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(path, ..)| *path)
}

/// Adds the pages.
pub(super) fn routes(route: Route) -> Route {
    FILES.iter().fold(route, |route, file| {
        let served = Served::new(file);
        route.at(file.0, get(make_sync(move |request: Request| served.answer(request.headers()))))
    })
}

/// A file as it goes out.
struct Served {
    kind: &'static str,
    body: Bytes,
    etag: HeaderValue,
}

impl Served {
    fn new(&(path, kind, bytes): &File) -> Self {
        // On disk a page lies beside its assets. A relative way from where it is served works below any prefix that a
        // proxy puts before all of our paths.
        let is_nested = kind == HTML && path.matches('/').count() > 1;
        let body = match std::str::from_utf8(bytes) {
            Ok(html) if is_nested => Bytes::from(html.replace("\"assets/", "\"../assets/")),
            _ => Bytes::from_static(bytes),
        };
        let hash: String = Sha256::digest(&body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let etag = HeaderValue::try_from(format!("\"{hash}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { kind, body, etag }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let mut response = if self.is_known(request) {
            Response::builder().status(StatusCode::NOT_MODIFIED).finish()
        } else {
            Response::builder().content_type(self.kind).body(self.body.clone())
        };
        let headers = response.headers_mut();
        headers.extend(HEADERS);
        headers.insert(header::ETAG, self.etag.clone());
        response
    }

    /// Whether the browser has just this one already.
    fn is_known(&self, request: &HeaderMap) -> bool {
        let ours = self.etag.to_str().unwrap_or_default();
        let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        // A proxy that compresses marks the tag as weak, and passes it on so.
        known
            .flat_map(|tags| tags.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.trim_start_matches("W/") == ours)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// The files below a folder, as paths from it.
    fn files(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = format!("{prefix}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                files(&entry.path(), &path, found);
            } else {
                found.insert(path);
            }
        }
    }

    #[test]
    fn every_asset_is_served() {
        let mut on_disk = BTreeSet::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/assets"), "/assets", &mut on_disk);
        let served: BTreeSet<String> = paths().filter(|path| path.starts_with("/assets/")).map(str::to_owned).collect();
        assert_eq!(served, on_disk);
    }

    #[test]
    fn a_nested_page_finds_its_assets_one_level_up() {
        for (path, prefix) in [("/chat", "\"assets/"), (ADMIN, "\"../assets/"), ("/metrics/ui", "\"../assets/")] {
            let file = FILES.iter().find(|file| file.0 == path).expect("a page");
            let html = Served::new(file).body;
            let html = std::str::from_utf8(&html).expect("text");
            assert!(html.contains(prefix), "{path}");
            assert_eq!(html.matches("assets/").count(), html.matches(prefix).count(), "{path}");
        }
    }

    #[test]
    fn a_tag_is_recognised_however_it_is_sent() {
        let served = Served::new(&FILES[0]);
        let ours = served.etag.to_str().expect("text").to_owned();
        let is_known = |sent: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, sent.parse().expect("a value"));
            served.is_known(&headers)
        };
        for known in [ours.clone(), format!("W/{ours}"), format!("\"other\", {ours}"), "*".to_owned()] {
            assert!(is_known(&known), "{known}");
        }
        assert!(!is_known("\"other\"") && !is_known("") && !is_known(ours.trim_matches('"')));
        assert!(!served.is_known(&HeaderMap::new()));
    }
}
