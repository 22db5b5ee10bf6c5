//! Where somebody else makes the tokens, the codes, or judges: a back end that fails burns nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use handfast::jobs::{BackendAnswer, BackendCall};
use handfast::logins::{Started, Verified, Way};

use super::scene::{ANN, BOB, Scene, named, on, other_than, roomy, token};

fn their_token(n: usize) -> Option<BackendAnswer> {
    Some(BackendAnswer::Token { token: format!("their-token-{n}-0123456789"), uid: Some("5302".into()) })
}

fn away() -> Option<BackendAnswer> {
    Some(BackendAnswer::Unavailable("timeout".into()))
}

async fn start() -> Scene {
    let scene = Scene::with_broker(roomy).await;
    scene.by_mesibo().await;
    scene
}

#[tokio::test]
async fn a_back_end_that_is_away_costs_nobody_the_code() {
    let scene = start().await;
    let back_end = scene.back_end(|_, n| if n < 2 { away() } else { their_token(n) });
    let code = scene.code(ANN).await;
    let phone = on("phone");
    assert_eq!(named(&scene.attempt_from(ANN, &code, &phone).await), "unavailable");
    // Only whoever was right, on the device it was right on, may say it again.
    assert_eq!(named(&scene.attempt_from(ANN, &code, &on("another")).await), "wrong");
    assert_eq!(named(&scene.attempt_from(ANN, &other_than(&code), &phone).await), "wrong");
    assert_eq!(named(&scene.attempt_from(ANN, &code, &phone).await), "unavailable");
    let Verified::Token { token, uid, address, name, .. } = scene.attempt_from(ANN, &code, &phone).await else {
        panic!("no token")
    };
    assert_eq!((token.as_str(), uid.as_deref()), ("their-token-2-0123456789", Some("5302")));
    assert_eq!((address.as_str(), name.as_deref()), (ANN, Some("Ann")));
    let failed: i32 = scene.value("select cardinality(failed) from login_addresses").await;
    assert_eq!(failed, 1, "another device's try is none: there is nothing for it to guess");
    // It was good once.
    assert_eq!(named(&scene.attempt_from(ANN, &code, &phone).await), "wrong");
    let calls = back_end.calls();
    assert_eq!(calls.len(), 3);
    for call in calls {
        let BackendCall::AddUser { address, name, code } = call else { panic!("another call") };
        assert_eq!((address.as_str(), name.as_str(), code), (ANN, "Ann", None));
    }
}

#[tokio::test]
async fn a_right_code_is_used_three_times_at_most_and_not_for_long() {
    let scene = start().await;
    let back_end = scene.back_end(|_, _| away());
    let code = scene.code(ANN).await;
    for _ in 0..3 {
        assert_eq!(named(&scene.attempt(ANN, &code).await), "unavailable");
    }
    assert_eq!(named(&scene.attempt(ANN, &code).await), "wrong");
    let code = scene.code(BOB).await;
    assert_eq!(named(&scene.attempt(BOB, &code).await), "unavailable");
    scene.advance(61);
    assert_eq!(named(&scene.attempt(BOB, &code).await), "wrong", "the grace is over");
    scene.advance(10);
    let code = scene.code(BOB).await;
    scene.advance(299);
    assert_eq!(named(&scene.attempt(BOB, &code).await), "unavailable");
    scene.advance(1);
    assert_eq!(named(&scene.attempt(BOB, &code).await), "wrong", "no code is good after its life");
    assert_eq!(back_end.calls().len(), 5);
}

#[tokio::test]
async fn a_refusal_is_told_and_a_later_yes_is_taken() {
    let scene = start().await;
    scene.back_end(|_, n| match n {
        0 => Some(BackendAnswer::Refused("BADAPP\r\nx: y".into())),
        n => their_token(n),
    });
    let code = scene.code(ANN).await;
    let refused = scene.attempt(ANN, &code).await;
    assert!(matches!(&refused, Verified::Refused(word) if word == "BADAPPx: y"), "{}", named(&refused));
    assert_eq!(named(&scene.attempt(ANN, &code).await), "token");
}

#[tokio::test]
async fn there_are_never_two_calls_at_once() {
    let scene = start().await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (calling, seen) = (Arc::clone(&now), Arc::clone(&most));
    let back_end = scene.back_end(move |_, n| {
        seen.fetch_max(calling.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(200));
        calling.fetch_sub(1, Ordering::SeqCst);
        their_token(n)
    });
    let code = scene.code(ANN).await;
    let phone = on("phone");
    let answers = futures_util::future::join_all((0..10).map(|_| scene.attempt_from(ANN, &code, &phone))).await;
    let tokens = answers.iter().filter(|answer| named(answer) == "token").count();
    assert_eq!(tokens, 1, "{:?}", answers.iter().map(named).collect::<Vec<_>>());
    assert_eq!((back_end.calls().len(), most.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(scene.count("login_sessions").await, 1);
}

#[tokio::test]
async fn an_answer_that_never_comes_keeps_the_code_busy_until_nobody_calls_any_more() {
    let scene = Scene::with_broker(|config| {
        roomy(config);
        config.mesibo.backend_timeout = handfast::config::Period::seconds(0);
    })
    .await;
    scene.by_mesibo().await;
    let back_end = scene.back_end(|_, n| if n == 0 { None } else { their_token(n) });
    let code = scene.code(ANN).await;
    let (late, second) = tokio::join!(scene.attempt(ANN, &code), async {
        crate::node::eventually("the first call", async || back_end.calls().len() == 1).await;
        scene.attempt(ANN, &code).await
    });
    assert_eq!((named(&late), named(&second)), ("unavailable", "unavailable"));
    assert_eq!(back_end.calls().len(), 1);
    // Its deadline is over, and its answer could still be on its way.
    scene.advance(4);
    assert_eq!(named(&scene.attempt(ANN, &code).await), "unavailable");
    assert_eq!(back_end.calls().len(), 1);
    scene.advance(10);
    assert_eq!(named(&scene.attempt(ANN, &code).await), "token");
    assert_eq!(back_end.calls().len(), 2);
}

#[tokio::test]
async fn mesibo_may_make_the_codes() {
    let scene = start().await;
    scene.change(|application| application.backend.makes_codes = true).await;
    let back_end = scene.back_end(|call, n| match (call, n) {
        (BackendCall::MakeCode { .. }, 0) => away(),
        (BackendCall::MakeCode { .. }, 1) => Some(BackendAnswer::Refused("BADAPP".into())),
        (BackendCall::MakeCode { .. }, 2) => Some(BackendAnswer::Code("not digits".into())),
        (BackendCall::MakeCode { .. }, _) => Some(BackendAnswer::Code("004711".into())),
        _ => their_token(n),
    });
    // What made no code is not counted as sent: the next one may follow at once.
    assert_eq!(scene.begin(ANN).await, Started::Unavailable);
    assert_eq!(scene.begin(ANN).await, Started::Refused("BADAPP".into()));
    assert_eq!(scene.begin(ANN).await, Started::Unavailable);
    assert_eq!(scene.count("messages").await, 0);
    assert_eq!(scene.begin(ANN).await, Started::Accepted);
    assert_eq!(scene.pending().await, "004711");
    // The same one again: nobody is asked.
    scene.advance(60);
    assert_eq!(scene.begin(ANN).await, Started::Accepted);
    assert_eq!((scene.count("messages").await, back_end.calls().len()), (2, 4));
    assert_eq!(named(&scene.attempt(ANN, "004712").await), "wrong");
    assert_eq!(back_end.calls().len(), 4, "a wrong code asks nobody");
    assert_eq!(named(&scene.attempt(ANN, "004711").await), "token");
    let Some(BackendCall::AddUser { code, .. }) = back_end.calls().pop() else { panic!("another call") };
    assert_eq!(code.as_deref(), Some("004711"));
    // It makes the same one again, which was used: nobody is sent it, and it opens nothing.
    scene.advance(200);
    assert_eq!(scene.begin(ANN).await, Started::Unavailable);
    assert_eq!(named(&scene.attempt(ANN, "004711").await), "wrong");
    assert_eq!(scene.count("messages").await, 2);
}

#[tokio::test]
async fn a_session_that_is_revoked_is_revoked_there() {
    let scene = start().await;
    scene.change(|application| application.backend.revoke_op = "deltoken".into()).await;
    let back_end = scene.back_end(|call, n| match call {
        BackendCall::Revoke { .. } => Some(BackendAnswer::Done),
        _ => their_token(n),
    });
    let theirs = scene.sign_in(ANN).await;
    assert!(scene.logins.introspect(&theirs).await.unwrap().is_some());
    assert!(scene.logins.sign_out(&theirs).await.unwrap());
    assert!(scene.logins.introspect(&theirs).await.unwrap().is_none());
    let revoked = async || matches!(back_end.calls().last(), Some(BackendCall::Revoke { address, token }) if address == ANN && *token == theirs);
    crate::node::eventually("it hears of it", revoked).await;
    let forgotten = async || scene.count("login_sessions where upstream is not null").await == 0;
    crate::node::eventually("the token is forgotten", forgotten).await;
    assert!(!scene.logins.sign_out(&theirs).await.unwrap(), "there is none any more");
}

fn with_verifier(scene: &Scene) -> impl Future<Output = ()> {
    scene.change(|application| {
        application.ways = vec![Way::Verifier];
        let url = "https://auth.test/login".into();
        application.verifier = Some(handfast::logins::apps::Verifier { url, secret: String::from("whsec_x").into() });
    })
}

#[tokio::test]
async fn an_application_s_own_verifier_judges() {
    let scene = Scene::with_broker(roomy).await;
    with_verifier(&scene).await;
    let back_end = scene.back_end(|call, _| match call {
        BackendCall::BeginElsewhere(who) if who.user == "nobody" => Some(BackendAnswer::Refused("unknown".into())),
        BackendCall::BeginElsewhere(_) => Some(BackendAnswer::Done),
        BackendCall::VerifyElsewhere(who) if who.secret == "away" => away(),
        BackendCall::VerifyElsewhere(who) if who.secret == "open sesame" => {
            Some(BackendAnswer::Verified { address: Some("uid-7".into()), name: Some("Ann Lee".into()) })
        }
        _ => Some(BackendAnswer::Refused("no".into())),
    });
    // Whether a user is known is not told.
    assert_eq!((scene.begin("ann").await, scene.begin("nobody").await), (Started::Accepted, Started::Accepted));
    // It may send something of its own: who asks again too early is answered the same, and it hears nothing of it.
    assert_eq!((scene.begin("ann").await, back_end.calls().len()), (Started::Accepted, 2));
    for secret in ["away", "away", "wrong", "away"] {
        let expected = if secret == "away" { "unavailable" } else { "wrong" };
        assert_eq!(named(&scene.attempt("ann", secret).await), expected);
    }
    let failed: i32 = scene.value("select max(cardinality(failed)) from login_addresses").await;
    assert_eq!(failed, 1, "what nobody judged is no failure");
    let Verified::Token { token, address, name, .. } = scene.attempt("ann", "open sesame").await else {
        panic!("no token")
    };
    assert_eq!((token.len(), address.as_str(), name.as_deref()), (64, "uid-7", Some("Ann Lee")));
    assert_eq!(scene.begin(ANN).await, Started::BadAddress);
    // Guessing ends like everywhere else, and asks nobody any more.
    for _ in 0..19 {
        assert_eq!(named(&scene.attempt("ann", "guess").await), "wrong");
    }
    let before = back_end.calls().len();
    assert_eq!(named(&scene.attempt("ann", "open sesame").await), "wrong");
    assert!(matches!(scene.begin("ann").await, Started::Limited { .. }));
    assert_eq!(back_end.calls().len(), before);
}

#[tokio::test]
async fn a_verifier_may_stand_before_mesibo() {
    let scene = start().await;
    with_verifier(&scene).await;
    scene.back_end(|call, n| match call {
        BackendCall::VerifyElsewhere(_) => Some(BackendAnswer::Verified { address: None, name: None }),
        BackendCall::AddUser { address, .. } if address == "ann" => their_token(n),
        _ => None,
    });
    assert_eq!(token(scene.attempt("ann", "secret").await), "their-token-1-0123456789");
}

#[tokio::test]
async fn without_a_broker_it_says_so_and_the_code_stays_good() {
    let scene = Scene::start().await;
    scene.by_mesibo().await;
    let code = scene.code(ANN).await;
    for _ in 0..10 {
        assert_eq!(
            named(&scene.attempt(ANN, &code).await),
            "unavailable",
            "calls that were never made are not counted"
        );
    }
}
