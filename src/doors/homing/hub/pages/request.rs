//! Where the page of a welcome may send its form.

use url::Url;

use crate::App;
use crate::db::DbError;

/// The origins of the endpoints of the site that asked; none when there is no such welcome. Somebody whose request came from the site
/// itself learns nothing by it: its own page knows them.
///
/// # Errors
/// The database's.
pub(super) async fn origins(app: &App, challenge: &str) -> Result<Vec<String>, DbError> {
    let client = app.db.client().await?;
    let statement = "/* doors::homing::hub::pages::request::origins */
        select distinct e.url from hub_challenges c join hub_endpoints e on e.site_id = c.site_id where c.id = $1";
    let rows = client.query(statement, &[&challenge]).await?;
    let mut origins: Vec<String> = rows.iter().filter_map(|row| origin(row.get(0))).collect();
    origins.dedup();
    Ok(origins)
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
