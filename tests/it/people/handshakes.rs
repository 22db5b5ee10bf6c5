use std::time::Duration;

use handfast::App;
use handfast::accounts::Account;
use handfast::handshakes::{self, Confirmed, NewHandshake, State};
use handfast::openmsg::handshake::AuthConfirmRequest;
use uuid::Uuid;

use super::{account, address, own, secrets, store};
use crate::support::fresh_app;

const PEER: &str = "7*peer.test";

async fn start(app: &App, account: &Account, code: &str) -> Uuid {
    let new = NewHandshake {
        sender: "shop".into(),
        account_id: account.id,
        from: account.address.clone(),
        to: address(PEER),
        code: code.parse().unwrap(),
        allow_replies: true,
    };
    handshakes::start(app, &new).await.unwrap()
}

async fn worker(app: &App, lease: Duration) -> Uuid {
    let id = app.new_id();
    let now = app.clock.now();
    let sql = "insert into workers (id, host, pid, started_at, lease_until) values ($1, 'test', 1, $2, $3)";
    app.db.execute(sql, &[&id, &now, &(now + lease)]).await.unwrap();
    id
}

/// A handshake whose `auth` is open; its claim as well.
async fn asking(app: &App, account: &Account, code: &str) -> (Uuid, Uuid) {
    let (id, claim) = (start(app, account, code).await, app.new_id());
    let worker = worker(app, Duration::from_secs(60)).await;
    handshakes::claim(app, id, worker, claim).await.unwrap().unwrap();
    assert!(handshakes::open_asking(app, id, claim).await.unwrap());
    (id, claim)
}

async fn confirm(app: &App, code: &str) -> Confirmed {
    let body = format!(r#"{{"receiving_openmsg_address":"{PEER}","pass_code":"{code}"}}"#);
    handshakes::confirm(app, &AuthConfirmRequest::parse(body.as_bytes()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn one_worker_gets_a_handshake_and_the_code_is_gone_at_its_end() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let id = start(&app, &shop, "042137").await;
    assert_eq!(handshakes::due(&app, 10).await.unwrap(), [id]);
    assert!(handshakes::due(&app, 10).await.unwrap().is_empty(), "published");
    let alive = worker(&app, Duration::from_secs(60)).await;
    let claims =
        futures_util::future::join_all((0..10).map(|_| handshakes::claim(&app, id, alive, app.new_id()))).await;
    let mut claims: Vec<_> = claims.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(claims.len(), 1);
    let claimed = claims.remove(0);
    assert_eq!((claimed.code.as_str(), claimed.from_name.as_str(), claimed.tries), ("042137", "Shop", 1));
    assert_eq!((claimed.from, claimed.to), (own(1000), address(PEER)));
    assert_eq!(handshakes::get(&app, id).await.unwrap().unwrap().state, State::Running);

    let connection = store(&app, &shop, PEER, &secrets()).await;
    let client = app.db.client().await.unwrap();
    assert!(handshakes::finish_connected(&client, &app, id, connection).await.unwrap());
    assert!(!handshakes::finish_connected(&client, &app, id, connection).await.unwrap());
    let ended = handshakes::get(&app, id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.connection), (State::Connected, Some(connection)));
    assert!(ended.finished_at.is_some());
    let left = app.db.row("select 1 from handshakes where code is not null", &[]).await.unwrap();
    assert!(left.is_none());
}

#[tokio::test]
async fn nothing_is_claimed_by_the_dead_too_early_or_too_late() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let id = start(&app, &shop, "042137").await;
    let short = worker(&app, Duration::from_secs(5)).await;
    let long = worker(&app, Duration::from_secs(600)).await;
    assert!(handshakes::claim(&app, id, app.new_id(), app.new_id()).await.unwrap().is_none(), "unknown worker");
    app.clock.advance(Duration::from_secs(6));
    assert!(handshakes::claim(&app, id, short, app.new_id()).await.unwrap().is_none(), "lease over");

    let claim = app.new_id();
    assert!(handshakes::claim(&app, id, long, claim).await.unwrap().is_some());
    let due = app.clock.now() + Duration::from_secs(20);
    assert!(!handshakes::retry_at(&app, id, app.new_id(), due).await.unwrap(), "another's claim");
    assert!(handshakes::retry_at(&app, id, claim, due).await.unwrap());
    assert!(!handshakes::finish_failed(&app, id, claim, "late").await.unwrap(), "the claim is gone");
    assert!(handshakes::claim(&app, id, long, app.new_id()).await.unwrap().is_none(), "not due");
    assert!(handshakes::due(&app, 10).await.unwrap().is_empty());
    app.clock.advance(Duration::from_secs(20));
    assert_eq!(handshakes::due(&app, 10).await.unwrap(), [id]);
    app.clock.advance(handshakes::LIFE);
    assert!(handshakes::claim(&app, id, long, app.new_id()).await.unwrap().is_none(), "past its deadline");
    assert_eq!(handshakes::expire(&app).await.unwrap(), 1);
    let ended = handshakes::get(&app, id).await.unwrap().unwrap();
    assert_eq!(ended.state, State::Failed);
    assert!(ended.error.unwrap().contains("in time"));
    assert_eq!(handshakes::purge(&app, app.clock.now()).await.unwrap(), 1);
    assert_eq!(handshakes::get(&app, id).await.unwrap(), None);
}

#[tokio::test]
async fn a_publish_is_repeated_when_it_failed_was_lost_or_went_to_another_broker() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let id = start(&app, &shop, "042137").await;
    assert_eq!(handshakes::due(&app, 10).await.unwrap(), [id]);
    handshakes::not_published(&app, &[id]).await.unwrap();
    assert_eq!(handshakes::due(&app, 10).await.unwrap(), [id]);
    app.clock.advance(Duration::from_secs(9));
    assert!(handshakes::due(&app, 10).await.unwrap().is_empty());
    app.clock.advance(Duration::from_secs(2));
    assert_eq!(handshakes::due(&app, 10).await.unwrap(), [id]);
    app.db.execute("update node set broker_epoch = broker_epoch + 1", &[]).await.unwrap();
    assert_eq!(handshakes::due(&app, 10).await.unwrap(), [id]);
    assert!(handshakes::due(&app, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_dead_worker_held_is_free_again() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let (id, claim) = asking(&app, &shop, "042137").await;
    assert_eq!(handfast::books::hand_on_dead(&app).await.unwrap(), 0);
    app.clock.advance(Duration::from_secs(61));
    assert_eq!(handfast::books::hand_on_dead(&app).await.unwrap(), 1);
    assert_eq!(confirm(&app, "042137").await, Confirmed::No, "nobody is asking now");
    assert!(!handshakes::finish_failed(&app, id, claim, "late").await.unwrap());
    let next = worker(&app, Duration::from_secs(60)).await;
    assert_eq!(handshakes::claim(&app, id, next, app.new_id()).await.unwrap().unwrap().tries, 2);
}

#[tokio::test]
async fn a_confirm_finds_a_handshake_once_and_only_while_it_asks() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let waiting = start(&app, &shop, "111111").await;
    assert_eq!(confirm(&app, "111111").await, Confirmed::No, "not asking");
    assert!(!handshakes::open_asking(&app, waiting, app.new_id()).await.unwrap(), "not claimed");
    let (id, claim) = asking(&app, &shop, "042137").await;
    let other = br#"{"receiving_openmsg_address":"8*peer.test","pass_code":"042137"}"#;
    let other = AuthConfirmRequest::parse(other).unwrap();
    assert_eq!(handshakes::confirm(&app, &other).await.unwrap(), Confirmed::No, "another address");
    assert_eq!(confirm(&app, "042137").await, Confirmed::Yes);
    assert_eq!(confirm(&app, "042137").await, Confirmed::No, "once");
    assert!(handshakes::finish_failed(&app, id, claim, "Error").await.unwrap());
    assert_eq!(handshakes::get(&app, id).await.unwrap().unwrap().error.as_deref(), Some("Error"));
}

#[tokio::test]
async fn a_hash_confirms_the_handshake_of_its_own_sender() {
    let app = fresh_app().await;
    asking(&app, &account(&app, 1000).await, "042137").await;
    for (sending, expected) in [("1001*customers.test", Confirmed::No), ("1000*customers.test", Confirmed::Yes)] {
        let hash = handfast::crypto::sha256(&[b"042137", sending.as_bytes(), PEER.as_bytes()]);
        let hash = handfast::crypto::encode_hex(&hash);
        let body = format!(r#"{{"receiving_openmsg_address":"{PEER}","passcode_hash":"{hash}","pass_code":"042137"}}"#);
        let request = AuthConfirmRequest::parse(body.as_bytes()).unwrap();
        assert_eq!(handshakes::confirm(&app, &request).await.unwrap(), expected, "{sending}");
    }
}

#[tokio::test]
async fn five_wrong_tries_close_a_handshake_to_the_right_one() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    asking(&app, &shop, "042137").await;
    for _ in 0..4 {
        assert_eq!(confirm(&app, "999999").await, Confirmed::No);
    }
    assert_eq!(confirm(&app, "042137").await, Confirmed::Yes, "the fifth may be right");
    asking(&app, &shop, "042138").await;
    let wrong = futures_util::future::join_all((0..5).map(|_| confirm(&app, "999999"))).await;
    assert!(wrong.into_iter().all(|confirmed| confirmed == Confirmed::No));
    assert_eq!(confirm(&app, "042138").await, Confirmed::No, "not compared any more");
}

#[tokio::test]
async fn many_accounts_may_ask_one_address_at_once() {
    let app = fresh_app().await;
    for n in 0..12 {
        asking(&app, &account(&app, 1000 + n).await, &format!("{n:06}")).await;
    }
    let codes: Vec<String> = (0..12).map(|n| format!("{n:06}")).collect();
    let confirmed = futures_util::future::join_all(codes.iter().map(|code| confirm(&app, code))).await;
    assert!(confirmed.into_iter().all(|confirmed| confirmed == Confirmed::Yes));
}

#[tokio::test]
async fn a_confirm_after_the_deadline_is_told_so() {
    let app = fresh_app().await;
    asking(&app, &account(&app, 1000).await, "042137").await;
    app.clock.advance(handshakes::LIFE);
    assert_eq!(confirm(&app, "042137").await, Confirmed::Expired);
}
