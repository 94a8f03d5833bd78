//! A setting as it is typed: `plan=gold` is a text, `seats:=7` is JSON.
use serde_json::{Map, Value};

use crate::failure::Failure;

/// A key and its value.
pub(crate) type Setting = (String, Value);

pub(crate) fn parse_setting(text: &str) -> Result<Setting, String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let (key, value) = match key.strip_suffix(':') {
        Some(key) => (key, serde_json::from_str(value).map_err(|error| format!("not JSON: {error}"))?),
        None => (key, Value::from(value)),
    };
    if key.is_empty() { Err("the key is empty".to_owned()) } else { Ok((key.to_owned(), value)) }
}

/// Puts settings together; none may be given twice, in whatever spelling.
pub(crate) fn settings_of(
    settings: impl IntoIterator<Item = Setting>,
) -> Result<Map<String, Value>, Failure> {
    let mut all = Map::new();
    for (key, value) in settings {
        if all.contains_key(&key) {
            return Err(Failure::usage(format!("the setting `{key}` is given twice")));
        }
        all.insert(key, value);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, key: &str, value: &Value) {
        assert_eq!(parse_setting(text), Ok((key.to_owned(), value.clone())));
    }

    #[test]
    fn a_setting_is_a_text_unless_it_says_otherwise() {
        check("plan=gold", "plan", &json!("gold"));
        check("zip=01234", "zip", &json!("01234"));
        check("formula=a=b", "formula", &json!("a=b"));
        check("seats:=7", "seats", &json!(7));
        check("note=", "note", &json!(""));
    }

    #[test]
    fn a_setting_without_key_or_with_bad_json_is_refused() {
        for text in ["plan", "=gold", ":=7", "seats:=many"] {
            assert!(parse_setting(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_setting_is_given_once() {
        let twice = ["plan=gold", "plan:=7"].map(|text| parse_setting(text).expect("a setting"));
        assert_eq!(settings_of(twice).expect_err("twice").to_string(), "the setting `plan` is given twice");
    }
}
