//! What a phone remembers of a space: the hub, the space's id, and the vault, sealed. Nothing in it helps without the password.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::Failure;

/// The file's content.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SpaceFile {
    /// The hub's address.
    pub(super) hub: String,
    /// The space's id, which is secret.
    pub(super) space: String,
    /// As the hub keeps it.
    pub(super) vault: String,
}

impl SpaceFile {
    /// Reads a file that only its owner can read.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |source| Failure::File { path: path.to_owned(), source };
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let hint = "`handfast homing create --hub URL` makes a space, `homing open` brings one here";
                return Err(Failure::Refused(format!("{}: no space here ({hint})", path.display())));
            }
            other => other.map_err(wrong)?,
        };
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(Failure::Refused(format!("{}: others can read it; `chmod 600` it", path.display())));
        }
        let text = fs::read_to_string(path).map_err(wrong)?;
        serde_json::from_str(&text).map_err(|_| Failure::Refused(format!("{}: not a space's file", path.display())))
    }

    /// Writes it, whole or not at all, with mode 0600.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Failure::Refused(e.to_string()))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let new = path.with_extension("new");
        let written = || {
            folder.map_or(Ok(()), fs::create_dir_all)?;
            // What an interrupted run left.
            let _ = fs::remove_file(&new);
            write_secret(&new, &(text + "\n"))?;
            fs::rename(&new, path)
        };
        written().map_err(|source| Failure::File { path: path.to_owned(), source })
    }
}

/// Writes a new file with mode 0600, to the disk.
pub(super) fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Where the file is unless it is said: in the user's folder for settings (XDG Base Directory).
pub(super) fn default_place() -> Result<PathBuf, Failure> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let folder = folder.ok_or_else(|| Failure::Usage("say with --space where the space's file is".into()))?;
    Ok(folder.join("handfast").join("space.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_is_kept_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("space.json");
        let space =
            SpaceFile { hub: "https://hub.example/homing/hub".into(), space: "hsp_x".into(), vault: "{}".into() };
        assert!(SpaceFile::read(&path).is_err_and(|e| e.to_string().contains("homing create")));
        space.write(&path).unwrap();
        space.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SpaceFile::read(&path).unwrap().space, "hsp_x");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(SpaceFile::read(&path).is_err_and(|e| e.to_string().contains("chmod 600")));
    }
}
