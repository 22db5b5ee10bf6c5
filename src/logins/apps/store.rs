//! The table of applications.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Application, Backend, Mode, ResultStyle, Verifier, Way};
use crate::App;
use crate::config::Secret;
use crate::crypto::Purpose;
use crate::db::{DbError, Row};

const CREATE: &str = "/* logins::apps::create */
insert into apps (appid, name, enabled, definition, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)
on conflict (appid) do nothing
returning appid, name, enabled, definition, created_at, updated_at";

const FIND: &str = "/* logins::apps::find */
select appid, name, enabled, definition, created_at, updated_at from apps where appid = $1";

const LIST: &str = "/* logins::apps::list */
select appid, name, enabled, definition, created_at, updated_at from apps where appid > $1 order by appid limit $2";

const LOCK: &str = "/* logins::apps::change (look) */
select appid, name, enabled, definition, created_at, updated_at from apps where appid = $1 for update";

const WRITE: &str = "/* logins::apps::change */
update apps set name = $2, enabled = $3, definition = $4, updated_at = $5 where appid = $1
returning appid, name, enabled, definition, created_at, updated_at";

const DELETE: &str = "/* logins::apps::delete */
delete from apps where appid = $1";

/// An application as operators see it.
#[derive(Clone)]
pub struct Listed {
    /// The application.
    pub application: Application,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What [`change`] did.
pub enum Change<E> {
    /// As it is now.
    Made(Box<Listed>),
    /// There is no such application.
    Missing,
    /// The change itself said no; nothing was written.
    Refused(E),
}

/// What lies sealed: everything but id, name, and whether it is enabled.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Definition {
    result_style: String,
    legacy_errors: bool,
    ways: Vec<String>,
    countries: Vec<String>,
    countries_refused: Vec<String>,
    text: String,
    mode: String,
    url: String,
    token: String,
    token_minutes: u32,
    makes_codes: bool,
    revoke_op: String,
    verifier_url: Option<String>,
    verifier_secret: String,
}

/// Makes an application; `None`: the id is taken.
pub async fn create(app: &App, application: &Application) -> Result<Option<Listed>, DbError> {
    let Application { appid, name, enabled, .. } = application;
    let sealed = seal(app, application)?;
    let row = app.db.row(CREATE, &[appid, name, enabled, &sealed, &app.clock.now()]).await?;
    row.map(|row| read(app, &row)).transpose()
}

/// The application of this id, opened.
pub async fn find(app: &App, appid: &str) -> Result<Option<Application>, DbError> {
    Ok(show(app, appid).await?.map(|listed| listed.application))
}

/// The application of this id, as operators see it.
pub async fn show(app: &App, appid: &str) -> Result<Option<Listed>, DbError> {
    // Strangers choose it: a text column cannot hold everything.
    if appid.contains('\0') {
        return Ok(None);
    }
    app.db.row(FIND, &[&appid]).await?.map(|row| read(app, &row)).transpose()
}

/// Up to `limit` applications by id, those after the id `after`.
pub async fn list(app: &App, after: Option<&str>, limit: i64) -> Result<Vec<Listed>, DbError> {
    let rows = app.db.rows(LIST, &[&after.unwrap_or_default(), &limit]).await?;
    rows.iter().map(|row| read(app, row)).collect()
}

/// Changes an application, nobody else in between. Its id stays.
pub async fn change<E>(
    app: &App,
    appid: &str,
    change: impl FnOnce(&mut Application) -> Result<(), E>,
) -> Result<Change<E>, DbError> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let statement = tx.prepare_cached(LOCK).await?;
    let Some(row) = tx.query_opt(&statement, &[&appid]).await? else { return Ok(Change::Missing) };
    let mut application = read(app, &row)?.application;
    if let Err(refusal) = change(&mut application) {
        return Ok(Change::Refused(refusal));
    }
    let sealed = seal(app, &application)?;
    let statement = tx.prepare_cached(WRITE).await?;
    let Application { name, enabled, .. } = &application;
    let row = tx.query_one(&statement, &[&appid, name, enabled, &sealed, &app.clock.now()]).await?;
    tx.commit().await?;
    Ok(Change::Made(Box::new(read(app, &row)?)))
}

/// Deletes it with its sessions; false: there was none.
pub async fn delete(app: &App, appid: &str) -> Result<bool, DbError> {
    Ok(app.db.execute(DELETE, &[&appid]).await? == 1)
}

fn seal(app: &App, application: &Application) -> Result<Vec<u8>, DbError> {
    let definition = Definition::of(application);
    let plain = serde_json::to_vec(&definition).map(Zeroizing::new).map_err(|_| DbError::Stored("application"))?;
    Ok(app.keys.seal(Purpose::Login, application.appid.as_bytes(), &plain))
}

fn read(app: &App, row: &Row) -> Result<Listed, DbError> {
    let broken = || DbError::Stored("application");
    let appid: String = row.get("appid");
    let plain = app.keys.open(Purpose::Login, appid.as_bytes(), row.get("definition")).map_err(|_| broken())?;
    let definition: Definition = serde_json::from_slice(&plain).map_err(|_| broken())?;
    let application = definition.application(appid, row.get("name"), row.get("enabled")).ok_or_else(broken)?;
    Ok(Listed { application, created_at: row.get("created_at"), updated_at: row.get("updated_at") })
}

impl Definition {
    fn of(application: &Application) -> Self {
        let Application { backend, verifier, .. } = application;
        let secret = verifier.as_ref().map(|verifier| verifier.secret.reveal().to_owned());
        Self {
            result_style: application.result_style.name().to_owned(),
            legacy_errors: application.legacy_errors,
            ways: application.ways.iter().map(|way| way.name().to_owned()).collect(),
            countries: application.countries.clone(),
            countries_refused: application.countries_refused.clone(),
            text: application.text.clone(),
            mode: backend.mode.name().to_owned(),
            url: backend.url.clone(),
            token: backend.token.reveal().to_owned(),
            token_minutes: backend.token_minutes,
            makes_codes: backend.makes_codes,
            revoke_op: backend.revoke_op.clone(),
            verifier_url: verifier.as_ref().map(|verifier| verifier.url.clone()),
            verifier_secret: secret.unwrap_or_default(),
        }
    }

    /// `None`: written by a later version.
    fn application(&self, appid: String, name: String, enabled: bool) -> Option<Application> {
        let backend = Backend {
            mode: Mode::from_name(&self.mode)?,
            url: self.url.clone(),
            token: Secret::from(self.token.clone()),
            token_minutes: self.token_minutes,
            makes_codes: self.makes_codes,
            revoke_op: self.revoke_op.clone(),
        };
        let verifier =
            self.verifier_url.clone().map(|url| Verifier { url, secret: Secret::from(self.verifier_secret.clone()) });
        Some(Application {
            appid,
            name,
            enabled,
            result_style: ResultStyle::from_name(&self.result_style)?,
            legacy_errors: self.legacy_errors,
            ways: self.ways.iter().map(|way| Way::from_name(way)).collect::<Option<_>>()?,
            countries: self.countries.clone(),
            countries_refused: self.countries_refused.clone(),
            text: self.text.clone(),
            backend,
            verifier,
        })
    }
}
