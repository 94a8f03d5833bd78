//! Puts the name of one schema in another's place.

use crate::sql::lexer::{Lexer, Token, TokenKind};
use crate::sql::{Identifier, Literal};

/// Renames a schema by identifier token, and in the strings whose value the server reads as a name:
/// `'schema.name'::regclass`, and a string that is the schema's name and nothing else.
///
/// # Errors
/// The byte at which the name remains: in the body of a function, in another string, in a part of a name.
pub(super) fn rename(sql: &str, from: &str, to: &str) -> Result<String, usize> {
    // What is not complete SQL is told by whoever reads it as statements.
    let tokens: Vec<Token<'_>> = Lexer::new(sql).flatten().collect();
    let mut renamed = String::with_capacity(sql.len() + sql.len() / 8);
    let mut copied = 0;
    for (index, token) in tokens.iter().enumerate() {
        if token.is_comment() || !token.text.contains(from) {
            continue;
        }
        let is_cast_to_name = is_cast_to_name(&tokens[index + 1..]);
        let text = in_place_of(token, from, to, is_cast_to_name).ok_or(token.start)?;
        renamed.push_str(&sql[copied..token.start]);
        renamed.push_str(&text);
        copied = token.end();
    }
    renamed.push_str(&sql[copied..]);
    Ok(renamed)
}

fn in_place_of(token: &Token<'_>, from: &str, to: &str, is_cast_to_name: bool) -> Option<String> {
    if token.name() == Some(from) {
        return Some(name(to));
    }
    let value = token.literal().filter(|_| token.kind == TokenKind::String)?;
    if value == from {
        return Some(Literal(to).to_string());
    }
    // The rest is a name as it was: quoted where it has to be.
    let rest = value.strip_prefix(from)?.strip_prefix('.')?;
    (is_cast_to_name && !rest.contains(from)).then(|| Literal(&format!("{}.{rest}", name(to))).to_string())
}

/// `::regclass` and its siblings.
fn is_cast_to_name(after: &[Token<'_>]) -> bool {
    let [first, second, rest @ ..] = after else { return false };
    let is_cast = first.is_punctuation(":") && second.is_punctuation(":");
    let target = match rest {
        [schema, point, target, ..] if schema.is_keyword("pg_catalog") && point.is_punctuation(".") => target,
        [target, ..] => target,
        [] => return false,
    };
    is_cast
        && target
            .is_one_of("regclass regtype regproc regprocedure regoper regoperator regconfig regdictionary")
}

/// People read the placeholder, so it has no quotes.
fn name(schema: &str) -> String {
    if schema == super::PLACEHOLDER { schema.to_owned() } else { Identifier(schema).to_string() }
}
