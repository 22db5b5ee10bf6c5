use std::time::Duration;

use handfast::App;
use handfast::accounts::Account;
use handfast::inbox::{self, NewEntry, Seen, Stored};
use uuid::Uuid;

use super::{account, address, name, own};
use crate::support::{DOMAIN, fresh_app};

/// A message from a peer whose nonce and hash are told by one number each.
fn entry(app: &App, account: &Account, connection: Uuid, nonce: u8, hash: u8) -> NewEntry {
    NewEntry {
        connection_id: Some(connection),
        account_id: account.id,
        from: address("7*peer.test"),
        from_name: name("Ada"),
        text: format!("text {nonce} {hash}"),
        sent_at: app.clock.now(),
        nonce: Some([nonce; 24]),
        hash: [hash; 32],
        message_id: None,
        deadline: None,
    }
}

async fn texts(app: &App, account: &Account) -> Vec<String> {
    let entries = inbox::list(app, account.id, None, 100, false).await.unwrap();
    entries.into_iter().map(|entry| entry.text).collect()
}

#[tokio::test]
async fn a_message_is_stored_once_and_a_reused_nonce_is_refused() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let (one, two) = (app.new_id(), app.new_id());
    let batch = vec![entry(&app, &shop, one, 1, 1), entry(&app, &shop, one, 2, 2), entry(&app, &shop, two, 1, 3)];
    assert_eq!(inbox::store_many(&app, batch).await.unwrap(), [Stored::New; 3]);
    let batch = vec![
        entry(&app, &shop, one, 1, 1),
        entry(&app, &shop, one, 2, 9),
        entry(&app, &shop, one, 3, 3),
        entry(&app, &shop, two, 1, 3),
    ];
    let stored = inbox::store_many(&app, batch).await.unwrap();
    assert_eq!(stored, [Stored::Repeat, Stored::NonceReused, Stored::New, Stored::Repeat]);
    assert_eq!(texts(&app, &shop).await, ["text 1 1", "text 2 2", "text 1 3", "text 3 3"]);
    let asked = vec![(one, [1; 24], [1; 32]), (one, [1; 24], [2; 32]), (one, [4; 24], [4; 32])];
    assert_eq!(inbox::seen_many(&app, asked).await.unwrap(), [Seen::Repeat, Seen::NonceReused, Seen::New]);
    assert_eq!(inbox::store_many(&app, Vec::new()).await.unwrap(), []);
}

#[tokio::test]
async fn duplicates_within_a_batch_are_judged_like_later_ones() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let one = app.new_id();
    let batch = [(1, 1), (1, 1), (1, 2), (2, 3), (1, 1)].map(|(nonce, hash)| entry(&app, &shop, one, nonce, hash));
    let stored = inbox::store_many(&app, batch.into()).await.unwrap();
    assert_eq!(stored, [Stored::New, Stored::Repeat, Stored::NonceReused, Stored::New, Stored::Repeat]);
    assert_eq!(texts(&app, &shop).await.len(), 2);
}

#[tokio::test]
async fn simultaneous_batches_store_each_message_once() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let one = app.new_id();
    let batches = (0..8).map(|n| {
        let mut batch: Vec<NewEntry> = (0..50).map(|nonce| entry(&app, &shop, one, nonce, nonce)).collect();
        if n % 2 == 1 {
            batch.reverse();
        }
        let app = app.clone();
        tokio::spawn(async move { inbox::store_many(&app, batch).await.unwrap() })
    });
    let mut new = 0;
    for stored in futures_util::future::join_all(batches.collect::<Vec<_>>()).await {
        let stored = stored.unwrap();
        assert!(stored.iter().all(|stored| matches!(stored, Stored::New | Stored::Repeat)), "{stored:?}");
        new += stored.into_iter().filter(|stored| *stored == Stored::New).count();
    }
    assert_eq!((new, inbox::count(&app, Some(shop.id)).await.unwrap()), (50, (50, 50)));
}

#[tokio::test]
async fn a_message_id_is_heard_once_but_not_silenced_by_a_refusal() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let (one, message) = (app.new_id(), Some(app.new_id()));
    inbox::store_many(&app, vec![entry(&app, &shop, one, 1, 1)]).await.unwrap();
    // Refused for its nonce, alone or beside its own repeat: the peer encrypts again and must be heard.
    let refused = NewEntry { message_id: message, ..entry(&app, &shop, one, 1, 2) };
    assert_eq!(inbox::store_many(&app, vec![refused]).await.unwrap(), [Stored::NonceReused]);
    let batch = vec![
        NewEntry { message_id: message, ..entry(&app, &shop, one, 1, 2) },
        NewEntry { message_id: message, ..entry(&app, &shop, one, 2, 3) },
        NewEntry { message_id: message, ..entry(&app, &shop, one, 3, 4) },
    ];
    let stored = inbox::store_many(&app, batch).await.unwrap();
    assert_eq!(stored, [Stored::NonceReused, Stored::New, Stored::Repeat]);
    let again = NewEntry { message_id: message, ..entry(&app, &shop, one, 4, 5) };
    assert_eq!(inbox::store_many(&app, vec![again]).await.unwrap(), [Stored::Repeat]);
    let elsewhere = NewEntry { message_id: message, ..entry(&app, &shop, app.new_id(), 1, 1) };
    assert_eq!(inbox::store_many(&app, vec![elsewhere]).await.unwrap(), [Stored::New]);
    assert_eq!(texts(&app, &shop).await, ["text 1 1", "text 2 3", "text 1 1"]);
}

#[tokio::test]
async fn inside_the_node_the_message_id_alone_tells_repeats() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let (one, message) = (app.new_id(), Some(app.new_id()));
    let local = || NewEntry { nonce: None, message_id: message, ..entry(&app, &shop, one, 1, 1) };
    let stored = inbox::store_many(&app, vec![local(), local()]).await.unwrap();
    assert_eq!(stored, [Stored::New, Stored::Repeat]);
    assert_eq!(inbox::store_many(&app, vec![local()]).await.unwrap(), [Stored::Repeat]);
    assert_eq!(texts(&app, &shop).await.len(), 1);
}

#[tokio::test]
async fn nothing_is_stored_or_remembered_after_its_deadline() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let one = app.new_id();
    let now = app.db.now().await.unwrap();
    let (past, future) = (Some(now - Duration::from_millis(1)), Some(now + Duration::from_secs(60)));
    let late = |nonce| NewEntry { deadline: past, message_id: Some(one), ..entry(&app, &shop, one, nonce, nonce) };
    let early = |nonce| NewEntry { deadline: future, message_id: Some(one), ..entry(&app, &shop, one, nonce, nonce) };
    let stored = inbox::store_many(&app, vec![late(1), late(1), late(2)]).await.unwrap();
    assert_eq!(stored, [Stored::TooLate; 3]);
    assert_eq!(inbox::seen_many(&app, vec![(one, [1; 24], [1; 32])]).await.unwrap(), [Seen::New]);
    let stored = inbox::store_many(&app, vec![late(1), early(1), late(2)]).await.unwrap();
    assert_eq!(stored, [Stored::TooLate, Stored::New, Stored::TooLate], "one of the twins was in time");
    assert_eq!(texts(&app, &shop).await, ["text 1 1"]);
}

#[tokio::test]
async fn what_was_seen_is_forgotten_in_its_time() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let (one, message) = (app.new_id(), app.new_id());
    let first = NewEntry { message_id: Some(message), ..entry(&app, &shop, one, 1, 1) };
    inbox::store_many(&app, vec![first]).await.unwrap();
    assert_eq!(inbox::purge_seen(&app).await.unwrap(), 0);
    app.clock.advance(app.config.openmsg.nonce_memory.duration());
    assert_eq!(inbox::purge_seen(&app).await.unwrap(), 1, "the nonce");
    app.clock.advance(app.config.openmsg.id_memory.duration());
    assert_eq!(inbox::purge_seen(&app).await.unwrap(), 1, "the message id");
}

#[tokio::test]
async fn texts_lie_sealed_and_one_that_is_damaged_hides_no_other() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let one = app.new_id();
    let odd = NewEntry { text: "a\0b Grüße 👋".into(), ..entry(&app, &shop, one, 1, 1) };
    inbox::store_many(&app, vec![odd, entry(&app, &shop, one, 2, 2)]).await.unwrap();
    assert_eq!(texts(&app, &shop).await, ["a\0b Grüße 👋", "text 2 2"]);
    let ids: Vec<Uuid> =
        inbox::list(&app, shop.id, None, 10, false).await.unwrap().into_iter().map(|entry| entry.id).collect();
    let row = app.db.row("select content from inbox where id = $1", &[&ids[1]]).await.unwrap().unwrap();
    assert!(!row.get::<_, &[u8]>(0).windows(8).any(|bytes| bytes == b"text 2 2"));
    let damage = "update inbox set content = (select content from inbox where id = $2) where id = $1";
    app.db.execute(damage, &[&ids[0], &ids[1]]).await.unwrap();
    assert_eq!(texts(&app, &shop).await, ["text 2 2"]);
    assert!(matches!(inbox::get(&app, ids[0]).await, Err(inbox::Error::Sealed { .. })));
}

#[tokio::test]
async fn entries_are_listed_acknowledged_and_counted_by_account() {
    let app = fresh_app().await;
    let (shop, other) = (account(&app, 1000).await, account(&app, 1001).await);
    let one = app.new_id();
    let batch = (1..=4).map(|n| entry(&app, if n == 4 { &other } else { &shop }, one, n, n)).collect();
    inbox::store_many(&app, batch).await.unwrap();
    let entries = inbox::list(&app, shop.id, None, 2, true).await.unwrap();
    assert_eq!((entries.len(), &entries[0].account, entries[0].from_name.as_str()), (2, &own(1000), "Ada"));
    let (first, last) = (entries[0].id, entries[1].id);
    let theirs = inbox::list(&app, other.id, None, 2, true).await.unwrap()[0].id;
    assert_eq!(inbox::acknowledge(&app, Some(shop.id), &[first, theirs, app.new_id()]).await.unwrap(), 1);
    assert_eq!(inbox::acknowledge(&app, Some(shop.id), &[first]).await.unwrap(), 0);
    assert_eq!(inbox::acknowledge(&app, None, &[theirs]).await.unwrap(), 1);
    assert!(inbox::get(&app, first).await.unwrap().unwrap().acknowledged_at.is_some());
    assert_eq!(inbox::list(&app, shop.id, None, 9, true).await.unwrap().len(), 2);
    assert_eq!(inbox::list(&app, shop.id, None, 9, false).await.unwrap().len(), 3);
    assert_eq!(inbox::list(&app, shop.id, Some(last), 9, false).await.unwrap().len(), 1);
    assert_eq!(inbox::count(&app, Some(shop.id)).await.unwrap(), (3, 2));
    assert_eq!(inbox::count(&app, None).await.unwrap(), (4, 2));
}

#[tokio::test]
async fn the_node_can_tell_an_account_something() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    inbox::notice(&app, shop.id, "Your pass codes were withdrawn.").await.unwrap();
    inbox::notice(&app, shop.id, "Your pass codes were withdrawn.").await.unwrap();
    let entries = inbox::list(&app, shop.id, None, 10, true).await.unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].from, address(&format!("0*{DOMAIN}")));
}
