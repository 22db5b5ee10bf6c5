//! The fenced blocks of a page.

use std::fs;
use std::path::{Path, PathBuf};

/// How a block is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    ToItsEnd,
    Background {
        until: String,
    },
    Stopped,
    Fails,
    Never(String),
    /// Nothing to run.
    Shown,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) page: String,
    line: usize,
    pub(super) language: String,
    pub(super) way: Way,
    pub(super) text: String,
    /// What it answers, where that is printed.
    pub(super) output: Option<String>,
}

impl Block {
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    pub(super) fn runs(&self) -> bool {
        !matches!(self.way, Way::Never(_) | Way::Shown)
    }
}

pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The README and every page of the documentation, by their paths in the repository.
pub(super) fn pages() -> Vec<String> {
    let mut found = vec![String::from("README.md")];
    collect(&root().join("docs"), &mut found);
    assert!(found.len() > 20, "the documentation was not found");
    found
}

fn collect(dir: &Path, found: &mut Vec<String>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
        }
    }
}

pub(super) fn blocks_of(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let page = page.to_string_lossy().into_owned();
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    // Whether something else than blank lines came after the last block.
    let mut apart = true;
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            apart |= !line.trim().is_empty();
            continue;
        };
        let inside: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
        let inside = inside.join("\n");
        let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
        match blocks.last_mut().filter(|last| language == "text" && !apart && last.runs()) {
            Some(last) => last.output = Some(inside),
            None => blocks.push(Block {
                page: page.clone(),
                line: number + 1,
                language: language.to_owned(),
                way: way(language, rest),
                text: inside,
                output: None,
            }),
        }
        apart = false;
    }
    blocks
}

fn way(language: &str, rest: &str) -> Way {
    if language != "sh" {
        return Way::Shown;
    }
    if let Some(until) = rest.strip_prefix("background until: ") {
        return Way::Background { until: until.to_owned() };
    }
    match rest {
        "" => Way::ToItsEnd,
        "stopped" => Way::Stopped,
        "fails" => Way::Fails,
        other => Way::Never(other.strip_prefix("never: ").unwrap_or(other).to_owned()),
    }
}

/// Whether an output is as it is printed, where `…` is anything. A line that is only `…` is any number of lines.
pub(super) fn is_like(printed: &str, output: &str) -> bool {
    let mut rest = output.trim().lines().map(str::trim_end).collect::<Vec<_>>();
    let mut skipping = false;
    for wanted in printed.trim().lines().map(str::trim_end) {
        if wanted.trim() == "…" {
            skipping = true;
            continue;
        }
        let found = match skipping {
            true => rest.iter().position(|line| line_is_like(wanted, line)),
            false => rest.first().and_then(|line| line_is_like(wanted, line).then_some(0)),
        };
        let Some(found) = found else { return false };
        rest.drain(..=found);
        skipping = false;
    }
    skipping || rest.is_empty()
}

fn line_is_like(wanted: &str, line: &str) -> bool {
    let mut parts = wanted.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A part of a configuration is one with what every configuration needs. Files that it names are not looked at.
pub(super) fn is_configuration(text: &str) -> Result<(), String> {
    let part: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut whole = toml::Table::new();
    whole.insert("domain".into(), "shop.example".into());
    whole.insert("data_dir".into(), "/nonexistent".into());
    whole.insert("mode".into(), "development".into());
    whole.extend(part);
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = dir.path().join("handfast.toml");
    fs::write(&file, whole.to_string()).map_err(|error| error.to_string())?;
    handfast::config::load(Some(&file)).map(drop).map_err(|error| error.to_string())
}

#[test]
fn outputs_are_compared() {
    assert!(is_like("a…c\n…\nz", "abc\nx\ny\nz\n"));
    assert!(is_like("a  b", "a  b"));
    assert!(!is_like("a", "a\nb"));
    assert!(!is_like("a…c", "abd"));
    assert!(is_like("id …\n…", "id 1\nx"));
}
