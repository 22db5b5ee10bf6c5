//! Rows of files and streams: what a line of JSON or a record of CSV says, by name.
//!
//! A [`Cutter`] cuts bytes into rows as they arrive and keeps no more than the row it is in; a row that is too long, or cannot be
//! read, is that row's mistake and nothing else's. Leaves out where the bytes come from.

mod cutter;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

pub use cutter::{Cut, Cutter, Record};

use std::collections::HashMap;

use serde_json::Value;

/// The values of one row by name.
pub type Values = HashMap<String, String>;

/// Column names from the first record of a CSV file.
///
/// # Errors
/// In words: not UTF-8, a name twice, or no name at all.
pub fn header<'a>(record: impl Iterator<Item = &'a [u8]>) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for (at, field) in record.enumerate() {
        let name = std::str::from_utf8(field).map_err(|_| "the header is not UTF-8")?;
        // Spreadsheets put a byte order mark before the first name, which nobody sees and every template would miss.
        let name = if at == 0 { name.trim_start_matches('\u{feff}') } else { name }.trim();
        if !name.is_empty() && names.iter().any(|other| other == name) {
            return Err(format!("the header names the column \"{name}\" twice"));
        }
        names.push(name.to_owned());
    }
    if names.iter().all(String::is_empty) {
        return Err("there is no header: the first line must name the columns".into());
    }
    Ok(names)
}

/// The values of a CSV record under this header.
///
/// # Errors
/// In words: another number of columns, or not UTF-8.
pub fn of_record<'a>(header: &[String], record: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<Values, String> {
    if record.len() != header.len() {
        return Err(format!("the row has {} columns, the header {}", record.len(), header.len()));
    }
    let mut values = Values::with_capacity(header.len());
    for (name, field) in header.iter().zip(record) {
        let value = std::str::from_utf8(field).map_err(|_| format!("the column \"{name}\" is not UTF-8"))?;
        values.insert(name.clone(), value.to_owned());
    }
    Ok(values)
}

/// The values of a JSON object: texts, numbers and truths; the rest is nothing that could be put into a text, as good as missing.
///
/// # Errors
/// In words: no JSON object.
pub fn of_object(line: &[u8]) -> Result<Values, String> {
    let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
    let object: serde_json::Map<String, Value> =
        serde_json::from_slice(line).map_err(|e| format!("the line is not a JSON object: {e}"))?;
    let text = |(name, value)| match value {
        Value::String(text) => Some((name, text)),
        Value::Number(_) | Value::Bool(_) => Some((name, value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    Ok(object.into_iter().filter_map(text).collect())
}
