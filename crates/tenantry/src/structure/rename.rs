//! Puts placeholders where a statement names its own schema, by the position of the name and not by its letters.
//!
//! A column, an alias or a role may go by the schema's name, too. What is a name to the server only when it runs, in
//! the body of a function or in a string, cannot be told from other text and is refused.

use super::placeholder::{ROLE, SCHEMA, SCHEMA_AS_TEXT, SCHEMA_IN_TEXT};
use crate::migration::is_cast_to_name;
use crate::sql::lexer::{Token, TokenKind, begins_with};
use crate::tenant::SchemaName;

/// The part of a token in the naming of its schema.
enum Naming {
    /// It has none.
    Free,
    /// It is a name, for which this stands.
    Named(String),
    /// It may be read as a name, and cannot be replaced.
    Taken,
}

impl Naming {
    fn free_if(is_free: bool) -> Self {
        if is_free { Self::Free } else { Self::Taken }
    }
}

/// The names that a statement is freed of.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnNames<'a> {
    pub(super) schema: &'a SchemaName,
    pub(super) own_role: Option<&'a str>,
}

impl OwnNames<'_> {
    /// The statement that these tokens of `sql` are, with placeholders; `None` where the name would remain.
    pub(super) fn replaced(&self, sql: &str, tokens: &[Token<'_>]) -> Option<String> {
        let (first, last) = (tokens.first()?, tokens.last()?);
        let mut text = String::with_capacity(last.end() - first.start);
        let mut copied = first.start;
        for (index, token) in tokens.iter().enumerate() {
            match self.at(tokens, index) {
                Naming::Free => {}
                Naming::Taken => return None,
                Naming::Named(placeholder) => {
                    text.push_str(&sql[copied..token.start]);
                    text.push_str(&placeholder);
                    copied = token.end();
                }
            }
        }
        text.push_str(&sql[copied..last.end()]);
        Some(text)
    }

    fn at(&self, tokens: &[Token<'_>], index: usize) -> Naming {
        let token = &tokens[index];
        match token.kind {
            TokenKind::Word | TokenKind::QuotedName => self.at_name(tokens, index),
            TokenKind::String => self.at_string(tokens, index),
            TokenKind::EscapeString | TokenKind::UnicodeString | TokenKind::DollarString => {
                let is_free = is_comment(tokens) || !self.is_named_in(token.text, is_body(tokens, index));
                Naming::free_if(is_free)
            }
            _ => Naming::Free,
        }
    }

    fn at_name(&self, tokens: &[Token<'_>], index: usize) -> Naming {
        let Some(name) = unquoted(&tokens[index]) else { return Naming::Free };
        let before = |distance: usize| index.checked_sub(distance).and_then(|index| tokens.get(index));
        let follows = |word: &str| before(1).is_some_and(|token| token.is_keyword(word));
        if name == self.schema.as_str() {
            let is_qualifier = tokens.get(index + 1).is_some_and(|token| token.is_punctuation("."))
                && !before(1).is_some_and(|token| token.is_punctuation("."));
            if is_qualifier || follows("schema") || is_in_path(tokens, index) {
                return Naming::Named(SCHEMA.to_owned());
            }
            // Where a query calls a table or an alias like its schema, `name.x` is a column and not a table.
            if is_query(tokens) {
                return Naming::Taken;
            }
        }
        let names_role = || {
            let is_listed = before(1).is_some_and(|token| token.is_punctuation(","));
            (follows("to") || follows("from") || is_listed) && takes_roles(tokens)
        };
        if self.own_role == Some(name.as_str()) && names_role() {
            return Naming::Named(ROLE.to_owned());
        }
        Naming::Free
    }

    fn at_string(&self, tokens: &[Token<'_>], index: usize) -> Naming {
        let token = &tokens[index];
        let Some(value) = token.text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) else {
            return Naming::Free;
        };
        if is_in_path(tokens, index) && value.replace("''", "'") == self.schema.as_str() {
            return Naming::Named(format!("'{SCHEMA_AS_TEXT}'"));
        }
        if is_cast_to_name(&tokens[index + 1..]) {
            let forms = [self.schema.as_str().to_owned(), self.quoted()];
            let rest = forms
                .iter()
                .find_map(|form| value.strip_prefix(&form.replace('\'', "''"))?.strip_prefix('.'));
            if let Some(rest) = rest {
                return Naming::Named(format!("'{SCHEMA_IN_TEXT}.{rest}'"));
            }
        }
        let is_free =
            is_comment(tokens) || !self.is_named_in(&value.replace("''", "'"), is_body(tokens, index));
        Naming::free_if(is_free)
    }

    fn quoted(&self) -> String {
        crate::sql::Identifier(self.schema.as_str()).to_string()
    }

    /// Returns true if a text would be read as naming the schema: `acme.note`, `"acme" . note`, and where it is `code`
    /// also `'acme'`.
    fn is_named_in(&self, text: &str, is_code: bool) -> bool {
        let name = self.schema.as_str();
        // Without quotes, `ACME.note` is the same.
        let is_lower = *name == name.to_ascii_lowercase();
        let folded = if is_lower { text.to_ascii_lowercase() } else { text.to_owned() };
        let is_qualifier = |end: usize| folded[end..].trim_start().starts_with('.');
        let is_word = |character: char| character.is_alphanumeric() || matches!(character, '_' | '$');
        let plain = folded.match_indices(name).any(|(start, found)| {
            let (before, end) = (folded[..start].chars().next_back(), start + found.len());
            match before {
                Some('\'') => is_code && folded[end..].starts_with('\''),
                Some(character) if is_word(character) || character == '"' => false,
                _ => is_qualifier(end),
            }
        });
        let quoted = self.quoted();
        plain || text.match_indices(&quoted).any(|(start, _)| is_code || is_qualifier(start + quoted.len()))
    }
}

/// The name as the server has it.
fn unquoted(token: &Token<'_>) -> Option<String> {
    Some(match token.kind {
        TokenKind::Word => token.text.to_ascii_lowercase(),
        TokenKind::QuotedName => token.name()?.replace("\"\"", "\""),
        _ => return None,
    })
}

/// Returns true within `SET search_path TO …` of a function: the tokens before are names and commas up to there.
fn is_in_path(tokens: &[Token<'_>], index: usize) -> bool {
    let mut before = tokens[..index].iter().rev();
    loop {
        match before.next() {
            Some(token) if token.is_keyword("to") || token.text == "=" => {
                let names = [before.next(), before.next()];
                let [Some(setting), Some(set)] = names else { return false };
                return setting.is_keyword("search_path") && set.is_keyword("set");
            }
            // A comma stands between any two.
            Some(token) if token.is_punctuation(",") => {
                let is_name = |token: &Token<'_>| {
                    matches!(token.kind, TokenKind::Word | TokenKind::QuotedName | TokenKind::String)
                };
                if !before.next().is_some_and(is_name) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

fn is_comment(tokens: &[Token<'_>]) -> bool {
    begins_with(tokens, "comment on")
}

/// Returns true for a string that is the code of a function.
fn is_body(tokens: &[Token<'_>], index: usize) -> bool {
    let follows_as = index.checked_sub(1).is_some_and(|before| tokens[before].is_keyword("as"));
    follows_as && tokens.iter().take(4).any(|token| token.is_one_of("function procedure"))
}

fn takes_roles(tokens: &[Token<'_>]) -> bool {
    tokens.first().is_some_and(|first| first.is_one_of("grant revoke"))
        || begins_with(tokens, "create policy")
        || begins_with(tokens, "alter default privileges")
}

/// Returns true for a statement that holds a query, in which tables and aliases qualify columns.
fn is_query(tokens: &[Token<'_>]) -> bool {
    tokens.first().is_some_and(|first| first.is_keyword("create"))
        && tokens.iter().take(4).any(|token| token.is_one_of("view rule policy function procedure"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::sql::lexer::Lexer;

    fn renamed(schema: &str, sql: &str) -> Option<String> {
        let schema = SchemaName::parse(schema).unwrap();
        let tokens: Vec<_> = Lexer::new(sql).map(Result::unwrap).collect();
        OwnNames { schema: &schema, own_role: Some("app_acme") }.replaced(sql, &tokens)
    }

    #[test]
    fn a_name_is_replaced_where_it_is_the_schema() {
        for (schema, sql, expect) in [
            ("acme", "CREATE TABLE acme.acme (acme text)", "CREATE TABLE __tenant__.acme (acme text)"),
            ("Ac\"me", "CREATE TABLE \"Ac\"\"me\".t ()", "CREATE TABLE __tenant__.t ()"),
            ("acme", "COMMENT ON SCHEMA acme IS 'acme.x'", "COMMENT ON SCHEMA __tenant__ IS 'acme.x'"),
            (
                "acme",
                "CREATE FUNCTION acme.f() SET search_path TO 'extensions', 'acme', 'pg_temp' AS $$SELECT 1$$",
                "CREATE FUNCTION __tenant__.f() SET search_path TO 'extensions', '__tenant_name__', 'pg_temp' \
                 AS $$SELECT 1$$",
            ),
            (
                "acme",
                "ALTER TABLE acme.t ALTER id SET DEFAULT nextval('acme.s'::regclass)",
                "ALTER TABLE __tenant__.t ALTER id SET DEFAULT nextval('__tenant_text__.s'::regclass)",
            ),
            (
                "It's",
                "SELECT nextval('\"It''s\".s'::pg_catalog.regclass)",
                "SELECT nextval('__tenant_text__.s'::pg_catalog.regclass)",
            ),
            (
                "acme",
                "GRANT SELECT ON TABLE acme.t TO app_acme",
                "GRANT SELECT ON TABLE __tenant__.t TO __tenant_role__",
            ),
            ("acme", "ALTER TABLE t ADD app_acme int", "ALTER TABLE t ADD app_acme int"),
            (
                "acme",
                "ALTER TABLE acme.t ALTER a SET DEFAULT 'acme'",
                "ALTER TABLE __tenant__.t ALTER a SET DEFAULT 'acme'",
            ),
        ] {
            assert_eq!(renamed(schema, sql).as_deref(), Some(expect), "{sql}");
        }
    }

    #[test]
    fn a_name_that_only_a_run_would_find_is_refused() {
        for sql in [
            "CREATE FUNCTION acme.f() RETURNS int AS $$SELECT count(*) FROM acme.t$$",
            "CREATE FUNCTION acme.f() RETURNS int AS $$SELECT count(*) FROM ACME . t$$",
            "CREATE FUNCTION acme.f() RETURNS int AS $$SELECT set_config('search_path', 'acme', true)$$",
            "CREATE FUNCTION acme.f() RETURNS int AS 'SELECT 1 FROM \"acme\".t'",
            "ALTER TABLE acme.t ALTER id SET DEFAULT nextval(('acme.s'::text)::regclass)",
            "CREATE VIEW acme.v AS SELECT acme.id FROM acme.t acme",
        ] {
            assert_eq!(renamed("acme", sql), None, "{sql}");
        }
        for sql in [
            "CREATE FUNCTION acme.f() RETURNS int AS $$SELECT 1 -- of acme, our customer$$",
            "CREATE FUNCTION acme.f() RETURNS int AS $$SELECT 1 FROM big_acme.t$$",
        ] {
            assert!(renamed("acme", sql).is_some(), "{sql}");
        }
    }
}
