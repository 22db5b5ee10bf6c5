use handfast::accounts;

use super::{account, name, own};
use crate::support::fresh_app;

#[tokio::test]
async fn an_address_is_given_once() {
    let app = fresh_app().await;
    let made = account(&app, 1000).await;
    assert_eq!(made.name, "Shop");
    assert!(made.accepts_messages && !made.disabled);
    assert_eq!(accounts::create(&app, &own(1000), &name("Other"), false).await.unwrap(), None);
    assert_eq!(accounts::find(&app, &own(1000)).await.unwrap(), Some(made));
    assert_eq!(accounts::find(&app, &own(1001)).await.unwrap(), None);
}

#[tokio::test]
async fn a_batch_says_of_each_whether_it_was_made() {
    let app = fresh_app().await;
    account(&app, 2).await;
    let batch = [1, 2, 3, 3, 1].map(|id| (own(id), name(&format!("No. {id}")), id != 3)).to_vec();
    assert_eq!(accounts::create_many(&app, batch).await.unwrap(), [true, false, true, false, false]);
    assert_eq!(accounts::find(&app, &own(2)).await.unwrap().unwrap().name, "Shop");
    assert!(!accounts::find(&app, &own(3)).await.unwrap().unwrap().accepts_messages);
    assert!(accounts::create_many(&app, Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn lists_go_on_where_they_ended() {
    let app = fresh_app().await;
    let batch = (1..=5).map(|id| (own(id), name("Shop"), true)).collect();
    accounts::create_many(&app, batch).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = accounts::list(&app, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.into_iter().map(|account| account.address));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5].map(own));
}

#[tokio::test]
async fn accounts_change_only_in_what_is_given() {
    let app = fresh_app().await;
    account(&app, 7).await;
    let renamed = accounts::update(&app, &own(7), Some(&name("Store")), None).await.unwrap().unwrap();
    assert!(renamed.name == "Store" && renamed.accepts_messages);
    let quiet = accounts::update(&app, &own(7), None, Some(false)).await.unwrap().unwrap();
    assert!(quiet.name == "Store" && !quiet.accepts_messages);
    assert_eq!(accounts::update(&app, &own(8), None, Some(false)).await.unwrap(), None);

    assert!(accounts::set_disabled(&app, &own(7), true).await.unwrap().unwrap().disabled);
    assert!(accounts::set_disabled(&app, &own(7), true).await.unwrap().unwrap().disabled);
    assert!(accounts::find(&app, &own(7)).await.unwrap().unwrap().disabled);
    assert!(!accounts::set_disabled(&app, &own(7), false).await.unwrap().unwrap().disabled);
    assert_eq!(accounts::set_disabled(&app, &own(8), true).await.unwrap(), None);
}
