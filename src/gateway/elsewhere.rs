//! Logins that begin on one device and are approved on another (off unless the settings say so).
//!
//! The first device shows two digits. The other one, when it comes back from the hub, is asked for them, once: whoever approved what
//! somebody else began knows them with one chance in a hundred. Then the first device, and nobody else, fetches the session.

use zeroize::Zeroizing;

use super::arrival::{Checked, SignedIn, let_in, to_be_told};
use super::site::state_hash;
use super::{Error, Refusal, attempts};
use crate::App;
use crate::books::Acceptor;
use crate::crypto::{Purpose, random, same, sha256};
use crate::db::{DbError, Transaction};
use crate::homing::encode;

/// How a login stands, as the device that began it sees it.
pub enum Standing {
    /// Not approved yet; the digits to show.
    Waiting(String),
    /// Signed in, here.
    In(SignedIn),
    /// Nobody is signed in; why, unless it is over or was never this browser's.
    Not(Option<Refusal>),
}

const HOLD: &str = "/* gateway::elsewhere::hold */
update hs_attempts set consumed_at = $2, outcome = 'asked', held = $3, held_by = $4
where n = $1 and consumed_at is null and expires_at > $2 and digits is not null returning true";

const COMPARE: &str = "/* gateway::elsewhere::compare */
update hs_attempts set held_by = null, outcome = case when digits = $2 then 'matched' else 'digits' end, held = case when digits = $2 then held end
where held_by = $1 and outcome = 'asked' and expires_at > $3 returning outcome";

const CLAIM: &str = "/* gateway::elsewhere::claim */
with held as (select n, held from hs_attempts where n = $1 and outcome = 'matched' for update)
update hs_attempts a set outcome = 'in', held = null from held where a.n = held.n returning held.held";

/// Keeps what came until the digits are typed; what the other device shows for itself. None: the attempt was used before.
pub(super) async fn hold(app: &App, arrived: &Checked) -> Result<Option<Zeroizing<String>>, Error> {
    let token = Zeroizing::new(encode(&random::<32>()));
    let plain = Zeroizing::new(serde_json::to_vec(arrived).unwrap_or_default());
    let sealed = app.keys.seal(Purpose::Homing, &context(&arrived.n), &plain);
    let by = sha256(&[token.as_bytes()]);
    let held = app.db.row(HOLD, &[&arrived.n, &app.clock.now(), &sealed, &&by[..]]).await?;
    Ok(held.map(|_| token))
}

/// The digits, typed on the other device. One try; what is not two digits is refused without being one.
pub async fn compare(app: &App, token: &str, digits: &str) -> Result<Result<(), Refusal>, DbError> {
    if digits.len() != 2 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Err(Refusal::Digits));
    }
    let by = sha256(&[token.as_bytes()]);
    let row = app.db.row(COMPARE, &[&&by[..], &digits, &app.clock.now()]).await?;
    let outcome: Option<String> = row.map(|row| row.get(0));
    Ok(match outcome.as_deref() {
        Some("matched") => Ok(()),
        Some(_) => Err(Refusal::Digits),
        None => Err(Refusal::Replay),
    })
}

/// How the attempt `n` stands for the browser with this state; signs it in when it may be.
pub async fn stand(app: &App, acceptor: &Acceptor, n: &str, state: Option<&str>) -> Result<Standing, Error> {
    let Some(attempt) = attempts::find(app, n).await? else { return Ok(Standing::Not(None)) };
    let here = state.is_some_and(|state| same(&state_hash(state), &attempt.state_hash));
    let Some(digits) = attempt.digits.filter(|_| here) else { return Ok(Standing::Not(None)) };
    match attempt.outcome.as_deref() {
        None | Some("asked") => Ok(Standing::Waiting(digits)),
        Some("matched") => claim(app, acceptor, n).await,
        Some("policy") => Ok(Standing::Not(Some(Refusal::Policy))),
        Some(_) => Ok(Standing::Not(None)),
    }
}

async fn claim(app: &App, acceptor: &Acceptor, n: &str) -> Result<Standing, Error> {
    let told = to_be_told(app).await;
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let Some(arrived) = take(&tx, app, n).await? else { return Ok(Standing::Not(None)) };
    Ok(match let_in(app, acceptor, tx, told, &arrived).await? {
        Ok(signed_in) => Standing::In(signed_in),
        Err(refusal) => Standing::Not(Some(refusal)),
    })
}

/// What was held, for the first who asks.
async fn take(tx: &Transaction<'_>, app: &App, n: &str) -> Result<Option<Checked>, Error> {
    let Some(row) = tx.query_opt(CLAIM, &[&n]).await? else { return Ok(None) };
    let plain = app.keys.open(Purpose::Homing, &context(n), row.get(0))?;
    Ok(serde_json::from_slice(&plain).ok())
}

fn context(n: &str) -> Vec<u8> {
    [b"hs_attempts", n.as_bytes()].concat()
}
