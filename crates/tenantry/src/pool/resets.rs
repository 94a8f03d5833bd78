//! Refuses statements that lead a session out of its tenant's schema to where the server's defaults lead.
//!
//! Where the start-up options arrive, that is the void, where no table is seen. Some poolers refuse the options or
//! drop them; then it is whatever the role or the server has as default, mostly `"$user", public`.

use super::driver::Driver;
use super::shared::Pool;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::VOID_SCHEMA;
use crate::sql::lexer::{Lexer, Statements, Token, begins_with};

impl<D: Driver> Pool<D> {
    /// Refuses a text that resets the `search_path`, where a session that was reset may see tables.
    pub(super) fn refuse_resets(&self, sql: &str) -> Result<()> {
        if !self.driver().defaults().resets_elsewhere() || !resets_path(sql) {
            return Ok(());
        }
        let message = format!(
            "a statement that resets the `search_path` would see tables outside of the tenant's schema: the start-up \
             options do not arrive at database `{}`",
            self.alias()
        );
        let hint = format!(
            "reset settings by their names; or run `ALTER ROLE … SET search_path TO {VOID_SCHEMA}` for the \
             application's role, as `tenantry doctor` says"
        );
        Err(Error::new(ErrorKind::Unsupported, message).with_hint(hint))
    }
}

/// Returns true if a statement of this text resets the path, or a block of code in it does.
fn resets_path(sql: &str) -> bool {
    // Where our reading ends, the server's ends as well: it refuses the whole text.
    Statements::of(sql).map_while(Result::ok).any(|statement| {
        let tokens = statement.tokens.as_slice();
        is_reset(tokens) || (begins_with(tokens, "do") && tokens.iter().any(is_body_that_resets))
    })
}

fn is_body_that_resets(token: &Token<'_>) -> bool {
    let Some(body) = token.literal() else { return false };
    let tokens: Vec<_> = Lexer::new(body).map_while(Result::ok).filter(|token| !token.is_comment()).collect();
    (0..tokens.len()).any(|start| is_reset(&tokens[start..]))
}

fn is_reset(tokens: &[Token<'_>]) -> bool {
    let Some((first, rest)) = tokens.split_first() else { return false };
    let is_path =
        |token: &Token<'_>| token.name().is_some_and(|name| name.eq_ignore_ascii_case("search_path"));
    if first.is_keyword("reset") {
        return rest.first().is_some_and(|what| what.is_keyword("all") || is_path(what));
    }
    if first.is_keyword("set") {
        let rest = match rest.split_first() {
            Some((word, rest)) if word.is_one_of("session local") => rest,
            _ => rest,
        };
        return rest.first().is_some_and(is_path)
            && rest.get(2).is_some_and(|value| value.is_keyword("default"));
    }
    if first.is_keyword("discard") {
        return rest.first().is_some_and(|what| what.is_keyword("all"));
    }
    let calls =
        |name: &str| tokens.iter().any(|token| token.name().is_some_and(|it| it.eq_ignore_ascii_case(name)));
    first.is_one_of("select with update values perform")
        && (calls("set_config") || calls("pg_settings"))
        && tokens.iter().any(|token| token.is_one_of("null default"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_resets_the_path_is_seen() {
        for sql in [
            "RESET ALL; SELECT title FROM note",
            "SELECT 1; reset /* */ search_path",
            "RESET \"search_path\"",
            "SET search_path TO DEFAULT",
            "SET SESSION search_path = default",
            "SET LOCAL search_path TO DEFAULT",
            "DISCARD ALL",
            "SELECT set_config('search_path', NULL, false)",
            "UPDATE pg_settings SET setting = NULL WHERE name = 'search_path'",
            "DO $$ BEGIN RESET ALL; END $$",
            "DO 'BEGIN SET search_path TO DEFAULT; END'",
            "DO $$ BEGIN PERFORM set_config('search_path', null, true); END $$",
        ] {
            assert!(resets_path(sql), "{sql}");
        }
    }

    #[test]
    fn what_resets_something_else_is_left_alone() {
        for sql in [
            "",
            "RESET statement_timeout",
            "RESET ROLE",
            "SET search_path TO acme",
            "SET statement_timeout TO DEFAULT",
            "DISCARD SEQUENCES",
            "ALTER FUNCTION f RESET ALL",
            "SELECT 'RESET ALL'",
            "SELECT set_config('search_path', 'acme', false)",
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS 'BEGIN RESET ALL; END'",
            "DO $$ BEGIN UPDATE note SET title = NULL; END $$",
            "SELECT 'unterminated",
        ] {
            assert!(!resets_path(sql), "{sql}");
        }
    }
}
