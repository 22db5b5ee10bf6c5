//! What hostile pages and hostile names come to.

use serde_json::json;

use super::Scene;
use crate::browser::driver::Wanted;
use crate::node::{Net, Node, Options};

const NAME: &str = "\"'><img src=x onerror=document.title='taken'><script>document.title='taken'</script>";

#[tokio::test]
async fn names_stay_names() {
    let scene = Scene::new(Wanted::javascript(true)).await;
    let (browser, node) = (&scene.browser, &scene.node);
    node.account("1000", "\"><img src=x onerror=alert(1)>").await;
    // As long as such names may be.
    let sender: String = NAME.chars().take(64).collect();
    let template = json!({"from": node.address("1000"), "text": "x"});
    node.post("campaigns", json!({"name": sender, "template": template})).await;
    let key = node.post("keys", json!({"sender": sender, "scopes": ["*"]})).await;
    let key = key["key"].as_str().unwrap().to_owned();
    browser.click("header .who button").await;
    browser.type_into("input[name=api_key]", &key).await;
    browser.click("main button").await;
    browser.hears(".who", &sender).await;
    browser.hears("#live", "Live").await;
    browser.hears("[data-live=campaigns] tbody", &sender).await;
    for path in [
        "/console",
        "/console/audit",
        "/console/audit?actor=%22%3E%3Cscript%3Edocument.title%3D'taken'%3C/script%3E&since=%3Cimg%20src=x%3E",
        "/console/configuration?name=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E",
        "/console/%3Cscript%3Edocument.title='taken'%3C/script%3E",
    ] {
        scene.open(path).await;
        browser.see("h1").await;
        let found = browser
            .run(
                "return [document.title, document.querySelectorAll('main img, main script, header img').length]",
                json!([]),
            )
            .await;
        assert!(!found[0].as_str().unwrap().contains("taken") && found[1] == 0, "{path}: {found}");
    }
    let complaints = browser.complaints().await;
    assert!(complaints.iter().all(|said| said.contains("404")), "{complaints:#?}");
    scene.close().await;
}

#[tokio::test]
async fn another_sites_form_does_nothing_and_its_links_lead_in() {
    let net = Net::new();
    let mut node = Node::start(&net, Options::of("shop.test")).await;
    // The same server under another name is another site to the browser.
    let browser = Wanted::javascript(true).name("evil.test", node.private).start().await;
    let console = format!("http://{}/console", node.private);
    browser.open(&console).await;
    browser.type_into("input[name=api_key]", node.key()).await;
    browser.click("main button").await;
    browser.hears("h1", "Overview").await;
    let token = browser.value("input[name=token]").await;

    browser.open(&format!("http://evil.test:{}/healthz", node.private.port())).await;
    let forge = "const form = document.createElement('form');
        form.method = 'post'; form.action = arguments[0] + '/sign-out';
        form.innerHTML = '<input name=token>'; form.firstChild.value = arguments[1];
        document.body.append(form); form.submit();";
    browser.run(forge, json!([console, token])).await;
    browser.hears("[role=alert]", "another site").await;
    browser.open(&console).await;
    browser.hears("h1", "Overview").await;

    // A link from there leads in: whoever is signed in stays so.
    browser.open(&format!("http://evil.test:{}/healthz", node.private.port())).await;
    let follow =
        "const link = document.createElement('a'); link.href = arguments[0]; document.body.append(link); link.click();";
    browser.run(follow, json!([format!("{console}/audit")])).await;
    browser.hears("h1", "Audit").await;

    // Nor may it show the console inside itself.
    browser.open(&format!("http://evil.test:{}/healthz", node.private.port())).await;
    let frame = "const frame = document.createElement('iframe'); frame.src = arguments[0];
        return new Promise(kept => { frame.onload = () => kept(frame.contentDocument === null); document.body.append(frame); })";
    assert_eq!(browser.run(frame, json!([console])).await, true);
    let complaints = browser.complaints().await;
    assert!(complaints.iter().any(|said| said.contains("frame-ancestors")), "{complaints:#?}");
    browser.close().await;
    node.stop().await;
}
