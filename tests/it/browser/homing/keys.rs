//! What the browser computes is what the node computes.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::driver::Browser;
use super::scene::{Scene, hub};

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
