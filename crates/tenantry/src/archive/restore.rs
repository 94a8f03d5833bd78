//! Renders the SQL that restores an archive without Tenantry.

use std::fmt::Write as _;

use super::manifest::{ArchivedTable, Manifest};
use super::member::MemberName;
use crate::sql::{Identifier, Literal};
use crate::tenant::SchemaName;

/// Settings under which a value that was written as text is the same when it is read.
const AS_TEXT: &str = "SET LOCAL client_encoding = 'UTF8';
SET LOCAL extra_float_digits = 3;
SET LOCAL datestyle = 'ISO, DMY';
SET LOCAL intervalstyle = postgres;
SET LOCAL xmloption = content;
";

/// The statements of `restore.sql`, for an archive whose tables have these numbers of members. `ledger` makes the table
/// of the migrations, and the path leads to `extensions` too.
pub(super) fn restore_sql(
    manifest: &Manifest,
    parts: &[usize],
    ledger: &str,
    extensions: &[SchemaName],
) -> String {
    let mut sql = head(manifest);
    for (index, name) in manifest.names_in_strings.iter().enumerate() {
        let _ = writeln!(
            sql,
            "\\set __tenant_{}__ :__tenant_text__ {}",
            index + 1,
            argument(&format!(".{name}"))
        );
    }
    let mut path = "SET LOCAL search_path TO :\"__tenant__\", ".to_owned();
    for schema in extensions {
        let _ = write!(path, "{}, ", Identifier(schema.as_str()));
    }
    path.push_str("pg_temp;");
    let _ = write!(sql, "{path}\n\\ir pre-data.sql\n{path}\n{ledger};\n");
    for (index, (table, parts)) in manifest.tables.iter().zip(parts).enumerate() {
        for part in 1..=*parts {
            let member = MemberName::Rows { table: index + 1, part };
            let _ = writeln!(
                sql,
                "\\copy {} {} from '{member}'",
                Identifier(&table.into),
                listed(&table.columns)
            );
        }
    }
    sql.push_str(&check(manifest));
    let _ = write!(
        sql,
        "{path}\n\\ir post-data.sql\n\\if :privileges\n{path}\n\\ir privileges.sql\n\\endif\n{path}\n"
    );
    for view in &manifest.materialized_views {
        let _ = writeln!(sql, "REFRESH MATERIALIZED VIEW {};", Identifier(view));
    }
    let _ = writeln!(sql, "COMMIT;\n\\echo restored tenant {} as schema :__tenant_text__", manifest.slug);
    sql
}

fn head(manifest: &Manifest) -> String {
    let slug = &manifest.slug;
    let needs_role = if manifest.has_own_role {
        "\\if :{?role}
\\set __tenant_role__ :role
\\elif :privileges
DO $$ BEGIN RAISE EXCEPTION 'say which role is the tenant''s own: -v role=NAME, or leave privileges out: \
         -v privileges=off'; \
         END $$;
\\endif
"
    } else {
        ""
    };
    let roles = match manifest.roles.len() {
        0 => String::new(),
        _ => format!(
            "-- It needs these roles, or `-v privileges=off`: {}\n",
            one_line(&manifest.roles.join(", "))
        ),
    };
    let spaces = match manifest.tablespaces.len() {
        0 => String::new(),
        _ => format!("-- It needs these tablespaces: {}\n", one_line(&manifest.tablespaces.join(", "))),
    };
    format!(
        "-- Restores tenant {slug} without Tenantry, in one transaction, into a schema that is not there yet:
--   mkdir {slug} && tar --zstd -x -f {slug}.tar.zst -C {slug} && cd {slug}
--   psql -X -v schema=NAME -f restore.sql DATABASE
{roles}{spaces}\\set ON_ERROR_STOP on
\\set QUIET on
SET standard_conforming_strings = on;
SET client_min_messages = warning;
\\if :{{?schema}}
\\else
DO $$ BEGIN RAISE EXCEPTION 'say into which schema: -v schema=NAME'; END $$;
\\endif
\\if :{{?privileges}}
\\else
\\set privileges on
\\endif
{needs_role}BEGIN;
{AS_TEXT}SET LOCAL check_function_bodies = off;
SET LOCAL default_tablespace = '';
CREATE SCHEMA :\"schema\";
SELECT pg_catalog.quote_ident(:'schema') AS \"__tenant_text__\" \\gset
\\set __tenant__ :schema
"
    )
}

/// Sets the sequences and counts the rows, before policies may hide any.
fn check(manifest: &Manifest) -> String {
    let mut body = String::from("DECLARE found bigint;\nBEGIN\n");
    for sequence in &manifest.sequences {
        let name = Identifier(&sequence.name).to_string();
        let _ = writeln!(
            body,
            "PERFORM pg_catalog.setval({}::pg_catalog.regclass, {}, {});",
            Literal(&name),
            sequence.last_value,
            sequence.is_called
        );
    }
    for (name, is_whole, rows) in counted(&manifest.tables) {
        let only = if is_whole { "" } else { "ONLY " };
        let _ = writeln!(
            body,
            "SELECT count(*) INTO found FROM {only}{};\n\
             IF found <> {rows} THEN RAISE EXCEPTION '% has % rows and should \
             have %', {}, found, {rows}; END IF;",
            Identifier(name),
            Literal(name),
        );
    }
    body.push_str("END");
    let mut tag = "$check$".to_owned();
    while body.contains(&tag) {
        tag = format!("${}_$", tag.trim_matches('$'));
    }
    format!("DO {tag} {body} {tag};\n")
}

/// The tables that rows are copied into, each once, with the number of rows, and true for one that has them in its
/// partitions.
pub(crate) fn counted(tables: &[ArchivedTable]) -> Vec<(&str, bool, u64)> {
    let mut counted: Vec<(&str, bool, u64)> = Vec::new();
    for table in tables {
        match counted.iter_mut().find(|(name, ..)| *name == table.into) {
            Some((_, _, rows)) => *rows += table.rows,
            None => counted.push((&table.into, table.into != table.name, table.rows)),
        }
    }
    counted
}

/// Columns in parentheses, or nothing where there are none.
pub(crate) fn listed(columns: &[String]) -> String {
    let columns: Vec<_> = columns.iter().map(|name| Identifier(name).to_string()).collect();
    if columns.is_empty() { String::new() } else { format!("({})", columns.join(", ")) }
}

/// A text as an argument of a command of psql.
fn argument(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''").replace('\n', "\\n"))
}

fn one_line(text: &str) -> String {
    text.replace(|character: char| character.is_control(), " ")
}
