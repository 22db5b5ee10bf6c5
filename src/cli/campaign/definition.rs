//! What a campaign is to be, from the command line.

use std::path::Path;

use clap::Args;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::cli::Failure;

/// A campaign's definition.
#[derive(Debug, Clone, Args)]
pub(super) struct Definition {
    /// The message as JSON, with {column} for values; @FILE reads it from a file
    #[arg(long, value_name = "JSON|@FILE")]
    template: String,
    #[command(flatten)]
    rest: Rest,
}

/// The same where there may be none.
#[derive(Debug, Clone, Args)]
pub(super) struct Maybe {
    /// The message as JSON, with {column} for values; @FILE reads it from a file
    #[arg(long, value_name = "JSON|@FILE")]
    template: Option<String>,
    #[command(flatten)]
    rest: Rest,
}

#[derive(Debug, Clone, Args)]
struct Rest {
    /// Which queue [default: bulk]
    #[arg(long, value_parser = ["interactive", "bulk"])]
    lane: Option<String>,
    /// Label to find and count the messages by
    #[arg(long)]
    tag: Option<String>,
    /// Deliveries a second [default: as fast as they go]
    #[arg(long)]
    rate: Option<f64>,
    /// The column that makes a row unique [default: key]
    #[arg(long, value_name = "COLUMN")]
    key_field: Option<String>,
}

impl Maybe {
    pub(super) fn given(&self) -> Option<Definition> {
        let rest = self.rest.clone();
        self.template.clone().map(|template| Definition { template, rest })
    }
}

impl Definition {
    /// The request that makes it. The template goes as it was written.
    pub(super) fn body(&self, name: &str) -> Result<String, Failure> {
        let template = match self.template.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| Failure::File { path: Path::new(path).to_owned(), source })?,
            None => self.template.clone(),
        };
        let template: Box<RawValue> =
            serde_json::from_str(&template).map_err(|e| Failure::Usage(format!("--template is not JSON: {e}")))?;
        let Rest { lane, tag, rate, key_field } = &self.rest;
        let mut body = json!({"name": name});
        for (field, value) in
            [("lane", json!(lane)), ("tag", json!(tag)), ("rate", json!(rate)), ("key_field", json!(key_field))]
        {
            if value != Value::Null {
                body[field] = value;
            }
        }
        let rest = body.to_string();
        Ok(format!("{{\"template\":{template},{}", &rest[1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_goes_as_it_was_written() {
        let rest = Rest { lane: None, tag: Some("t".into()), rate: Some(0.5), key_field: None };
        let definition = Definition { template: r#"{ "webhook":"w","payload":1.50 }"#.into(), rest };
        let expected = r#"{"template":{ "webhook":"w","payload":1.50 },"name":"n","rate":0.5,"tag":"t"}"#;
        assert_eq!(definition.body("n").unwrap(), expected);
        let broken = Definition { template: "{".into(), ..definition };
        assert!(matches!(broken.body("n"), Err(Failure::Usage(_))));
    }
}
