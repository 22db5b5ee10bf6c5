//! Bringing the schema up to this program's.
//!
//! A change of a table waits for all who use it, and all who come later wait behind the change: for a dump that takes an hour, the
//! whole node would stand still. So a change waits for two seconds only, steps back, and comes again; a backend whose client has gone
//! notices it and gives up its place.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::DbError;
use crate::failpoint;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Between two tries: those who waited behind the last one get their turn.
const PAUSE: Duration = Duration::from_secs(3);
/// Tables that are in use are waited for so long, all versions together.
const PATIENCE: Duration = Duration::from_secs(300);

/// Two nodes starting at once must not both migrate; a session lock lives and dies with its connection. Waiting for it keeps nobody
/// else waiting, so it has no limit. The check of the client is there since PostgreSQL 14.
const BEGIN: &str = "/* db::migrate begin */
set statement_timeout = 0;
select set_config(name, '5s', false) from pg_settings where name = 'client_connection_check_interval';
select pg_advisory_lock(4860446);
set lock_timeout = '2s'";

const END: &str = "/* db::migrate end */
set lock_timeout = 0;
select pg_advisory_unlock(4860446);
select set_config(name, '0', false) from pg_settings where name = 'client_connection_check_interval';
set statement_timeout = '30s'";

/// The version that this program needs.
pub(super) fn newest() -> Option<i32> {
    versions().into_iter().max()
}

pub(super) async fn run(client: &mut Client) -> Result<usize, DbError> {
    client.batch_execute(BEGIN).await?;
    let applied = one_by_one(client, PATIENCE).await;
    client.batch_execute(END).await?;
    applied
}

fn versions() -> Vec<i32> {
    let mut versions: Vec<_> =
        embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).collect();
    versions.sort_unstable();
    versions
}

/// Each version is a transaction of its own: whatever dies, the schema is of one version or of the next.
async fn one_by_one(client: &mut Client, patience: Duration) -> Result<usize, DbError> {
    let until = Instant::now() + patience;
    let mut applied = 0;
    for version in versions() {
        let new = one(client, version, until).await?;
        if new > 0 {
            failpoint::hit(failpoint::Place::WhileMigrating);
        }
        applied += new;
    }
    Ok(applied)
}

async fn one(client: &mut Client, version: i32, until: Instant) -> Result<usize, DbError> {
    let mut said = false;
    loop {
        let runner = embedded::migrations::runner().set_target(refinery::Target::Version(version));
        let error = match runner.run_async(client).await {
            Ok(report) => return Ok(report.applied_migrations().len()),
            Err(error) => error,
        };
        if !is_in_use(&error) {
            return Err(DbError::Schema(format!("a migration failed: {error}")));
        }
        if Instant::now() > until {
            return Err(DbError::Schema(format!(
                "version {version} of the schema needs a table for a moment that is in use all the time: a dump or a long \
                 transaction (pg_stat_activity shows it). Nothing of it was done; run `handfast migrate` again when that has ended"
            )));
        }
        if !said {
            said = true;
            tracing::warn!(version, "a table that is to be changed is in use; it is tried again for some minutes");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_in_use(error: &refinery::Error) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            // A deadlock: somebody took the same tables the other way round.
            return [Some(&SqlState::LOCK_NOT_AVAILABLE), Some(&SqlState::T_R_DEADLOCK_DETECTED)]
                .contains(&error.code());
        }
        next = error.source();
    }
    false
}
