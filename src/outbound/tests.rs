//! The client against peers that behave, and peers that do not.

mod peer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;
use crate::config::Period;
use peer::{Peer, Stream, request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok";

fn call(host: &str) -> Call {
    Call {
        target: Target::new(host, "/openmsg/auth/").unwrap(),
        method: Method::POST,
        headers: [(header::CONTENT_TYPE, "application/json".parse().unwrap())].into_iter().collect(),
        body: Bytes::from_static(b"{\"openmsg_version\":1}"),
        timeout: Duration::from_secs(10),
        redirects: Redirects::OneWithin { path_prefix: "/openmsg/".into() },
        answer: AnswerLimit::Refuse(64 << 10),
    }
}

async fn failure(peer: &Peer, call: Call) -> CallError {
    peer.client().call(call).await.unwrap_err()
}

#[tokio::test]
async fn a_request_looks_like_curl_s() {
    let peer = Peer::answering(|request| {
        let body = request.to_ascii_lowercase();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    })
    .await;
    let answer = peer.client().call(call("shop.test")).await.unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().collect();
    lines[1..].sort_unstable();
    let expected = [
        "post /openmsg/auth/ http/1.1",
        "accept: */*",
        "content-length: 21",
        "content-type: application/json",
        "host: shop.test",
    ];
    assert_eq!(lines, expected);
    assert_eq!(body, "{\"openmsg_version\":1}");
}

#[tokio::test]
async fn connections_are_kept_and_every_status_is_an_answer() {
    let peer = Peer::answering(|_| "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".into()).await;
    let client = peer.client();
    for _ in 0..5 {
        assert_eq!(client.call(call("shop.test")).await.unwrap().status, 500);
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn all_connections_that_can_be_in_flight_to_one_host_are_kept() {
    let all_here = Arc::new(tokio::sync::Barrier::new(4));
    let peer = Peer::new(move |mut stream, _| {
        let all_here = Arc::clone(&all_here);
        async move {
            while request(&mut stream).await.is_some() {
                all_here.wait().await;
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let mut config = peer.config();
    config.delivery.in_flight = 4;
    let client = Outbound::new(&config).unwrap();
    for _ in 0..20 {
        let calls = (0..4).map(|_| client.call(call("shop.test")));
        futures_util::future::try_join_all(calls).await.unwrap();
    }
    // A connection can come back a moment too late for the next call; two lost in every round would be forty.
    let opened = peer.connections.load(Ordering::SeqCst);
    assert!(opened <= 10, "{opened} connections for four calls at once");
}

#[tokio::test]
async fn one_redirect_on_the_site_is_followed_with_the_same_body() {
    for status in [301, 302, 307, 308] {
        let peer = Peer::answering(move |request| {
            let old = request.contains("host: shop.test");
            assert!(request.ends_with("{\"openmsg_version\":1}") && request.starts_with("POST /openmsg/auth"));
            let to = "https://www.shop.test/openmsg/auth";
            let moved = format!("HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            if old { moved } else { OK.into() }
        })
        .await;
        assert_eq!(peer.client().call(call("shop.test")).await.unwrap().body, "ok", "{status}");
    }
}

#[tokio::test]
async fn other_redirects_are_not_followed() {
    let bad = [
        "https://evil.test/openmsg/auth/",
        "http://shop.test/openmsg/auth/",
        "/admin",
        "",
        "https://127.0.0.1/openmsg/",
    ];
    for location in bad {
        let peer = Peer::answering(move |request| {
            assert!(request.contains("host: shop.test"));
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
        })
        .await;
        let error = failure(&peer, call("shop.test")).await;
        assert_eq!((error.kind, error.nothing_sent()), (Failure::BadRedirect, false), "{location}");
    }
}

#[tokio::test]
async fn a_second_redirect_is_one_too_many() {
    let there = "HTTP/1.1 301 Moved\r\nLocation: /openmsg/auth2/\r\nContent-Length: 0\r\n\r\n";
    let peer = Peer::answering(move |_| there.into()).await;
    assert_eq!(failure(&peer, call("shop.test")).await.kind, Failure::BadRedirect);
    let untouched = Call { redirects: Redirects::None, ..call("shop.test") };
    assert_eq!(peer.client().call(untouched).await.unwrap().status, 301);
    let see_other = "HTTP/1.1 303 See Other\r\nLocation: /openmsg/auth2/\r\nContent-Length: 0\r\n\r\n";
    let peer = Peer::answering(move |_| see_other.into()).await;
    assert_eq!(peer.client().call(call("shop.test")).await.unwrap().status, 303);
}

#[tokio::test]
async fn a_redirect_into_nothing_was_sent_all_the_same() {
    let peer = Peer::answering(|_| {
        "HTTP/1.1 301 Moved\r\nLocation: https://www.shop.test/openmsg/\r\nContent-Length: 0\r\n\r\n".into()
    })
    .await;
    let mut config = peer.config();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    config.development.resolve.insert("www.shop.test".into(), closed);
    let error = Outbound::new(&config).unwrap().call(call("shop.test")).await.unwrap_err();
    assert_eq!((error.kind, error.nothing_sent()), (Failure::Connect, false));
}

#[tokio::test]
async fn a_long_answer_is_refused_or_cut() {
    // Without a declared length, so that only reading can tell.
    let endless = |mut stream: Stream, _| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    };
    let peer = Peer::new(endless).await;
    let error = failure(&peer, call("shop.test")).await;
    assert_eq!((error.kind, error.nothing_sent()), (Failure::AnswerTooLarge, false));
    let cut = peer.client().call(Call { answer: AnswerLimit::Cut(100), ..call("shop.test") }).await.unwrap();
    assert_eq!((cut.status, cut.body.len(), cut.truncated), (200, 100, true));
    let exact = Peer::answering(|_| OK.into()).await;
    let whole = exact.client().call(Call { answer: AnswerLimit::Cut(2), ..call("shop.test") }).await.unwrap();
    assert!(!whole.truncated);
}

const SKIM: AnswerLimit = AnswerLimit::Skim { keep: 3, read: 64 << 10 };

#[tokio::test]
async fn of_a_skimmed_answer_only_a_little_is_kept_and_the_connection_is_used_again() {
    let peer = Peer::answering(|_| {
        format!("HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 60000\r\n\r\n{}", "x".repeat(60_000))
    })
    .await;
    let client = peer.client();
    for _ in 0..3 {
        let answer = client.call(Call { answer: SKIM, redirects: Redirects::None, ..call("shop.test") }).await.unwrap();
        assert_eq!((answer.status, &answer.body[..], answer.truncated), (429, &b"xxx"[..], true));
        assert_eq!(answer.retry_after, Some(RetryAfter::For(Duration::from_secs(7))));
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_breaks_off_or_goes_on_for_ever_behind_the_head_is_an_answer_where_only_the_status_counts() {
    let broken_off = Peer::new(|mut stream, _| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nok").await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await;
    let endless = Peer::new(|mut stream, _| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nok").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let silent = Peer::new(|mut stream, _| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nok").await.unwrap();
        std::future::pending().await
    })
    .await;
    for peer in [broken_off, endless, silent] {
        let call = Call { answer: SKIM, timeout: Duration::from_secs(2), ..call("shop.test") };
        let answer = peer.client().call(call).await.unwrap();
        assert_eq!((answer.status, answer.truncated), (200, true));
        assert!(answer.body.starts_with(b"ok"));
    }
}

#[tokio::test]
async fn silence_and_dripping_end_with_the_time() {
    let silent = Peer::new(|mut stream, _| async move {
        request(&mut stream).await;
        std::future::pending().await
    })
    .await;
    let dripping = Peer::new(|mut stream, _| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n").await.unwrap();
        while stream.write_all(b".").await.is_ok() && stream.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for peer in [silent, dripping] {
        let error = failure(&peer, Call { timeout: Duration::from_millis(400), ..call("shop.test") }).await;
        assert_eq!((error.kind, error.nothing_sent()), (Failure::TimeoutAfterSending, false));
        assert!(error.elapsed >= Duration::from_millis(400) && error.elapsed < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_has_sent_nothing() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer::answering(|_| OK.into()).await;
    let mut config = peer.config();
    // The kernel accepts, nobody answers the ClientHello.
    config.development.resolve.insert("shop.test".into(), socket.local_addr().unwrap());
    config.outbound.connect_timeout = Period::millis(300);
    let error = Outbound::new(&config).unwrap().call(call("shop.test")).await.unwrap_err();
    assert_eq!((error.kind, error.nothing_sent()), (Failure::TimeoutBeforeSending, true));
    // The same when the call's own time ends first.
    config.outbound.connect_timeout = Period::seconds(30);
    let short = Call { timeout: Duration::from_millis(300), ..call("shop.test") };
    let error = Outbound::new(&config).unwrap().call(short).await.unwrap_err();
    assert_eq!((error.kind, error.nothing_sent()), (Failure::TimeoutBeforeSending, true));
}

#[tokio::test]
async fn a_connection_cut_after_the_request_leaves_the_outcome_open() {
    let cut = Peer::new(|mut stream, _| async move {
        request(&mut stream).await;
        stream.get_ref().0.set_zero_linger().unwrap();
    })
    .await;
    let nonsense = Peer::new(|mut stream, _| async move {
        request(&mut stream).await;
        stream.write_all(b"220 mail.shop.test ESMTP\r\n").await.unwrap();
        request(&mut stream).await;
    })
    .await;
    let broken_off = Peer::new(|mut stream, _| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nok").await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await;
    for peer in [cut, nonsense, broken_off] {
        let error = failure(&peer, call("shop.test")).await;
        assert_eq!((error.kind, error.nothing_sent()), (Failure::Broken, false), "{error}");
    }
}

/// The peer keeps the connection after the first answer and cuts it when the second request arrives: nothing may be sent a
/// third time, and the outcome is open.
#[tokio::test]
async fn a_kept_connection_that_breaks_is_not_tried_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let peer = Peer::new(move |mut stream, _| {
        let counter = Arc::clone(&counter);
        async move {
            while request(&mut stream).await.is_some() {
                if counter.fetch_add(1, Ordering::SeqCst) == 1 {
                    return;
                }
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let client = peer.client();
    client.call(call("shop.test")).await.unwrap();
    let error = client.call(call("shop.test")).await.unwrap_err();
    assert_eq!((error.kind, error.nothing_sent()), (Failure::Broken, false));
    assert_eq!(requests.load(Ordering::SeqCst), 2);
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
}

/// A peer that closes after each answer without saying so: the next call must not fail for it, nor be sent twice.
#[tokio::test]
async fn a_kept_connection_closed_meanwhile_costs_nothing() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let (closed, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let peer = Peer::new(move |mut stream, _| {
        let (counter, closed) = (Arc::clone(&counter), closed.clone());
        async move {
            if request(&mut stream).await.is_some() {
                counter.fetch_add(1, Ordering::SeqCst);
                stream.write_all(OK.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                // The client has seen the end when it closes its own side.
                assert!(request(&mut stream).await.is_none());
                closed.send(()).unwrap();
            }
        }
    })
    .await;
    let client = peer.client();
    for n in 1..=5 {
        client.call(call("shop.test")).await.unwrap();
        seen.recv().await.unwrap();
        assert_eq!(requests.load(Ordering::SeqCst), n);
    }
}

#[tokio::test]
async fn nobody_there_has_got_nothing() {
    let peer = Peer::answering(|_| OK.into()).await;
    let mut config = peer.config();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    config.development.resolve.insert("shop.test".into(), closed);
    let error = Outbound::new(&config).unwrap().call(call("shop.test")).await.unwrap_err();
    assert_eq!((error.kind, error.nothing_sent()), (Failure::Connect, true), "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_has_got_nothing() {
    // Reserved never to exist (RFC 6761), and refused without asking anybody.
    let outbound = Outbound::new(&Config::default()).unwrap();
    let error = outbound.call(call("shop.invalid")).await.unwrap_err();
    assert_eq!((error.kind, error.nothing_sent()), (Failure::Resolve, true), "{error}");
}

#[tokio::test]
async fn a_peer_that_cannot_prove_its_name_gets_nothing() {
    let wrong_name = Peer::with_names(&["other.test"], |_, _| async { panic!("a handshake succeeded") }).await;
    let error = failure(&wrong_name, call("shop.test")).await;
    assert_eq!((error.kind, error.nothing_sent()), (Failure::Tls, true), "{error}");

    let unknown = Peer::new(|_, _| async { panic!("a handshake succeeded") }).await;
    let mut config = unknown.config();
    let other = Peer::answering(|_| OK.into()).await;
    config.outbound.ca_file = other.config().outbound.ca_file;
    let error = Outbound::new(&config).unwrap().call(call("shop.test")).await.unwrap_err();
    assert_eq!((error.kind, error.nothing_sent()), (Failure::Tls, true), "{error}");
    assert!(error.detail.contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn loopback_is_refused_unless_allowed() {
    let peer = Peer::answering(|_| OK.into()).await;
    let mut config = peer.config();
    config.development.allow_addresses.clear();
    let error = Outbound::new(&config).unwrap().call(call("shop.test")).await.unwrap_err();
    assert_eq!((error.kind, error.nothing_sent()), (Failure::RefusedAddress, true), "{error}");
    assert_eq!(peer.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_call_without_a_body_is_never_claimed_to_be_unsent() {
    let peer = Peer::new(|mut stream, _| async move {
        request(&mut stream).await;
    })
    .await;
    let get = Call { method: Method::GET, body: Bytes::new(), ..call("shop.test") };
    let error = failure(&peer, get).await;
    assert_eq!((error.kind, error.nothing_sent()), (Failure::Broken, false));
}

#[tokio::test]
async fn errors_and_answers_do_not_show_paths_or_bodies() {
    let peer = Peer::new(|mut stream, _| async move {
        request(&mut stream).await;
    })
    .await;
    let target = "https://shop.test/hook/s3cret?token=s3cret".parse().unwrap();
    let error = failure(&peer, Call { target, ..call("shop.test") }).await;
    assert!(!format!("{error} {error:?}").contains("s3cret"));
    let answer =
        Answer { status: 200, body: "s3cret".into(), truncated: false, retry_after: None, elapsed: Duration::ZERO };
    assert!(!format!("{answer:?}").contains("s3cret"));
}
