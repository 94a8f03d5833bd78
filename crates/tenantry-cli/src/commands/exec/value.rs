//! Values as JSON: numbers as numbers, also those that no other program holds exactly; JSON as it is; null as null.
use std::iter::Peekable;
use std::str::Chars;

use serde_json::json;

/// The way in which a type is written in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    scalar: Scalar,
    is_array: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scalar {
    Boolean,
    Number,
    Json,
    Text,
}

impl Kind {
    /// The kind of a type that goes by this name in sqlx. What is not known is a text.
    pub(super) fn of(type_name: &str) -> Self {
        let (name, is_array) = match type_name.strip_suffix("[]") {
            // PostgreSQL writes this one with semicolons.
            Some("BOX") | None => (type_name, false),
            Some(name) => (name, true),
        };
        let scalar = match name {
            "BOOL" => Scalar::Boolean,
            "INT2" | "INT4" | "INT8" | "OID" | "FLOAT4" | "FLOAT8" | "NUMERIC" => Scalar::Number,
            "JSON" | "JSONB" => Scalar::Json,
            _ => Scalar::Text,
        };
        Self { scalar, is_array }
    }

    /// The text of a value, as PostgreSQL writes it, in JSON.
    pub(super) fn to_json(self, text: Option<&str>) -> String {
        match text {
            None => "null".to_owned(),
            // What cannot be read is left as it is.
            Some(text) if self.is_array => self.scalar.list(text).unwrap_or_else(|| json!(text).to_string()),
            Some(text) => self.scalar.value(text),
        }
    }
}

impl Scalar {
    fn value(self, text: &str) -> String {
        match self {
            Self::Boolean if text == "t" => "true".to_owned(),
            Self::Boolean if text == "f" => "false".to_owned(),
            // `NaN` and `Infinity` are no numbers in JSON.
            Self::Number if is_number(text) => text.to_owned(),
            Self::Json => text.to_owned(),
            _ => json!(text).to_string(),
        }
    }

    /// The text of an array, as in `{1,NULL,"a b"}` and `[0:1]={1,2}`.
    fn list(self, text: &str) -> Option<String> {
        let items = match text.split_once('=') {
            Some((bounds, items)) if bounds.starts_with('[') => items,
            _ => text,
        };
        let mut rest = items.chars().peekable();
        let list = self.items(&mut rest)?;
        rest.next().is_none().then_some(list)
    }

    fn items(self, rest: &mut Peekable<Chars<'_>>) -> Option<String> {
        let mut list = "[".to_owned();
        rest.next_if_eq(&'{')?;
        if rest.next_if_eq(&'}').is_some() {
            return Some(list + "]");
        }
        loop {
            let item = match rest.peek()? {
                '{' => self.items(rest)?,
                '"' => self.value(&quoted(rest)?),
                _ => match &*unquoted(rest) {
                    "NULL" => "null".to_owned(),
                    item => self.value(item),
                },
            };
            list.push_str(&item);
            match rest.next()? {
                ',' => list.push_str(", "),
                '}' => return Some(list + "]"),
                _ => return None,
            }
        }
    }
}

fn quoted(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut item = String::new();
    rest.next();
    loop {
        match rest.next()? {
            '"' => return Some(item),
            '\\' => item.push(rest.next()?),
            character => item.push(character),
        }
    }
}

fn unquoted(rest: &mut Peekable<Chars<'_>>) -> String {
    std::iter::from_fn(|| rest.next_if(|character| !",{}".contains(*character))).collect()
}

/// Returns true for a number as JSON has it.
fn is_number(text: &str) -> bool {
    let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
    is_digits(whole) && !has_leading_zero && is_digits(fraction) && is_digits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(type_name: &str, text: &str, expect: &str) {
        let json = Kind::of(type_name).to_json(Some(text));
        assert_eq!(json, expect, "{type_name} {text}");
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok(), "{json}");
    }

    #[test]
    fn a_value_is_written_as_its_type() {
        check("BOOL", "t", "true");
        check("INT8", "-9223372036854775808", "-9223372036854775808");
        check("NUMERIC", "0.10", "0.10");
        check("NUMERIC", &"9".repeat(400), &"9".repeat(400));
        check("FLOAT8", "1e+300", "1e+300");
        for text in ["NaN", "Infinity", "-Infinity", "007", "1.", ".5", "1e", ""] {
            check("FLOAT8", text, &format!("\"{text}\""));
        }
        check("JSONB", "{\"a\": [1, null]}", "{\"a\": [1, null]}");
        check("JSON", "null", "null");
        check("TEXT", "", "\"\"");
        check("TEXT", "7", "\"7\"");
        check("?", "{a,b}", "\"{a,b}\"");
    }

    #[test]
    fn null_is_neither_empty_nor_a_text() {
        for type_name in ["TEXT", "INT4", "BOOL", "JSONB", "TEXT[]"] {
            assert_eq!(Kind::of(type_name).to_json(None), "null");
        }
        check("TEXT", "null", "\"null\"");
    }

    #[test]
    fn an_array_is_a_list() {
        check("INT4[]", "{}", "[]");
        check("INT4[]", "{1,NULL,3}", "[1, null, 3]");
        check("INT4[]", "[0:1]={1,2}", "[1, 2]");
        check("BOOL[]", "{{t,f},{f,t}}", "[[true, false], [false, true]]");
        check(
            "TEXT[]",
            r#"{a,"b c","",NULL,"NULL","q\"\\=","{}"}"#,
            r#"["a", "b c", "", null, "NULL", "q\"\\=", "{}"]"#,
        );
        check("JSONB[]", r#"{"{\"a\": 1}"}"#, r#"[{"a": 1}]"#);
        check("TEXT[]", "{a=b}", "[\"a=b\"]");
        for text in ["{1", "{1}x", "1", "{\"a}"] {
            check("INT4[]", text, &json!(text).to_string());
        }
        check("BOX[]", "{(1,1),(0,0)}", "\"{(1,1),(0,0)}\"");
    }
}
