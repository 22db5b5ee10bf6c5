//! `handfast doctor` beside a running node.

use tokio::process::Command;

use crate::node::{Net, Node, eventually};

pub(super) async fn doctor(node: &Node) -> String {
    let settings = node.dir().join("handfast.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_handfast"));
    let output = command.arg("doctor").arg("--config").arg(settings).output().await.expect("the program runs");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[tokio::test]
async fn it_says_who_works_with_which_keys_on_what() {
    let net = Net::new();
    let mut node = net.node("a.test").await;
    let held = async || doctor(&node).await.contains("every process holds every node key");
    eventually("all hold the key", held).await;
    let well = doctor(&node).await;
    for words in [
        "ok     workers        1 report",
        "ok     broker version RabbitMQ ",
        "GiB free",
        "no carrier is set up",
        "no service is set up",
    ] {
        assert!(well.contains(words), "{words} is missing in\n{well}");
    }
    node.execute(
        "insert into key_holders (process, kind, host, pid, numbers, seen_at)
         values (gen_random_uuid(), 'serve', 'elsewhere', 7, '{9}', clock_timestamp() + interval '1 hour')",
    )
    .await;
    node.kill_work().await;
    let ill = doctor(&node).await;
    assert!(ill.contains("WRONG  keys in use    serve 7 on elsewhere lacks node key 1"), "{ill}");
    node.execute("update workers set lease_until = clock_timestamp() - interval '1 minute'").await;
    // Whoever is past the lease is deleted by the next worker; there is none.
    assert!(doctor(&node).await.contains("none of 1 reports any more"));
}
