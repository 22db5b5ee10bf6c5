//! Where the page of a welcome may send its form.

use url::Url;

use crate::App;
use crate::hub::{Error, challenges};

/// The origin of the endpoint that a welcome leads to; none when it is over, or there is none. Somebody whose request came from the
/// site itself learns nothing by it: its own page knows where it asked to be led.
///
/// # Errors
/// The database's.
pub(super) async fn target(app: &App, challenge: &str) -> Result<Option<String>, Error> {
    Ok(challenges::leads_to(app, challenge).await?.as_deref().and_then(origin))
}

fn origin(endpoint: &str) -> Option<String> {
    let url = Url::parse(endpoint).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(origin("https://shop.example/homing/endpoint").as_deref(), Some("https://shop.example"));
        assert_eq!(origin("https://shop.example:8443/x?y").as_deref(), Some("https://shop.example:8443"));
        assert_eq!(origin("http://127.0.0.1:8080/").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(origin("data:text/html,x"), None);
        assert_eq!(origin("https://x.example; script-src *"), None);
    }
}
