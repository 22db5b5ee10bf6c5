use std::time::Duration;

use handfast::accounts;
use handfast::senders::{self, Authenticator, Scope, Scopes};

use super::{account, own};
use crate::support::fresh_app;

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_until_it_is_revoked() {
    let app = fresh_app().await;
    let scopes = Scopes::parse(["messages", "inbox:read"]).unwrap();
    let (key, text) = senders::create(&app, "shop", &scopes, None).await.unwrap();
    assert!(text.reveal().starts_with("hf_") && text.reveal().len() == 46);
    let known = senders::authenticate(&app, text.reveal()).await.unwrap().unwrap();
    assert_eq!(known, key);
    assert!(known.scopes.allows(Scope::Messages, true) && !known.scopes.allows(Scope::Inbox, true));
    for wrong in ["", "hf_", "hf_AAAA", &text.reveal()[..45], &text.reveal().to_lowercase()] {
        assert_eq!(senders::authenticate(&app, wrong).await.unwrap(), None, "{wrong}");
    }
    assert_eq!(senders::list(&app, None, 10).await.unwrap(), std::slice::from_ref(&key));
    assert!(senders::revoke(&app, key.id).await.unwrap());
    assert!(!senders::revoke(&app, key.id).await.unwrap());
    assert_eq!(senders::authenticate(&app, text.reveal()).await.unwrap(), None);
    assert_eq!(senders::list(&app, None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn the_text_of_a_key_is_not_in_the_database() {
    let app = fresh_app().await;
    let (_, text) = senders::create(&app, "shop", &Scopes::everything(), None).await.unwrap();
    let row = app.db.row("select api_keys::text from api_keys", &[]).await.unwrap().unwrap();
    let stored: String = row.get(0);
    assert!(stored.contains("shop") && !stored.contains(&text.reveal()[3..]));
}

#[tokio::test]
async fn a_revoked_key_is_believed_for_two_seconds_at_most() {
    let app = fresh_app().await;
    let authenticator = Authenticator::new(app.clone());
    let (key, text) = senders::create(&app, "shop", &Scopes::everything(), None).await.unwrap();
    assert_eq!(authenticator.authenticate(text.reveal()).await.unwrap(), Some(key.clone()));
    senders::revoke(&app, key.id).await.unwrap();
    assert_eq!(authenticator.authenticate(text.reveal()).await.unwrap(), Some(key));
    app.clock.advance(Duration::from_secs(2));
    assert_eq!(authenticator.authenticate(text.reveal()).await.unwrap(), None);
}

#[tokio::test]
async fn a_bound_key_names_its_account_and_sleeps_with_it() {
    let app = fresh_app().await;
    let bound = account(&app, 1000).await;
    let (_, text) = senders::create(&app, "shop", &Scopes::everything(), Some(&bound)).await.unwrap();
    let known = senders::authenticate(&app, text.reveal()).await.unwrap().unwrap();
    assert_eq!(known.account.map(|account| (account.id, account.address)), Some((bound.id, own(1000))));
    accounts::set_disabled(&app, &own(1000), true).await.unwrap();
    assert_eq!(senders::authenticate(&app, text.reveal()).await.unwrap(), None);
}

#[tokio::test]
async fn senders_have_a_name() {
    let app = fresh_app().await;
    for wrong in ["", " ", "a\0b", &"x".repeat(65)] {
        let refused = senders::create(&app, wrong, &Scopes::everything(), None).await;
        assert!(matches!(refused, Err(senders::Error::Sender)), "{wrong:?}");
    }
}
