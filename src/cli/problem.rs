//! A refusal of the API (`application/problem+json`, RFC 9457) and how it is said to a person.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the node said when it refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:handfast:problem:NAME`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The kind in words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status it came with.
    #[serde(default)]
    pub status: u16,
    /// This case in words.
    #[serde(default)]
    pub detail: Option<String>,
    /// Which fields are wrong.
    #[serde(default)]
    pub errors: Vec<FieldError>,
}

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Name of the field.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Problem {
    /// A problem found before the node was asked.
    pub fn local(detail: impl Into<String>) -> Self {
        Self { title: "not sent".into(), detail: Some(detail.into()), ..Self::default() }
    }

    /// `NAME` of the type, such as `not-found`.
    pub fn name(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or_default()
    }

    /// Everything on one line, for tables and error files.
    pub fn one_line(&self) -> String {
        let fields = self.errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect::<Vec<_>>().join("; ");
        match (self.detail.as_deref().unwrap_or_default(), fields.as_str()) {
            ("", "") => self.title.clone(),
            (detail, "") => detail.to_owned(),
            ("", fields) => fields.to_owned(),
            (detail, fields) if detail.contains(fields) => detail.to_owned(),
            (detail, fields) => format!("{detail} ({fields})"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.title.is_empty() { self.name() } else { &self.title })?;
        if let Some(detail) = self.detail.as_deref().filter(|d| !d.is_empty() && *d != self.title) {
            write!(f, ": {detail}")?;
        }
        for error in &self.errors {
            write!(f, "\n  {}: {}", error.field, error.message)?;
        }
        match self.status {
            401 => {
                f.write_str("\n  the key was not accepted; give another with --key-file, HANDFAST_API_KEY or --config")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid() -> Problem {
        serde_json::from_value(serde_json::json!({
            "type": "urn:handfast:problem:invalid", "title": "The request is not valid", "status": 422,
            "detail": "two fields are wrong",
            "errors": [{"field": "name", "message": "is empty"}, {"field": "address", "message": "is no address"}],
        }))
        .unwrap()
    }

    #[test]
    fn every_wrong_field_is_said() {
        insta::assert_snapshot!(invalid(), @r"
        The request is not valid: two fields are wrong
          name: is empty
          address: is no address
        ");
        assert_eq!(invalid().one_line(), "two fields are wrong (name: is empty; address: is no address)");
        assert_eq!(invalid().name(), "invalid");
    }

    #[test]
    fn a_bare_problem_still_has_words() {
        let bare = Problem { kind: "urn:handfast:problem:not-found".into(), status: 404, ..Problem::default() };
        assert_eq!(bare.to_string(), "not-found");
        assert!(Problem { title: "No".into(), status: 401, ..Problem::default() }.to_string().contains("--key-file"));
    }
}
