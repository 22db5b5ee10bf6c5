//! Large files, many at once, slow ones, and both versions of HTTP.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::scene::{BYTES, Scene, client};
use crate::node::eventually;

const MIB: usize = 1 << 20;
/// Longer than a connection on which nothing moves is kept with a `read_timeout` of a second.
const SLOW: Duration = Duration::from_secs(4);

/// Bytes that say where they are.
fn numbered(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|i| (i / 251) as u8 ^ (i % 251) as u8 ^ salt).collect()
}

fn path(url: &str) -> &str {
    let at = url.find("/attachments/").unwrap();
    &url[at..]
}

#[tokio::test]
async fn ten_megabytes_as_the_android_client_sends_them() {
    let scene = Scene::with(|options| options.set("textsecure.attachments.largest", "16MiB")).await;
    let (place, content) = (scene.place().await, numbered(10 * MIB, 0));
    let android = scene.node.attacker();
    let stored = android.request("PUT", path(&place.location), &[BYTES], &content).await.unwrap();
    assert_eq!((stored.status, stored.header("content-length")), (200, Some("0")), "it takes nothing else for success");
    let url = scene.files.download_url(place.id).await.unwrap();
    let fetched = android.request("GET", path(&url), &[BYTES], "").await.unwrap();
    assert_eq!(fetched.status, 200);
    assert!(fetched.body == content, "what came back is not what was stored");
    assert!(scene.get(&url).await.bytes().await.unwrap() == content, "the same over HTTP/2");
    let place = scene.place().await;
    assert_eq!(scene.put(&place.location, &content).await.status(), 200, "and back");
    let logs = scene.node.logs();
    for secret in [place.id.to_string(), signature(&place.location), signature(&url)] {
        assert!(!logs.contains(&secret), "the log holds what only the URL's holders may know");
    }
}

fn signature(url: &str) -> String {
    url.split_once("signature=").unwrap().1.to_owned()
}

#[tokio::test]
async fn of_several_uploads_at_once_one_is_there_whole() {
    let scene = Scene::new().await;
    let place = scene.place().await;
    let contents: Vec<Vec<u8>> = (0..8).map(|salt| numbered(300_000 + usize::from(salt), salt)).collect();
    let uploads = contents.iter().map(|content| scene.put(&place.location, content));
    let answers = futures_util::future::join_all(uploads).await;
    assert!(answers.iter().all(|answer| answer.status() == 200));
    let stored = scene.get(&scene.files.download_url(place.id).await.unwrap()).await.bytes().await.unwrap();
    assert!(contents.iter().any(|content| *content == stored), "a mixture");
    assert!(scene.unfinished().is_empty());
}

#[tokio::test]
async fn an_upload_that_falls_silent_is_let_go() {
    let scene = Scene::with(|options| options.set("public.read_timeout", "2s")).await;
    let place = scene.place().await;
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: files.test\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\n",
        path(&place.location)
    );
    let begun = Instant::now();
    let answer = scene.node.attacker().raw([head.as_bytes(), &[1; 500]].concat()).await.unwrap();
    assert_eq!(answer.status, 408);
    assert!(begun.elapsed() < Duration::from_secs(20));
    eventually("no remains", async || scene.unfinished().is_empty()).await;
}

#[tokio::test]
async fn one_source_does_not_take_all_places() {
    let scene = Scene::new().await;
    let place = scene.place().await;
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: files.test\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\n",
        path(&place.location)
    );
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut wire = scene.node.attacker().connect().await.unwrap();
        wire.write_all(&[head.as_bytes(), b"x"].concat()).await.unwrap();
        held.push(wire);
    }
    eventually("all are received", async || scene.unfinished().len() == 16).await;
    let refused = scene.put(&place.location, b"one more").await;
    insta::assert_snapshot!(super::scene::shown(refused).await, @r"
    503 Service Unavailable
    access-control-allow-origin: *
    content-length: 25
    content-type: text/plain; charset=utf-8
    retry-after: 10
    x-content-type-options: nosniff

    too many uploads at once
    ");
    drop(held);
    eventually("who leaves gives his place back", async || {
        scene.put(&place.location, b"one more").await.status() == 200
    })
    .await;
    eventually("no remains", async || scene.unfinished().is_empty()).await;
}

#[tokio::test]
async fn over_http_2_a_slow_reader_that_reads_is_served_to_the_end() {
    let scene = Scene::with(|options| options.set("public.read_timeout", "1s")).await;
    let content = numbered(MIB, 3);
    let (_, url) = scene.file(&content).await;
    // Small windows, so that the node waits for the reader and not the other way round.
    let slow = client(&scene.net, &scene.node, |builder| {
        builder.http2_initial_stream_window_size(65_535).http2_initial_connection_window_size(65_535)
    });
    let mut response = slow.get(&url).send().await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    let (mut fetched, begun) = (Vec::new(), Instant::now());
    while let Some(part) = response.chunk().await.unwrap() {
        fetched.extend_from_slice(&part);
        // The reader's own slowness is what is tested; nothing is waited for.
        if begun.elapsed() < SLOW {
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }
    assert!(begun.elapsed() > SLOW, "it was not slow");
    assert!(fetched == content);
}
