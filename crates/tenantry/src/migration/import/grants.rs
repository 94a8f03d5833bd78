//! The privileges of the roles that somebody names: they are carried, and all others are left out.

use std::collections::BTreeSet;
use std::ops::Range;

use super::verdict::is_name_of;
use crate::sql::Literal;
use crate::sql::lexer::{Token, begins_with};

/// The form in which a statement is carried.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CarriedGrant {
    /// Without the name of the schema, and as it is otherwise.
    AsItIs,
    /// By a block that asks for the schema, since the statement names it.
    InBlock(String),
}

/// A `GRANT` or `REVOKE` on objects.
pub(super) struct RoleGrant<'t, 's> {
    tokens: &'t [Token<'s>],
    /// The tokens between `ON` and `TO` or `FROM`.
    object: Range<usize>,
    /// The names of the roles, `PUBLIC` among them.
    pub(super) roles: BTreeSet<String>,
}

/// Objects that are no tenant's.
const ELSEWHERE: &str = "database foreign language large parameter tablespace";

impl<'t, 's> RoleGrant<'t, 's> {
    /// `None` for any other statement, and for a grant of a role.
    pub(super) fn of(tokens: &'t [Token<'s>]) -> Option<Self> {
        if !begins_with(tokens, "grant") && !begins_with(tokens, "revoke") {
            return None;
        }
        let on = outside_of_parentheses(tokens, 0, |token| token.is_keyword("on"))?;
        let to = outside_of_parentheses(tokens, on, |token| token.is_one_of("to from"))?;
        let mut roles = BTreeSet::new();
        for token in &tokens[to + 1..] {
            if token.is_one_of("with granted cascade restrict") {
                break;
            }
            if !token.is_keyword("group") && !token.is_punctuation(",") {
                roles.insert(role_of(token)?);
            }
        }
        (!roles.is_empty()).then_some(Self { tokens, object: on + 1..to, roles })
    }

    /// Says how it is carried to tenants; `None` if it cannot be.
    pub(super) fn carried(&self, text: &str, schema: &str) -> Option<CarriedGrant> {
        let object = &self.tokens[self.object.clone()];
        let first = object.first()?;
        if first.is_one_of(ELSEWHERE) {
            return None;
        }
        let is_all = first.is_keyword("all") && object.len() > 2;
        let named = match object {
            [kind, name] if kind.is_keyword("schema") => name,
            [.., within, kind, name] if is_all && within.is_keyword("in") && kind.is_keyword("schema") => {
                name
            }
            _ if is_all || first.is_keyword("schema") => return None,
            _ => return Some(CarriedGrant::AsItIs),
        };
        let last = self.tokens.last()?;
        let statement = |part: Range<usize>| text[part].replace('%', "%%");
        let whole = [
            statement(self.tokens.first()?.start..named.start),
            "%I".to_owned(),
            statement(named.end()..last.end()),
        ];
        is_name_of(named, schema).then(|| CarriedGrant::InBlock(in_block(&whole.concat())))
    }

    /// True if somebody who gets it also needs to use the schema.
    pub(super) fn gives(&self) -> bool {
        begins_with(self.tokens, "grant")
    }
}

/// Lets a role use the schema of the tenant, without which nothing in it can be used.
pub(super) fn usage(role: &Token<'_>) -> String {
    in_block(&format!("GRANT USAGE ON SCHEMA %I TO {}", role.text.replace('%', "%%")))
}

/// The places of the names of roles for which `usage` is needed.
pub(super) fn role_tokens<'s>(tokens: &[Token<'s>]) -> Vec<Token<'s>> {
    let to = outside_of_parentheses(tokens, 0, |token| token.is_keyword("to"));
    let roles = to.map(|to| &tokens[to + 1..]).unwrap_or_default();
    let roles = roles.iter().take_while(|token| !token.is_one_of("with granted cascade restrict"));
    roles.filter(|token| !token.is_one_of("group public") && !token.is_punctuation(",")).copied().collect()
}

fn in_block(statement: &str) -> String {
    let call = format!("EXECUTE pg_catalog.format({}, current_schema());", Literal(statement));
    let body = format!("BEGIN {call} END");
    if body.contains("$$") { format!("DO {}", Literal(&body)) } else { format!("DO $$ {body} $$") }
}

/// The name as the server has it.
pub(super) fn role_of(token: &Token<'_>) -> Option<String> {
    let name = token.name()?;
    if token.is_keyword("public") {
        return Some("PUBLIC".to_owned());
    }
    Some(if token.text.starts_with('"') { name.replace("\"\"", "\"") } else { name.to_lowercase() })
}

fn outside_of_parentheses(
    tokens: &[Token<'_>],
    from: usize,
    is_it: impl Fn(&Token<'_>) -> bool,
) -> Option<usize> {
    let mut depth = 0_i32;
    tokens.iter().enumerate().skip(from).find_map(|(index, token)| {
        depth += i32::from(token.is_punctuation("(")) - i32::from(token.is_punctuation(")"));
        (depth == 0 && is_it(token)).then_some(index)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::sql::lexer::Lexer;

    #[track_caller]
    fn check(sql: &str, roles: &[&str], carried: Option<&str>) {
        let tokens: Vec<_> = Lexer::new(sql).map(Result::unwrap).collect();
        let grant = RoleGrant::of(&tokens);
        let named: Vec<_> = grant.iter().flat_map(|it| it.roles.iter().map(String::as_str)).collect();
        assert_eq!(named, roles, "{sql}");
        let text = grant.and_then(|grant| grant.carried(sql, "public")).map(|carried| match carried {
            CarriedGrant::AsItIs => "as it is".to_owned(),
            CarriedGrant::InBlock(text) => text,
        });
        assert_eq!(text.as_deref(), carried, "{sql}");
    }

    #[test]
    fn what_a_tenant_has_is_carried_and_what_is_there_once_is_not() {
        let as_it_is = Some("as it is");
        check("GRANT SELECT ON TABLE public.note TO reporting", &["reporting"], as_it_is);
        check(
            "GRANT SELECT (id), UPDATE (\"on\") ON note TO GROUP a, \"B\" WITH GRANT OPTION",
            &["B", "a"],
            as_it_is,
        );
        check("REVOKE ALL ON FUNCTION f(a int, b text) FROM public CASCADE", &["PUBLIC"], as_it_is);
        let block = "DO $$ BEGIN EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %I TO \"a%%\"', current_schema()); \
                     END $$";
        check("GRANT USAGE ON SCHEMA public TO \"a%\"", &["a%"], Some(block));
        let block = "DO $$ BEGIN EXECUTE pg_catalog.format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM a', \
                     current_schema()); END $$";
        check("REVOKE ALL ON ALL TABLES IN SCHEMA \"public\" FROM a", &["a"], Some(block));
        check("GRANT USAGE ON SCHEMA other TO a", &["a"], None);
        check("GRANT USAGE ON SCHEMA public, other TO a", &["a"], None);
        check("GRANT CONNECT ON DATABASE shop TO a", &["a"], None);
        check("GRANT USAGE ON FOREIGN SERVER s TO a", &["a"], None);
        check("GRANT a TO b", &[], None);
        check("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO a", &[], None);
    }
}
