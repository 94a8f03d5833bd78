//! Leaves the name of a schema out of the bodies of its functions. Pure.

use serde_json::Value;

use super::fingerprint::Objects;
use crate::sql::Identifier;
use crate::sql::lexer::{Lexer, Token};
use crate::tenant::SchemaName;

/// The text that stands for the name, as where the name was made up.
const OWN: &str = "=own=";
/// The place of a function's body.
const BODY: usize = 15;

impl Objects {
    /// Leaves out the name of the schema where the body of a function has it as the home of something, `acme.note`, or
    /// as a string of its own, `'acme'`: files that ask for the name write another one into each schema. Whatever else
    /// goes by that name stays.
    pub(crate) fn without_own_name(mut self, schema: &SchemaName) -> Self {
        let routines = self.0.iter_mut().filter(|((kind, _), _)| kind == "routine");
        for definition in routines.flat_map(|(_, definitions)| definitions) {
            let Ok(value) = serde_json::from_str::<Value>(definition) else { continue };
            let Some(body) = value.get(BODY) else { continue };
            let own = left_out(body.as_str().unwrap_or_default(), schema.as_str());
            // All else stays as the server has written it.
            *definition = definition.replacen(&body.to_string(), &Value::from(own).to_string(), 1);
        }
        self
    }
}

fn left_out(body: &str, schema: &str) -> String {
    // What is no SQL to its end is compared as it is.
    let Ok(tokens) = Lexer::new(body).collect::<Result<Vec<_>, _>>() else { return body.to_owned() };
    let mut text = String::with_capacity(body.len());
    let mut copied = 0;
    for (index, token) in tokens.iter().enumerate() {
        let own = if token.literal() == Some(schema) {
            format!("'{OWN}'")
        } else if is_home(&tokens, index, schema) {
            OWN.to_owned()
        } else {
            continue;
        };
        text.push_str(&body[copied..token.start]);
        text.push_str(&own);
        copied = token.end();
    }
    text.push_str(&body[copied..]);
    text
}

/// Returns true for the name of the schema before a dot, and behind none.
fn is_home(tokens: &[Token<'_>], index: usize, schema: &str) -> bool {
    let is_dot = |index: Option<usize>| {
        index.and_then(|index| tokens.get(index)).is_some_and(|token| token.is_punctuation("."))
    };
    let token = &tokens[index];
    let quoted = Identifier(schema).to_string();
    let is_name =
        token.text == quoted || token.text.to_ascii_lowercase() == *schema && token.name().is_some();
    is_name && is_dot(Some(index + 1)) && !is_dot(index.checked_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_body_of_a_function_is_touched() {
        let schema = SchemaName::parse("acme").unwrap_or_else(|error| panic!("{error}"));
        let others =
            r#"null, "sql", 100, 0, null, null, "f", false, false, false, "v", "u", "", "int", null"#;
        let routine = |body: &str| format!(r"[{others}, {body}, null]");
        let objects = |definition: &str| {
            let of = |kind: &str| ((kind.to_owned(), "acme.x".to_owned()), vec![definition.to_owned()]);
            Objects([of("routine"), of("view")].into())
        };
        let (named, own) =
            (routine(r#""SELECT \"\n\" FROM acme.x""#), routine(r#""SELECT \"\n\" FROM =own=.x""#));
        let found: Vec<_> = objects(&named).without_own_name(&schema).0.into_values().flatten().collect();
        assert_eq!(found, [own, named]);
    }

    #[test]
    fn the_name_is_left_out_by_its_place() {
        for (schema, body, expect) in [
            ("acme", "SELECT * FROM acme.note", "SELECT * FROM =own=.note"),
            ("acme", "SELECT ACME . note.id FROM \"acme\".note", "SELECT =own= . note.id FROM =own=.note"),
            ("acme", "SELECT 'acme', 'acme.x', 'an acme'", "SELECT '=own=', 'acme.x', 'an acme'"),
            ("acme", "SELECT acme, a.acme.x FROM t AS acme", "SELECT acme, a.acme.x FROM t AS acme"),
            (
                "acme",
                "SELECT other_acme.f(), acme_2.f() -- acme.x",
                "SELECT other_acme.f(), acme_2.f() -- acme.x",
            ),
            ("Old \"A", "PERFORM \"Old \"\"A\".f()", "PERFORM =own=.f()"),
            ("acme", "BEGIN x := 'acme", "BEGIN x := 'acme"),
        ] {
            assert_eq!(left_out(body, schema), expect, "{schema}");
        }
    }
}
