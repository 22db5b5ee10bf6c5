//! Style sheets and scripts of a site, compiled into the program.
//!
//! Promises: an asset's address carries its hash, under which it may be kept for ever; under any other address it must be asked for
//! again.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};
use warp::reply::Response;

use super::Site;
use crate::crypto::sha256;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// What every site has: its looks, what keeps its pages up to date, and its sign in the browser's tabs.
pub(in crate::doors) const SHARED: [Asset; 3] = [
    Asset { name: "site.css", text: include_str!("assets/site.css") },
    Asset { name: "live.js", text: include_str!("assets/live.js") },
    Asset { name: "icon.svg", text: include_str!("assets/icon.svg") },
];

/// One file.
#[derive(Debug, Clone, Copy)]
pub(in crate::doors) struct Asset {
    /// Its last part of the address; what is behind the dot says what it is.
    pub(in crate::doors) name: &'static str,
    /// What is in it.
    pub(in crate::doors) text: &'static str,
}

/// All files of one site.
pub(in crate::doors) struct Assets {
    base: &'static str,
    served: Vec<(Asset, String)>,
}

impl Assets {
    /// The shared ones and the site's own.
    pub(in crate::doors) fn of(site: &Site, own: &[Asset]) -> Self {
        let hash = |asset: &Asset| BASE64_URL_SAFE_NO_PAD.encode(&sha256(&[asset.text.as_bytes()])[..12]);
        let served = SHARED.iter().chain(own).map(|asset| (*asset, hash(asset))).collect();
        Self { base: site.path, served }
    }

    /// The address under which an asset may be kept for ever.
    pub(in crate::doors) fn address(&self, name: &str) -> String {
        let hash = self.find(name).map_or("", |(_, hash)| hash);
        format!("{}/assets/{name}?{hash}", self.base)
    }

    /// An asset, or that the browser has it, or 404.
    pub(in crate::doors) fn response(&self, name: &str, query: &str, headers: &HeaderMap) -> Response {
        let mut response = Response::default();
        let Some((asset, hash)) = self.find(name) else {
            *response.status_mut() = StatusCode::NOT_FOUND;
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return response;
        };
        let tag = format!("\"{hash}\"");
        let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        if known.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = asset.text.into();
        }
        let kept = if query == hash { "public, max-age=31536000, immutable" } else { "no-cache" };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind()));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Unwrap safety: base64 between quotes.
        headers.insert(ETAG, HeaderValue::try_from(tag).expect("a header"));
        response
    }

    fn find(&self, name: &str) -> Option<(&Asset, &str)> {
        self.served.iter().find(|(asset, _)| asset.name == name).map(|(asset, hash)| (asset, hash.as_str()))
    }
}

impl Asset {
    fn kind(&self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("css") => STYLE,
            Some("svg") => PICTURE,
            _ => SCRIPT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Site = Site::SAMPLE;

    #[test]
    fn an_asset_is_kept_under_its_own_address_only() {
        let assets = Assets::of(&SITE, &[Asset { name: "own.js", text: "1" }]);
        let address = assets.address("site.css");
        let (path, hash) = address.split_once('?').unwrap();
        assert_eq!(path, "/here/assets/site.css");
        let cache =
            |query: &str| assets.response("site.css", query, &HeaderMap::new()).headers()[CACHE_CONTROL].clone();
        assert_eq!(cache(hash), "public, max-age=31536000, immutable");
        assert_eq!(cache(""), "no-cache");
        assert_eq!(assets.response("own.js", "", &HeaderMap::new()).status(), StatusCode::OK);
        assert_eq!(assets.response("passwd", "", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
        let known = HeaderMap::from_iter([(IF_NONE_MATCH, format!("\"x\", W/\"{hash}\"").parse().unwrap())]);
        assert_eq!(assets.response("site.css", "", &known).status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn the_assets_name_nothing_of_a_third_party() {
        for asset in &SHARED {
            for foreign in ["http:", "https:", "//cdn", "@import", "url(", "eval("] {
                let text = asset.text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(foreign), "{} has {foreign}", asset.name);
            }
        }
    }
}
