//! Whose rights the servers run with, and the files made for them.
//!
//! PostgreSQL refuses to run as root, and nothing here needs to. As root the servers become the system user `handfast`
//! (made when missing), which owns their data and nothing else: configuration, logs and process ids stay root's, so that a
//! server that was taken over cannot make root write somewhere else. As anybody else, they run as oneself.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use tokio::process::Command;

use super::PairError;

const USER: &str = "handfast";

/// The user the servers run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Ourselves.
    Us,
    /// Root's choice: user and group id.
    Own(u32, u32),
}

impl Owner {
    /// Ourselves, or as root the user `handfast`.
    pub(super) fn find() -> Result<Self, PairError> {
        if !we_are_root() {
            return Ok(Self::Us);
        }
        if let Some(owner) = look_up()? {
            return Ok(owner);
        }
        let home = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"];
        let made = run("useradd", home.iter().chain(&["--shell", "/usr/sbin/nologin", USER]))?;
        // Another process may have made the user meanwhile: what counts is that it is there.
        look_up()?.ok_or(PairError::Failed { program: "useradd", output: made })
    }

    /// A command that runs with these rights, in `home`, knowing nothing of our environment.
    pub(super) fn command(self, program: impl AsRef<OsStr>, home: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin").env("LANG", "C.UTF-8");
        command.env("HOME", home).current_dir(home).stdin(std::process::Stdio::null());
        if let Self::Own(user, group) = self {
            command.uid(user).gid(group);
        }
        command
    }

    /// Hands `path` itself (nothing below it) over to the servers' user.
    pub(super) fn give(self, path: &Path) -> Result<(), PairError> {
        let Self::Own(user, group) = self else { return Ok(()) };
        std::os::unix::fs::lchown(path, Some(user), Some(group)).map_err(failed("give away", path))
    }

    /// Lets the servers' group, but not the user, have a part in `path`.
    pub(super) fn share(self, path: &Path) -> Result<(), PairError> {
        let Self::Own(_, group) = self else { return Ok(()) };
        std::os::unix::fs::lchown(path, None, Some(group)).map_err(failed("share", path))
    }

    /// Whether the servers' user may pass through `dir` and all directories above it.
    pub(super) fn reaches(self, dir: &Path) -> bool {
        let Self::Own(user, group) = self else { return true };
        dir.ancestors()
            .all(|dir| fs::metadata(dir).is_ok_and(|of| passes(of.mode(), user == of.uid(), group == of.gid())))
    }
}

/// Whether this process has root's rights.
pub(crate) fn we_are_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|of| of.uid() == 0)
}

/// Makes `dir` with exactly this mode, and what is missing above it; one that exists is somebody's and stays as it is.
pub(crate) fn make_dir(dir: &Path, mode: u32) -> Result<(), PairError> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(failed("make", dir))?;
    fs::set_permissions(dir, Permissions::from_mode(mode)).map_err(failed("set the mode of", dir))
}

/// Writes `content` with exactly this mode: whole or not at all, whatever dies meanwhile.
pub(crate) fn write_file(path: &Path, content: &str, mode: u32) -> Result<(), PairError> {
    let fresh = path.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    written.map_err(failed("write", path))
}

/// Turns an I/O error into ours.
pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PairError {
    let path = path.to_owned();
    move |source| PairError::File { action, path, source }
}

fn passes(mode: u32, is_owner: bool, in_group: bool) -> bool {
    let bit = if is_owner {
        0o100
    } else if in_group {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

fn look_up() -> Result<Option<Owner>, PairError> {
    Ok(read_entry(&run("getent", &["passwd", USER])?))
}

/// `name:password:uid:gid:…`, as `getent passwd` prints it.
fn read_entry(line: &str) -> Option<Owner> {
    let mut fields = line.trim().split(':').skip(2).map(str::parse::<u32>);
    match (fields.next()?, fields.next()?) {
        (Ok(user), Ok(group)) if user != 0 => Some(Owner::Own(user, group)),
        _ => None,
    }
}

/// Everything a program wrote, whether or not it was content.
fn run<'a>(program: &'static str, arguments: impl IntoIterator<Item = &'a &'a str>) -> Result<String, PairError> {
    let done = std::process::Command::new(program)
        .args(arguments.into_iter().copied())
        .output()
        .map_err(|source| PairError::Run { program: program.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_entries_are_read_and_root_is_never_taken() {
        assert_eq!(read_entry("handfast:x:997:996::/nonexistent:/usr/sbin/nologin\n"), Some(Owner::Own(997, 996)));
        for none in ["", "handfast:x:0:0::/:/bin/sh", "handfast:x:a:b::/:/bin/sh", "handfast:x:997"] {
            assert_eq!(read_entry(none), None, "{none}");
        }
    }

    #[test]
    fn passing_through_a_directory_takes_the_right_bit() {
        for (mode, is_owner, in_group, passable) in [
            (0o700, false, false, false),
            (0o700, true, false, true),
            (0o710, false, true, true),
            (0o711, false, false, true),
            (0o677, true, true, false),
        ] {
            assert_eq!(passes(mode, is_owner, in_group), passable, "{mode:o}");
        }
    }

    #[test]
    fn files_have_their_mode_and_replace_what_was_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("identity.json");
        for text in ["one", "two"] {
            write_file(&path, text, 0o600).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
            assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        }
    }
}
