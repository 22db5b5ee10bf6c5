//! Scripts and style sheet, compiled into the program.
//!
//! Promises: an asset's address carries a hash of all of them, under which it may be kept for ever; under any other address it must be
//! asked for again. What is vendored is served as it was published, except that the name by which one file of libsodium imports the
//! other becomes that file's address: browsers resolve no package names.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};
use warp::reply::Response;

use super::{BASE, empty};
use crate::crypto::sha256;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! source {
    ($file:literal, $kind:expr) => {
        Source { name: $file, kind: $kind, text: include_str!(concat!("../assets/", $file)) }
    };
    ($folder:literal, $file:literal, $kind:expr) => {
        Source { name: $file, kind: $kind, text: include_str!(concat!("../assets/", $folder, "/", $file)) }
    };
}

const SOURCES: [Source; 13] = [
    source!("style.css", STYLE),
    source!("api.js", SCRIPT),
    source!("home.js", SCRIPT),
    source!("keys.js", SCRIPT),
    source!("page.js", SCRIPT),
    source!("scopes.js", SCRIPT),
    source!("sodium.js", SCRIPT),
    source!("space.js", SCRIPT),
    source!("store.js", SCRIPT),
    source!("utilities.js", SCRIPT),
    source!("vault.js", SCRIPT),
    source!("welcome.js", SCRIPT),
    source!("libsodium", "libsodium-wrappers.mjs", SCRIPT),
];

/// The largest, and the only one that imports nothing: it is served as it is.
const LIBSODIUM: Source = source!("libsodium", "libsodium-sumo.mjs", SCRIPT);

struct Source {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

/// As it is served.
struct Asset {
    name: &'static str,
    kind: &'static str,
    text: String,
}

/// Of all sources together, because a script names the addresses of others.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let texts: Vec<&[u8]> = SOURCES
        .iter()
        .chain([&LIBSODIUM])
        .flat_map(|source| [source.name.as_bytes(), source.text.as_bytes()])
        .collect();
    BASE64_URL_SAFE_NO_PAD.encode(&sha256(&texts)[..12])
});

static ASSETS: LazyLock<Vec<Asset>> =
    LazyLock::new(|| SOURCES.iter().chain([&LIBSODIUM]).map(Asset::from_source).collect());

impl Asset {
    /// With the addresses of what it imports.
    fn from_source(source: &Source) -> Self {
        let mut text = source.text.to_owned();
        if source.name == "libsodium-wrappers.mjs" {
            text = text.replacen("from\"libsodium-sumo\"", "from\"./libsodium-sumo.mjs\"", 1);
        }
        if source.name != LIBSODIUM.name {
            for imported in SOURCES.iter().chain([&LIBSODIUM]) {
                let plain = format!("\"./{}\"", imported.name);
                text = text.replace(&plain, &format!("\"./{}?{}\"", imported.name, *HASH));
            }
        }
        Self { name: source.name, kind: source.kind, text }
    }
}

/// Under which an asset may be kept for ever.
pub(super) fn address(name: &str) -> String {
    format!("{BASE}/assets/{name}?{}", *HASH)
}

/// An asset, or that the browser has it, or 404.
pub(super) fn response(name: &str, query: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return empty(StatusCode::NOT_FOUND, CACHE_CONTROL, "no-store");
    };
    let kept = if query == *HASH { "public, max-age=31536000, immutable" } else { "no-cache" };
    let tag = format!("\"{}\"", *HASH);
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag);
    let mut response = if known {
        empty(StatusCode::NOT_MODIFIED, CACHE_CONTROL, kept)
    } else {
        Response::new(asset.text.as_str().into())
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Unwrap safety: base64 between quotes.
    headers.insert(ETAG, HeaderValue::try_from(tag).expect("a header"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::encode_hex;

    #[test]
    fn what_is_vendored_is_as_it_was_published() {
        let sums = include_str!("../assets/libsodium/SHA256SUMS");
        let licence = include_str!("../assets/libsodium/LICENSE");
        let wrappers = include_str!("../assets/libsodium/libsodium-wrappers.mjs");
        let files =
            [("libsodium-sumo.mjs", LIBSODIUM.text), ("libsodium-wrappers.mjs", wrappers), ("LICENSE", licence)];
        for (name, text) in files {
            let line = format!("{}  {name}", encode_hex(&sha256(&[text.as_bytes()])));
            assert!(sums.lines().any(|known| known == line), "{name} is not what its checksum says");
        }
        assert_eq!(sums.lines().count(), files.len());
    }

    #[test]
    fn every_import_is_an_address_that_may_be_kept() {
        for asset in ASSETS.iter().filter(|asset| asset.name != LIBSODIUM.name && asset.kind == SCRIPT) {
            let imports = asset.text.split("from").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
            let imports = imports.filter_map(|rest| rest.split('"').next()).filter(|name| name.contains("js"));
            let (mut named, known) =
                (0, |name: &str| ASSETS.iter().any(|other| format!("./{}?{}", other.name, *HASH) == name));
            for import in imports {
                assert!(known(import), "{} imports {import}", asset.name);
                named += 1;
            }
            assert!(named > 0 || ["store.js", "api.js", "scopes.js"].contains(&asset.name), "{}", asset.name);
        }
    }

    #[test]
    fn an_asset_is_kept_under_its_own_address_only() {
        let cache = |query: &str| response("home.js", query, &HeaderMap::new()).headers()[CACHE_CONTROL].clone();
        assert_eq!(cache(&HASH), "public, max-age=31536000, immutable");
        assert_eq!(cache(""), "no-cache");
        assert_eq!(response("passwd", "", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::try_from(format!("\"x\", W/\"{}\"", *HASH)).unwrap());
        assert_eq!(response("home.js", "", &headers).status(), StatusCode::NOT_MODIFIED);
    }
}
