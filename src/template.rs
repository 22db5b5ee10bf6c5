//! Texts with gaps: `Order {order_id} is on its way`. `{{` and `}}` stand for the braces themselves.
//!
//! Parsing is strict, because a mistake in a template is a mistake in every message of a run. [`JsonTemplate`] is a whole JSON value
//! with gaps in its texts.

mod json;

pub use json::{JsonError, JsonTemplate, RenderError};

use std::collections::BTreeSet;
use std::fmt;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Gap(String),
}

/// What is wrong with a template. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{` without its `}`.
    #[error("the {{ at character {0} is never closed (write {{{{ for a brace)")]
    Open(usize),
    /// `}` without its `{`.
    #[error("the }} at character {0} closes nothing (write }}}} for a brace)")]
    Close(usize),
    /// `{}` or `{ }`.
    #[error("the braces at character {0} name no column (write {{{{ and }}}} for braces)")]
    Empty(usize),
}

/// A gap that the row has nothing for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the row has no value for {{{0}}}")]
pub struct Missing(pub String);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Where the first mistake is.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars().zip(1..).peekable();
        while let Some((c, at)) = chars.next() {
            match c {
                '{' | '}' if chars.next_if(|(next, _)| *next == c).is_some() => plain.push(c),
                '}' => return Err(TemplateError::Close(at)),
                '{' => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Gap(gap(&mut chars, at)?));
                }
                _ => plain.push(c),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// The names of its gaps.
    pub fn gaps(&self) -> BTreeSet<&str> {
        let gap = |part: &'_ Part| matches!(part, Part::Gap(_));
        self.parts.iter().filter(|part| gap(part)).map(Part::as_str).collect()
    }

    /// How many bytes the text has with every gap filled; a gap that `value` has nothing for counts nothing.
    pub fn length<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> usize {
        let length = |part: &Part| match part {
            Part::Text(plain) => plain.len(),
            Part::Gap(name) => value(name).map_or(0, str::len),
        };
        self.parts.iter().map(length).fold(0, usize::saturating_add)
    }

    /// The text with every gap filled.
    ///
    /// # Errors
    /// The first gap that `value` has nothing for.
    pub fn render<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, Missing> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Gap(name) => text.push_str(value(name).ok_or_else(|| Missing(name.clone()))?),
            }
        }
        Ok(text)
    }
}

impl Part {
    fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Gap(text) => text,
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Part::Gap(name) => write!(f, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}

fn gap(chars: &mut impl Iterator<Item = (char, usize)>, opened: usize) -> Result<String, TemplateError> {
    let mut name = String::new();
    for (c, _) in chars {
        match c {
            '}' if name.trim().is_empty() => return Err(TemplateError::Empty(opened)),
            '}' => return Ok(name.trim().to_owned()),
            '{' => return Err(TemplateError::Open(opened)),
            _ => name.push(c),
        }
    }
    Err(TemplateError::Open(opened))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rendered(template: &str) -> Result<String, Missing> {
        let value = |name: &str| match name {
            "id" => Some("42"),
            "full name" => Some("{Ada}"),
            "nothing" => Some(""),
            _ => None,
        };
        Template::parse(template).unwrap().render(value)
    }

    #[test]
    fn gaps_are_filled_and_values_left_alone() {
        for (template, text) in [
            ("", ""),
            ("plain", "plain"),
            ("Order {id}: {full name}", "Order 42: {Ada}"),
            ("{ id }{nothing}{id}", "4242"),
            ("{{id}} {{{id}}}", "{id} {42}"),
            ("ünï {id} 😀", "ünï 42 😀"),
        ] {
            assert_eq!(rendered(template).as_deref(), Ok(text), "{template}");
        }
        assert_eq!(rendered("a {ID}"), Err(Missing("ID".into())));
        assert_eq!(Missing("x".into()).to_string(), "the row has no value for {x}");
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (template, error, words) in [
            ("ü{id", TemplateError::Open(2), "the { at character 2 is never closed (write {{ for a brace)"),
            ("{a{b}}", TemplateError::Open(1), "the { at character 1 is never closed (write {{ for a brace)"),
            ("a}", TemplateError::Close(2), "the } at character 2 closes nothing (write }} for a brace)"),
            ("{ }", TemplateError::Empty(1), "the braces at character 1 name no column (write {{ and }} for braces)"),
        ] {
            assert_eq!(Template::parse(template), Err(error.clone()), "{template}");
            assert_eq!(error.to_string(), words);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[{}a ü]{0,40}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(Template::parse(&template.to_string()), Ok(template));
            }
        }

        #[test]
        fn escaped_text_comes_out_as_it_went_in(text in ".{0,60}") {
            let escaped = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(Template::parse(&escaped).unwrap().render(|_| None), Ok(text));
        }

        #[test]
        fn texts_and_gaps_take_turns(pieces in proptest::collection::vec(("[^{}]{1,9}", "[a-z][a-z_ ]{0,8}[a-z]"), 0..6)) {
            let template: String = pieces.iter().map(|(text, gap)| format!("{text}{{{gap}}}")).collect();
            let parsed = Template::parse(&template).unwrap();
            let expected: String = pieces.iter().map(|(text, _)| format!("{text}#")).collect();
            prop_assert_eq!(parsed.render(|_| Some("#")), Ok(expected));
            prop_assert_eq!(parsed.gaps(), pieces.iter().map(|(_, gap)| gap.as_str()).collect());
        }
    }
}
