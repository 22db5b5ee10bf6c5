//! Services of others: who carries codes, who wakes devices. They are greeted where that can be done without sending anything.

use std::time::Duration;

use super::Finding::{self, Good, Note, Wrong};
use crate::config::Config;
use crate::db::Db;
use crate::providers::carriers::Carriers;
use crate::providers::push::Services;

/// Longest wait for a greeting.
const WITHIN: Duration = Duration::from_secs(10);

const APPS: &str = "/* doctor::codes */ select count(*) from apps where enabled";

/// Carriers of codes, and whether anybody needs one.
pub(super) async fn codes(config: &Config) -> Finding {
    let carriers = match Carriers::new(config) {
        Ok(carriers) => carriers,
        Err(error) => return Wrong(format!("providers: {error}")),
    };
    let answers = carriers.greet(WITHIN).await;
    if answers.is_empty() {
        return without(config).await;
    }
    let troubles: Vec<String> = answers
        .iter()
        .filter_map(|(kind, name, answer)| Some(format!("{kind} \"{name}\": {}", answer.as_ref()?.as_ref().err()?)))
        .collect();
    if !troubles.is_empty() {
        return Wrong(troubles.join("; "));
    }
    let told = answers.iter().map(|(kind, name, answer)| {
        let words = if answer.is_some() { "takes us" } else { "is set up, and can only be tried by sending" };
        format!("{kind} \"{name}\" {words}")
    });
    Good(told.collect::<Vec<_>>().join("; "))
}

/// Nobody carries anything: wrong only where somebody waits for it.
async fn without(config: &Config) -> Finding {
    if config.textsecure.enabled {
        return Wrong("textsecure.enabled, and nobody can carry its codes: set up [[providers.sms]] or voice".into());
    }
    let apps = async {
        let row = Db::new(&config.database).ok()?.row(APPS, &[]).await.ok()??;
        Some(row.get::<_, i64>(0))
    };
    match apps.await {
        Some(n) if n > 0 => Note(format!(
            "{n} applications sign people in, and no carrier is set up: only those with a verifier of their own can"
        )),
        _ => Note("no carrier is set up, and nothing needs one".into()),
    }
}

/// Keys and credentials of push services.
pub(super) fn push(config: &Config) -> Finding {
    match Services::check(config) {
        Ok(names) if names.is_empty() => Note("no service is set up: devices look for themselves".into()),
        Ok(names) => Good(format!("{}: keys and credentials can be read", names.join(", "))),
        Err(error) => Wrong(format!("providers.push: {error}")),
    }
}
