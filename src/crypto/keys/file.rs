//! The key file: one key a line, `<number 1-65535> <64 hex digits>`, blank lines and lines beginning with `#` skipped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::crypto::{HexError, decode_hex_any_case, encode_hex, random};

/// Longest key file read, in bytes: some eight hundred keys.
const LARGEST: u64 = 64 * 1024;

/// Why the node's keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read the key file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("cannot create the key file {path}: {source}")]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may use the file.
    #[error("the key file {path} may be used by others than its owner (mode {mode:03o}); run: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Larger than any key file needs to be, so probably another file.
    #[error("the key file {0} is larger than 64 KiB; is it the right file?")]
    TooLarge(PathBuf),
    /// A line that is not a number and a key.
    #[error("line {line} of the key file must be `<number 1-65535> <64 hex digits>`")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A line whose key is not 64 hexadecimal digits.
    #[error("line {line} of the key file: the key {source}")]
    Key {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: HexError,
    },
    /// Two keys with one number: what was sealed under it could not be told apart.
    #[error("line {line} of the key file repeats the number {number}")]
    Repeated {
        /// Counted from 1.
        line: usize,
        /// The number.
        number: u16,
    },
    /// Nothing to seal with.
    #[error("the key file holds no key")]
    Empty,
}

/// One line of the file.
pub(super) struct MasterKey {
    /// What sealed values name it by.
    pub(super) number: u16,
    /// What everything is derived from.
    pub(super) secret: Zeroizing<[u8; 32]>,
}

/// The text of the file, if only its owner may use it.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.into(), source };
    // The open file is asked, not the path, so that it cannot be exchanged in between.
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.into(), mode });
    }
    let mut text = Zeroizing::new(String::with_capacity(about.len().min(LARGEST) as usize + 1));
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LARGEST {
        return Err(KeyFileError::TooLarge(path.into()));
    }
    Ok(text)
}

/// Makes the file with one new key and returns its text, when it is safely on the disk.
pub(super) fn create(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |source| KeyFileError::Create { path: path.into(), source };
    let key = Zeroizing::new(random::<32>());
    let key = Zeroizing::new(encode_hex(&*key));
    let text = Zeroizing::new(format!("{INTRODUCTION}1 {}\n", *key));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| sync_folder(path));
    if let Err(source) = written {
        // Half a key file would stop the next start with a puzzle.
        let _ = fs::remove_file(path);
        return Err(failed(source));
    }
    Ok(text)
}

const INTRODUCTION: &str = "\
# Keys that seal this node's secrets at rest. Without this file the database cannot be read: keep a copy, apart from it.\n\
# To replace the key, put a line with a new number above; keep the old lines until nothing sealed by them is left.\n";

/// The keys with their numbers, in the order of the file; at least one.
pub(super) fn parse(text: &str) -> Result<Vec<MasterKey>, KeyFileError> {
    let mut keys: Vec<MasterKey> = Vec::new();
    for (line, content) in (1..).zip(text.lines().map(str::trim)) {
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let key = parse_line(line, content)?;
        if keys.iter().any(|other| other.number == key.number) {
            return Err(KeyFileError::Repeated { line, number: key.number });
        }
        keys.push(key);
    }
    if keys.is_empty() { Err(KeyFileError::Empty) } else { Ok(keys) }
}

fn parse_line(line: usize, content: &str) -> Result<MasterKey, KeyFileError> {
    let mut words = content.split_whitespace();
    let (Some(number), Some(key), None) = (words.next(), words.next(), words.next()) else {
        return Err(KeyFileError::Line { line });
    };
    let number = number.parse().ok().filter(|number| *number != 0).ok_or(KeyFileError::Line { line })?;
    let key = decode_hex_any_case(key).map_err(|source| KeyFileError::Key { line, source })?;
    Ok(MasterKey { number, secret: Zeroizing::new(key) })
}

/// A new name in a folder is only safe when the folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::NodeKeys;
    use proptest::prelude::*;

    #[test]
    fn a_new_file_is_the_owners_alone_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.keys");
        NodeKeys::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&path).unwrap();
        assert!(matches!(NodeKeys::create(&path), Err(KeyFileError::Create { .. })));
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(NodeKeys::load(&path).unwrap().current(), 1);
    }

    #[test]
    fn a_file_others_may_read_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.keys");
        NodeKeys::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let words = NodeKeys::load(&path).unwrap_err().to_string();
        assert!(words.contains("mode 640") && words.contains("chmod 600"), "{words}");
    }

    #[test]
    fn every_mistake_names_its_line() {
        let key = "ab".repeat(32);
        let words = |text: &str| NodeKeys::parse(text).unwrap_err().to_string();
        assert_eq!(words("# nothing\n\n"), "the key file holds no key");
        assert_eq!(words(&format!("\n0 {key}")), "line 2 of the key file must be `<number 1-65535> <64 hex digits>`");
        assert!(words(&format!("65536 {key}")).starts_with("line 1 "));
        assert!(words(&format!("1 {key} more")).starts_with("line 1 "));
        assert!(words("1 abc").contains("exactly 64 hexadecimal digits"));
        assert_eq!(words(&format!("1 {key}\n1 {key}")), "line 2 of the key file repeats the number 1");
        assert!(!words(&format!("1 {}", "xy".repeat(32))).contains("xy"), "a mistyped key is not shown");
    }

    #[test]
    fn a_missing_file_is_named() {
        let words = NodeKeys::load(Path::new("/nonexistent/node.keys")).unwrap_err().to_string();
        assert!(words.contains("/nonexistent/node.keys"), "{words}");
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text: String) {
            let _ = parse(&text);
        }
    }
}
