//! JSON with gaps in its texts: `{"to":"{customer}*peer.example","text":"Order {id}"}`.
//!
//! Names of members are no texts and have no gaps; everything but the texts stays as it was written, byte for byte.

use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Missing, Template, TemplateError};

/// JSON whose texts are templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// JSON as it stands.
    Fixed(String),
    /// A text with gaps.
    Text(Template),
}

/// Why it is no template.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// No JSON.
    #[error("this is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// One of its texts.
    #[error("{mistake}, in the text \"{text}\"")]
    Text {
        /// What is wrong.
        mistake: TemplateError,
        /// The beginning of the text.
        text: String,
    },
}

/// Why a row does not fill it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A gap without a value.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The result is longer than allowed (bytes).
    #[error("filled in, the message is longer than {0} bytes")]
    TooLong(usize),
}

impl JsonTemplate {
    /// Reads it.
    ///
    /// # Errors
    /// Where it is no JSON, or a text of it no template.
    pub fn parse(json: &str) -> Result<Self, JsonError> {
        serde_json::from_str::<&RawValue>(json)?;
        let (mut parts, mut fixed, mut rest) = (Vec::new(), String::new(), json);
        while let Some(start) = rest.find('"') {
            let end = start + length_of_text(&rest[start..]);
            let (before, literal) = (&rest[..start], &rest[start..end]);
            fixed.push_str(before);
            if rest[end..].trim_start().starts_with(':') {
                fixed.push_str(literal);
            } else {
                let text: String = serde_json::from_str(literal)?;
                let template = Template::parse(&text)
                    .map_err(|mistake| JsonError::Text { mistake, text: text.chars().take(40).collect() })?;
                match template.render(|_| None) {
                    Ok(plain) => fixed.push_str(&Value::String(plain).to_string()),
                    Err(_) => {
                        parts.push(Part::Fixed(std::mem::take(&mut fixed)));
                        parts.push(Part::Text(template));
                    }
                }
            }
            rest = &rest[end..];
        }
        fixed.push_str(rest);
        parts.push(Part::Fixed(fixed));
        Ok(Self { parts })
    }

    /// The names of its gaps.
    pub fn gaps(&self) -> BTreeSet<&str> {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(template) => Some(template.gaps()),
            Part::Fixed(_) => None,
        });
        texts.flatten().collect()
    }

    /// The JSON with every gap filled, of at most `longest` bytes.
    ///
    /// # Errors
    /// The first gap that `value` has nothing for; or that it would be longer.
    pub fn render<'a>(
        &self,
        longest: usize,
        value: impl Fn(&str) -> Option<&'a str> + Copy,
    ) -> Result<String, RenderError> {
        let mut json = String::new();
        for part in &self.parts {
            match part {
                Part::Fixed(fixed) => json.push_str(fixed),
                // Asked first: many gaps with a long value must not be put together only to be refused.
                Part::Text(template) if template.length(value) > longest => return Err(RenderError::TooLong(longest)),
                Part::Text(template) => json.push_str(&Value::String(template.render(value)?).to_string()),
            }
            if json.len() > longest {
                return Err(RenderError::TooLong(longest));
            }
        }
        Ok(json)
    }
}

/// How long the text is that `json` begins with, both quotes included.
fn length_of_text(json: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rendered(template: &str) -> Result<String, RenderError> {
        let value = |name: &str| match name {
            "id" => Some("42"),
            "name" => Some("\"Ada\"\n{x}"),
            _ => None,
        };
        JsonTemplate::parse(template).unwrap().render(100, value)
    }

    #[test]
    fn texts_are_filled_and_the_rest_is_left_alone() {
        let template = r#"{ "to":"{id}*a.test" ,"{id}" : [1.50, "{{id}}", {"b":"{name}\u0021"}],"n":null}"#;
        let expected = r#"{ "to":"42*a.test" ,"{id}" : [1.50, "{id}", {"b":"\"Ada\"\n{x}!"}],"n":null}"#;
        assert_eq!(rendered(template).as_deref(), Ok(expected));
        assert_eq!(JsonTemplate::parse(template).unwrap().gaps(), ["id", "name"].into());
        assert_eq!(rendered(r#"{"a":"{b}"}"#), Err(RenderError::Missing(Missing("b".into()))));
        assert_eq!(rendered(&format!("[\"{}\"]", "{id}".repeat(50))), Err(RenderError::TooLong(100)));
    }

    #[test]
    fn mistakes_name_their_text() {
        let words = |json| JsonTemplate::parse(json).unwrap_err().to_string();
        assert_eq!(
            words(r#"{"text":"Order {id"}"#),
            "the { at character 7 is never closed (write {{ for a brace), in the text \"Order {id\""
        );
        assert!(words("{").contains("not JSON"));
    }

    proptest! {
        #[test]
        fn values_never_leave_their_text(value in ".{0,40}", text in "[^{}]{0,20}") {
            let template = serde_json::json!({"a": [format!("{text}{{x}}{text}")], text.clone(): true}).to_string();
            let json = JsonTemplate::parse(&template).unwrap().render(10_000, |_| Some(value.as_str())).unwrap();
            let found: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(found, serde_json::json!({"a": [format!("{text}{value}{text}")], text: true}));
        }

        #[test]
        fn any_text_is_read_or_refused(json in "[{}\\[\\]\":,a\\\\ 1]{0,30}") {
            let _ = JsonTemplate::parse(&json);
        }
    }
}
