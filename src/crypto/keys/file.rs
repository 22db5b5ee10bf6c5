//! The key file: one key a line, `<number 1-65535> <64 hex digits>`, blank lines and lines beginning with `#` skipped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
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
    /// A key that is in use is not in the file any more, or is another one.
    #[error("the key file has lost key {0}, or holds another under its number; put it back from a copy")]
    Lost(u16),
    /// There is no such key to promote.
    #[error("the key file holds no key {0}")]
    Unknown(u16),
    /// The file cannot be replaced.
    #[error("cannot replace the key file {path}: {source}; it is as it was")]
    Replace {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has a second name, which would go on to show the old one.
    #[error(
        "the key file {0} has another name too (a hard link): a change would leave two different key files; remove one of them"
    )]
    Linked(PathBuf),
    /// It was changed by somebody else at the same time.
    #[error("the key file {0} was changed by somebody else meanwhile; nothing was done, look at it and try again")]
    Changed(PathBuf),
    /// Numbers end at 65,535.
    #[error("there is no further number for a key")]
    NoNumber,
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
# The first one seals, all of them open. `handfast key rotate` adds one; never remove a line: what it sealed would be lost.\n";

/// Adds a new key below all others. Its number is one above the highest.
pub(super) fn add(path: &Path) -> Result<u16, KeyFileError> {
    change(path, |text| {
        let keys = parse(text)?;
        let highest = keys.iter().map(|key| key.number).max().unwrap_or_default();
        let number = highest.checked_add(1).ok_or(KeyFileError::NoNumber)?;
        let key = Zeroizing::new(random::<32>());
        let key = Zeroizing::new(encode_hex(&*key));
        let end = if text.ends_with('\n') { "" } else { "\n" };
        Ok((Zeroizing::new(format!("{text}{end}{number} {}\n", *key)), number))
    })
}

/// Moves the line of a key above those of all others; comments stay where they are.
pub(super) fn promote(path: &Path, number: u16) -> Result<(), KeyFileError> {
    change(path, |text| {
        let is_key = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
        let numbered = |line: &&str| {
            is_key(line) && line.split_whitespace().next().and_then(|word| word.parse().ok()) == Some(number)
        };
        let line = text.lines().find(numbered).ok_or(KeyFileError::Unknown(number))?;
        let mut moved = Zeroizing::new(String::with_capacity(text.len() + 1));
        let mut placed = false;
        for other in text.lines().filter(|other| !numbered(other)) {
            if is_key(&other) && !placed {
                placed = true;
                moved.push_str(line);
                moved.push('\n');
            }
            moved.push_str(other);
            moved.push('\n');
        }
        if !placed {
            moved.push_str(line);
            moved.push('\n');
        }
        Ok((moved, ()))
    })
}

/// Replaces the file as a whole: a reader sees the old one or the new one, and a crash leaves one of them. What is written is read
/// back before it takes the old one's place, and must hold every key of the old one.
fn change<T>(
    path: &Path,
    edit: impl FnOnce(&str) -> Result<(Zeroizing<String>, T), KeyFileError>,
) -> Result<T, KeyFileError> {
    let failed = |source| KeyFileError::Replace { path: path.into(), source };
    // A link to the file stays a link, and the file stays where it is.
    let real = path.canonicalize().map_err(failed)?;
    let lock = File::open(&real).map_err(failed)?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| KeyFileError::Changed(path.into()))?;
    let about = lock.metadata().map_err(failed)?;
    if about.nlink() != 1 {
        return Err(if about.nlink() == 0 {
            KeyFileError::Changed(path.into())
        } else {
            KeyFileError::Linked(path.into())
        });
    }
    let text = read(&real)?;
    let (new, answer) = edit(&text)?;
    if new.len() as u64 > LARGEST {
        return Err(KeyFileError::TooLarge(path.into()));
    }
    let fresh = beside(&real);
    // What a crash left: it was never in use.
    let _ = fs::remove_file(&fresh);
    let replaced = write_beside(&fresh, &new, &about).map_err(failed).and_then(|()| {
        holds_all_of(&text, &read(&fresh)?)?;
        if read(&real)?.as_str() != text.as_str() {
            return Err(KeyFileError::Changed(path.into()));
        }
        fs::rename(&fresh, &real).and_then(|()| sync_folder(&real)).map_err(failed)
    });
    if replaced.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    replaced.map(|()| answer)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn write_beside(fresh: &Path, text: &str, old: &fs::Metadata) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh)?;
    // Root changes what belongs to the node's own user.
    let about = file.metadata()?;
    if (about.uid(), about.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Never may a change of the file lose a key.
fn holds_all_of(old: &str, new: &str) -> Result<(), KeyFileError> {
    let kept = parse(new)?;
    for key in parse(old)? {
        let same = |other: &MasterKey| other.number == key.number && *other.secret == *key.secret;
        if !kept.iter().any(same) {
            return Err(KeyFileError::Lost(key.number));
        }
    }
    Ok(())
}

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
    fn a_change_keeps_every_key_and_every_comment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.keys");
        let (one, five) = ("11".repeat(32), "55".repeat(32));
        fs::write(&path, format!("# ours\n\n5 {five}\n# the first\n1 {one}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(add(&path).unwrap(), 6);
        promote(&path, 6).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let starts: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(starts, ["#", "", "6", "5", "#", "1"], "{text}");
        assert!(text.contains(&one) && text.contains(&five));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(promote(&path, 9), Err(KeyFileError::Unknown(9))));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_with_two_names_is_not_changed_and_a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("node.keys"), folder.path().join("other"));
        NodeKeys::create(&path).unwrap();
        fs::hard_link(&path, &other).unwrap();
        assert!(matches!(add(&path), Err(KeyFileError::Linked(_))));
        fs::remove_file(&other).unwrap();
        std::os::unix::fs::symlink(&path, &other).unwrap();
        assert_eq!(add(&other).unwrap(), 2);
        assert!(fs::symlink_metadata(&other).unwrap().is_symlink());
        assert_eq!(NodeKeys::load(&path).unwrap().numbers(), [1, 2]);
    }

    #[test]
    fn what_would_lose_a_key_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.keys");
        NodeKeys::create(&path).unwrap();
        let before = fs::read(&path).unwrap();
        let loses = |_: &str| Ok((Zeroizing::new(format!("2 {}\n", "22".repeat(32))), ()));
        assert!(matches!(change(&path, loses), Err(KeyFileError::Lost(1))));
        let other = |_: &str| Ok((Zeroizing::new(format!("1 {}\n", "22".repeat(32))), ()));
        assert!(matches!(change(&path, other), Err(KeyFileError::Lost(1))));
        let two_at_once = |_: &str| {
            assert!(matches!(add(&path), Err(KeyFileError::Changed(_))));
            Err::<(Zeroizing<String>, ()), _>(KeyFileError::Empty)
        };
        assert!(matches!(change(&path, two_at_once), Err(KeyFileError::Empty)));
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
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
