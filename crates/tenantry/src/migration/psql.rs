//! Things that psql takes for itself: its commands, and variables, which it replaces before the server sees them.

use super::refusal::Refusal;
use crate::sql::lexer::{Token, TokenKind};

/// Names each of them among the tokens of a statement, with the byte at which it stands.
pub(super) fn remnants(tokens: &[Token<'_>]) -> Vec<(usize, Refusal)> {
    let mut remnants = Vec::new();
    // For each open bracket: true where a single colon belongs to SQL.
    let mut takes_colons = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" => takes_colons.push(is_json(&tokens[..at])),
            "[" => takes_colons.push(true),
            ")" | "]" => {
                takes_colons.pop();
            }
            ":" if takes_colons.last() != Some(&true) => {
                remnants.extend(variable(tokens, at).map(|name| (token.start, Refusal::PsqlVariable(name))));
            }
            _ if token.kind == TokenKind::MetaCommand => {
                let command = token.text.split_ascii_whitespace().next().unwrap_or("\\");
                remnants.push((token.start, Refusal::MetaCommand(command.to_owned())));
            }
            _ => {}
        }
    }
    remnants
}

/// The parts of a statement around psql's commands, each of which is a statement to psql.
pub(super) fn without_commands<'a, 'b>(tokens: &'b [Token<'a>]) -> impl Iterator<Item = &'b [Token<'a>]> {
    tokens.split(|token| token.kind == TokenKind::MetaCommand).filter(|part| !part.is_empty())
}

/// `:name`, `:'name'` and `:"name"`, without a space and not as a part of a cast.
fn variable(tokens: &[Token<'_>], colon: usize) -> Option<String> {
    let (colon, before, behind) = (&tokens[colon], tokens[..colon].last(), tokens.get(colon + 1)?);
    let is_cast = before.is_some_and(|it| it.is_punctuation(":") && it.end() == colon.start);
    let is_name = matches!(behind.kind, TokenKind::Word | TokenKind::QuotedName)
        || behind.kind == TokenKind::String && behind.text.starts_with('\'');
    let is_variable = !is_cast && is_name && behind.start == colon.end();
    is_variable.then(|| format!(":{}", behind.text))
}

/// `JSON_OBJECT('key':value)`
fn is_json(before: &[Token<'_>]) -> bool {
    before.last().is_some_and(|function| function.is_one_of("json_object json_objectagg"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::sql::lexer::Lexer;

    #[track_caller]
    fn check(sql: &str, expect: &[(usize, &str)]) {
        let tokens: Vec<_> = Lexer::new(sql).map(Result::unwrap).filter(|it| !it.is_comment()).collect();
        let found: Vec<_> =
            remnants(&tokens).into_iter().map(|(at, refusal)| (at, refusal.to_string())).collect();
        let found: Vec<_> =
            found.iter().map(|(at, text)| (*at, text.split('`').nth(1).unwrap_or_default())).collect();
        assert_eq!(found, expect, "{sql}");
    }

    #[test]
    fn each_command_is_named() {
        check("\\set v 1\n\\ir other.sql\n\\if true\nSELECT 1", &[(0, "\\set"), (9, "\\ir"), (23, "\\if")]);
        check("SELECT 1 \\gset x_\nSELECT 2", &[(9, "\\gset")]);
        check("SELECT '\\set', E'\\\\', $$\\x$$ -- \\d", &[]);
    }

    #[test]
    fn each_variable_is_named() {
        check("SELECT :'v', :\"w\", :x", &[(7, ":'v'"), (13, ":\"w\""), (19, ":x")]);
        check("SET search_path TO :\"schema\", public", &[(19, ":\"schema\"")]);
        check("SELECT (:a), b[(:c)]", &[(8, ":a"), (16, ":c")]);
        check("GRANT ALL ON t TO :role", &[(18, ":role")]);
    }

    #[test]
    fn what_is_sql_is_no_variable() {
        check("SELECT '1'::int, a::\"T\", b :: text, c::pg_catalog.int4", &[]);
        check("SELECT a[1:n], a[:n], a['1':'2'], a[b[1]:c]", &[]);
        check("SELECT JSON_OBJECT('k':'v'), json_objectagg(k:v), json_object('a':(b))", &[]);
        check("CALL f(a := b, c => :1)", &[]);
        check("DO $$ BEGIN a :=b; END $$", &[]);
    }
}
