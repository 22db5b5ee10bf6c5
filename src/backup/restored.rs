//! Whether a database, a key file and a directory of files that were restored belong together. Nothing is changed by looking.

use std::sync::Arc;

use jiff::Timestamp;

use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::NodeKeys;
use crate::db::Db;
use crate::doctor::Finding::{self, Good, Note, Wrong};
use crate::failure::chain;
use crate::{App, connections};

const NODE: &str = "/* backup::check node */ select key_check from node";
const KEYS: &str = "/* backup::check keys */ select number, key_check from node_keys order by number";
const NEWEST: &str = "/* backup::check newest */
select greatest((select max(created_at) from accounts), (select max(at) from audit), (select max(created_at) from connections))";
const CONNECTION: &str = "/* backup::check connection */ select id from connections order by id desc limit 100";
const OPEN: &str = "/* backup::check open */
select (select count(*) from (select from chunks where state in (0, 1, 3, 4) limit 100000) c) +
       (select count(*) from (select from exceptions where state in (1, 2, 8, 9) limit 100000) e)";

/// Looks at everything; a line each.
pub async fn check(config: &Config) -> Vec<(&'static str, Finding)> {
    let keys = NodeKeys::load(&config.keys_file());
    let mut findings = vec![("key file", key_file(config, &keys))];
    let db = match database(config).await {
        Ok(db) => db,
        Err(wrong) => {
            findings.push(("database", Wrong(wrong)));
            return findings;
        }
    };
    findings.push(("database", Good("answers, and its schema is this program's".into())));
    if let Ok(keys) = &keys {
        findings.push(("together", together(config, &db, keys).await.unwrap_or_else(Wrong)));
    }
    findings.push(("newest", newest(&db).await.unwrap_or_else(Wrong)));
    findings.push(("waiting", waiting(&db).await.unwrap_or_else(Wrong)));
    findings.push(("attachments", attachments(config, &db).await.unwrap_or_else(Wrong)));
    findings
}

fn key_file(config: &Config, keys: &Result<NodeKeys, crate::crypto::KeyFileError>) -> Finding {
    match keys {
        Ok(keys) => Good(format!(
            "{} holds {} and seals with key {}",
            config.keys_file().display(),
            count(keys.numbers().len(), "key"),
            keys.current()
        )),
        Err(error) => Wrong(error.to_string()),
    }
}

async fn database(config: &Config) -> Result<Db, String> {
    let db = Db::new(&config.database).map_err(|error| chain(&error))?;
    db.check_schema().await.map_err(|error| chain(&error))?;
    Ok(db)
}

/// Every key that the database was ever in use with, and the newest things that were sealed.
async fn together(config: &Config, db: &Db, keys: &NodeKeys) -> Result<Finding, String> {
    let failed = |error| chain(&error);
    let mark = db.row(NODE, &[]).await.map_err(failed)?.and_then(|row| row.get::<_, Option<Vec<u8>>>(0));
    match mark {
        None => return Ok(Note("the database was never used: no node has opened it yet".into())),
        Some(mark) if !keys.opens_mark(&mark) => {
            return Ok(Wrong("the key file is not this database's: what it holds cannot be opened".into()));
        }
        Some(_) => {}
    }
    let rows = db.rows(KEYS, &[]).await.map_err(failed)?;
    if let Some(row) = rows.iter().find(|row| !keys.opens_mark(row.get(1))) {
        let number: i32 = row.get(0);
        return Ok(Wrong(format!("key {number} is missing in the key file: what it sealed cannot be opened")));
    }
    let rows = db.rows(CONNECTION, &[]).await.map_err(failed)?;
    let ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.get(0)).collect();
    let app =
        App { config: Arc::new(config.clone()), clock: Clock::system(), db: db.clone(), keys: Arc::new(keys.clone()) };
    let good = connections::keyed_many(&app, &ids).await.map_err(|error| chain(&error))?.len();
    if good < rows.len() {
        return Ok(Wrong(format!(
            "the secrets of {} of {} do not open",
            rows.len() - good,
            count(rows.len(), "connection")
        )));
    }
    Ok(Good(format!("the key file opens what the database holds ({} looked at)", count(rows.len(), "connection"))))
}

async fn newest(db: &Db) -> Result<Finding, String> {
    let failed = |error| chain(&error);
    let row = db.row(NEWEST, &[]).await.map_err(failed)?;
    let newest = row.and_then(|row| row.get::<_, Option<Timestamp>>(0));
    let Some(newest) = newest else { return Ok(Note("the database is empty".into())) };
    let now = Clock::system().now();
    let hours = now.duration_since(newest).as_hours().max(0);
    Ok(Note(format!("the last change that was written down is of {newest:.0}, {} ago", count(hours as usize, "hour"))))
}

async fn waiting(db: &Db) -> Result<Finding, String> {
    let row = db.rows_planned_by_values(OPEN, &[]).await.map_err(|error| chain(&error))?;
    let open: i64 = row.first().map_or(0, |row| row.get(0));
    Ok(Note(match open {
        0 => "nothing waits to be delivered".into(),
        n => format!("{} or single deliveries wait, and go out when the node starts", count(n as usize, "chunk")),
    }))
}

async fn attachments(config: &Config, db: &Db) -> Result<Finding, String> {
    let sql = "/* backup::check attachments */ select count(*) from (select from attachments where uploaded_at is not null limit 1000) a";
    let row = db.row(sql, &[]).await.map_err(|error| chain(&error))?;
    let rows: i64 = row.map_or(0, |row| row.get(0));
    let Some(directory) = super::attachments(config) else {
        return Ok(Note("none are kept in a directory of this node".into()));
    };
    match (rows, directory.is_dir()) {
        (0, _) => Ok(Good("there are none".into())),
        (_, true) => Ok(Good(format!("{} is there", directory.display()))),
        (n, false) => Ok(Wrong(format!("the database knows {n} and {} is not there", directory.display()))),
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
