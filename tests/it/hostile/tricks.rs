//! The tricks by name, and what an attempt's record may say of each.
//!
//! More than one verdict is listed only where the network decides: whether a request left before the connection ended under it.

use std::io::Write;
use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};

use super::receiver::{Layer, Then, Trick};

/// Outcome, and code where there is one.
pub(super) type Verdict = (&'static str, Option<&'static str>);

pub(super) const DELIVERED: Verdict = ("delivered", None);
pub(super) const REFUSED_500: Verdict = ("refused-for-now", Some("http_500"));
const BROKEN: Verdict = ("unknown", Some("broken"));
const CUT_BEFORE: Verdict = ("not-sent", Some("broken"));
const LATE: Verdict = ("unknown", Some("timeout_after_sending"));
const LATE_BEFORE: Verdict = ("not-sent", Some("timeout_before_sending"));
const NO_CONNECTION: Verdict = ("not-sent", Some("connect"));
const NO_TLS: Verdict = ("not-sent", Some("tls"));

/// A trick, its name (a part of a domain), and every verdict that is right.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) trick: Trick,
    pub(super) verdicts: Vec<Verdict>,
}

const OK: &str = "HTTP/1.1 200 OK\r\n";
const NO: &str = "HTTP/1.1 500 No\r\n";

/// Over TLS, once the request was read.
fn answers(name: &'static str, says: impl AsRef<[u8]>, then: Then, verdict: Verdict) -> Case {
    let trick = Trick { layer: Layer::Tls, hears: true, says: says.as_ref().to_vec(), then };
    Case { name, trick, verdicts: vec![verdict] }
}

/// Whatever the node has said.
fn blurts(name: &'static str, layer: Layer, says: impl AsRef<[u8]>, then: Then, verdicts: &[Verdict]) -> Case {
    let trick = Trick { layer, hears: false, says: says.as_ref().to_vec(), then };
    Case { name, trick, verdicts: verdicts.to_vec() }
}

fn drips(words: &str) -> Then {
    Then::Repeats(words.into(), Duration::from_millis(60))
}

/// Receivers that cost time.
pub(super) fn of_time() -> Vec<Case> {
    let waits = || Then::Waits;
    vec![
        blurts("silent-tcp", Layer::Tcp, "", waits(), &[LATE_BEFORE]),
        // A record of 16,128 bytes that never gets there.
        blurts("dripping-tls", Layer::Tcp, b"\x16\x03\x03\x3f\x00\x02", drips("\0"), &[LATE_BEFORE]),
        blurts("reads-nothing", Layer::Tls, "", waits(), &[LATE]),
        answers("no-answer", "", waits(), LATE),
        answers("dripping-status", "HTTP/1.1 200 O", drips("K"), LATE),
        answers("dripping-header", format!("{OK}X-Drip: "), drips("x"), LATE),
        answers("dripping-headers", OK, drips("X-Drip: x\r\n"), LATE),
        answers("half-a-head", format!("{OK}Content-Length: 0\r\n"), waits(), LATE),
        answers("forever-continue", "", drips("HTTP/1.1 100 Continue\r\n\r\n"), LATE),
        answers("flood-of-continue", "", Then::Floods(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(500)), LATE),
        answers("flood-of-hints", "", Then::Floods(b"HTTP/1.1 103 Hints\r\nLink: <x>\r\n\r\n".repeat(500)), LATE),
        // Only the status counts, and that was said.
        answers("dripping-body", format!("{OK}Content-Length: 60000\r\n\r\n"), drips("x"), DELIVERED),
        answers("dripping-chunks", format!("{OK}Transfer-Encoding: chunked\r\n\r\n"), drips("1\r\nx\r\n"), DELIVERED),
        answers("half-a-body", format!("{OK}Content-Length: 9\r\n\r\nx"), waits(), DELIVERED),
        answers("dripping-refusal", format!("{NO}Content-Length: 60000\r\n\r\n"), drips("x"), REFUSED_500),
    ]
}

/// Receivers that cost memory.
pub(super) fn of_size() -> Vec<Case> {
    let floods = |words: String| Then::Floods(words.into_bytes());
    let long = "x".repeat(64 << 10);
    let chunk = format!("{:x}\r\n{long}\r\n", long.len());
    let chunked = format!("{OK}Transfer-Encoding: chunked\r\n\r\n");
    let bomb = bomb();
    let packed = format!("{NO}Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", bomb.len());
    vec![
        answers("endless-body", format!("{OK}\r\n"), floods(long.clone()), DELIVERED),
        answers("endless-chunks", &chunked, floods(chunk), DELIVERED),
        answers("endless-refusal", format!("{NO}\r\n"), floods(long.clone()), REFUSED_500),
        answers("endless-extension", format!("{chunked}1;x="), floods(long.clone()), DELIVERED),
        answers("endless-trailer", format!("{chunked}0\r\nX: "), floods(long.clone()), DELIVERED),
        answers("endless-header", format!("{OK}X-Long: "), floods(long.clone()), BROKEN),
        answers("endless-headers", OK, floods("X-Many: xxxxxxxxxxxxxxxxxxxxxxxx\r\n".repeat(500)), BROKEN),
        answers("endless-status", "HTTP/1.1 200 ", floods(long), BROKEN),
        answers("gzip-bomb", [packed.as_bytes(), &bomb].concat(), Then::Waits, REFUSED_500),
        answers("huge-length", format!("{OK}Content-Length: 18446744073709551000\r\n\r\nx"), Then::Closes, DELIVERED),
        answers("too-huge-length", format!("{OK}Content-Length: 99999999999999999999\r\n\r\nx"), Then::Waits, BROKEN),
        answers("huge-chunk", format!("{chunked}fffffffffffffff0\r\nx"), Then::Closes, DELIVERED),
        answers("too-huge-chunk", format!("{chunked}fffffffffffffffff\r\nx"), Then::Waits, DELIVERED),
    ]
}

/// Receivers that speak no HTTP, or none that means anything.
pub(super) fn of_sense() -> Vec<Case> {
    let waits = || Then::Waits;
    let h2_settings = b"\0\0\0\x04\0\0\0\0\0";
    let h2_goaway = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0d";
    let either = [CUT_BEFORE, BROKEN];
    let early = |status: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    vec![
        blurts("resets-at-once", Layer::Tcp, "", Then::Resets, &[NO_CONNECTION]),
        blurts("closes-at-once", Layer::Tcp, "", Then::Closes, &[NO_CONNECTION]),
        blurts("half-closes-at-once", Layer::Tcp, "", Then::HalfCloses, &[NO_CONNECTION]),
        blurts("http-for-tls", Layer::Tcp, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", waits(), &[NO_TLS]),
        blurts("garbage-for-tls", Layer::Tcp, [0xa5; 4096], waits(), &[NO_TLS]),
        blurts("alert-for-tls", Layer::Tcp, b"\x15\x03\x03\x00\x02\x02\x28", waits(), &[NO_TLS]),
        blurts("other-name", Layer::OtherName, "", waits(), &[NO_TLS]),
        blurts("other-authority", Layer::OtherAuthority, "", waits(), &[NO_TLS]),
        blurts("resets-before", Layer::Tls, "", Then::Resets, &either),
        blurts("closes-before", Layer::Tls, "", Then::Closes, &either),
        blurts("half-closes-before", Layer::Tls, "", Then::HalfCloses, &either),
        blurts("banner", Layer::Tls, "220 mail.test ESMTP\r\n", waits(), &either),
        blurts("only-h2", Layer::OnlyH2, h2_settings, waits(), &either),
        blurts("h2-at-once", Layer::Tls, h2_settings, waits(), &either),
        blurts("refuses-unasked", Layer::Tls, early("500 No"), waits(), &[CUT_BEFORE, BROKEN, REFUSED_500]),
        blurts("thanks-unasked", Layer::Tls, early("200 OK"), waits(), &[CUT_BEFORE, BROKEN, DELIVERED]),
        answers("resets-after", "", Then::Resets, BROKEN),
        answers("closes-after", "", Then::Closes, BROKEN),
        answers("half-closes-after", "", Then::HalfCloses, BROKEN),
        answers("half-closes-in-head", OK, Then::HalfCloses, BROKEN),
        answers("closes-in-body", format!("{OK}Content-Length: 9\r\n\r\nx"), Then::Closes, DELIVERED),
        answers("h2-goaway", h2_goaway, waits(), BROKEN),
        answers("garbage", [0xa5; 4096], waits(), BROKEN),
        answers("zeros", [0; 4096], waits(), BROKEN),
        answers("http-0-9", "<html>thanks</html>\r\n\r\n", Then::Closes, BROKEN),
        answers("http-2-in-words", "HTTP/2 200\r\n\r\n", waits(), BROKEN),
        answers("a-request-back", "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", waits(), BROKEN),
        answers("status-of-two-digits", early("99 No"), waits(), BROKEN),
        answers("status-of-four-digits", early("2000 OK"), waits(), BROKEN),
        answers("status-999", early("999 What"), waits(), ("refused-for-now", Some("http_999"))),
        answers(
            "switches",
            "HTTP/1.1 101 Yes\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            waits(),
            ("refused-for-now", Some("http_101")),
        ),
        answers("some-continue", "HTTP/1.1 100 Continue\r\n\r\n".repeat(20) + &early("200 OK"), waits(), DELIVERED),
        answers("two-answers", format!("{OK}Content-Length: 0\r\n\r\n").repeat(2), waits(), DELIVERED),
        answers("two-lengths", format!("{OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), waits(), BROKEN),
        answers("length-below-zero", format!("{OK}Content-Length: -1\r\n\r\n"), waits(), BROKEN),
        answers("zero-in-header", format!("{OK}X: a\0b\r\n\r\n"), waits(), BROKEN),
        answers("chunks-of-nonsense", format!("{OK}Transfer-Encoding: chunked\r\n\r\nnope\r\n"), waits(), DELIVERED),
    ]
}

/// Receivers that point elsewhere: at themselves, and at `inside`, where nobody may go.
pub(super) fn of_place(inside: u16) -> Vec<Case> {
    let to = |name, status: u16, location: String| {
        let says = format!(
            "HTTP/1.1 {status} There\r\nLocation: {location}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let code = ["http_301", "http_302", "http_303", "http_307", "http_308"];
        let code = code.into_iter().find(|code| code.ends_with(&status.to_string()));
        answers(name, says, Then::Waits, ("refused-for-now", code))
    };
    vec![
        to("loops-301", 301, "/in".into()),
        to("loops-302", 302, "https://loops-302.hostile.test/in".into()),
        to("loops-303", 303, "/in".into()),
        to("loops-307", 307, "/in".into()),
        to("loops-308", 308, "https://loops-308.hostile.test/in".into()),
        to("inside-301", 301, format!("http://127.0.0.1:{inside}/")),
        to("inside-302", 302, format!("https://127.0.0.1:{inside}/")),
        to("inside-303", 303, format!("https://localhost:{inside}/")),
        to("inside-307", 307, format!("https://inside.test:{inside}/")),
        to("inside-308", 308, "https://inside.test/".into()),
        to("metadata", 307, "http://169.254.169.254/latest/meta-data/".into()),
        to("refresh", 302, format!("gopher://127.0.0.1:{inside}/_x")),
    ]
}

/// About a mebibyte that unpacks to a gibibyte of zeros: one packed mebibyte, which ends at a byte's border, over and over.
fn bomb() -> Vec<u8> {
    let (zeros, mut one) = (vec![0; 1 << 20], Vec::with_capacity(1 << 20));
    let mut packer = Compress::new(Compression::best(), false);
    packer.compress_vec(&zeros, &mut one, FlushCompress::Sync).unwrap();
    assert!(packer.total_in() == 1 << 20 && one.ends_with(&[0, 0, 0xff, 0xff]));
    let mut bomb = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    for _ in 0..1024 {
        bomb.write_all(&one).unwrap();
    }
    bomb
}
