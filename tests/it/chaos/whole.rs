//! The story of `ops/chaos`, in short.

use std::time::Duration;

use super::dice::Dice;
use super::stage;
use super::story::{self, Settings};
use crate::secrets;

#[tokio::test]
async fn whatever_goes_wrong_the_three_ledgers_agree() {
    handfast::crypto::init().expect("the cryptographic library starts");
    handfast::tls::install_provider();
    let dir = stage::servers();
    let settings = Settings {
        seed: Dice::new().from(0..1_000_000) as u64,
        time: Duration::from_secs(20),
        cluster: false,
        data: dir.path().to_owned(),
        program: env!("CARGO_BIN_EXE_handfast").into(),
        keep: false,
        // Other tests run beside it: what takes long here says little.
        back_within: Duration::from_secs(60),
    };
    let report = story::tell(&settings).await.expect("told to its end");
    secrets::of_folder(dir.path());
    secrets::keep_logs(dir.path());
    assert!(report.broken.is_empty(), "{}", report.table());
}
