//! Devices that listen: which connection of a device is the one that it is served over, in whatever process it ends.
//!
//! Promises: of several connections of a device the last one that began is it; none is once the device has registered again, or is
//! unregistered or disabled.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Device, SIGNALING_KEY_BYTES, signaling_context};
use crate::App;
use crate::crypto::Purpose;
use crate::db::DbError;

/// One connection of a device.
pub struct Listener {
    /// Its id.
    pub id: Uuid,
    /// Whose, as it was when the connection began.
    pub device: Device,
    /// What the device's envelopes are encrypted with.
    pub signaling_key: Zeroizing<[u8; SIGNALING_KEY_BYTES]>,
}

/// How it stands with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the one.
    Holds,
    /// A later one is.
    Replaced,
    /// The device is not the one that it was, or may not be served.
    Gone,
}

const BEGIN: &str = "/* phones::Listener::begin */
update devices d set listener = $4 from phones p
where d.number = $1 and d.device = $2 and d.generation = $3 and p.number = d.number and p.disabled_at is null
returning d.signaling_key";

const STANDING: &str = "/* phones::Listener::standing */
select d.listener = $4 from devices d join phones p on p.number = d.number
where d.number = $1 and d.device = $2 and d.generation = $3 and p.disabled_at is null";

/// The first one beyond as many as are known.
const CONCERNED: &str = "/* phones::concerned */
select l.id from unnest($1::uuid[], $2::text[], $3::int2[], $4::uuid[], $5::int8[]) as l (id, number, device, generation, known)
where exists (select from envelopes e where e.number = l.number and e.device = l.device and e.expires_at > $6 offset l.known)
   or not exists (select from devices d join phones p on p.number = d.number
                  where d.number = l.number and d.device = l.device and d.generation = l.generation and d.listener = l.id
                    and p.disabled_at is null)";

impl Listener {
    /// From now on a new connection is the one that the device is served over; none: the device is no longer the one that signed in.
    pub async fn begin(app: &App, device: Device) -> Result<Option<Self>, DbError> {
        let id = app.new_id();
        let row = app.db.row(BEGIN, &[&device.number.as_str(), &device.id, &device.generation, &id]).await?;
        let Some(row) = row else { return Ok(None) };
        let context = signaling_context(&device.number, device.id);
        let key = app.keys.open(Purpose::Credential, &context, row.get(0));
        let key = key.map_err(|_| DbError::Stored("signaling key"))?;
        let key: [u8; SIGNALING_KEY_BYTES] = key.as_slice().try_into().map_err(|_| DbError::Stored("signaling key"))?;
        Ok(Some(Self { id, device, signaling_key: Zeroizing::new(key) }))
    }

    /// How it stands. What was read for the device before this said [`Standing::Holds`] was read for this device, and not for one that
    /// registered in its place.
    pub async fn standing(&self, app: &App) -> Result<Standing, DbError> {
        let Device { number, id, generation, .. } = &self.device;
        let row = app.db.row(STANDING, &[&number.as_str(), id, generation, &self.id]).await?;
        Ok(match row.map(|row| row.get::<_, Option<bool>>(0)) {
            None => Standing::Gone,
            Some(Some(true)) => Standing::Holds,
            Some(_) => Standing::Replaced,
        })
    }
}

/// A connection, and how many of the device's messages it has in hand already.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub device: Device,
    /// Messages that are stored and known to it.
    pub known: usize,
}

/// Of these connections those that should look: more waits for the device than they know, or the connection does not hold.
pub async fn concerned(app: &App, listeners: &[Listening]) -> Result<Vec<Uuid>, DbError> {
    let ids: Vec<Uuid> = listeners.iter().map(|listening| listening.id).collect();
    let numbers: Vec<&str> = listeners.iter().map(|listening| listening.device.number.as_str()).collect();
    let devices: Vec<i16> = listeners.iter().map(|listening| listening.device.id).collect();
    let generations: Vec<Uuid> = listeners.iter().map(|listening| listening.device.generation).collect();
    let known: Vec<i64> = listeners.iter().map(|listening| listening.known as i64).collect();
    let now = app.clock.now();
    let rows = app.db.rows(CONCERNED, &[&ids, &numbers, &devices, &generations, &known, &now]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
