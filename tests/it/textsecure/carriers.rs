//! Codes on their way: what each carrier is sent, and what becomes of a code when carriers fail.

mod mail;
mod twilio;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handfast::books::{Accepted, Acceptor, ChannelName, NewMessage};
use handfast::codes::Purpose;
use handfast::codes::subject::{self, ToSend};
use handfast::queue::Publisher;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::scene::{HOME, Scene};
use crate::node::{Net, Options, Port, eventually};
use crate::webhooks::receiver::{Receiver, Seen, slowly, status};
use mail::MailServer;

const TWILIO: &str = "twilio.test";
const OWN: &str = "own.test";
const MAIL: &str = "mail.test";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NUMBER: &str = "+14155550101";
const MINUTES: Duration = Duration::from_secs(600);

/// A node with carriers, and the door's part: making codes and handing them over.
struct Stage {
    scene: Scene,
    acceptor: Acceptor,
    _stop: DropGuard,
}

fn through_twilio() -> Value {
    let url = format!("https://{TWILIO}");
    json!({"kind": "twilio", "name": "twilio", "url": url, "account": twilio::ACCOUNT, "token": twilio::TOKEN,
        "from": twilio::FROM})
}

fn through_own() -> Value {
    json!({"kind": "webhook", "name": "own", "url": format!("https://{OWN}/send?key=s3cret"), "secret": SECRET})
}

fn by_mail(url: &str) -> Value {
    json!({"kind": "smtp", "name": "mail", "url": url, "from": "Shop <codes@shop.test>"})
}

fn carried_by(kind: &str, carriers: &[Value]) -> Options {
    Options::of(HOME)
        .set(&format!("providers.{kind}"), toml::Value::try_from(carriers).unwrap())
        .set("providers.schedule", vec!["200ms"])
}

impl Stage {
    async fn with(net: Net, options: Options) -> Self {
        let scene = Scene::with(net, options).await;
        let (app, stop) = (&scene.node.app, CancellationToken::new());
        let acceptor = Acceptor::start(app, &Publisher::start(app, stop.clone()));
        Self { scene, acceptor, _stop: stop.drop_guard() }
    }

    /// A new code for somebody; the message that carries it.
    async fn send(&self, channel: ChannelName, to: &str, life: Duration) -> String {
        let app = &self.scene.node.app;
        let mut client = app.db.client().await.unwrap();
        let tx = client.transaction().await.unwrap();
        let made = subject::make(&tx, app, Purpose::PhoneNumber, to, life).await.unwrap();
        let to_send = ToSend { code: made.id, to: to.into(), service: "textsecure".into(), words: None };
        let kind = serde_json::to_value(channel).unwrap();
        let destination = format!("{}:codes", kind.as_str().unwrap());
        let content = serde_json::to_vec(&to_send).unwrap();
        let message = NewMessage::own("test", channel, destination, content, made.expires_at);
        let (accepted, to_publish) = self.acceptor.accept_in(&tx, vec![message]).await.unwrap();
        tx.commit().await.unwrap();
        self.acceptor.publish(to_publish);
        let [Accepted::New(id)] = accepted[..] else { panic!("not new: {accepted:?}") };
        id.to_string()
    }

    async fn sms(&self) -> String {
        self.send(ChannelName::Sms, NUMBER, MINUTES).await
    }

    /// Its state, why, and every try's word.
    async fn ended(&self, id: &str) -> String {
        let message = self.scene.node.settled(id).await;
        let delivery = &message["deliveries"][0];
        let words: Vec<&str> =
            delivery["attempts"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap_or("-")).collect();
        let state = message["state"].as_str().unwrap();
        match delivery["reason"].as_str() {
            Some(reason) => format!("{state} ({reason}): {}", words.join(", ")),
            None => format!("{state}: {}", words.join(", ")),
        }
    }

    /// Nothing that was secret is in a log, or lies open in the database.
    async fn kept_quiet(&self, secrets: &[&str]) {
        let (logs, dump) = (self.scene.node.logs(), self.scene.node.dump().await);
        for secret in secrets {
            assert!(!secret.is_empty());
            assert!(!logs.contains(secret), "{secret} is in the log");
            assert!(!dump.contains(secret), "{secret} is in the database");
        }
    }

    async fn sealed_codes(&self) -> i64 {
        self.scene.node.value("select count(*) from codes where sealed is not null").await
    }
}

/// The digits of a text.
fn digits(text: &str) -> String {
    let (_, shown) = text.split_once("code: ").unwrap();
    let (first, rest) = shown.split_once('-').unwrap();
    let digits = format!("{first}{rest}");
    assert!(digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
    digits
}

#[tokio::test]
async fn a_short_message_goes_by_twilio_and_the_code_is_kept_no_longer() {
    let net = Net::new();
    let service = Receiver::start(&net, TWILIO, |seen, _| twilio::answer(seen)).await;
    let stage = Stage::with(net, carried_by("sms", &[through_twilio()])).await;
    let id = stage.sms().await;
    assert_eq!(stage.ended(&id).await, "delivered: twilio=sent");
    let seen = service.got(1).await.remove(0);
    let code = digits(&twilio::field(&seen, "Body"));
    let request = format!("{} {}\n{}", seen.method, seen.path, String::from_utf8_lossy(&seen.body));
    let request = request.replace(&format!("{}-{}", &code[..3], &code[3..]), "123-456");
    insta::assert_snapshot!(request, @r"
    POST /2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Messages.json
    To=%2B14155550101&From=%2B15005550006&Body=Your+TextSecure+verification+code%3A+123-456
    ");
    eventually("the code is forgotten", async || stage.sealed_codes().await == 0).await;
    let checked = subject::check(&stage.scene.node.app, Purpose::PhoneNumber, NUMBER, &code, 10).await.unwrap();
    assert!(checked.is_some(), "what was sent is another code");
    stage.kept_quiet(&[&NUMBER[1..], &code, twilio::TOKEN]).await;
}

#[tokio::test]
async fn a_call_speaks_every_digit_twice() {
    let net = Net::new();
    let service = Receiver::start(&net, TWILIO, |seen, _| twilio::answer(seen)).await;
    let stage = Stage::with(net, carried_by("voice", &[through_twilio()])).await;
    let id = stage.send(ChannelName::Voice, NUMBER, MINUTES).await;
    assert_eq!(stage.ended(&id).await, "delivered: twilio=sent");
    let seen = service.got(1).await.remove(0);
    assert_eq!(seen.path, format!("/2010-04-01/Accounts/{}/Calls.json", twilio::ACCOUNT));
    let twiml = twilio::field(&seen, "Twiml");
    let spoken: Vec<&str> = twiml.split("<Say>").skip(1).map(|part| part.split("</Say>").next().unwrap()).collect();
    assert_eq!(spoken.len(), 2, "{twiml}");
    assert_eq!(spoken[0], spoken[1]);
    let code: String = spoken[0].split(": ").nth(1).unwrap().trim_end_matches('.').split(", ").collect();
    let app = &stage.scene.node.app;
    assert!(subject::check(app, Purpose::PhoneNumber, NUMBER, &code, 10).await.unwrap().is_some(), "{twiml}");
}

#[tokio::test]
async fn who_fails_is_replaced_and_rests_and_ones_own_endpoint_can_check_who_calls() {
    let net = Net::new();
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let first = Receiver::start(&net, TWILIO, move |seen, _| match is_down.load(Ordering::SeqCst) {
        true => status(503),
        false => twilio::answer(seen),
    });
    let first = first.await;
    let second = Receiver::start(&net, OWN, |_, _| status(204)).await;
    let options = carried_by("sms", &[through_twilio(), through_own()]).set("providers.rest", "3s");
    let stage = Stage::with(net, options).await;
    let id = stage.sms().await;
    assert_eq!(stage.ended(&id).await, "delivered: twilio=http_503 own=sent");
    let seen = second.got(1).await.remove(0);
    assert!(seen.is_signed_with(SECRET));
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/send?key=s3cret"));
    assert_eq!(seen.header("webhook-id"), id);
    let body = seen.json();
    assert_eq!(digits(body["text"].as_str().unwrap()), body["code"].as_str().unwrap());
    let expires_at: jiff::Timestamp = body["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(expires_at > jiff::Timestamp::now() + Duration::from_secs(500));
    let fixed = String::from_utf8_lossy(&seen.body)
        .replace(body["text"].as_str().unwrap(), "TEXT")
        .replace(body["code"].as_str().unwrap(), "CODE")
        .replace(body["expires_at"].as_str().unwrap(), "TIME");
    insta::assert_snapshot!(fixed, @r#"{"type":"code.sms","to":"+14155550101","text":"TEXT","code":"CODE","expires_at":"TIME","service":"textsecure"}"#);

    // While it rests the other one is asked first, and takes it.
    let failed = std::time::Instant::now();
    let id = stage.sms().await;
    let ended = stage.ended(&id).await;
    if failed.elapsed() < Duration::from_secs(2) {
        assert_eq!(ended, "delivered: own=sent");
        assert_eq!(first.seen().len(), 1);
    }
    down.store(false, Ordering::SeqCst);
    eventually("the first one is asked first again", async || {
        let id = stage.sms().await;
        stage.ended(&id).await == "delivered: twilio=sent"
    })
    .await;
    stage.kept_quiet(&[&NUMBER[1..], body["code"].as_str().unwrap(), "s3cret", &SECRET[6..]]).await;
}

#[tokio::test]
async fn a_pause_that_was_asked_for_is_kept() {
    let net = Net::new();
    let service = Receiver::start(&net, TWILIO, |seen, n| match n {
        0 => twilio::too_many("2"),
        _ => twilio::answer(seen),
    });
    let service = service.await;
    let stage = Stage::with(net, carried_by("sms", &[through_twilio()])).await;
    let id = stage.sms().await;
    assert_eq!(stage.ended(&id).await, "delivered: twilio=http_429/20429, twilio=sent");
    let seen = service.seen();
    let pause = seen[1].at - seen[0].at;
    assert!(pause >= Duration::from_millis(1990), "{pause:?}");
}

#[tokio::test]
async fn a_number_that_nobody_has_is_not_asked_of_the_next_one() {
    let net = Net::new();
    let _first = Receiver::start(&net, TWILIO, |seen, _| twilio::answer(seen)).await;
    let second = Receiver::start(&net, OWN, |_, _| status(204)).await;
    let stage = Stage::with(net, carried_by("sms", &[through_twilio(), through_own()])).await;
    let id = stage.send(ChannelName::Sms, twilio::NOBODY, MINUTES).await;
    assert_eq!(stage.ended(&id).await, "failed (no-such-number): twilio=http_400/21211");
    assert!(second.seen().is_empty());
    // The service's own words name the number.
    stage.kept_quiet(&[&twilio::NOBODY[1..]]).await;
}

#[tokio::test]
async fn wrong_credentials_silence_and_nobody_there_are_three_reasons_to_go_on() {
    let net = Net::new();
    net.name("nobody.test", Port::free().socket());
    let _first = Receiver::start(&net, TWILIO, |seen, _| twilio::answer(seen)).await;
    let silent = Receiver::start(&net, OWN, |_, _| slowly(status(204), Duration::from_secs(60))).await;
    let last = Receiver::start(&net, "last.test", |_, _| status(200)).await;
    let mut wrong = through_twilio();
    wrong["token"] = "guess".into();
    let nobody = json!({"kind": "webhook", "name": "nobody", "url": "https://nobody.test/", "secret": SECRET});
    let good = json!({"kind": "webhook", "name": "last", "url": "https://last.test/", "secret": SECRET});
    let options = carried_by("sms", &[wrong, through_own(), nobody, good]).set("providers.timeout", "1s");
    let stage = Stage::with(net, options).await;
    let id = stage.sms().await;
    let ended = stage.ended(&id).await;
    assert_eq!(ended, "delivered: twilio=http_401/20003 own=timeout_after_sending nobody=connect last=sent");
    assert_eq!((silent.seen().len(), last.seen().len()), (1, 1));
}

#[tokio::test]
async fn what_no_carrier_takes_and_none_will_is_refused_at_once() {
    let net = Net::new();
    let first =
        Receiver::start(&net, TWILIO, |_, _| twilio::refuse(400, 21408, "Permission has not been enabled")).await;
    let second = Receiver::start(&net, OWN, |_, n| status(if n == 0 { 400 } else { 422 })).await;
    let stage = Stage::with(net, carried_by("sms", &[through_twilio(), through_own()])).await;
    let id = stage.sms().await;
    assert_eq!(stage.ended(&id).await, "failed (refused): twilio=http_400/21408 own=http_400");
    let id = stage.sms().await;
    assert_eq!(stage.ended(&id).await, "failed (refused): twilio=http_400/21408 own=http_422");
    assert_eq!((first.seen().len(), second.seen().len()), (2, 2));
    let id = stage.send(ChannelName::Voice, NUMBER, MINUTES).await;
    assert_eq!(stage.ended(&id).await, "failed (no-carrier): ");
}

/// A service that is down until it is told otherwise.
async fn down_at_first(net: &Net) -> (Receiver, Arc<AtomicBool>) {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let service = Receiver::start(net, TWILIO, move |seen, _| match is_up.load(Ordering::SeqCst) {
        true => twilio::answer(seen),
        false => status(500),
    });
    (service.await, up)
}

#[tokio::test]
async fn a_code_that_was_replaced_is_not_sent_any_more() {
    let net = Net::new();
    let (service, up) = down_at_first(&net).await;
    let stage = Stage::with(net, carried_by("sms", &[through_twilio()])).await;
    let old = stage.sms().await;
    stage.scene.node.tried(&old, 2).await;
    let new = stage.sms().await;
    let ended = stage.ended(&old).await;
    assert!(ended.starts_with("failed (superseded): twilio=http_500"), "{ended}");
    up.store(true, Ordering::SeqCst);
    assert!(stage.ended(&new).await.starts_with("delivered: "));
    let last = service.seen().pop().unwrap();
    let code = digits(&twilio::field(&last, "Body"));
    let app = &stage.scene.node.app;
    assert!(subject::check(app, Purpose::PhoneNumber, NUMBER, &code, 10).await.unwrap().is_some());
}

#[tokio::test]
async fn a_late_code_is_never_sent() {
    let net = Net::new();
    let (service, up) = down_at_first(&net).await;
    let stage = Stage::with(net, carried_by("sms", &[through_twilio()])).await;
    let id = stage.send(ChannelName::Sms, NUMBER, Duration::from_secs(3)).await;
    stage.scene.node.tried(&id, 2).await;
    let ended = stage.ended(&id).await;
    assert!(ended.starts_with("expired (expired): twilio=http_500"), "{ended}");
    up.store(true, Ordering::SeqCst);
    // One that comes after it passes it: nothing of the first is left to be sent.
    let tried = service.seen().len();
    let next = stage.send(ChannelName::Sms, "+14155550102", MINUTES).await;
    assert!(stage.ended(&next).await.starts_with("delivered: "));
    let after: Vec<Seen> = service.seen().split_off(tried);
    assert!(after.iter().all(|seen| twilio::field(seen, "To") == "+14155550102"));
}

#[tokio::test]
async fn no_call_outlasts_its_code() {
    let net = Net::new();
    let silent = Receiver::start(&net, OWN, |_, _| slowly(status(204), Duration::from_secs(60))).await;
    let options = carried_by("sms", &[through_own()]).set("providers.timeout", "30s");
    let stage = Stage::with(net, options).await;
    let begun = std::time::Instant::now();
    let id = stage.send(ChannelName::Sms, NUMBER, Duration::from_secs(4)).await;
    let ended = stage.ended(&id).await;
    assert!(ended.starts_with("expired (expired)"), "{ended}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(silent.seen().len() <= 1);
}

#[tokio::test]
async fn a_code_that_may_have_been_sent_is_tried_once_more_and_not_for_ever() {
    let net = Net::new();
    let silent = Receiver::start(&net, OWN, |_, n| match n {
        1 => status(503),
        _ => slowly(status(204), Duration::from_secs(60)),
    })
    .await;
    let stage = Stage::with(net, carried_by("sms", &[through_own()]).set("providers.timeout", "1s")).await;
    let id = stage.sms().await;
    assert_eq!(
        stage.ended(&id).await,
        "unconfirmed (own=timeout_after_sending): own=timeout_after_sending, own=http_503, own=timeout_after_sending"
    );
    assert_eq!(silent.seen().len(), 3);
    eventually("the code is forgotten", async || stage.sealed_codes().await == 0).await;
}

#[tokio::test]
async fn who_has_answered_stop_to_one_sender_is_reached_by_another() {
    let net = Net::new();
    let _first =
        Receiver::start(&net, TWILIO, |_, _| twilio::refuse(400, 21610, "Attempt to send to unsubscribed")).await;
    let _second = Receiver::start(&net, OWN, |_, _| status(204)).await;
    let stage = Stage::with(net, carried_by("sms", &[through_twilio(), through_own()])).await;
    let id = stage.sms().await;
    assert_eq!(stage.ended(&id).await, "delivered: twilio=http_400/21610 own=sent");
}

fn at(scheme: &str, password: &str, rest: &str) -> String {
    format!("{scheme}://{}:{password}@{MAIL}{rest}", mail::USER.replace('@', "%40"))
}

/// [`mail::PASSWORD`] as a URL has it.
const PASSWORD: &str = "p+ss%20w&rd";

#[tokio::test]
async fn a_mail_is_handed_over_under_tls_from_the_start() {
    let net = Net::new();
    let server = MailServer::start(&net, MAIL, false, |_| "").await;
    let stage = Stage::with(net, carried_by("email", &[by_mail(&at("smtps", PASSWORD, ""))])).await;
    let id = stage.send(ChannelName::Email, "ann@example.test", MINUTES).await;
    assert_eq!(stage.ended(&id).await, "delivered: mail=sent");
    let mail = server.got(1).await.remove(0);
    assert_eq!((mail.from.as_str(), mail.to.as_str()), ("<codes@shop.test>", "<ann@example.test>"));
    let code = digits(mail.text.trim_end());
    let shown =
        mail.text.replace("\r\n", "\n").replace(&id, "ID").replace(&code[..3], "123").replace(&code[3..], "456");
    let shown: Vec<&str> =
        shown.trim_end().lines().map(|line| if line.starts_with("Date: ") { "Date: …" } else { line }).collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    From: Shop <codes@shop.test>
    To: ann@example.test
    Subject: Your TextSecure verification code
    Date: …
    Message-ID: <ID@home.test>
    MIME-Version: 1.0
    Content-Type: text/plain; charset=utf-8
    Auto-Submitted: auto-generated
    Content-Transfer-Encoding: 7bit

    Your TextSecure verification code: 123-456
    ");
    assert_eq!(server.commands(), ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]);
    stage.kept_quiet(&[&code, "ann@example.test", PASSWORD, mail::PASSWORD]).await;
}

#[tokio::test]
async fn a_mail_server_may_begin_tls_by_a_command_and_may_want_it_later() {
    let net = Net::new();
    let recipients = |n| if n == 0 { "450 4.2.0 <ann@example.test>: greylisted, come again" } else { "" };
    let server = MailServer::start(&net, MAIL, true, recipients).await;
    let url = at("smtp", PASSWORD, "?tls=required");
    let stage = Stage::with(net, carried_by("email", &[by_mail(&url)])).await;
    let id = stage.send(ChannelName::Email, "ann@example.test", MINUTES).await;
    assert_eq!(stage.ended(&id).await, "delivered: mail=smtp_450/4.2.0, mail=sent");
    assert_eq!(server.mails().len(), 1);
    assert_eq!(server.commands()[..6], ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT"]);
    stage.kept_quiet(&["ann@example.test"]).await;
}

#[tokio::test]
async fn a_mailbox_that_does_not_exist_ends_it_and_a_wrong_password_does_not() {
    let net = Net::new();
    let server = MailServer::start(&net, MAIL, false, |_| "550 5.1.1 <bob@example.test>: nobody here").await;
    let own = Receiver::start(&net, OWN, |_, _| status(200)).await;
    let wrong = json!({"kind": "smtp", "name": "wrong", "url": at("smtps", "guess", ""), "from": "codes@shop.test"});
    let right = by_mail(&at("smtps", PASSWORD, ""));
    let stage = Stage::with(net, carried_by("email", &[wrong.clone(), right, through_own()])).await;
    let id = stage.send(ChannelName::Email, "bob@example.test", MINUTES).await;
    assert_eq!(stage.ended(&id).await, "failed (no-such-mailbox): wrong=smtp_535/5.7.8 mail=smtp_550/5.1.1");
    let id = stage.send(ChannelName::Email, "no mailbox at all", MINUTES).await;
    assert_eq!(stage.ended(&id).await, "failed (no-such-mailbox): mail=address");
    assert!(own.seen().is_empty() && server.mails().is_empty());
    stage.kept_quiet(&["bob@example.test"]).await;
}

#[tokio::test]
async fn a_recording_is_for_ones_own_machine() {
    use std::os::unix::fs::PermissionsExt;
    let net = Net::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("codes.jsonl");
    let recording = json!({"kind": "recording", "name": "file", "file": file.to_str().unwrap()});
    let stage = Stage::with(net, carried_by("sms", &[recording])).await;
    let id = stage.sms().await;
    assert_eq!(stage.ended(&id).await, "delivered: file=sent");
    let text = std::fs::read_to_string(&file).unwrap();
    let line: Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!((line["to"].as_str(), line["type"].as_str()), (Some(NUMBER), Some("code.sms")));
    assert_eq!(line["id"].as_str().unwrap().parse::<Uuid>().unwrap().to_string(), id);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}
