//! Tokens of our own: looked up, ended.

use std::time::Duration;

use handfast::logins::sessions;

use super::scene::{ANN, APP, BOB, Scene, an_address, on, token};

const DAY: u64 = 86_400;

impl Scene {
    async fn is_active(&self, token: &str) -> bool {
        self.logins.introspect(token).await.unwrap().is_some()
    }
}

#[tokio::test]
async fn a_token_is_32_random_bytes_and_known_by_its_hash_only() {
    let scene = Scene::start().await;
    let (ann, bob) = (scene.sign_in(ANN).await, scene.sign_in(BOB).await);
    assert_ne!(ann, bob);
    assert!(ann.len() == 64 && ann.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
    let session = scene.logins.introspect(&ann).await.unwrap().expect("a session");
    assert_eq!((session.who.address.as_str(), session.who.kind.as_str(), session.appid.as_str()), (ANN, "phone", APP));
    for wrong in ["", "x", &ann[..63], &ann.to_uppercase(), &format!("{ann}0"), "\0"] {
        assert!(!scene.is_active(wrong).await);
    }
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_at_its_end() {
    let scene = Scene::start().await;
    let (used, unused) = (scene.sign_in(ANN).await, scene.sign_in(BOB).await);
    scene.advance(89 * DAY);
    assert!(scene.is_active(&used).await);
    scene.advance(DAY);
    assert!(!scene.is_active(&unused).await, "90 days");
    for _ in 0..3 {
        scene.advance(80 * DAY);
        assert!(scene.is_active(&used).await);
    }
    scene.advance(35 * DAY);
    assert!(!scene.is_active(&used).await, "365 days, whatever happens");
    scene.advance(31 * DAY);
    handfast::logins::purge(&scene.app).await.unwrap();
    assert_eq!(scene.count("login_sessions").await, 0);
}

#[tokio::test]
async fn looking_a_token_up_rarely_writes() {
    let scene = Scene::start().await;
    let token = scene.sign_in(ANN).await;
    let version = "select xmin::text from login_sessions";
    let before: String = scene.value(version).await;
    for _ in 0..5 {
        assert!(scene.is_active(&token).await);
    }
    assert_eq!(scene.value::<String>(version).await, before);
    scene.advance(61);
    assert!(scene.is_active(&token).await);
    assert_ne!(scene.value::<String>(version).await, before);
}

#[tokio::test]
async fn signing_out_ends_one_session_and_no_other() {
    let scene = Scene::start().await;
    let first = scene.sign_in(ANN).await;
    scene.advance(60);
    let second = scene.sign_in(ANN).await;
    assert!(scene.logins.sign_out(&first).await.unwrap());
    assert!(!scene.logins.sign_out(&first).await.unwrap());
    assert!(!scene.logins.sign_out("never").await.unwrap());
    assert_eq!((scene.is_active(&first).await, scene.is_active(&second).await), (false, true));
}

#[tokio::test]
async fn operators_list_and_revoke() {
    let scene = Scene::start().await;
    let code = scene.code(ANN).await;
    let ann = token(scene.attempt_from(ANN, &code, &on("phone\u{7}\n")).await);
    let bob = scene.sign_in(BOB).await;
    let list = async |app, address| sessions::list(&scene.app, app, address, None, 10).await.unwrap();
    let all = list(None, None).await;
    assert_eq!(all.iter().map(|session| session.who.address.as_str()).collect::<Vec<_>>(), [BOB, ANN]);
    let anns = list(Some(APP), Some("+1 (800) 555-1234")).await;
    assert_eq!(anns.len(), 1);
    assert_eq!(anns[0].who.device.as_deref(), Some("phone"));
    assert!(list(Some("com.example.other"), Some(ANN)).await.is_empty());
    assert!(scene.logins.revoke(anns[0].id).await.unwrap());
    assert!(scene.logins.revoke(anns[0].id).await.unwrap(), "it stays revoked");
    assert!(!scene.logins.revoke(uuid::Uuid::nil()).await.unwrap());
    assert_eq!((scene.is_active(&ann).await, scene.is_active(&bob).await), (false, true));
    assert!(list(Some(APP), Some(ANN)).await[0].revoked_at.is_some());
}

#[tokio::test]
async fn nobody_is_signed_in_to_what_is_disabled_or_deleted() {
    let scene = Scene::start().await;
    let token = scene.sign_in(ANN).await;
    scene.change(|application| application.enabled = false).await;
    assert!(!scene.is_active(&token).await);
    scene.change(|application| application.enabled = true).await;
    assert!(scene.is_active(&token).await);
    assert!(handfast::logins::apps::delete(&scene.app, APP).await.unwrap());
    assert!(!scene.is_active(&token).await);
    assert_eq!(scene.count("login_sessions").await, 0);
}

#[tokio::test]
async fn what_has_had_its_time_is_swept() {
    let scene = Scene::start().await;
    scene.sign_in(ANN).await;
    let code = scene.code(BOB).await;
    scene.attempt(BOB, &super::scene::other_than(&code)).await;
    scene.app.clock.advance(Duration::from_secs(3 * DAY));
    handfast::logins::purge(&scene.app).await.unwrap();
    handfast::codes::purge(&scene.app).await.unwrap();
    assert_eq!(scene.count("codes").await, 0);
    assert_eq!(scene.count("login_addresses").await, 1, "who was wrong in a row is remembered");
    assert_eq!(scene.count("login_sessions").await, 1);
    let unlocked = scene.logins.unlock(APP, an_address(BOB).as_str()).await.unwrap();
    assert!(unlocked);
}
