use handfast::accounts;
use handfast::connections::{self, State};
use handfast::openmsg::IdentCode;

use super::{account, address, name, own, secrets, store};
use crate::support::fresh_app;

#[tokio::test]
async fn a_connection_is_found_by_its_pair_and_by_its_ident_code() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let agreed = secrets();
    let id = store(&app, &shop, "7*peer.test", &agreed).await;
    let by_pair = connections::find_by_addresses(&app, &own(1000), &address("7*peer.test")).await.unwrap().unwrap();
    assert_eq!((by_pair.id, by_pair.state, by_pair.other_name.as_str()), (id, State::Active, "Ada"));
    assert_eq!(connections::get(&app, id).await.unwrap(), Some(by_pair));
    let found = connections::find_by_ident(&app, &own(1000), &agreed.ident_code).await.unwrap().unwrap();
    assert_eq!((found.keyed.connection.id, found.used_older), (id, false));
    assert!(found.account_accepts && !found.account_disabled && found.keyed.older.is_none());
    assert_eq!(found.keyed.secrets, agreed);
    assert!(connections::find_by_ident(&app, &own(1001), &agreed.ident_code).await.unwrap().is_none());
    let kept = connections::ident_for(&app, &own(1000), &address("7*peer.test")).await.unwrap();
    assert_eq!(kept, Some(agreed.ident_code));
}

#[tokio::test]
async fn a_batch_answers_in_the_order_asked() {
    let app = fresh_app().await;
    let (shop, quiet) = (account(&app, 1000).await, account(&app, 1001).await);
    accounts::update(&app, &own(1001), None, Some(false)).await.unwrap();
    accounts::set_disabled(&app, &own(1001), true).await.unwrap();
    let (first, second) = (secrets(), secrets());
    let ids = [store(&app, &shop, "1*peer.test", &first).await, store(&app, &quiet, "2*peer.test", &second).await];
    let asked = vec![
        (own(1001), second.ident_code.clone()),
        (own(1000), IdentCode::random()),
        (own(1000), first.ident_code.clone()),
        (own(1001), first.ident_code.clone()),
        (own(1001), second.ident_code.clone()),
    ];
    let found = connections::find_by_ident_many(&app, asked).await.unwrap();
    let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
    let found_ids: Vec<_> = found.iter().map(|found| found.as_ref().map(|found| found.keyed.connection.id)).collect();
    assert_eq!(found_ids, [Some(ids[1]), None, Some(ids[0]), None, Some(ids[1])]);
    let quiet = found[0].as_ref().unwrap();
    assert!(!quiet.account_accepts && quiet.account_disabled);

    let keyed = connections::keyed_many(&app, &[ids[1], app.new_id(), ids[0], ids[1]]).await.unwrap();
    assert_eq!(keyed.len(), 2);
    assert_eq!((&keyed[&ids[0]].secrets, &keyed[&ids[1]].secrets), (&first, &second));
}

#[tokio::test]
async fn a_damaged_connection_takes_nothing_from_the_others() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let (first, second) = (secrets(), secrets());
    let damaged = store(&app, &shop, "1*peer.test", &first).await;
    let sound = store(&app, &shop, "2*peer.test", &second).await;
    app.db.execute("update connections set secrets = '\\x00' where id = $1", &[&damaged]).await.unwrap();
    let asked = vec![(own(1000), first.ident_code), (own(1000), second.ident_code)];
    let found = connections::find_by_ident_many(&app, asked).await.unwrap();
    assert!(matches!(&found[0], Err(connections::Error::Sealed { id, .. }) if *id == damaged));
    assert_eq!(found[1].as_ref().unwrap().as_ref().unwrap().keyed.connection.id, sound);
    let keyed = connections::keyed_many(&app, &[damaged, sound]).await.unwrap();
    assert_eq!(keyed.into_keys().collect::<Vec<_>>(), [sound]);
}

#[tokio::test]
async fn secrets_moved_to_another_row_do_not_open() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let (first, second) = (secrets(), secrets());
    let one = store(&app, &shop, "1*peer.test", &first).await;
    let two = store(&app, &shop, "2*peer.test", &second).await;
    let moved = "update connections set secrets = (select secrets from connections where id = $1) where id = $2";
    app.db.execute(moved, &[&one, &two]).await.unwrap();
    assert!(connections::find_by_ident(&app, &own(1000), &second.ident_code).await.is_err());
}

#[tokio::test]
async fn what_proved_good_stays_until_newer_secrets_prove_good() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let (first, lost, last) = (secrets(), secrets(), secrets());
    let id = store(&app, &shop, "7*peer.test", &first).await;
    assert_eq!(store(&app, &shop, "7*peer.test", &lost).await, id);
    assert_eq!(store(&app, &shop, "7*peer.test", &last).await, id);
    let keyed = connections::keyed_many(&app, &[id]).await.unwrap().remove(&id).unwrap();
    assert_eq!((&keyed.secrets, keyed.older.as_ref()), (&last, Some(&first)));
    for (ident, older) in [(&first.ident_code, true), (&last.ident_code, false)] {
        let found = connections::find_by_ident(&app, &own(1000), ident).await.unwrap().unwrap();
        assert_eq!((found.keyed.connection.id, found.used_older), (id, older));
    }
    assert!(connections::find_by_ident(&app, &own(1000), &lost.ident_code).await.unwrap().is_none());

    assert_eq!(connections::prove_current(&app, &[keyed.version(), keyed.version()]).await.unwrap(), 1);
    assert_eq!(connections::prove_current(&app, &[keyed.version()]).await.unwrap(), 0);
    assert!(connections::find_by_ident(&app, &own(1000), &first.ident_code).await.unwrap().is_none());
    assert!(connections::keyed_many(&app, &[id]).await.unwrap()[&id].older.is_none());
}

#[tokio::test]
async fn with_a_kept_ident_code_current_secrets_come_first() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let first = secrets();
    let mut second = secrets();
    second.ident_code = first.ident_code.clone();
    let id = store(&app, &shop, "7*peer.test", &first).await;
    store(&app, &shop, "7*peer.test", &second).await;
    let found = connections::find_by_ident(&app, &own(1000), &first.ident_code).await.unwrap().unwrap();
    assert!(!found.used_older && found.keyed.secrets == second && found.keyed.older == Some(first.clone()));

    let current = found.keyed.version();
    let (one, two) = tokio::join!(connections::prefer_older(&app, current), connections::prefer_older(&app, current));
    assert!(one.unwrap() != two.unwrap(), "two messages at once change places once");
    let keyed = connections::keyed_many(&app, &[id]).await.unwrap().remove(&id).unwrap();
    assert_eq!((&keyed.secrets, keyed.older.as_ref()), (&first, Some(&second)));
}

#[tokio::test]
async fn a_verdict_does_not_hit_what_replaced_the_secrets_it_was_about() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let id = store(&app, &shop, "7*peer.test", &secrets()).await;
    let before = connections::keyed_many(&app, &[id]).await.unwrap()[&id].version();
    store(&app, &shop, "7*peer.test", &secrets()).await;
    assert!(!connections::mark_broken(&app, before, "SM_E004").await.unwrap());
    assert_eq!(connections::prove_current(&app, &[before]).await.unwrap(), 0);
    assert!(!connections::prefer_older(&app, before).await.unwrap());
    let after = &connections::keyed_many(&app, &[id]).await.unwrap()[&id];
    assert!(after.older.is_some() && after.connection.state == State::Active);
}

#[tokio::test]
async fn a_new_handshake_mends_what_is_broken_and_keeps_a_block() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let id = store(&app, &shop, "7*peer.test", &secrets()).await;
    let version = connections::keyed_many(&app, &[id]).await.unwrap()[&id].version();
    assert!(connections::mark_broken(&app, version, "SM_E001").await.unwrap());
    assert!(!connections::mark_broken(&app, version, "SM_E004").await.unwrap());
    let broken = connections::get(&app, id).await.unwrap().unwrap();
    assert_eq!((broken.state, broken.broken_why.as_deref()), (State::Broken, Some("SM_E001")));
    assert_eq!(connections::block(&app, id).await.unwrap().unwrap().state, State::Blocked);
    store(&app, &shop, "7*peer.test", &secrets()).await;
    let mended = connections::get(&app, id).await.unwrap().unwrap();
    assert_eq!((mended.state, mended.broken_why), (State::Blocked, None));
    assert_eq!(connections::unblock(&app, id).await.unwrap().unwrap().state, State::Active);
}

#[tokio::test]
async fn connections_are_listed_renamed_and_deleted() {
    let app = fresh_app().await;
    let (shop, other) = (account(&app, 1000).await, account(&app, 1001).await);
    let mut ids = Vec::new();
    for n in 1..=3 {
        ids.push(store(&app, &shop, &format!("{n}*peer.test"), &secrets()).await);
        store(&app, &other, &format!("{n}*peer.test"), &secrets()).await;
    }
    ids.sort_unstable();
    let page = connections::list(&app, Some(shop.id), None, 2).await.unwrap();
    assert_eq!(page.iter().map(|connection| connection.id).collect::<Vec<_>>(), ids[..2]);
    let page = connections::list(&app, Some(shop.id), Some(ids[1]), 2).await.unwrap();
    assert_eq!(page.iter().map(|connection| connection.id).collect::<Vec<_>>(), ids[2..]);
    assert_eq!(connections::list(&app, None, None, 100).await.unwrap().len(), 6);

    connections::rename_other(&app, ids[0], &name("Countess")).await.unwrap();
    assert_eq!(connections::get(&app, ids[0]).await.unwrap().unwrap().other_name, "Countess");
    assert!(connections::delete(&app, ids[0]).await.unwrap());
    assert!(!connections::delete(&app, ids[0]).await.unwrap());
    assert_eq!(connections::block(&app, ids[0]).await.unwrap(), None);
}
