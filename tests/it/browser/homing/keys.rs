//! What the browser computes is what the node computes.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use handfast::crypto::sodium::{seal_to, verify};
use handfast::homing::keys::{KeyFile, Root};
use handfast::homing::vault::{Vault, VaultError};
use handfast::homing::{decode, encode, signed};
use serde_json::{Value, json};

use super::super::driver::Browser;
use super::scene::{PASSWORD, Scene, hub};

/// Runs a function body with the page's own modules `keys`, `sodium` and `vault` at hand.
async fn compute(browser: &Browser, body: &str, arguments: Value) -> Value {
    let script = format!(
        "const given = arguments; const from = (name) => import(new URL(name, document.querySelector('script').src).href);
         return (async () => {{
             const [keys, sodium, vault] = await Promise.all([from('keys.js'), from('sodium.js'), from('vault.js')]);
             {body}
         }})();"
    );
    browser.run(&script, arguments).await
}

/// The vectors of the protocol: a signature over canonical bytes, a sealed box.
#[tokio::test]
async fn the_browser_computes_the_vectors() {
    let scene = Scene::start().await;
    let browser = scene.browser().await;
    browser.open(&hub("")).await;
    browser.see("#start").await;
    let approve = "const pair = sodium.sodium.crypto_sign_seed_keypair(new Uint8Array(32).fill(8));
         return keys.sign(pair, 'homing/approve/v1', ['hsc_0001', 'approve', 'email;phone1']);";
    let signed = compute(&browser, approve, json!([])).await;
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(signed.as_str().unwrap()).unwrap();
    assert_eq!(
        hex::encode(bytes),
        "d382d1d1a8ce5922295153dc0fb598ed80aadc27ffefb20769fd8df04b3489fb\
         04a68403e11cbb74f9872eb75738c49f8237b37d8df4b4eba61248d98b099d05"
    );

    let open = "const pair = sodium.sodium.crypto_box_seed_keypair(new Uint8Array(32).fill(2));
         return [sodium.sodium.to_hex(pair.publicKey), keys.openSealed(pair, sodium.sodium.from_hex(given[0]))];";
    let sealed = "9295fe264f01377d4339d87bcd78d84a49b06d9e42175bef5c275103981ff67798e0d77362007d273f01d6e44a418743\
                  3033b6d83e70faabededd32d1c5d6b55eccd1e24364f81f0adf25aa2d1c4a0f476ffea09f6e781b73e912d40";
    assert_eq!(
        compute(&browser, open, json!([sealed])).await,
        json!([
            "60346e7c911a5f6ba154129174cafe75b294ac3bbd5549632f48cec6266f8410",
            r#"{"v":1,"site":"hst_demo","username":"alice"}"#
        ])
    );
    browser.close().await;
}

/// Vaults travel between browsers and agents.
#[tokio::test]
async fn a_vault_of_the_browser_opens_in_the_node_and_the_other_way_round() {
    let scene = Scene::start().await;
    let browser = scene.browser().await;
    browser.open(&hub("")).await;
    browser.see("#start").await;
    let seal = "const opened = vault.locked(given[0], keys.newRoot(), {fullname: 'Zoë \u{1f40e}'});
         return [sodium.toText(opened.root), vault.seal(opened), vault.seal(opened)];";
    let sealed = compute(&browser, seal, json!([PASSWORD])).await;
    let [root, text, again] = [0, 1, 2].map(|n| sealed[n].as_str().unwrap().to_owned());
    assert_ne!(text, again, "a nonce was used twice");
    for text in [&text, &again] {
        let opened = Vault::open(text, PASSWORD).unwrap();
        assert_eq!(encode(opened.root.bytes()), root);
        assert_eq!(opened.properties["fullname"], "Zoë 🐎");
        assert_eq!(Vault::open(text, "another").err(), Some(VaultError::Password));
    }

    let root = Root::generate();
    let properties = [("email".to_owned(), "ann@mail.test".to_owned())].into();
    let text = Vault { root: root.clone(), properties }.seal(PASSWORD).unwrap();
    let open = "const opened = vault.open(given[0], given[1]); const wrong = [];
         for (const bad of [given[1] + 'x', '']) { try { vault.open(given[0], bad); } catch (error) { wrong.push(error instanceof vault.WrongPassword); } }
         return [sodium.toText(opened.root), opened.properties, wrong];";
    let opened = compute(&browser, open, json!([text, PASSWORD])).await;
    assert_eq!(opened, json!([encode(root.bytes()), {"email": "ann@mail.test"}, [true, true]]));
    browser.close().await;
}

/// What a browser makes of a root is what a merchant's server and an agent make of it.
#[tokio::test]
async fn keys_signatures_and_boxes_are_the_same_in_browser_and_node() {
    let scene = Scene::start().await;
    let browser = scene.browser().await;
    browser.open(&hub("")).await;
    browser.see("#start").await;
    let root = Root::generate();
    for index in [1, 7, 300] {
        let persona = root.persona(index);
        let sealed = encode(&seal_to("für dich".as_bytes(), persona.opening.public()));
        let body = "const root = sodium.toBytes(given[0]), pair = keys.personaKeys(root, given[1]);
             return {
                 space: sodium.toText(keys.spaceKeys(root).publicKey),
                 sign: sodium.toText(pair.sign.publicKey), box: sodium.toText(pair.box.publicKey),
                 files: keys.keyFiles(root, given[1]), opened: keys.openSealed(pair.box, sodium.toBytes(given[2])),
                 sig: keys.sign(pair.sign, 'homing/approve/v1', ['hsc_x', 'approve', 'email;phone1']),
             };";
        let made = compute(&browser, body, json!([encode(root.bytes()), index, sealed])).await;
        assert_eq!(made["space"], encode(root.space().public()));
        assert_eq!((&made["sign"], &made["box"]), (&json!(persona.sign_public()), &json!(persona.box_public())));
        assert_eq!(made["opened"], "für dich");
        let sig = decode(made["sig"].as_str().unwrap()).unwrap();
        assert!(verify(&signed::approval("hsc_x", "email;phone1"), &sig, persona.sign.public()));
        let file = |n: usize| (made["files"][n]["name"].as_str().unwrap(), made["files"][n]["text"].as_str().unwrap());
        assert_eq!(file(0).0, "homing-sign.key");
        assert_eq!(*KeyFile::Sign.parse(file(0).1).unwrap(), *persona.sign.seed());
        assert_eq!(file(1).0, "homing-box.key");
        assert_eq!(*KeyFile::Box.parse(file(1).1).unwrap(), *persona.opening.secret());
    }
    browser.close().await;
}
