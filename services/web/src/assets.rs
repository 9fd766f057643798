//! Styles and scripts, embedded. Their URL holds a hash of them all, so browsers keep them until they change.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 8] = [
    Asset { name: "base.css", kind: CSS, text: include_str!("../assets/base.css") },
    Asset { name: "build.css", kind: CSS, text: include_str!("../assets/build.css") },
    Asset { name: "icon.svg", kind: SVG, text: include_str!("../assets/icon.svg") },
    Asset { name: "main.js", kind: JS, text: include_str!("../assets/main.js") },
    Asset { name: "morph.js", kind: JS, text: include_str!("../assets/morph.js") },
    Asset { name: "time.js", kind: JS, text: include_str!("../assets/time.js") },
    Asset { name: "build.js", kind: JS, text: include_str!("../assets/build.js") },
    Asset { name: "rows.js", kind: JS, text: include_str!("../assets/rows.js") },
];

static FOLDER: LazyLock<String> = LazyLock::new(|| {
    let hash = ASSETS.iter().fold(Sha256::new(), |hash, asset| hash.chain_update(asset.text));
    format!("/assets/{}", hex::encode(&hash.finalize()[..6]))
});

/// The folder of all assets, for templates. Modules find each other in it by relative names.
pub(crate) fn folder() -> &'static str {
    &FOLDER
}

/// Nothing inline, nothing from elsewhere, nothing in a frame, no HTML made from text by scripts.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const PROTECTION: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// An asset of another version is served too, but not kept: during an update two versions answer.
pub(crate) async fn asset(Path((hash, name)): Path<(String, String)>) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let is_this_version = folder().ends_with(&hash);
    let keep = if is_this_version { "public, max-age=31536000, immutable" } else { "no-store" };
    ([(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, keep)], asset.text).into_response()
}

/// The headers that every answer carries.
pub(crate) async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in PROTECTION {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
