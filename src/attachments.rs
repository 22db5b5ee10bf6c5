//! Places for encrypted files: one client puts a file there, another fetches it, and after its life it goes.
//!
//! Files are in an object store: a directory that this node serves ([`crate::doors::attachments`]), or an S3-compatible store that
//! clients call themselves. Either way a client is given URLs that carry their own right and end ([`Attachments::allocate`],
//! [`Attachments::download_url`]); making one is arithmetic, no call, so the ingress may do it.
//!
//! Promises: a file is there whole or not at all, and after an answer of 200 it is on the disk; no file is kept in memory; whatever
//! was allocated is deleted when its life is over, the file before the row, so that an interruption leaves a row to come back to.
//! Leaves out who may allocate (the TextSecure door), what the bytes mean (they are encrypted), and, where an outside store takes
//! the upload, its size: that is for the store's own rules.

mod local;
mod purge;
mod s3;
mod signed;

pub use local::{Found, Parts};
pub use purge::purge;
pub use signed::{Denied, Operation};

use std::iter::successors;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::App;
use crate::config::textsecure::Store;
use crate::crypto;
use crate::db::DbError;
use local::Files;
use s3::Bucket;

/// The places; cheap to clone.
#[derive(Clone)]
pub struct Attachments {
    app: App,
    place: Place,
}

#[derive(Clone)]
enum Place {
    /// A directory, and what its URLs begin with.
    Local(Files, Arc<str>),
    S3(Bucket),
}

/// A new place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocated {
    /// 63 random bits: whoever does not know it does not guess it.
    pub id: u64,
    /// Where to put the file, for as long as `textsecure.attachments.url_life`. Putting it again replaces it.
    pub location: String,
}

/// Why something could not be done. None of it says which file it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The directory cannot be made or read.
    #[error("the directory of attachments, {}, cannot be used", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The object store failed, or cannot be used as it is set; what it said.
    #[error("the store of attachments failed: {0}")]
    Store(String),
}

impl Error {
    /// Whoever knows a file's id is halfway to the file, so what goes to the log is without ids.
    fn store(error: &(dyn std::error::Error + 'static)) -> Self {
        let said: Vec<String> = successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
        Self::Store(without_ids(&said.join(": ")))
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        Self::store(&error)
    }
}

/// What was said, without numbers that could be ids and without what a store's answer holds beside its status: that may repeat keys
/// and signatures.
fn without_ids(said: &str) -> String {
    let said = said.split('<').next().unwrap_or_default();
    let mut text = String::with_capacity(said.len());
    for part in said.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        if digits.len() > LONGEST_NUMBER {
            text.push('…');
            text.push_str(&part[digits.len()..]);
        } else {
            text.push_str(part);
        }
    }
    text
}

/// Digits that a port, a status or a count of milliseconds may have.
const LONGEST_NUMBER: usize = 5;

/// What uploads leave free of the disk, besides one more file.
const SPARE: u64 = 1 << 30;

const ALLOCATE: &str = "/* attachments::allocate */
insert into attachments (id, allocated_at) values ($1, $2) on conflict (id) do nothing";

const IS_ALLOCATED: &str = "/* attachments::begin */
select 1 from attachments where id = $1";

/// A place that was purged meanwhile comes back, so that no file is without a row.
const UPLOADED: &str = "/* attachments::finish */
insert into attachments (id, allocated_at, uploaded_at, bytes) values ($1, $2, $2, $3)
on conflict (id) do update set uploaded_at = excluded.uploaded_at, bytes = excluded.bytes";

impl Attachments {
    /// Opens the store that the settings name. Makes the directory, for its owner only, if it is not there; makes no call.
    pub fn new(app: &App) -> Result<Self, Error> {
        let settings = &app.config.textsecure.attachments;
        let place = match settings.store {
            Store::Local => {
                let directory = settings.directory.clone().unwrap_or_else(|| app.config.data_dir.join("attachments"));
                Place::Local(Files::open(&directory)?, base(app).into())
            }
            Store::S3 => Place::S3(Bucket::new(&app.config)?),
        };
        Ok(Self { app: app.clone(), place })
    }

    /// Whether URLs lead to this node, so that it must serve them.
    pub fn are_served_here(&self) -> bool {
        matches!(self.place, Place::Local(..))
    }

    /// A new place, with the URL to put a file there.
    pub async fn allocate(&self) -> Result<Allocated, Error> {
        loop {
            let id = u64::from_be_bytes(crypto::random()) >> 1;
            let made = self.app.db.execute(ALLOCATE, &[&id.cast_signed(), &self.app.clock.now()]).await?;
            if made == 1 {
                return Ok(Allocated { id, location: self.upload_url(id).await? });
            }
        }
    }

    /// The URL to put a file at a place that was allocated.
    pub async fn upload_url(&self, id: u64) -> Result<String, Error> {
        self.url(Operation::Put, id).await
    }

    /// The URL to fetch a file from. Whether there is one is not looked up: any number gets a URL.
    pub async fn download_url(&self, id: u64) -> Result<String, Error> {
        self.url(Operation::Get, id).await
    }

    /// Whether a URL of this node gives the right to do this with that file now; `query` is what stands behind its `?`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, operation: Operation, id: u64, query: &str) -> Result<(), Denied> {
        signed::check(&self.app, operation, id, query)
    }

    /// Begins to store a file in the directory. `None`: the place was never allocated, or its life is over.
    pub async fn begin(&self, id: u64) -> Result<Option<Upload>, Error> {
        let Some(files) = self.files() else { return Ok(None) };
        if self.app.db.row(IS_ALLOCATED, &[&id.cast_signed()]).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(Upload { app: self.app.clone(), id, file: files.begin().await?, bytes: 0 }))
    }

    /// A file of the directory, if it is there.
    pub async fn find(&self, id: u64) -> Result<Option<Found>, Error> {
        match self.files() {
            Some(files) => files.find(id).await,
            None => Ok(None),
        }
    }

    /// Some of a file's bytes. `None`: it is not there.
    pub async fn read(&self, id: u64, range: Range<u64>) -> Result<Option<Parts>, Error> {
        match self.files() {
            Some(files) => files.read(id, range).await,
            None => Ok(None),
        }
    }

    /// Whether the directory's disk has too little left for one more file: the database may be on the same.
    pub fn is_nearly_full(&self) -> bool {
        self.files().is_some_and(|files| files.room() < self.app.config.textsecure.attachments.largest.bytes() + SPARE)
    }

    fn files(&self) -> Option<&Files> {
        match &self.place {
            Place::Local(files, _) => Some(files),
            Place::S3(_) => None,
        }
    }

    async fn url(&self, operation: Operation, id: u64) -> Result<String, Error> {
        let life = self.app.config.textsecure.attachments.url_life.duration();
        match &self.place {
            Place::Local(_, base) => Ok(signed::url(&self.app, base, operation, id, life)),
            Place::S3(bucket) => bucket.url(operation, id, life).await,
        }
    }
}

/// A file on its way into the directory. Dropped, it leaves nothing behind.
pub struct Upload {
    app: App,
    id: u64,
    file: local::Writing,
    bytes: u64,
}

impl Upload {
    /// How many bytes there are so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends.
    pub async fn write(&mut self, part: Bytes) -> Result<(), Error> {
        self.bytes += part.len() as u64;
        self.file.write(part).await
    }

    /// Makes the file visible, in place of an earlier one. Of two at once, one is there whole.
    pub async fn finish(self) -> Result<(), Error> {
        self.file.finish(self.id).await?;
        let (id, bytes) = (self.id.cast_signed(), self.bytes.cast_signed());
        self.app.db.execute(UPLOADED, &[&id, &self.app.clock.now(), &bytes]).await?;
        Ok(())
    }
}

/// What the URLs of this node begin with.
fn base(app: &App) -> String {
    let url = app.config.textsecure.url.trim_end_matches('/');
    if url.is_empty() { format!("https://{}", app.config.domain) } else { url.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_says_goes_to_the_log_without_ids() {
        let said =
            "DELETE http://127.0.0.1:9000/files/4611686018427387904 in 12ms: 403: <Error>key and signature</Error>";
        assert_eq!(without_ids(said), "DELETE http://127.0.0.1:9000/files/… in 12ms: 403: ");
        assert_eq!(without_ids("/files/4611686018427387904#1: denied"), "/files/…#1: denied");
        assert_eq!(without_ids("4611686018427387904"), "…");
    }

    #[tokio::test]
    async fn urls_begin_with_the_domain_unless_another_one_is_set() {
        let mut app = App::for_tests("shop.example");
        assert_eq!(base(&app), "https://shop.example");
        let mut config = crate::config::Config::clone(&app.config);
        config.textsecure.url = "https://text.shop.example:8443/".into();
        app.config = Arc::new(config);
        assert_eq!(base(&app), "https://text.shop.example:8443");
    }
}
