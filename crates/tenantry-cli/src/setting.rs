//! A setting as it is typed: `plan=gold` is a text, `seats:=7` is JSON.
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
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
            return Err(twice(&key));
        }
        all.insert(key, value);
    }
    Ok(all)
}

/// The name to show to people is a setting as well.
fn twice(key: &str) -> Failure {
    let hint = match key {
        "name" => "`--name` is the setting `name`: leave one of them out",
        _ => "leave one of them out",
    };
    Failure::usage(format!("the setting `{key}` is given twice")).with_hint(hint)
}

/// Reads settings from JSON, in which a key that is there twice would count once.
pub(crate) fn read_settings<'de, D: Deserializer<'de>>(json: D) -> Result<Map<String, Value>, D::Error> {
    struct Distinct;
    impl<'de> Visitor<'de> for Distinct {
        type Value = Map<String, Value>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut all = Map::new();
            while let Some((key, value)) = entries.next_entry::<String, Value>()? {
                if all.contains_key(&key) {
                    return Err(A::Error::custom(twice(&key)));
                }
                all.insert(key, value);
            }
            Ok(all)
        }
    }
    json.deserialize_map(Distinct)
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
