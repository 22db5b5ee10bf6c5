//! The hub's own keys: made once by many, changed without anybody noticing.

use std::collections::HashSet;
use std::time::Duration;

use handfast::homing::release::Arrived;
use handfast::homing::{decode_exact, welcome};
use handfast::hub::keys;
use serde_json::Value;

use super::scene::{ENDPOINT, Merchant, Person, Scene, shown};
use crate::node::eventually;
use crate::support::fresh_app;

fn publics(keys: &Value, usage: &str) -> Vec<[u8; 32]> {
    let all = keys["keys"].as_array().unwrap().iter().filter(|key| key["use"] == usage);
    all.map(|key| decode_exact(key["public"].as_str().unwrap()).unwrap()).collect()
}

async fn release(merchant: &Merchant, ann: &Person) -> String {
    let id = merchant.welcome("annette", "|").await;
    ann.approve(&id, "annette", 1, "").await.json()["action"].as_str().unwrap().to_owned()
}

fn is_by(action: &str, key: [u8; 32], site: &str) -> bool {
    let arrived = Arrived::parse(action.split_once('?').unwrap().1).unwrap();
    arrived.is_signed_by(&[key], site, ENDPOINT, "")
}

#[tokio::test]
async fn processes_that_begin_together_make_one_set_of_keys() {
    let app = fresh_app().await;
    let rings = futures_util::future::join_all((0..12).map(|_| keys::ring(&app))).await;
    let fingerprints: HashSet<[u8; 32]> = rings.iter().map(|ring| *ring.as_ref().unwrap().fingerprint()).collect();
    let kids: HashSet<Vec<String>> =
        rings.iter().map(|ring| ring.as_ref().unwrap().shown().iter().map(|key| key.kid.clone()).collect()).collect();
    assert_eq!((fingerprints.len(), kids.len()), (1, 1));
    assert_eq!(kids.iter().next().unwrap().len(), 2);
}

#[tokio::test]
async fn a_new_key_is_shown_at_once_and_signs_later_and_people_stay_the_same() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    insta::assert_snapshot!(shown(&scene.call("GET", "keys", None).await), @r#"
    200
    {"keys":[{"kid":"hsk_…","not_after":null,"not_before":"TIME","public":"32 BYTES","use":"sign"},{"kid":"hsk_…","not_after":null,"not_before":"TIME","public":"32 BYTES","use":"box"}]}
    "#);
    let before = scene.call("GET", "keys", None).await.json();
    let (old, old_box) = (publics(&before, "sign")[0], publics(&before, "box")[0]);
    let first = release(&merchant, &ann).await;
    assert!(is_by(&first, old, &merchant.site));

    keys::rotate(&scene.node.app, Duration::from_secs(3600)).await.unwrap();
    let shown_now = async || publics(&scene.call("GET", "keys", None).await.json(), "sign");
    eventually("the new key is shown", async || shown_now().await.len() == 2).await;
    let new = shown_now().await.into_iter().find(|key| *key != old).unwrap();
    assert!(is_by(&release(&merchant, &ann).await, old, &merchant.site), "the new one does not sign yet");

    scene.node.execute("update hub_keys set not_before = now() - interval '1 second'").await;
    let signs = async || is_by(&release(&merchant, &ann).await, new, &merchant.site);
    eventually("the new key signs", signs).await;
    assert_eq!(shown_now().await.len(), 2, "the old one stays shown");
    // Boxes to the old key open still.
    let payload = merchant.payload("annette", "|");
    let boxed =
        welcome::Request::boxed(&merchant.site, &payload, &merchant.keys.sign, &merchant.keys.opening, &old_box);
    assert_eq!(merchant.send(&boxed).await.status, 202);
    let fingerprint = |action: &str| Arrived::parse(action.split_once('?').unwrap().1).unwrap().f_in_g.to_owned();
    assert_eq!(fingerprint(&release(&merchant, &ann).await), fingerprint(&first));
    // What has had its time is not pinned by anybody who comes later.
    assert_eq!(keys::ring(&scene.node.app).await.unwrap().shown().len(), 4);
    scene.node.execute("update hub_keys set not_after = now() - interval '1 second' where not_after is not null").await;
    eventually("the old key is shown no more", async || shown_now().await == [new]).await;
    // Nothing secret of them is in the open.
    let ring = keys::ring(&scene.node.app).await.unwrap();
    let dump = scene.node.dump().await;
    assert!(!dump.contains(&hex::encode(ring.fingerprint())));
    assert_eq!(scene.count("hub_keys where kind = 3").await, 1);
    assert_eq!(ring.shown().len(), 2);
}
