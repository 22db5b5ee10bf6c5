//! Every filter finds what it names and nothing else, in pages that miss nothing.

use handfast::books::{self, Filter, State};
use uuid::Uuid;

use super::*;

fn of(states: &[State]) -> Filter {
    Filter { states: states.to_vec(), ..Filter::default() }
}

#[tokio::test]
async fn each_filter_finds_its_own() {
    let stage = Stage::new().await;
    let good = stage.open(9, "orders", "a").await;
    stage.end(&good, DELIVERED).await;
    let lost = stage.open(8, "orders", "b").await;
    stage.end(&lost, NOT_FOUND).await;
    let late = stage.open(8, "stock", "a").await;
    stage.end(&late, TOO_OLD).await;
    let busy = stage.open(8, "stock", "b").await;
    stage.end(&busy, BUSY).await;
    let unsure = stage.open(8, "stock", "c").await;
    stage.end(&unsure, UNSURE).await;
    let open = stage.open(8, "orders", "c").await;
    let held = stage.open(8, "orders", "d").await;
    let claimed = stage.claim(&held).await;
    let gone = stage.open(8, "orders", "e").await;
    books::cancel_many(&stage.app, &gone).await.unwrap();
    let all = |parts: &[&Vec<Uuid>]| sorted(parts.iter().flat_map(|part| part.iter().copied()).collect());
    let status = |text: &str| Filter { status: text.parse().ok(), ..Filter::default() };
    let code = |text: &str| Filter { code: Some(text.into()), ..Filter::default() };
    for (filter, wanted) in [
        (Filter::default(), all(&[&good, &lost, &late, &busy, &unsure, &open, &held, &gone])),
        (going_to("orders"), all(&[&good, &lost, &open, &held, &gone])),
        (tagged("a"), all(&[&good, &late])),
        (of(&[State::Delivered]), all(&[&good])),
        (of(&[State::Failed]), all(&[&lost])),
        (of(&[State::Expired]), all(&[&late])),
        (of(&[State::Retrying]), all(&[&busy])),
        (of(&[State::Unconfirmed]), all(&[&unsure])),
        (of(&[State::Pending]), all(&[&open])),
        (of(&[State::Sending]), all(&[&held])),
        (of(&[State::Cancelled]), all(&[&gone])),
        (of(&[State::Failed, State::Expired, State::Unconfirmed]), all(&[&lost, &late, &unsure])),
        (of(&[State::Pending, State::Retrying]), all(&[&busy, &open])),
        (Filter { states: vec![State::Expired], ..going_to("stock") }, all(&[&late])),
        (Filter { states: vec![State::Expired], ..going_to("orders") }, all(&[])),
        (Filter { states: vec![State::Pending], ..tagged("c") }, all(&[&open])),
        (status("404"), all(&[&lost])),
        (status("4xx"), all(&[&lost])),
        (status("5xx"), all(&[&busy])),
        (status("200"), all(&[&good])),
        (code("timeout"), all(&[&late])),
        (code("http-503"), all(&[&busy])),
        (Filter { sender: Some("shop".into()), ..of(&[State::Failed]) }, all(&[&lost])),
        (Filter { sender: Some("else".into()), ..of(&[State::Failed]) }, all(&[])),
        (Filter { to: Some("1*a.example".into()), ..Filter::default() }, all(&[])),
        (Filter { campaign: Some(Uuid::nil()), ..Filter::default() }, all(&[])),
    ] {
        for limit in [3, 1000] {
            let found = stage.found(&filter, limit).await;
            assert!(found.is_sorted_by(|a, b| a > b), "newest first: {filter:?}");
            assert_eq!(sorted(found), wanted, "{filter:?}");
        }
    }
    drop(claimed);
}

#[tokio::test]
async fn a_time_is_when_it_was_accepted() {
    let stage = Stage::new().await;
    let before = stage.open(3, "orders", "a").await;
    stage.end(&before, NOT_FOUND).await;
    stage.app.clock.advance(Duration::from_secs(60));
    let between = stage.app.clock.now();
    stage.app.clock.advance(Duration::from_secs(60));
    let after = stage.open(3, "orders", "a").await;
    stage.end(&after, NOT_FOUND).await;
    for states in [vec![], vec![State::Failed]] {
        let since = Filter { since: Some(between), states: states.clone(), ..tagged("a") };
        let until = Filter { until: Some(between), states, ..tagged("a") };
        assert_eq!(sorted(stage.found(&since, 2).await), sorted(after.clone()));
        assert_eq!(sorted(stage.found(&until, 2).await), sorted(before.clone()));
    }
}

#[tokio::test]
async fn what_waits_says_for_what() {
    let stage = Stage::new().await;
    let waits = async |id: Uuid| books::delivery(&stage.app, id).await.unwrap().unwrap().waits_for;
    let mut later = stage.message("orders", "later");
    later.deliver_at = Some(stage.app.clock.now() + Duration::from_secs(60));
    let later = stage.accept(vec![later]).await;
    assert_eq!(waits(later[0]).await, Some(books::WaitsFor::Time));
    let line = (0..2).map(|_| in_line(stage.message("orders", "line"), "k")).collect();
    let line = stage.accept(line).await;
    assert_eq!((waits(line[0]).await, waits(line[1]).await), (None, Some(books::WaitsFor::Turn)));
    let mut held = stage.message("orders", "held");
    held.held = true;
    held.campaign = Some(stage.app.new_id());
    let campaign = held.campaign;
    let held = stage.accept(vec![held]).await;
    assert_eq!(waits(held[0]).await, Some(books::WaitsFor::Campaign));
    let filter = Filter { campaign, ..Filter::default() };
    assert_eq!(stage.found(&filter, 10).await, held);
    let filter = Filter { campaign, states: vec![State::Pending], ..Filter::default() };
    assert_eq!(stage.found(&filter, 10).await, held);
    assert_eq!(stage.states(&[later[0], line[0], line[1], held[0]]).await, BTreeMap::from([("pending", 4)]));
}

#[tokio::test]
async fn a_needle_is_found_however_much_hay_there_is() {
    let stage = Stage::new().await;
    let needle = stage.open(1, "needle", "hay").await;
    let hay = stage.open(3000, "hay", "hay").await;
    stage.end(&hay, DELIVERED).await;
    assert_eq!(stage.found(&going_to("needle"), 10).await, needle);
    let count = books::count(&stage.app, &tagged("hay"), None, Duration::from_secs(30)).await.unwrap();
    assert_eq!((count.matching, count.complete, count.states.delivered, count.states.pending), (3001, true, 3000, 1));
    let named: Vec<_> = count.groups.iter().map(|group| (group.destination.as_str(), group.state, group.n)).collect();
    assert_eq!(named, [("hay", State::Delivered, 3000), ("needle", State::Pending, 1)]);
}
