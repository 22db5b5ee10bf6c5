//! Passwords: from a file, the environment, the terminal (unseen) or standard input; never from the command line, which others see.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Failure;
use crate::config::Secret;

/// Fewest characters of a new one.
const FEWEST: usize = 10;

/// What a password is for, and how it is asked for.
pub(super) struct Asking {
    /// The environment's name for it.
    pub(super) variable: &'static str,
    /// What is said at the terminal for one that is there.
    pub(super) known: &'static str,
    /// And for a new one.
    pub(super) new: &'static str,
    /// Why a new one must not be short.
    pub(super) why: &'static str,
}

impl Asking {
    /// A password that is there.
    pub(super) fn known(&self, file: Option<&Path>) -> Result<Secret, Failure> {
        match self.given(file)? {
            Some(password) => Ok(password),
            None => self.asked(self.known),
        }
    }

    /// A new password: asked for twice at a terminal.
    pub(super) fn new(&self, file: Option<&Path>) -> Result<Secret, Failure> {
        let password = match self.given(file)? {
            Some(password) => password,
            None => {
                let password = self.asked(self.new)?;
                if std::io::stdin().is_terminal() && self.asked("Once more: ")?.reveal() != password.reveal() {
                    return Err(Failure::Usage("the two passwords differ".into()));
                }
                password
            }
        };
        if password.reveal().chars().count() < FEWEST {
            return Err(Failure::Usage(format!("a password has at least {FEWEST} characters: {}", self.why)));
        }
        Ok(password)
    }

    fn given(&self, file: Option<&Path>) -> Result<Option<Secret>, Failure> {
        if let Some(path) = file {
            let read = std::fs::read_to_string(path).map(Zeroizing::new);
            let text = read.map_err(|source| Failure::File { path: path.to_owned(), source })?;
            return line(&text)
                .map(Some)
                .ok_or_else(|| Failure::Usage(format!("{}: no password in it", path.display())));
        }
        Ok(std::env::var(self.variable).ok().map(Zeroizing::new).and_then(|text| line(&text)))
    }

    fn asked(&self, prompt: &str) -> Result<Secret, Failure> {
        let stdin = std::io::stdin();
        let mut text = Zeroizing::new(String::new());
        let hidden = stdin.is_terminal().then(|| Unseen::begin(prompt)).transpose()?;
        let read = stdin.lock().read_line(&mut text);
        drop(hidden);
        read.map_err(|source| Failure::File { path: "standard input".into(), source })?;
        let none = || format!("no password: give it at the prompt, by --password-file or {}", self.variable);
        line(&text).ok_or_else(|| Failure::Usage(none()))
    }
}

/// The first line, whose blanks count.
fn line(text: &str) -> Option<Secret> {
    let line = text.lines().next().unwrap_or_default();
    (!line.is_empty()).then(|| Secret::from(line.to_owned()))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Unseen(rustix::termios::Termios);

impl Unseen {
    fn begin(prompt: &str) -> Result<Self, Failure> {
        eprint!("{prompt}");
        std::io::stderr().flush()?;
        let shown = tcgetattr(std::io::stdin()).map_err(std::io::Error::from)?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden).map_err(std::io::Error::from)?;
        Ok(Self(shown))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
        eprintln!();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKING: Asking = Asking { variable: "HANDFAST_NO_SUCH_PASSWORD", known: "", new: "", why: "so it is" };

    #[test]
    fn a_password_is_the_first_line_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, " correct horse battery \nsecond line\n").unwrap();
        assert_eq!(ASKING.known(Some(&path)).unwrap().reveal(), " correct horse battery ");
        std::fs::write(&path, "short\n").unwrap();
        assert!(ASKING.new(Some(&path)).is_err_and(|e| e.to_string().contains("at least 10")));
        std::fs::write(&path, "\n").unwrap();
        assert!(ASKING.known(Some(&path)).is_err_and(|e| e.to_string().contains("no password")));
    }
}
