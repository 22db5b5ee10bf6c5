//! PHP's and MySQL's habits, as far as they can be seen on the wire: loose truth, string conversion, JSON spelling,
//! strict column widths, comparison without case.

use serde_json::Value;

/// What a PHP script leaves behind: its output, or an uncaught error (status 500, nothing in the body).
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Json(String),
    Crash,
}

/// PHP's `if ($value)`.
pub(crate) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty() && text != "0",
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// PHP's conversion to string.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(false) => String::new(),
        Value::Bool(true) => "1".into(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => format!("{float:.0}"),
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => "Array".into(),
    }
}

/// PHP 8's `$value == ""`.
pub(crate) fn blank(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false)) || value.as_str() == Some("")
}

/// `$data[$name]`, null when there is none.
pub(crate) fn field<'a>(data: &'a Value, name: &str) -> &'a Value {
    data.get(name).unwrap_or(&Value::Null)
}

/// `json_decode`: null for what isn't JSON. An indexed string is an uncaught error, which callers see by `is_string`.
pub(crate) fn decode(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or(Value::Null)
}

/// `json_encode` of an array with string keys, in the order given; values are JSON already (see [`quote`]).
pub(crate) fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{}:{value}", quote(name))).collect();
    format!("{{{}}}", fields.join(","))
}

/// `json_encode` of a string: `/` and everything beyond ASCII escaped.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for unit in text.encode_utf16() {
        match char::from_u32(u32::from(unit)) {
            Some(c @ ('"' | '\\' | '/')) => out.extend(['\\', c]),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some(c @ ' '..='\u{7f}') => out.push(c),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out + "\""
}

/// The handshake's error answer.
pub(crate) fn error(message: &str) -> Answer {
    Answer::Json(object(&[("error", "true".into()), ("error_message", quote(message))]))
}

/// `explode("*", $address)[part]`.
pub(crate) fn explode(address: &str, part: usize) -> &str {
    address.split('*').nth(part).unwrap_or("")
}

/// `ctype_digit`.
pub(crate) fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// MySQL's `=` under a `_ci` collation.
pub(crate) fn same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}

/// Whether a `VARCHAR(width)` column takes the value in strict mode.
pub(crate) fn fits(text: &str, width: usize) -> bool {
    text.chars().count() <= width
}

/// Whether a `TINYINT NOT NULL` column takes the value, bound as a string, in strict mode. PHP's `false` is bound as
/// an empty string, which is no integer.
pub(crate) fn fits_tinyint(value: &Value) -> bool {
    !value.is_null() && text(value).trim().parse::<i8>().is_ok()
}

/// `$timestamp + 0`; `None` where PHP throws.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    text(value).trim().parse::<f64>().ok().map(|number| number as i64)
}
