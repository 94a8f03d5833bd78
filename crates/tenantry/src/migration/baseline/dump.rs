//! From the text of a dump to the text of a baseline.

use super::head::{BaselineHead, PLACEHOLDER};
use super::rename::NamePlaces;
use crate::error::{Error, ErrorKind, Result};
use crate::migration::plain_dump::{is_complete, without_meta_commands};
use crate::sql::lexer::{Statements, Token};
use crate::tenant::SchemaName;

/// The text of a baseline file, head included.
pub(crate) fn baseline_of(dump: &str, schema: &SchemaName, head: &BaselineHead) -> Result<String> {
    if !is_complete(dump) {
        return Err(
            refused("the dump was cut off before its end").with_hint("check which program runs as `pg_dump`")
        );
    }
    let major = major_of(dump).ok_or_else(|| refused("the dump does not say which `pg_dump` made it"))?;
    let mut text = head.render(major);
    for statement in statements_of(dump, schema)? {
        text.push('\n');
        text.push_str(&statement);
        text.push_str(";\n");
    }
    Ok(text)
}

/// The statements that make the objects of a schema, with the placeholder in its name's place; comments, psql's
/// commands, the session's settings and the schema itself left out.
pub(super) fn statements_of(dump: &str, schema: &SchemaName) -> Result<Vec<String>> {
    let sql = without_meta_commands(dump);
    if sql.contains(PLACEHOLDER) {
        return Err(refused(format!("a name or a text of the migrations contains `{PLACEHOLDER}`")));
    }
    let mut kept = Vec::new();
    for statement in Statements::of(&sql) {
        let statement =
            statement.map_err(|error| refused("the dump is not complete SQL").with_source(error))?;
        if is_kept(&statement.tokens)? {
            let tokens = &statement.tokens;
            let part = statement.span.range.start..tokens.last().map_or(0, Token::end);
            let places =
                NamePlaces::of(schema.as_str(), tokens).map_err(|_| names_itself(&sql[part.clone()]))?;
            kept.push(places.fill(&sql, part, PLACEHOLDER).text);
        }
    }
    Ok(kept)
}

fn is_kept(tokens: &[Token<'_>]) -> Result<bool> {
    match tokens {
        [set, setting, .., value] if set.is_keyword("set") => {
            let is_default = value.text == "''" || value.is_keyword("heap");
            let places_tables = setting.is_one_of("default_tablespace default_table_access_method");
            if places_tables && !is_default {
                let message = format!("a baseline cannot hold `{}` {}", setting.text, value.text);
                return Err(refused(message));
            }
            Ok(false)
        }
        [select, _, _, function, ..] if select.is_keyword("select") && function.is_keyword("set_config") => {
            Ok(false)
        }
        // That of a sequence which was never used. One that begins at another number is told by its definition.
        [select, .., one, _, is_called, _]
            if select.is_keyword("select")
                && tokens.iter().any(|token| token.is_keyword("setval"))
                && one.text == "1"
                && is_called.is_keyword("false") =>
        {
            Ok(false)
        }
        [create, schema, ..] => Ok(!(create.is_keyword("create") && schema.is_keyword("schema"))),
        _ => Ok(true),
    }
}

/// From `-- Dumped by pg_dump version 15.4 (Debian 15.4-1)`.
fn major_of(dump: &str) -> Option<u32> {
    let version = dump.lines().find_map(|line| line.strip_prefix("-- Dumped by pg_dump version "))?;
    version.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

fn names_itself(statement: &str) -> Error {
    let first_line = statement.lines().next().unwrap_or_default();
    refused(format!("`{first_line} …` has the name of its own schema in a body or a string"))
        .with_hint("let it use unqualified names; `search_path` leads to the tenant's schema")
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Migration, format!("no baseline can be made: {}", message.into()))
}
