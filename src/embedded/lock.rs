//! One process at a time runs the servers of a directory.
//!
//! The lock is the kernel's (`flock`), so it cannot be left behind: it ends with the process that holds it. Children do not
//! inherit it. The process id in the file is for the error message alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::PairError;
use super::owner::{failed, make_dir};

/// The right to run the servers of a directory, until dropped.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `dir`, making the directory when it is missing; does not wait.
    pub(super) fn take(dir: &Path) -> Result<Self, PairError> {
        make_dir(dir, 0o711)?;
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
                let holder = if known { holder.trim().to_owned() } else { "?".to_owned() };
                return Err(PairError::Busy { dir: dir.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
        sign(&mut file).map_err(failed("write", &path))?;
        Ok(Self { _file: file })
    }
}

fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_with_the_first_ones_process_id_until_it_lets_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Lock::take(dir.path()).expect("free");
        match Lock::take(dir.path()) {
            Err(PairError::Busy { holder, .. }) => assert_eq!(holder, std::process::id().to_string()),
            _ => panic!("taken twice"),
        }
        drop(first);
        assert!(Lock::take(dir.path()).is_ok());
    }
}
