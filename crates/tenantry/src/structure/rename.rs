//! Puts placeholders where a statement names its own schema, by the position of the name and not by its letters.
//!
//! A column, an alias or a role may go by the schema's name, too. What is a name to the server only when it runs, in
//! the body of a function or in a string, cannot be told from other text and is refused.

use super::origin::DumpOrigin;
use super::placeholder::{ROLE, SCHEMA, SCHEMA_AS_TEXT, SCHEMA_IN_TEXT};
use crate::migration::is_cast_to_name;
use crate::sql::Identifier;
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
    /// Set for a dump of another database.
    pub(super) origin: Option<&'a DumpOrigin>,
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
        // Whoever makes the objects gives the privileges, whatever the role is called there.
        if (3..6).contains(&index) && begins_with(tokens, "alter default privileges for role") {
            return Naming::Named(String::new());
        }
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
        let is_qualifier = tokens.get(index + 1).is_some_and(|token| token.is_punctuation("."))
            && !before(1).is_some_and(|token| token.is_punctuation("."));
        if is_qualifier
            && let Some(home) =
                tokens.get(index + 2).and_then(|token| self.origin?.home(&name, &object_name(token)?))
        {
            return Naming::Named(Identifier(home).to_string());
        }
        if name == self.schema.as_str() {
            let is_in_path = is_in_path(tokens, index);
            if is_qualifier || is_in_path || follows("schema") {
                return Naming::Named(SCHEMA.to_owned() + &self.extensions(is_in_path));
            }
            // Where a query calls a table or an alias like its schema, `name.x` is a column and not a table.
            let is_dotted = before(1).is_some_and(|token| token.is_punctuation("."));
            let is_column = is_dotted && before(2).and_then(unquoted).as_deref() != Some(name.as_str());
            // The server writes `AS` before the alias of a column, and not before that of a table.
            let is_alias_of_column = is_view(tokens) && follows("as");
            // It leaves a column bare where a query has one table; a table it never leaves without its schema.
            let is_bare_column =
                !is_qualifier && before(1).is_some_and(|token| precedes_value(token, tokens));
            if is_query(tokens) && !is_column && !is_alias_of_column && !is_bare_column {
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
            return Naming::Named(format!("'{SCHEMA_AS_TEXT}'{}", self.extensions(true)));
        }
        let value_itself = value.replace("''", "'");
        if is_cast_to_name(&tokens[index + 1..])
            && let Some((schema, rest)) = leading_name(&value_itself)
            && let Some(rest) = rest.strip_prefix('.')
        {
            let name = leading_name(rest).map(|(name, _)| name).unwrap_or_default();
            let doubled = |text: &str| text.replace('\'', "''");
            if let Some(home) = self.origin.and_then(|origin| origin.home(&schema, &name)) {
                let home = Identifier(home).to_string();
                return Naming::Named(format!("'{}.{}'", doubled(&home), doubled(rest)));
            }
            if schema == self.schema.as_str() {
                return Naming::Named(format!("'{SCHEMA_IN_TEXT}.{}'", doubled(rest)));
            }
        }
        let is_free = is_comment(tokens) || !self.is_named_in(&value_itself, is_body(tokens, index));
        Naming::free_if(is_free)
    }

    /// The schemas of extensions that go behind the tenant's own in a path of a function: there, the dump's database
    /// may have had both in one.
    fn extensions(&self, is_in_path: bool) -> String {
        let path = self.origin.filter(|_| is_in_path).map(DumpOrigin::path).unwrap_or_default();
        path.iter().fold(String::new(), |path, schema| format!("{path}, '{}'", schema.replace('\'', "''")))
    }

    /// Returns true if a text would be read as naming the schema, or one whose extensions are elsewhere here.
    fn is_named_in(&self, text: &str, is_code: bool) -> bool {
        let moved = self.origin.into_iter().flat_map(DumpOrigin::moved);
        std::iter::once(self.schema.as_str()).chain(moved).any(|schema| names_schema(schema, text, is_code))
    }
}

/// Returns true if a text would be read as naming a schema: `acme.note`, `"acme" . note`, and where it is `code` also
/// `'acme'`.
fn names_schema(name: &str, text: &str, is_code: bool) -> bool {
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
    let quoted = Identifier(name).to_string();
    plain || text.match_indices(&quoted).any(|(start, _)| is_code || is_qualifier(start + quoted.len()))
}

/// The name as the server has it.
fn unquoted(token: &Token<'_>) -> Option<String> {
    Some(match token.kind {
        TokenKind::Word => token.text.to_ascii_lowercase(),
        TokenKind::QuotedName => token.name()?.replace("\"\"", "\""),
        _ => return None,
    })
}

/// The name of what stands behind a schema: an object or an operator.
fn object_name(token: &Token<'_>) -> Option<String> {
    if token.kind == TokenKind::Operator { Some(token.text.to_owned()) } else { unquoted(token) }
}

/// Reads the name at the beginning of a text, and answers with what follows it.
fn leading_name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let is_end = |character: char| !(character.is_alphanumeric() || matches!(character, '_' | '$'));
        let end = text.find(is_end).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, behind) = rest.split_once('"')?;
        name.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, behind)),
        }
    }
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

/// Returns true if a name behind this token is that of a value, and not of a table, an alias or a query of `WITH`.
fn precedes_value(token: &Token<'_>, tokens: &[Token<'_>]) -> bool {
    // Where there is no `WITH`, nothing in a list of tables is a bare name.
    let has_queries = || tokens.iter().any(|token| token.is_keyword("with"));
    token.kind == TokenKind::Operator
        || token.is_punctuation("(")
        || (token.is_punctuation(",") && !has_queries())
        || token.is_one_of(
            "select distinct where and or not on by having when then else case in between like returning",
        )
}

fn is_view(tokens: &[Token<'_>]) -> bool {
    begins_with(tokens, "create view") || begins_with(tokens, "create materialized view")
}

#[cfg(test)]
mod tests;
