//! Fuzz targets of rows and of the templates that they fill.

use super::{Cut, Cutter, Values, header, of_object, of_record};
use crate::fuzzing::text;
use crate::template::{JsonTemplate, Template};

/// Small, so that the fuzzer finds it.
const LONGEST: usize = 64;

/// Lines, records and templates.
pub(crate) fn rows(data: &[u8]) {
    for make in [Cutter::lines, Cutter::records] {
        let whole = cut(make(LONGEST), data.chunks(usize::MAX));
        let parts = cut(make(LONGEST), data.chunks(1));
        assert!(whole == parts, "parts change where rows end");
        assert!(whole.iter().all(|cut| cut.length() <= LONGEST));
        whole.iter().for_each(read);
    }
    templates(text(data));
}

fn cut<'a>(mut cutter: Cutter, parts: impl Iterator<Item = &'a [u8]>) -> Vec<Cut> {
    let mut cuts = Vec::new();
    for mut part in parts {
        while !part.is_empty() {
            let (taken, row) = cutter.take(part);
            assert!(taken <= part.len() && (taken > 0 || row.is_some()), "no way on");
            part = &part[taken..];
            cuts.extend(row);
        }
    }
    while let Some(row) = cutter.rest() {
        cuts.push(row);
    }
    cuts
}

fn read(cut: &Cut) {
    match cut {
        Cut::Line(line) => {
            let _ = of_object(line);
        }
        Cut::Record(record) => {
            if let Ok(names) = header(record.fields()) {
                assert_eq!(names.len(), record.fields().len());
                assert!(of_record(&names, record.fields()).is_ok_and(|values| values.len() <= names.len()));
            }
        }
        Cut::TooLong => {}
    }
}

fn templates(text: &str) {
    let value = |_: &str| Some("\"}{\\\u{1}");
    if let Ok(template) = Template::parse(text) {
        let length = template.length(value);
        assert!(template.render(value).is_ok_and(|text| text.len() == length), "another length than was foretold");
    }
    let Ok(template) = JsonTemplate::parse(text) else { return };
    // Whatever a row says, it stays within the text that it was put into.
    if let Ok(filled) = template.render(1 << 16, value) {
        assert!(filled.len() <= 1 << 16);
        let shape = |json: &str| serde_json::from_str::<serde_json::Value>(json).map(|value| shape(&value));
        assert!(shape(&filled).ok() == shape(text).ok(), "a value broke out of its text");
    }
    let none = Values::new();
    assert!(template.gaps().is_empty() || template.render(1 << 16, |name| none.get(name).map(String::as_str)).is_err());
}

/// Everything of a value but what its texts say. Of a name that comes twice the last counts, there and here.
fn shape(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(_) => Value::Null,
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(name, value)| (name.clone(), shape(value))).collect()),
        other => other.clone(),
    }
}
