//! Writes codes into a file instead of sending them: for one's own machine, where the settings allow it.

use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::{Carry, Letter, Said, Word};
use crate::books::Outcome;

/// For its owner only.
const MODE: u32 = 0o600;

/// One file.
pub(super) struct Recording {
    file: PathBuf,
}

impl Recording {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned() }
    }

    async fn run(&self, letter: &Letter<'_>) -> Word {
        let line = json!({
            "at": letter.now,
            "id": letter.id,
            "type": letter.type_name(),
            "to": letter.to,
            "text": letter.text(),
            "code": letter.code,
            "expires_at": letter.expires_at,
            "service": letter.service,
        });
        let file = self.file.clone();
        let written = tokio::task::spawn_blocking(move || append(&file, &format!("{line}\n"))).await;
        match written {
            Ok(Ok(())) => Word::new(Said::Sent, None, "sent"),
            Ok(Err(error)) => {
                tracing::warn!(%error, file = %self.file.display(), "a code could not be recorded");
                Word::trouble(Outcome::NotSent, "file")
            }
            Err(_) => Word::trouble(Outcome::Unknown, "internal"),
        }
    }
}

impl Carry for Recording {
    fn carry<'a>(&'a self, letter: &'a Letter<'a>, _: Duration) -> BoxFuture<'a, Word> {
        self.run(letter).boxed()
    }
}

/// In one write, so that lines of several processes do not mix.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != MODE {
        file.set_permissions(std::fs::Permissions::from_mode(MODE))?;
    }
    file.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::carriers::letter;

    #[tokio::test]
    async fn a_line_a_code_in_a_file_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("codes.jsonl");
        std::fs::write(&path, "").unwrap();
        let recording = Recording::new(&path);
        for _ in 0..2 {
            assert_eq!(recording.run(&letter::of_tests()).await.said, Said::Sent);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[1]["code"], &lines[1]["type"]), (2, &json!("123456"), &json!("code.sms")));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let nowhere = Recording::new(&dir.path().join("none/codes.jsonl"));
        assert_eq!(nowhere.run(&letter::of_tests()).await.code, "file");
    }
}
