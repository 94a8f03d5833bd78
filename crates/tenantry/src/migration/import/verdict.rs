//! The fate of one statement: it stays, goes, or moves to a migration of the master.

use super::tool::ImportTool;
use crate::migration::refusal::Refusal;
use crate::sql::lexer::{Token, TokenKind, begins_with};

/// The fate of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Stays,
    /// It stays, and somebody has to look at it.
    Unconverted(String),
    /// It goes, and says nothing that matters to a tenant.
    Goes,
    /// It goes, and that is told.
    LeftOut(&'static str),
    /// It makes an extension, or says something of one.
    Extension,
}

/// Beginnings of statements about what is in the database, or in the server, once.
const SHARED: [&str; 14] = [
    "alter database",
    "create database",
    "drop database",
    "create publication",
    "alter publication",
    "create subscription",
    "alter subscription",
    "create event trigger",
    "create language",
    "create cast",
    "create foreign data wrapper",
    "create server",
    "create user mapping",
    "create tablespace",
];

/// The rows of a dump are not judged here.
pub(super) fn verdict(tool: ImportTool, schema: &str, tokens: &[Token<'_>]) -> Verdict {
    if is_path(tokens) || is_of_schema(tokens, schema) {
        return if tool == ImportTool::Dump {
            Verdict::Goes
        } else {
            Verdict::LeftOut("unqualified names mean the tenant's schema already")
        };
    }
    if tool == ImportTool::Dump && is_setting_of_dump(tokens) {
        return Verdict::Goes;
    }
    let begins = |beginnings: &[&str]| beginnings.iter().any(|words| begins_with(tokens, words));
    if begins(&["create extension", "comment on extension"]) {
        return Verdict::Extension;
    }
    if begins(&["drop extension", "alter extension"]) {
        return Verdict::LeftOut("all tenants share the extension, so that is for a migration of the master");
    }
    if is_ownership(tokens) {
        return Verdict::LeftOut("everything belongs to the role that migrates");
    }
    if begins(&["grant", "revoke", "alter default privileges", "security label"]) {
        return Verdict::LeftOut(
            "Tenantry gives the application what it needs; write privileges of other roles again, without a schema",
        );
    }
    if is_about_roles(tokens) {
        return Verdict::LeftOut("roles belong to the server, not to a tenant");
    }
    if begins(&["create schema", "alter schema", "drop schema"]) {
        return Verdict::Unconverted(
            "a tenant has one schema: put the tables into it, or into the master's".to_owned(),
        );
    }
    if begins(&SHARED) {
        return Verdict::Unconverted(
            "all tenants share it: put it into a migration of the master".to_owned(),
        );
    }
    match Refusal::of(tokens) {
        Some(refusal) => Verdict::Unconverted(format!("{refusal}; {}", refusal.hint())),
        None => Verdict::Stays,
    }
}

/// `SET search_path`, and `set_config('search_path', …)` as the only thing that a query does.
fn is_path(tokens: &[Token<'_>]) -> bool {
    let is_name = |token: &Token<'_>| token.name().is_some_and(|it| it.eq_ignore_ascii_case("search_path"));
    match tokens {
        [set, setting, ..] if set.is_one_of("set reset") && is_name(setting) => true,
        [set, scope, setting, ..] if set.is_keyword("set") && scope.is_one_of("local session") => {
            is_name(setting)
        }
        [set, schema, ..] if set.is_keyword("set") && schema.is_keyword("schema") => true,
        [select, call @ ..] if select.is_keyword("select") => {
            let call = match call {
                [schema, point, rest @ ..]
                    if schema.is_keyword("pg_catalog") && point.is_punctuation(".") =>
                {
                    rest
                }
                call => call,
            };
            matches!(call, [function, open, setting, .., close]
                if function.is_keyword("set_config")
                    && open.is_punctuation("(")
                    && setting.literal().is_some_and(|it| it.eq_ignore_ascii_case("search_path"))
                    && close.is_punctuation(")")
                    && call.iter().filter(|token| token.is_punctuation("(")).count() == 1)
        }
        _ => false,
    }
}

/// `CREATE SCHEMA IF NOT EXISTS public` and the like: the schema is that of the tenant now.
fn is_of_schema(tokens: &[Token<'_>], schema: &str) -> bool {
    let about = ["create schema", "alter schema", "drop schema", "comment on schema"];
    let is_about = about.iter().any(|words| begins_with(tokens, words));
    let mut names = tokens.iter().filter(|token| !token.is_one_of("if not exists"));
    is_about && names.any(|token| is_name_of(token, schema))
}

/// Returns true for the name of a schema, with or without quotes.
pub(super) fn is_name_of(token: &Token<'_>, schema: &str) -> bool {
    match token.kind {
        TokenKind::Word => token.text.to_lowercase() == schema,
        TokenKind::QuotedName => token.name().is_some_and(|name| name.replace("\"\"", "\"") == schema),
        _ => false,
    }
}

/// The settings that every dump begins with. The one that lets functions name what comes later stays.
fn is_setting_of_dump(tokens: &[Token<'_>]) -> bool {
    const SETTINGS: &str = "statement_timeout lock_timeout idle_in_transaction_session_timeout transaction_timeout \
                            client_encoding standard_conforming_strings client_min_messages row_security \
                            default_tablespace default_table_access_method";
    let [set, setting, .., value] = tokens else { return false };
    let places = setting.is_one_of("default_tablespace default_table_access_method");
    let is_usual = !places || value.text == "''" || value.is_keyword("heap");
    set.is_keyword("set") && setting.is_one_of(SETTINGS) && is_usual
}

/// `ALTER … OWNER TO name`, and nothing else.
fn is_ownership(tokens: &[Token<'_>]) -> bool {
    let [alter, .., owner, to, name] = tokens else { return false };
    let mut depth = 0_i32;
    let has_more = tokens.iter().any(|token| {
        depth += i32::from(token.is_punctuation("(")) - i32::from(token.is_punctuation(")"));
        depth == 0 && token.is_punctuation(",")
    });
    alter.is_keyword("alter")
        && owner.is_keyword("owner")
        && to.is_keyword("to")
        && name.name().is_some()
        && !has_more
}

fn is_about_roles(tokens: &[Token<'_>]) -> bool {
    match tokens {
        [verb, kind, next, ..] if verb.is_one_of("create alter drop") => {
            kind.is_one_of("role user group") && !next.is_keyword("mapping")
        }
        [set, scope, rest @ ..] if set.is_one_of("set reset") => {
            let is_role = |token: &Token<'_>| token.is_one_of("role session_authorization");
            let is_session = scope.is_keyword("session");
            is_role(scope)
                || is_session && rest.first().is_some_and(|it| it.is_one_of("role authorization"))
                || scope.is_keyword("local") && rest.first().is_some_and(is_role)
        }
        _ => begins_with(tokens, "reassign owned") || begins_with(tokens, "drop owned"),
    }
}
