//! The blocks of `docs/clients.md`, each as a program of its own.

const PAGE: &str = include_str!("../../../docs/clients.md");
/// What the other blocks of a language begin with.
const CLIENT: &str = "The client";
/// What stands alone.
const ALONE: &str = "Receive a webhook";

/// One block.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) language: &'static str,
    /// Of its section.
    pub(super) title: String,
    pub(super) text: String,
}

/// All programs, in their order.
pub(super) fn blocks() -> Vec<Block> {
    let (mut found, mut client, mut title) = (Vec::new(), String::new(), "");
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("### ") {
            title = text;
        }
        let Some(language) = line.strip_prefix("```").filter(|language| !language.is_empty()) else {
            continue;
        };
        let code = lines.by_ref().take_while(|line| *line != "```");
        let text: String = code.flat_map(|line| [line, "\n"]).collect();
        if language == "text" {
            continue;
        }
        match title {
            CLIENT => client = text,
            _ if language == "sh" || title == ALONE => found.push(Block { language, title: title.into(), text }),
            _ => found.push(Block { language, title: title.into(), text: format!("{client}\n{text}") }),
        }
    }
    found
}
