//! Reading again what was handed over: for the people whose messages they are, never for those who send in volume.

use std::collections::HashMap;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::inspect::{Delivery, read};
use super::{BooksError, DeliveryId, Filter};
use crate::App;
use crate::crypto::Purpose;

/// Each step is an index look-up in one partition: `offset 0` keeps the planner from turning it round.
const CONTENTS: &str = "/* books::contents */
select m.id, m.content, m.sealed_as from unnest($1::uuid[]) as x (id)
cross join lateral (select id, content, sealed_as from messages where id = x.id and from_address = $2 offset 0) m";

/// What these messages of one of our accounts say. One that is not the account's, or does not open, is left out.
pub async fn contents(app: &App, ids: &[Uuid], from: &str) -> Result<HashMap<Uuid, Zeroizing<Vec<u8>>>, BooksError> {
    let rows = app.db.rows(CONTENTS, &[&ids, &from]).await?;
    let open = |row: &tokio_postgres::Row| {
        let id: Uuid = row.get(0);
        let sealed_as = row.get::<_, Option<Uuid>>(2).unwrap_or(id);
        let opened = app.keys.open(Purpose::Message, sealed_as.as_bytes(), row.get(1));
        opened
            .inspect_err(|error| tracing::error!(message = %id, %error, "a message cannot be read"))
            .ok()
            .map(|text| (id, text))
    };
    Ok(rows.iter().filter_map(open).collect())
}

/// These deliveries as they are now, newest first, without their attempts.
pub async fn deliveries_of(app: &App, ids: &[Uuid]) -> Result<Vec<Delivery>, BooksError> {
    let places: Vec<DeliveryId> = ids.iter().filter_map(|id| DeliveryId::from_uuid(*id)).collect();
    read(&app.db.client().await?, &places, &Filter::default(), app.clock.now()).await
}
