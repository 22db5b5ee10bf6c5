//! Somebody signs in at a shop, from its form to its landing page, and what must not work.

use serde_json::{Value, json};

use super::scene::{OTHER_SHOP, Person, SHOP, Scene, Shop, hub, shop};

/// A hub, a shop, and Ann.
async fn opened(scopes: &str) -> (Scene, Person, Shop, Person) {
    let scene = Scene::start().await;
    let owner = scene.person().await;
    let made = scene.shop(&owner, SHOP, "corner-shop", scopes).await;
    let ann = scene.person().await;
    ann.take("ann").await;
    (scene, owner, made, ann)
}

/// Lets the page do everything but leave: where it would have gone, and with what.
async fn hold(person: &Person) {
    person.browser.run("HTMLFormElement.prototype.submit = function () {};", json!([])).await;
}

async fn held(person: &Person) -> (String, Value) {
    person.browser.see("#release-go").await;
    let script = "const form = document.getElementById('release-form');
         return [form.action, Object.fromEntries(new FormData(form))];";
    let mut form = person.browser.run(script, json!([])).await;
    (form[0].as_str().unwrap().to_owned(), form[1].take())
}

/// Sends a form from the page that is open.
async fn send(person: &Person, action: &str, fields: &Value) {
    let script = "const form = document.createElement('form'); form.method = 'post'; form.action = arguments[0];
         for (const [name, value] of Object.entries(arguments[1])) {
             const input = document.createElement('input'); input.name = name; input.value = value; form.append(input);
         }
         document.body.append(form); form.requestSubmit();";
    person.browser.run(script, json!([action, fields])).await;
}

#[tokio::test]
async fn somebody_signs_in_at_a_shop_and_gives_what_they_chose() {
    let (scene, owner, made, ann) = opened("email;fullname|phone1;birthday").await;
    let browser = &ann.browser;
    ann.knock("ann").await;
    browser.see("#request").await;
    for (id, words) in [
        ("#site", "Shop at shop.test"),
        ("#merchant", "corner-shop"),
        ("#origin", "https://shop.test"),
        ("#persona", "ann"),
    ] {
        assert_eq!(browser.text(id).await, words);
    }
    // Not without what is needed.
    browser.type_into("#sc-email", "ann@mail.test").await;
    browser.click("#approve").await;
    assert!(browser.sees("#request").await);
    browser.type_into("#sc-fullname", "Ann Archer").await;
    browser.click("#give-phone1").await;
    browser.type_into("#sc-phone1", "+15005550006").await;
    browser.click("#remember").await;
    browser.click("#approve").await;
    browser.words_with("signed in as").await;
    assert_eq!(browser.url().await, shop(""));
    let given: String = made.node.value("select string_agg(scope, ' ' order by scope) from hs_claims").await;
    assert_eq!(given, "email fullname phone1");

    // What was typed is in the vault now, and what was not asked again is not given.
    ann.home().await;
    assert_eq!(browser.value("#property-fullname").await, "Ann Archer");
    assert_eq!(browser.value("#property-birthday").await, "");
    ann.knock("ann").await;
    browser.see("#request").await;
    assert_eq!(browser.value("#sc-email").await, "ann@mail.test");
    hold(&ann).await;
    browser.click("#approve").await;
    let (action, fields) = held(&ann).await;
    assert_eq!(fields, json!({"sc_email": "ann@mail.test", "sc_fullname": "Ann Archer"}));
    assert!(!action.contains("Archer") && !action.contains("mail.test"), "a value is in the address: {action}");

    owner.browser.open(&hub("utilities/secret-sauce")).await;
    owner.unlock().await;
    owner.browser.hears("#sites td:nth-child(3)", "2").await;
    ann.browser.close().await;
    owner.browser.close().await;
    drop((scene, made));
}

#[tokio::test]
async fn a_request_comes_to_the_open_page_and_can_be_refused() {
    let (scene, owner, made, ann) = opened("|").await;
    ann.home().await;
    ann.browser.see("#welcomes-none").await;
    // Somebody types Ann's name in another browser.
    let stranger = scene.browser().await;
    stranger.open(&shop("login")).await;
    stranger.type_into("input[name=username]", "ann").await;
    stranger.click("form button").await;
    stranger.hears("#none", "no space in this browser").await;
    ann.browser.hears("#welcomes", "Shop at shop.test (https://shop.test) welcomes ann").await;
    ann.browser.click("#welcomes a").await;
    ann.unlock().await;
    ann.browser.see("#asks-nothing").await;
    ann.browser.click("#deny").await;
    ann.browser.hears("#over-words", "Nothing was sent.").await;
    // Once refused, always refused.
    let page = ann.browser.url().await;
    ann.browser.open(&page).await;
    ann.unlock().await;
    ann.browser.hears("#over-words", "You have refused this request.").await;
    stranger.close().await;
    ann.browser.close().await;
    owner.browser.close().await;
    drop((scene, made));
}

#[tokio::test]
async fn what_was_approved_once_lets_nobody_in_twice() {
    let (scene, owner, made, ann) = opened("email|").await;
    ann.knock("ann").await;
    ann.browser.type_into("#sc-email", "ann@mail.test").await;
    hold(&ann).await;
    ann.browser.click("#approve").await;
    let (action, fields) = held(&ann).await;
    // The button that is there if the page did not go by itself.
    ann.browser.click("#release-go").await;
    ann.browser.words_with("signed in as").await;

    ann.browser.back().await;
    ann.unlock().await;
    ann.browser.hears("#over-words", "already approved").await;
    // The page of a request that is decided sends nothing to anybody; a page of the shop itself may.
    ann.browser.open(&shop("login")).await;
    send(&ann, &action, &fields).await;
    ann.browser.words_with("You were not signed in.").await;
    ann.browser.close().await;
    owner.browser.close().await;
    drop((scene, made));
}

#[tokio::test]
async fn what_one_shop_was_given_is_nothing_at_another() {
    let (scene, owner, made, ann) = opened("email|").await;
    owner.home().await;
    let other = scene.shop(&owner, OTHER_SHOP, "night-market", "email|").await;
    ann.knock("ann").await;
    ann.browser.type_into("#sc-email", "ann@mail.test").await;
    hold(&ann).await;
    ann.browser.click("#approve").await;
    let (action, fields) = held(&ann).await;
    let elsewhere = action.replace(SHOP, OTHER_SHOP);
    assert_ne!(action, elsewhere);

    // The page of the request cannot be made to send it there at all.
    let blocked = "const heard = new Promise((resolve) => document.addEventListener('securitypolicyviolation', (event) => resolve(event.violatedDirective)));
         const form = document.getElementById('release-form'); form.action = arguments[0]; form.requestSubmit(); return heard;";
    assert_eq!(ann.browser.run(blocked, json!([elsewhere])).await, "form-action");
    // And from a page of the other shop it is refused there.
    ann.browser.open(&format!("https://{OTHER_SHOP}/homing/login")).await;
    send(&ann, &elsewhere, &fields).await;
    ann.browser.words_with("You were not signed in.").await;
    ann.browser.close().await;
    owner.browser.close().await;
    drop((scene, made, other));
}
