//! While our `auth` is open, the peer asks back: did you send this?
//!
//! An `auth-confirm` names the receiving address only, and several of our accounts may be asking there at once. So every open
//! handshake with that address is counted and compared; where one fits, it is closed and the others get their try back, for
//! whoever knows one code is not guessing. All in one transaction, whose row locks make simultaneous tries wait for each other.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Error, address, open_code};
use crate::App;
use crate::db::{Row, Transaction};
use crate::openmsg::handshake::AuthConfirmRequest;

/// Tries that are compared; the next one closes the handshake to further ones.
const MOST_TRIES: i16 = 5;

/// What a peer's `auth-confirm` is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// We did send it; nobody else is told so.
    Yes,
    /// We know of no such request.
    No,
    /// We did, too long ago.
    Expired,
}

const OPEN_ASKING: &str = "/* handshakes::open_asking */
update handshakes set asking = true where id = $1 and claim = $2 and state = 1 and deadline > $3";

const COUNT: &str = "/* handshakes::count_tries */
with asked as (select id from handshakes where asking and other_address = $1 order by id for update)
update handshakes h set confirm_tries = confirm_tries + 1, asking = confirm_tries < $2::int2
from asked where h.id = asked.id
returning h.id, h.self_address, h.other_address, h.code, h.confirm_tries, h.deadline";

const CLOSE: &str = "/* handshakes::close_asking */
update handshakes set asking = (id <> $2), confirm_tries = confirm_tries - 1 where id = any ($1)";

/// Opens a handshake to its peer's `auth-confirm`, committed before `auth` is sent. False: the claim is lost or the time is up.
pub async fn open_asking(app: &App, id: Uuid, claim: Uuid) -> Result<bool, Error> {
    Ok(app.db.execute(OPEN_ASKING, &[&id, &claim, &app.clock.now()]).await? == 1)
}

/// Judges a peer's `auth-confirm` (Openmsg §2.4): one that fits is answered `Yes` once.
pub async fn confirm(app: &App, request: &AuthConfirmRequest) -> Result<Confirmed, Error> {
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    let count = transaction.prepare_cached(COUNT).await?;
    let rows = transaction.query(&count, &[&request.receiving.as_str(), &MOST_TRIES]).await?;
    let open: Vec<&Row> = rows.iter().filter(|row| row.get::<_, i16>("confirm_tries") <= MOST_TRIES).collect();
    // All are compared, so that the time does not tell which one fits.
    let mut fitting = None;
    for row in &open {
        match fits(app, row, request) {
            Ok(true) => fitting = fitting.or(Some(*row)),
            Ok(false) => {}
            // One that cannot be read takes nothing from the others.
            Err(error) => tracing::error!(handshake = %row.get::<_, Uuid>("id"), %error, "cannot be confirmed"),
        }
    }
    let confirmed = match fitting {
        Some(row) => {
            close(&transaction, &open, row.get("id")).await?;
            let in_time = app.clock.now() < row.get::<_, Timestamp>("deadline");
            if in_time { Confirmed::Yes } else { Confirmed::Expired }
        }
        None => Confirmed::No,
    };
    transaction.commit().await?;
    Ok(confirmed)
}

fn fits(app: &App, row: &Row, request: &AuthConfirmRequest) -> Result<bool, Error> {
    let code = open_code(app, row.get("id"), row.get("code"))?;
    Ok(request.confirms(&code, &address(row, "self_address")?, &address(row, "other_address")?))
}

async fn close(transaction: &Transaction<'_>, open: &[&Row], fitting: Uuid) -> Result<(), Error> {
    let open: Vec<Uuid> = open.iter().map(|row| row.get("id")).collect();
    let statement = transaction.prepare_cached(CLOSE).await?;
    transaction.execute(&statement, &[&open, &fitting]).await?;
    Ok(())
}
