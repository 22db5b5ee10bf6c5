//! A directory of files by their ids.
//!
//! An upload is written under a name of its own in a folder beside the others, put on the disk, and moved to its id in one step. What
//! a killed process leaves in that folder is deleted when nothing was written to it for long.

use std::fs::{self, DirBuilder};
use std::io;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path as FsPath, PathBuf};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, MultipartUpload, ObjectStore, ObjectStoreExt};
use uuid::Uuid;

use super::Error;

/// The folder of uploads under way.
const UNFINISHED: &str = "unfinished";
/// A part of an upload comes within `public.read_timeout`; an upload that was silent for so long has died.
const DEAD: Duration = Duration::from_secs(3600);

/// The directory; cheap to clone.
#[derive(Clone)]
pub(super) struct Files {
    store: LocalFileSystem,
    directory: PathBuf,
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its size.
    pub bytes: u64,
    /// Changes when it is replaced; without quotes.
    pub tag: String,
}

/// A file's bytes, one after the other.
pub struct Parts(Mutex<BoxStream<'static, object_store::Result<Bytes>>>);

/// A file that nobody sees yet.
pub(super) struct Writing {
    store: LocalFileSystem,
    name: Path,
    file: Box<dyn MultipartUpload>,
}

impl Files {
    /// Bytes that are left on its disk; as many as there can be where the system does not say.
    pub(super) fn room(&self) -> u64 {
        rustix::fs::statvfs(&self.directory).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    pub(super) fn open(directory: &FsPath) -> Result<Self, Error> {
        let failed = |source| Error::Directory { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory.join(UNFINISHED)).map_err(failed)?;
        let store = LocalFileSystem::new_with_prefix(directory)?.with_fsync(true);
        Ok(Self { store, directory: directory.to_owned() })
    }

    pub(super) async fn begin(&self) -> Result<Writing, Error> {
        let name = Path::from_iter([UNFINISHED, &Uuid::new_v4().simple().to_string()]);
        let file = self.store.put_multipart(&name).await?;
        Ok(Writing { store: self.store.clone(), name, file })
    }

    pub(super) async fn find(&self, id: u64) -> Result<Option<Found>, Error> {
        let found = there(self.store.head(&key(id)).await)?;
        Ok(found.map(|meta| Found { bytes: meta.size, tag: meta.e_tag.unwrap_or_default() }))
    }

    pub(super) async fn read(&self, id: u64, range: Range<u64>) -> Result<Option<Parts>, Error> {
        let options = GetOptions::new().with_range(Some(range));
        let found = there(self.store.get_opts(&key(id), options).await)?;
        Ok(found.map(|found| Parts(Mutex::new(found.into_stream()))))
    }

    /// Deletes a file; false: it was not there.
    pub(super) async fn delete(&self, id: u64) -> Result<bool, Error> {
        Ok(there(self.store.delete(&key(id)).await)?.is_some())
    }

    /// Deletes what dead uploads left; returns how many.
    pub(super) async fn sweep(&self) -> Result<u64, Error> {
        let (folder, path) = (self.directory.join(UNFINISHED), self.directory.clone());
        let swept = tokio::task::spawn_blocking(move || sweep(&folder, DEAD)).await;
        swept.unwrap_or_else(|died| Err(io::Error::other(died))).map_err(|source| Error::Directory { path, source })
    }
}

impl Writing {
    pub(super) async fn write(&mut self, part: Bytes) -> Result<(), Error> {
        Ok(self.file.put_part(part.into()).await?)
    }

    /// Complete on the disk, then moved.
    pub(super) async fn finish(mut self, id: u64) -> Result<(), Error> {
        self.file.complete().await?;
        Ok(self.store.rename(&self.name, &key(id)).await?)
    }
}

impl Stream for Parts {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Never locked: the mutex only says that one at a time polls it.
        let parts = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        parts.as_mut().poll_next(cx).map_err(Into::into)
    }
}

fn key(id: u64) -> Path {
    Path::from(id.to_string())
}

fn there<T>(result: object_store::Result<T>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn sweep(folder: &FsPath, dead: Duration) -> io::Result<u64> {
    let mut swept = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // An upload that ended in the meantime has taken its file along.
        let Ok(written) = entry.metadata().and_then(|meta| meta.modified()) else { continue };
        if written.elapsed().is_ok_and(|silent| silent >= dead) && fs::remove_file(entry.path()).is_ok() {
            swept += 1;
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use futures_util::TryStreamExt;

    use super::*;

    fn files() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(&dir.path().join("deep/files")).unwrap();
        (dir, files)
    }

    fn unfinished(files: &Files) -> usize {
        fs::read_dir(files.directory.join(UNFINISHED)).unwrap().count()
    }

    async fn bytes(files: &Files, id: u64, range: Range<u64>) -> Vec<u8> {
        let parts: Vec<Bytes> = files.read(id, range).await.unwrap().unwrap().try_collect().await.unwrap();
        parts.concat()
    }

    #[tokio::test]
    async fn a_file_is_seen_when_it_is_whole_and_by_nobody_else() {
        let (_dir, files) = files();
        let mode = fs::metadata(&files.directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let mut writing = files.begin().await.unwrap();
        writing.write("one ".into()).await.unwrap();
        assert!(files.find(7).await.unwrap().is_none());
        writing.write("two".into()).await.unwrap();
        writing.finish(7).await.unwrap();
        assert_eq!(files.find(7).await.unwrap().unwrap().bytes, 7);
        assert_eq!(bytes(&files, 7, 0..7).await, b"one two");
        assert_eq!(bytes(&files, 7, 2..5).await, b"e t");
        assert_eq!(unfinished(&files), 0);
        assert!(files.delete(7).await.unwrap());
        assert!(!files.delete(7).await.unwrap());
        assert!(files.read(7, 0..1).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_later_of_two_uploads_replaces_the_earlier_and_changes_the_tag() {
        let (_dir, files) = files();
        let (mut one, mut two) = (files.begin().await.unwrap(), files.begin().await.unwrap());
        one.write("first".into()).await.unwrap();
        two.write("second".into()).await.unwrap();
        two.finish(7).await.unwrap();
        let before = files.find(7).await.unwrap().unwrap();
        one.finish(7).await.unwrap();
        assert_eq!(bytes(&files, 7, 0..5).await, b"first");
        assert_ne!(files.find(7).await.unwrap().unwrap().tag, before.tag);
    }

    #[tokio::test]
    async fn what_a_dead_upload_left_is_swept_and_what_is_being_written_stays() {
        let (_dir, files) = files();
        let mut writing = files.begin().await.unwrap();
        writing.write("half".into()).await.unwrap();
        assert_eq!(files.sweep().await.unwrap(), 0);
        assert_eq!(unfinished(&files), 1);
        assert_eq!(sweep(&files.directory.join(UNFINISHED), Duration::ZERO).unwrap(), 1);
        assert_eq!(unfinished(&files), 0);
    }
}
