use std::time::Duration;

use handfast::App;
use handfast::codes::{self, Issued, Purpose};
use handfast::openmsg::PassCode;
use uuid::Uuid;

use super::account;
use crate::support::{fresh_app, fresh_app_with};

const LIFE: Duration = Duration::from_secs(600);

async fn issue(app: &App, account: Uuid) -> Issued {
    codes::issue(app, Purpose::PassCode, account, LIFE).await.unwrap()
}

async fn burn(app: &App, account: Uuid, code: &PassCode, ask: Uuid) -> bool {
    codes::burn(app, Purpose::PassCode, Some(account), code, ask).await.unwrap()
}

async fn live(app: &App, account: Uuid) -> Vec<Uuid> {
    codes::live(app, Purpose::PassCode, account).await.unwrap().into_iter().map(|live| live.id).collect()
}

#[tokio::test]
async fn of_twenty_simultaneous_burns_one_succeeds() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await.id;
    let issued = issue(&app, shop).await;
    let tries = (0..20).map(|_| {
        let (app, code) = (app.clone(), issued.code.clone());
        tokio::spawn(async move { burn(&app, shop, &code, app.new_id()).await })
    });
    let results = futures_util::future::join_all(tries.collect::<Vec<_>>()).await;
    assert_eq!(results.into_iter().filter(|burnt| *burnt.as_ref().unwrap()).count(), 1);
    assert!(live(&app, shop).await.is_empty());
}

#[tokio::test]
async fn a_code_opens_its_own_account_in_its_time_only() {
    let app = fresh_app().await;
    let (shop, other) = (account(&app, 1000).await.id, account(&app, 1001).await.id);
    let issued = issue(&app, shop).await;
    assert!(!burn(&app, other, &issued.code, app.new_id()).await);
    assert!(!codes::burn(&app, Purpose::PassCode, None, &issued.code, app.new_id()).await.unwrap());
    let wrong = if issued.code.as_str() == "000000" { "000001" } else { "000000" };
    assert!(!burn(&app, shop, &wrong.parse().unwrap(), app.new_id()).await);
    app.clock.advance(LIFE - Duration::from_secs(2));
    assert_eq!(live(&app, shop).await, [issued.id]);
    app.clock.advance(Duration::from_secs(2));
    assert!(live(&app, shop).await.is_empty());
    assert!(!burn(&app, shop, &issued.code, app.new_id()).await);
    assert_eq!(codes::purge(&app).await.unwrap(), 1);
}

#[tokio::test]
async fn the_oldest_code_above_the_setting_is_withdrawn() {
    let app = fresh_app().await;
    let (shop, other) = (account(&app, 1000).await.id, account(&app, 1001).await.id);
    let kept = issue(&app, other).await;
    let mut issued = Vec::new();
    for _ in 0..4 {
        issued.push(issue(&app, shop).await);
    }
    assert_eq!(live(&app, shop).await, [issued[2].id, issued[3].id]);
    assert_eq!(live(&app, other).await, [kept.id]);
    assert!(!burn(&app, shop, &issued[1].code, app.new_id()).await);
    assert!(burn(&app, shop, &issued[2].code, app.new_id()).await);
}

#[tokio::test]
async fn simultaneous_issues_keep_to_the_setting_and_differ() {
    let app = fresh_app_with(|config| config.codes.live_per_account = 100).await;
    let shop = account(&app, 1000).await.id;
    let issued = futures_util::future::join_all((0..60).map(|_| issue(&app, shop))).await;
    let mut codes: Vec<&str> = issued.iter().map(|issued| issued.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), 60);

    let app = fresh_app().await;
    let shop = account(&app, 1000).await.id;
    futures_util::future::join_all((0..20).map(|_| issue(&app, shop))).await;
    assert_eq!(live(&app, shop).await.len(), 2);
}

#[tokio::test]
async fn what_no_worker_began_can_be_given_back_and_nothing_else() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await.id;
    let issued = issue(&app, shop).await;
    let (first, second) = (app.new_id(), app.new_id());
    assert!(!codes::give_back(&app, first).await.unwrap());
    assert!(burn(&app, shop, &issued.code, first).await);
    assert!(!codes::restore(&app, first).await.unwrap(), "nothing has begun");
    assert!(codes::give_back(&app, first).await.unwrap());
    assert!(!codes::begin(&app, first).await.unwrap(), "the door has it back");
    assert!(burn(&app, shop, &issued.code, second).await);
    assert!(!codes::begin(&app, first).await.unwrap(), "another ask's code");
    assert!(codes::begin(&app, second).await.unwrap());
    assert!(!codes::begin(&app, second).await.unwrap(), "only once");
    assert!(!codes::give_back(&app, second).await.unwrap(), "too late");
    assert!(!burn(&app, shop, &issued.code, app.new_id()).await);
}

#[tokio::test]
async fn giving_back_and_beginning_at_once_have_one_winner() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await.id;
    for _ in 0..20 {
        let (issued, ask) = (issue(&app, shop).await, app.new_id());
        assert!(burn(&app, shop, &issued.code, ask).await);
        let (begun, back) = tokio::join!(codes::begin(&app, ask), codes::give_back(&app, ask));
        assert!(begun.unwrap() != back.unwrap());
    }
}

#[tokio::test]
async fn a_code_is_restored_three_times_with_its_old_expiry() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await.id;
    let issued = issue(&app, shop).await;
    for n in 1..=4 {
        let ask = app.new_id();
        assert!(burn(&app, shop, &issued.code, ask).await, "{n}");
        assert!(codes::begin(&app, ask).await.unwrap());
        assert_eq!(codes::restore(&app, ask).await.unwrap(), n <= 3, "{n}");
    }
    let issued = issue(&app, shop).await;
    let ask = app.new_id();
    assert!(burn(&app, shop, &issued.code, ask).await && codes::begin(&app, ask).await.unwrap());
    app.clock.advance(LIFE);
    assert!(codes::restore(&app, ask).await.unwrap());
    assert!(!burn(&app, shop, &issued.code, app.new_id()).await, "its time is over all the same");
}

#[tokio::test]
async fn what_is_withdrawn_never_comes_back() {
    let app = fresh_app_with(|config| config.codes.live_per_account = 4).await;
    let shop = account(&app, 1000).await.id;
    let (kept, taken, begun) = (issue(&app, shop).await, issue(&app, shop).await, issue(&app, shop).await);
    let (first, second) = (app.new_id(), app.new_id());
    assert!(burn(&app, shop, &taken.code, first).await && burn(&app, shop, &begun.code, second).await);
    assert!(codes::begin(&app, second).await.unwrap());
    assert_eq!(codes::withdraw(&app, Purpose::PassCode, shop, None).await.unwrap(), 1);
    assert_eq!(codes::withdraw(&app, Purpose::PassCode, shop, None).await.unwrap(), 0);
    assert!(!codes::begin(&app, first).await.unwrap() && !codes::give_back(&app, first).await.unwrap());
    assert!(!codes::restore(&app, second).await.unwrap());
    for code in [&kept.code, &taken.code, &begun.code] {
        assert!(!burn(&app, shop, code, app.new_id()).await);
    }
    let (one, two) = (issue(&app, shop).await, issue(&app, shop).await);
    assert_eq!(codes::withdraw(&app, Purpose::PassCode, shop, Some(one.id)).await.unwrap(), 1);
    assert_eq!(codes::withdraw(&app, Purpose::PassCode, shop, Some(app.new_id())).await.unwrap(), 0);
    assert_eq!(live(&app, shop).await, [two.id]);
}

#[tokio::test]
async fn codes_need_an_account_and_a_life() {
    let app = fresh_app().await;
    let nobody = codes::issue(&app, Purpose::PassCode, app.new_id(), LIFE).await;
    assert!(matches!(nobody, Err(codes::Error::NoAccount)));
    let shop = account(&app, 1000).await.id;
    let stillborn = codes::issue(&app, Purpose::PassCode, shop, Duration::ZERO).await;
    assert!(matches!(stillborn, Err(codes::Error::Life)));
}
