//! A node that is killed while a file comes in.

use std::fs;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt;

use super::scene::Scene;
use crate::node::eventually;

#[tokio::test]
async fn of_a_file_that_was_half_there_nothing_is_ever_read_and_nothing_stays() {
    let mut scene = Scene::new().await;
    let place = scene.place().await;
    let url = scene.files.download_url(place.id).await.unwrap();
    let at = place.location.find("/attachments/").unwrap();
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: files.test\r\nContent-Type: application/octet-stream\r\nContent-Length: 400000\r\n\r\n",
        &place.location[at..]
    );
    let mut wire = scene.node.attacker().connect().await.unwrap();
    wire.write_all(&[head.as_bytes(), &[7; 200_000]].concat()).await.unwrap();
    wire.flush().await.unwrap();
    eventually("a part is on the disk", async || {
        scene.unfinished().first().and_then(|path| fs::metadata(path).ok()).is_some_and(|meta| meta.len() > 100_000)
    })
    .await;
    assert_eq!(scene.get(&url).await.status(), 404);
    scene.node.kill_serve().await;
    scene.node.start_serve();
    scene.node.ready().await;
    assert_eq!(scene.get(&url).await.status(), 404);
    let remains = scene.unfinished();
    assert_eq!(remains.len(), 1);
    // It looks as if it had been left hours ago: the worker's next round takes it away.
    let file = fs::File::options().write(true).open(&remains[0]).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(2 * 3600)).unwrap();
    eventually("no remains", async || scene.unfinished().is_empty()).await;
    assert_eq!(scene.put(&place.location, b"once more").await.status(), 200);
    assert_eq!(scene.get(&url).await.text().await.unwrap(), "once more");
}

#[tokio::test]
async fn a_client_that_leaves_leaves_nothing() {
    let scene = Scene::new().await;
    let place = scene.place().await;
    let at = place.location.find("/attachments/").unwrap();
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: files.test\r\nContent-Type: application/octet-stream\r\nContent-Length: 400000\r\n\r\n",
        &place.location[at..]
    );
    let mut wire = scene.node.attacker().connect().await.unwrap();
    wire.write_all(&[head.as_bytes(), &[7; 200_000]].concat()).await.unwrap();
    wire.flush().await.unwrap();
    eventually("it has begun", async || !scene.unfinished().is_empty()).await;
    drop(wire);
    eventually("no remains", async || scene.unfinished().is_empty()).await;
    assert_eq!(scene.get(&scene.files.download_url(place.id).await.unwrap()).await.status(), 404);
}
