//! Every status of the door, as it is on the wire.

use std::time::Duration;

use bytes::Bytes;
use insta::assert_snapshot;

use super::scene::{BYTES, Scene, in_chunks, shown};

#[tokio::test]
async fn a_file_that_is_stored_and_fetched() {
    let scene = Scene::new().await;
    let place = scene.place().await;
    assert_snapshot!(shown(scene.put(&place.location, b"0123456789").await).await, @r"
    200 OK
    access-control-allow-origin: *
    x-content-type-options: nosniff
    ");
    // A lost answer is no reason to give up: the same again is as good.
    assert_eq!(scene.put(&place.location, b"0123456789").await.status(), 200);
    let url = scene.files.download_url(place.id).await.unwrap();
    assert_snapshot!(shown(scene.get(&url).await).await, @r"
    200 OK
    accept-ranges: bytes
    access-control-allow-origin: *
    cache-control: private, no-store
    content-length: 10
    content-type: application/octet-stream
    x-content-type-options: nosniff

    0123456789
    ");
    assert_snapshot!(shown(scene.ask("HEAD", &url, &[], "").await).await, @r"
    200 OK
    accept-ranges: bytes
    access-control-allow-origin: *
    cache-control: private, no-store
    content-length: 10
    content-type: application/octet-stream
    x-content-type-options: nosniff
    ");
    assert_snapshot!(shown(scene.ask("GET", &url, &[("Range", "bytes=2-4")], "").await).await, @r"
    206 Partial Content
    accept-ranges: bytes
    access-control-allow-origin: *
    cache-control: private, no-store
    content-length: 3
    content-range: bytes 2-4/10
    content-type: application/octet-stream
    x-content-type-options: nosniff

    234
    ");
    assert_snapshot!(shown(scene.ask("GET", &url, &[("Range", "bytes=10-")], "").await).await, @r"
    416 Range Not Satisfiable
    accept-ranges: bytes
    access-control-allow-origin: *
    content-length: 17
    content-range: bytes */10
    content-type: text/plain; charset=utf-8
    x-content-type-options: nosniff

    not in this file
    ");
    // Clients of the time send the type when they fetch as well.
    assert_eq!(scene.ask("GET", &url, &[BYTES], "").await.text().await.unwrap(), "0123456789");
}

#[tokio::test]
async fn a_range_is_for_the_version_that_was_seen() {
    let scene = Scene::new().await;
    let place = scene.place().await;
    scene.put(&place.location, b"0123456789").await;
    let url = scene.files.download_url(place.id).await.unwrap();
    let tag = scene.get(&url).await.headers()["etag"].to_str().unwrap().to_owned();
    let rest = async || scene.ask("GET", &url, &[("Range", "bytes=5-"), ("If-Range", &tag)], "").await;
    assert_eq!(rest().await.status(), 206);
    scene.put(&place.location, b"abcdefghij").await;
    let whole = rest().await;
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.text().await.unwrap(), "abcdefghij");
}

#[tokio::test]
async fn a_url_that_gives_no_right() {
    let scene = Scene::new().await;
    let (id, get) = scene.file(b"secret").await;
    let put = scene.files.upload_url(id).await.unwrap();
    assert_snapshot!(shown(scene.get(&put).await).await, @r"
    403 Forbidden
    access-control-allow-origin: *
    content-length: 42
    content-type: text/plain; charset=utf-8
    x-content-type-options: nosniff

    the URL's signature is not valid for this
    ");
    // Nor may who fetches store.
    assert_eq!(scene.put(&get, b"other").await.status(), 403);
    assert_eq!(scene.put(&get.replace("operation=get", "operation=put"), b"other").await.status(), 403);
    let (path, _) = get.split_once('?').unwrap();
    assert_eq!(scene.get(path).await.status(), 403);
    let other = scene.files.download_url(id ^ 1).await.unwrap();
    let forged = other.replace(&(id ^ 1).to_string(), &id.to_string());
    assert_eq!(scene.get(&forged).await.status(), 403);
    let expired = scene.earlier(Duration::from_secs(2 * 3600)).download_url(id).await.unwrap();
    assert_snapshot!(shown(scene.get(&expired).await).await, @r"
    403 Forbidden
    access-control-allow-origin: *
    content-length: 20
    content-type: text/plain; charset=utf-8
    x-content-type-options: nosniff

    the URL has expired
    ");
    let (_, expires) = get.split_once("expires=").unwrap();
    let (expires, _) = expires.split_once('&').unwrap();
    let later: i64 = expires.parse::<i64>().unwrap() + 3600;
    assert_eq!(scene.get(&get.replace(expires, &later.to_string())).await.status(), 403);
    assert_eq!(scene.get(&get).await.text().await.unwrap(), "secret");
}

#[tokio::test]
async fn nothing_there() {
    let scene = Scene::new().await;
    let place = scene.place().await;
    let url = scene.files.download_url(place.id).await.unwrap();
    assert_snapshot!(shown(scene.get(&url).await).await, @r"
    404 Not Found
    access-control-allow-origin: *
    content-length: 13
    content-type: text/plain; charset=utf-8
    x-content-type-options: nosniff

    no such file
    ");
    let nowhere = scene.files.upload_url(42).await.unwrap();
    assert_snapshot!(shown(scene.put(&nowhere, b"x").await).await, @r"
    404 Not Found
    access-control-allow-origin: *
    content-length: 14
    content-type: text/plain; charset=utf-8
    x-content-type-options: nosniff

    no such place
    ");
    let (base, _) = url.rsplit_once('/').unwrap();
    for tail in ["", "/", "/x", "/-1", "/1/2", "/..%2Fkeys", "/unfinished/1", "/9223372036854775808"] {
        let answer = scene.get(&format!("{base}{tail}")).await;
        assert_eq!(answer.status(), 404, "{tail}");
    }
}

#[tokio::test]
async fn what_is_not_stored() {
    let scene = Scene::new().await;
    let place = scene.place().await;
    let url = place.location;
    let typed = |kind: &'static str| [("Content-Type", kind)];
    assert_snapshot!(shown(scene.ask("PUT", &url, &[], "x").await).await, @r"
    415 Unsupported Media Type
    access-control-allow-origin: *
    content-length: 25
    content-type: text/plain; charset=utf-8
    x-content-type-options: nosniff

    application/octet-stream
    ");
    assert_eq!(scene.ask("PUT", &url, &typed("text/html"), "x").await.status(), 415);
    assert_snapshot!(shown(scene.put(&url, b"").await).await, @r"
    400 Bad Request
    access-control-allow-origin: *
    content-length: 26
    content-type: text/plain; charset=utf-8
    x-content-type-options: nosniff

    there is nothing to store
    ");
    assert_eq!(scene.ask("PUT", &url, &[BYTES], in_chunks([])).await.status(), 400);
    let part = [BYTES, ("Content-Range", "bytes 0-0/2")];
    assert_snapshot!(shown(scene.ask("PUT", &url, &part, "x").await).await, @r"
    400 Bad Request
    access-control-allow-origin: *
    content-length: 30
    content-type: text/plain; charset=utf-8
    x-content-type-options: nosniff

    a file is stored in one piece
    ");
    assert_snapshot!(shown(scene.ask("DELETE", &url, &[], "").await).await, @r"
    405 Method Not Allowed
    access-control-allow-origin: *
    allow: GET, HEAD, PUT, OPTIONS
    content-length: 17
    content-type: text/plain; charset=utf-8
    x-content-type-options: nosniff

    GET, HEAD or PUT
    ");
    assert_eq!(scene.get(&scene.files.download_url(place.id).await.unwrap()).await.status(), 404);
}

#[tokio::test]
async fn what_is_too_large_told_or_not() {
    let scene = Scene::new().await;
    let place = scene.place().await;
    let most = vec![7; 1 << 20];
    let more = [most.as_slice(), b"8"].concat();
    assert_snapshot!(shown(scene.put(&place.location, &more).await).await, @r"
    413 Payload Too Large
    access-control-allow-origin: *
    content-length: 24
    content-type: text/plain; charset=utf-8
    x-content-type-options: nosniff

    a file has at most 1MiB
    ");
    let chunks: Vec<Bytes> = more.chunks(100_000).map(Bytes::copy_from_slice).collect();
    assert_eq!(scene.ask("PUT", &place.location, &[BYTES], in_chunks(chunks)).await.status(), 413);
    let url = scene.files.download_url(place.id).await.unwrap();
    assert_eq!(scene.get(&url).await.status(), 404, "nothing of it is kept");
    crate::node::eventually("no remains", async || scene.unfinished().is_empty()).await;
    let chunks: Vec<Bytes> = most.chunks(100_000).map(Bytes::copy_from_slice).collect();
    assert_eq!(scene.ask("PUT", &place.location, &[BYTES], in_chunks(chunks)).await.status(), 200);
    assert_eq!(scene.get(&url).await.bytes().await.unwrap(), most);
}

#[tokio::test]
async fn browsers_are_let_in() {
    let scene = Scene::new().await;
    let place = scene.place().await;
    let asked = [
        ("Origin", "https://web.example"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    assert_snapshot!(shown(scene.ask("OPTIONS", &place.location, &asked, "").await).await, @r"
    200 OK
    access-control-allow-headers: content-type
    access-control-allow-methods: GET, HEAD, PUT, OPTIONS
    access-control-allow-origin: *
    allow: GET, HEAD, PUT, OPTIONS
    x-content-type-options: nosniff
    ");
    let forbidden = scene.get(&place.location).await;
    assert_eq!(forbidden.headers()["access-control-allow-origin"], "*");
}
