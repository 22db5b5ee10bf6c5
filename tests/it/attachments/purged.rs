//! What has had its time goes.

use std::time::Duration;

use handfast::App;
use handfast::attachments::{Attachments, purge};

use super::scene::period;
use crate::support::fresh_app_with;

const DAY: Duration = Duration::from_secs(86_400);

async fn app() -> App {
    fresh_app_with(|config| config.textsecure.attachments.life = period("3d")).await
}

async fn stored(files: &Attachments) -> u64 {
    let id = files.allocate().await.unwrap().id;
    let mut upload = files.begin(id).await.unwrap().unwrap();
    upload.write("content".into()).await.unwrap();
    upload.finish().await.unwrap();
    id
}

async fn rows(app: &App) -> i64 {
    app.db.client().await.unwrap().query_one("select count(*) from attachments", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn files_go_after_their_life_and_unused_places_after_a_few_hours() {
    let app = app().await;
    let files = Attachments::new(&app).unwrap();
    let (old, unused) = (stored(&files).await, files.allocate().await.unwrap().id);
    assert_eq!(purge(&files, app.clock.now()).await.unwrap(), 0);
    app.clock.advance(Duration::from_secs(3600));
    assert_eq!(purge(&files, app.clock.now()).await.unwrap(), 0, "it may still be on its way");
    app.clock.advance(DAY);
    let young = stored(&files).await;
    assert_eq!(purge(&files, app.clock.now()).await.unwrap(), 1);
    assert!(files.begin(unused).await.unwrap().is_none());
    assert!(files.find(old).await.unwrap().is_some());
    app.clock.advance(2 * DAY);
    assert_eq!(purge(&files, app.clock.now()).await.unwrap(), 1);
    assert!(files.find(old).await.unwrap().is_none());
    assert!(files.find(young).await.unwrap().is_some());
    assert_eq!(rows(&app).await, 1);
}

#[tokio::test]
async fn several_workers_purge_each_file_once() {
    let app = app().await;
    let files = Attachments::new(&app).unwrap();
    for _ in 0..250 {
        stored(&files).await;
    }
    app.clock.advance(4 * DAY);
    let now = app.clock.now();
    let rounds = futures_util::future::join_all((0..3).map(|_| purge(&files, now))).await;
    assert_eq!(rounds.into_iter().map(Result::unwrap).sum::<u64>(), 250);
    assert_eq!(rows(&app).await, 0);
}

#[tokio::test]
async fn what_cannot_be_deleted_keeps_its_row_and_nobody_waiting() {
    let app = app().await;
    let files = Attachments::new(&app).unwrap();
    let (stuck, other) = (stored(&files).await, stored(&files).await);
    // A folder in place of the file: nothing that deletes files takes it away.
    let path = app.config.data_dir.join("attachments").join(stuck.to_string());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    app.clock.advance(4 * DAY);
    let error = purge(&files, app.clock.now()).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains(&stuck.to_string()), "the log would hold its id");
    assert!(files.find(other).await.unwrap().is_none());
    assert_eq!(rows(&app).await, 1);
    assert_eq!(purge(&files, app.clock.now()).await.unwrap(), 0, "it is not tried again at once");
    std::fs::remove_dir(&path).unwrap();
    app.clock.advance(Duration::from_secs(600));
    assert_eq!(purge(&files, app.clock.now()).await.unwrap(), 1);
}
