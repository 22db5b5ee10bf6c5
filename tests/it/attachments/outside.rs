//! Files in an outside store.

mod store;

use std::time::Duration;

use handfast::App;
use handfast::attachments::{Attachments, purge};
use handfast::config::Mode;
use handfast::config::textsecure::Store as Kind;

use self::store::{Store, Trouble};
use super::scene::period;
use crate::support::fresh_app_with;

const LIFE: Duration = Duration::from_secs(31 * 86_400);

async fn app(store: &Store) -> App {
    handfast::tls::install_provider();
    fresh_app_with(|config| {
        config.mode = Mode::Development;
        let attachments = &mut config.textsecure.attachments;
        attachments.store = Kind::S3;
        attachments.endpoint = store.url();
        attachments.bucket = store::BUCKET.into();
        attachments.region = store::REGION.into();
        attachments.access_key = String::from(store::ACCESS_KEY).into();
        attachments.secret_key = String::from(store::SECRET_KEY).into();
        attachments.url_life = period("10m");
    })
    .await
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn clients_put_and_fetch_by_urls_that_the_store_verifies() {
    let store = Store::start().await;
    let files = Attachments::new(&app(&store).await).unwrap();
    assert!(!files.are_served_here());
    let (place, client) = (files.allocate().await.unwrap(), client());
    let put = |url: &str| client.put(url).header("Content-Type", "application/octet-stream").body("sealed").send();
    assert_eq!(put(&place.location).await.unwrap().status(), 200);
    let url = files.download_url(place.id).await.unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "sealed");
    // The stand-in does verify: for another operation, file or time the URL is worth nothing.
    assert_eq!(put(&url).await.unwrap().status(), 403);
    let other = url.replace(&place.id.to_string(), &(place.id ^ 1).to_string());
    assert_eq!(client.get(&other).send().await.unwrap().status(), 403);
    let longer = url.replace("X-Amz-Expires=600", "X-Amz-Expires=6000");
    assert_eq!(client.get(&longer).send().await.unwrap().status(), 403);
    store.clock(Duration::from_secs(700));
    let late = client.get(&url).send().await.unwrap();
    assert_eq!(late.status(), 403);
    assert!(late.text().await.unwrap().contains("Request has expired"));
}

#[tokio::test]
async fn old_files_are_deleted_from_the_store_and_then_from_the_books() {
    let store = Store::start().await;
    let app = app(&store).await;
    let files = Attachments::new(&app).unwrap();
    let (place, unused) = (files.allocate().await.unwrap(), files.allocate().await.unwrap());
    assert_eq!(client().put(&place.location).body("sealed").send().await.unwrap().status(), 200);
    assert_eq!(purge(&files, app.clock.now()).await.unwrap(), 0);
    assert_eq!(store.keys(), [place.id.to_string()]);
    let (now, later) = (app.clock.now() + LIFE, app.clock.now() + LIFE + Duration::from_secs(600));
    store.make(Trouble::Refuses);
    let error = purge(&files, now).await.unwrap_err().to_string();
    let secrets = [place.id.to_string(), unused.id.to_string(), "Signature".into(), store::ACCESS_KEY.into()];
    assert!(!secrets.iter().any(|secret| error.contains(secret)), "{error}");
    assert!(error.contains("403"), "{error}");
    assert_eq!(store.keys().len(), 1);
    store.make(Trouble::None);
    assert_eq!(purge(&files, later).await.unwrap(), 2, "what could not be deleted stayed in the books");
    assert!(store.keys().is_empty());
}

#[tokio::test]
async fn a_store_that_is_busy_for_a_moment_is_asked_again() {
    let store = Store::start().await;
    let app = app(&store).await;
    let files = Attachments::new(&app).unwrap();
    let place = files.allocate().await.unwrap();
    client().put(&place.location).body("sealed").send().await.unwrap();
    store.make(Trouble::BusyOnce);
    assert_eq!(purge(&files, app.clock.now() + LIFE).await.unwrap(), 1);
    assert!(store.keys().is_empty());
}
