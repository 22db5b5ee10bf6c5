//! The short form of a list: a group of commands that is called without one of them means its `list`, as in
//! `handfast deliveries --state failed`.
//!
//! Done before the words are parsed, so that help, completions and manual pages know nothing of it. A group whose `list` wants to be
//! told more, such as whose pass codes, asks for it then.

use std::ffi::OsString;

use clap::Command;

const LIST: &str = "list";

/// The words of a command line, the program first, with the `list` that they mean. Others are as they came.
pub(super) fn completed(root: &mut Command, mut words: Vec<OsString>) -> Vec<OsString> {
    // Only then do commands know the options of those above them.
    root.build();
    if let Some(at) = place(root, &words) {
        words.insert(at, LIST.into());
    }
    words
}

/// Where `list` belongs: right behind a group of which nothing else was called.
fn place(root: &Command, words: &[OsString]) -> Option<usize> {
    let (mut command, mut behind, mut at) = (root, 1, 1);
    while let Some(word) = words.get(at) {
        at += 1;
        let word = word.to_str()?;
        if matches!(word, "-h" | "--help") {
            return None;
        }
        if word.starts_with('-') {
            match values(command, word) {
                Some(values) => at += values,
                // Not the group's: the list's, or nobody's.
                None => break,
            }
        } else {
            (command, behind) = (command.find_subcommand(word)?, at);
        }
    }
    let means_list = command.is_subcommand_required_set() && command.find_subcommand(LIST).is_some();
    means_list.then_some(behind)
}

/// How many words behind this one belong to it, if it is an option of the command.
fn values(command: &Command, word: &str) -> Option<usize> {
    let (name, value) =
        word.strip_prefix("--")?.split_once('=').map_or((&word[2..], None), |(name, value)| (name, Some(value)));
    let option = command.get_arguments().find(|argument| argument.get_long() == Some(name))?;
    Some(usize::from(value.is_none() && option.get_action().takes_values()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use clap::CommandFactory;

    fn completed_line(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        let words = completed(&mut Arguments::command(), words);
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_group_alone_means_its_list() {
        for (line, meant) in [
            ("handfast deliveries", "handfast deliveries list"),
            ("handfast deliveries --state failed", "handfast deliveries list --state failed"),
            ("handfast --json", "handfast --json"),
            ("handfast destinations --json --api http://a", "handfast destinations list --json --api http://a"),
            ("handfast campaign --api=http://a --all", "handfast campaign list --api=http://a --all"),
            ("handfast key", "handfast key list"),
            ("handfast homing site", "handfast homing site list"),
            ("handfast passcodes", "handfast passcodes list"),
        ] {
            assert_eq!(completed_line(line), meant);
        }
    }

    #[test]
    fn nothing_else_is_changed() {
        for line in [
            "handfast",
            "handfast help",
            "handfast deliveries --help",
            "handfast deliveries show 1",
            "handfast --version",
            "handfast deliveries --api http://a count",
            "handfast deliveries nonsense",
            "handfast inbox --unread",
            "handfast hub",
            "handfast send list",
            "handfast serve --config a.toml",
        ] {
            assert_eq!(completed_line(line), line);
        }
    }
}
