//! Commands that are printed are commands: the examples of help texts, and what stands between backticks in the documentation.

use std::ffi::OsString;
use std::fs;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use handfast::arguments::Arguments;

use super::blocks::{pages, root};

/// What stands for something, and something that it stands for.
const PLACEHOLDERS: [(&str, &str); 7] = [
    ("ID", "0192f0c1-5a3e-7b11-8f00-1234567890ab"),
    ("ID…", "0192f0c1-5a3e-7b11-8f00-1234567890ab"),
    ("N", "5"),
    ("TIME", "10m"),
    ("URL", "https://hub.example/"),
    ("SHELL", "bash"),
    ("CURSOR", "12"),
];

/// What is not wrong with a command that is only mentioned.
const MENTIONED: [ErrorKind; 3] =
    [ErrorKind::MissingRequiredArgument, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, ErrorKind::DisplayHelp];

/// The words of a line as a shell makes them, without what follows a redirection or a pipe.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None, '|' | '>' | '<' | '&' | ';' | '#') => break,
            (None, ' ') => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// Why a line is no command, if it is none. What may be left out stands in brackets; `…` and `COMMAND` are any command.
fn fault(line: &str) -> Option<clap::Error> {
    let line = line.replace(['[', ']'], " ");
    let stands_for = |word: String| {
        let known = PLACEHOLDERS.iter().find(|(name, _)| *name == word);
        OsString::from(known.map_or(word, |(_, value)| (*value).to_owned()))
    };
    let told = words(&line).into_iter().filter(|word| !matches!(word.as_str(), "…" | "COMMAND"));
    let arguments = Arguments::completed(told.map(stands_for));
    Arguments::try_parse_from(arguments).err()
}

/// Every command's path with its help.
fn helps() -> Vec<(String, String)> {
    fn below(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
        let help = command.get_after_help().map(|help| help.to_string()).unwrap_or_default();
        found.push((path.to_owned(), help));
        for sub in command.get_subcommands() {
            below(sub, &format!("{path} {}", sub.get_name()), found);
        }
    }
    let mut found = Vec::new();
    below(&Arguments::command(), "handfast", &mut found);
    found
}

#[test]
fn every_example_in_a_help_text_is_accepted() {
    let mut examples = 0;
    for (path, help) in helps() {
        let joined = help.replace("\\\n", " ");
        for line in joined.lines().map(str::trim_start).filter(|line| line.starts_with("handfast ")) {
            examples += 1;
            if let Some(error) = fault(line) {
                panic!("{path}: {line}\n{error}");
            }
        }
    }
    assert!(examples > 60, "only {examples} examples were found");
}

/// What stands between backticks in a text, blocks left out; also over the end of a line.
fn quoted(text: &str) -> Vec<String> {
    let mut fenced = false;
    let prose: Vec<&str> = text
        .lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fence && !fenced
        })
        .collect();
    let paragraphs = prose.join("\n");
    let inside = paragraphs.split("\n\n").flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2));
    inside.map(|quote| quote.replace('\n', " ").replace("\\|", "|")).collect()
}

#[test]
fn every_command_between_backticks_is_one() {
    let mut places = pages();
    let observed = fs::read_dir(root().join("ops/observe")).unwrap();
    places.extend(observed.map(|entry| format!("ops/observe/{}", entry.unwrap().file_name().to_string_lossy())));
    let (mut commands, mut wrong) = (0, Vec::new());
    for place in places {
        let text = fs::read_to_string(root().join(&place)).unwrap();
        for line in quoted(&text).into_iter().filter(|quote| quote.starts_with("handfast ")) {
            commands += 1;
            // A mention may leave out what a call must say.
            let whole = fault(&line).filter(|error| !MENTIONED.contains(&error.kind()));
            wrong.extend(whole.map(|error| format!("{place}: {line}\n{error}")));
        }
    }
    assert!(commands > 60, "only {commands} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn quotes_are_found() {
    assert_eq!(quoted("a `b` c\n```sh\n`x`\n```\n`d\ne` f"), ["b", "d e"]);
    assert!(fault("handfast deliveries --state failed").is_none());
    assert!(fault("handfast deliveries --stat failed").is_some());
}
