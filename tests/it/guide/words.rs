//! Every error has its place in `docs/errors.md`: what the source says when something is wrong is looked up there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::blocks::root;

fn sources() -> String {
    fn collect(dir: &Path, text: &mut String) {
        let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                collect(&path, text);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let file = fs::read_to_string(&path).unwrap();
                text.push_str(file.split("#[cfg(test)]\nmod tests").next().unwrap_or_default());
            }
        }
    }
    let mut text = String::new();
    collect(&root().join("src"), &mut text);
    collect(&root().join("workers"), &mut text);
    text
}

/// The text literals in what follows, up to the bracket that closes it.
fn literals(code: &str) -> Vec<String> {
    let (mut found, mut depth) = (Vec::new(), 1);
    let mut rest = code.chars();
    while let Some(c) = rest.next() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '"' => {
                let mut text = String::new();
                while let Some(c) = rest.next() {
                    match c {
                        '"' => break,
                        '\\' => match rest.next() {
                            // A line that goes on behind the blanks of the next.
                            Some('\n') => {
                                let trimmed = rest.as_str().trim_start();
                                rest = trimmed.chars();
                            }
                            Some(c) => text.push(c),
                            None => break,
                        },
                        c => text.push(c),
                    }
                }
                found.push(text);
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// What `start` is followed by in the sources: the last literal, which is the message.
fn said(sources: &str, start: &str) -> BTreeSet<String> {
    sources.split(start).skip(1).filter_map(|code| literals(code).pop()).collect()
}

/// The longest part of a message that is the same whatever happened.
fn fixed(message: &str) -> &str {
    let parts = message.split(['{', '}']).step_by(2).map(|part| part.trim_matches([' ', ';', '(', ')', ':', '"']));
    parts.max_by_key(|part| part.len()).unwrap_or_default()
}

#[test]
fn every_error_is_explained() {
    let (sources, page) = (sources(), fs::read_to_string(root().join("docs/errors.md")).unwrap());
    let mut missing = BTreeSet::new();
    let mut lines = 0;
    for start in ["tracing::error!(", "tracing::warn!("] {
        for message in said(&sources, start) {
            lines += 1;
            if !page.contains(fixed(&message)) {
                missing.insert(message);
            }
        }
    }
    assert!(lines > 100, "only {lines} lines of the log were found");
    let reasons = said(&sources, "Advice::Never(");
    assert!(reasons.len() > 15, "reasons were not found: {reasons:?}");
    missing.extend(reasons.into_iter().filter(|reason| !page.contains(&format!("`{reason}`"))));
    for kind in handfast::doors::api::problem::Kind::ALL {
        if !page.contains(&format!("| `{}` | {} |", kind.name(), kind.status().as_u16())) {
            missing.insert(kind.name().to_owned());
        }
    }
    assert!(missing.is_empty(), "docs/errors.md lacks {missing:#?}");
}

#[test]
fn literals_are_read() {
    assert_eq!(
        literals(
            r#"a = "b", "c \"d\" \
        e") + "f""#
        ),
        ["b", "c \"d\" e"]
    );
    assert_eq!(fixed("cannot be started ({error}); again in {pause:?}"), "cannot be started");
}
