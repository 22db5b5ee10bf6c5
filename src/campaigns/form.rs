//! What each row of a campaign becomes: the message's template, and which column is the row's key.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;
use crate::App;
use crate::crypto::Purpose;
use crate::rows::Values;
use crate::template::{JsonError, JsonTemplate, RenderError};

/// Longest message a row may become, in bytes of JSON.
pub const LONGEST_MESSAGE: usize = 256 * 1024;
/// The column with the row's key, unless the campaign names another.
const KEY_FIELD: &str = "key";

/// A campaign's template.
#[derive(Debug, Clone)]
pub struct Form {
    text: String,
    key_field: Option<String>,
    message: JsonTemplate,
}

/// As it is sealed.
#[derive(Serialize, Deserialize)]
struct Stored {
    message: String,
    key_field: Option<String>,
}

impl Form {
    /// Reads a template: the JSON of a message, with `{name}` for a row's value in any text of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(message: String, key_field: Option<String>) -> Result<Self, JsonError> {
        Ok(Self { message: JsonTemplate::parse(&message)?, text: message, key_field })
    }

    /// The row's key, if it has one.
    pub fn key<'a>(&self, values: &'a Values) -> Option<&'a str> {
        let name = self.key_field.as_deref().unwrap_or(KEY_FIELD);
        values.get(name).map(String::as_str).filter(|key| !key.is_empty())
    }

    /// The message of a row, as JSON.
    ///
    /// # Errors
    /// What the row lacks.
    pub fn message(&self, values: &Values) -> Result<String, RenderError> {
        self.message.render(LONGEST_MESSAGE, |name| values.get(name).map(String::as_str))
    }

    /// Names that rows must have values for; a row without one is refused alone.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.message.gaps().into_iter()
    }

    /// What is wrong with rows under this header, all of them: names that no column has.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self, header: &[String]) -> Result<(), String> {
        let has = |name: &str| header.iter().any(|column| column == name);
        let key = self.key_field.as_deref().filter(|name| !has(name));
        let missing: Vec<String> =
            self.names().filter(|name| !has(name)).chain(key).map(|name| format!("{{{name}}}")).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let columns: Vec<String> = header.iter().map(|name| format!("{{{name}}}")).collect();
        Err(format!("there is no column for {}; the columns are {}", missing.join(", "), columns.join(", ")))
    }

    pub(super) fn seal(&self, app: &App, campaign: Uuid) -> Result<Vec<u8>, Error> {
        let stored = Stored { message: self.text.clone(), key_field: self.key_field.clone() };
        let json = serde_json::to_vec(&stored).map_err(|_| Error::Template)?;
        Ok(app.keys.seal(Purpose::Campaign, campaign.as_bytes(), &json))
    }

    pub(super) fn open(app: &App, campaign: Uuid, sealed: &[u8]) -> Result<Self, Error> {
        let json = app.keys.open(Purpose::Campaign, campaign.as_bytes(), sealed)?;
        let Stored { message, key_field } = serde_json::from_slice(&json).map_err(|_| Error::Template)?;
        Self::new(message, key_field).map_err(|_| Error::Template)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_messages_and_have_keys() {
        let form = Form::new(r#"{"text":"Order {id}"}"#.into(), Some("id".into())).unwrap();
        let values: Values = [("id".to_owned(), "7".to_owned()), ("key".into(), "x".into())].into();
        assert_eq!(form.message(&values).unwrap(), r#"{"text":"Order 7"}"#);
        assert_eq!(form.key(&values), Some("7"));
        let own = Form { key_field: None, ..form.clone() };
        assert_eq!((own.key(&values), own.key(&Values::new())), (Some("x"), None));
        assert_eq!(form.message(&Values::new()).unwrap_err().to_string(), "the row has no value for {id}");
    }

    #[test]
    fn a_header_without_a_needed_column_is_told_at_once() {
        let form = Form::new(r#"{"text":"{a}{b}"}"#.into(), Some("k".into())).unwrap();
        let header = ["a", "c"].map(str::to_owned);
        assert_eq!(form.check(&header).unwrap_err(), "there is no column for {b}, {k}; the columns are {a}, {c}");
        assert!(form.check(&["a", "b", "k"].map(str::to_owned)).is_ok());
    }
}
