//! From differences to the statements that take them away. Pure.

use serde_json::Value;

use super::difference::{Deviation, NOT_NULL};
use crate::sql::Identifier;
use crate::tenant::SchemaName;

/// Stands for the name of the schema in statements.
const OWN_SCHEMA: &str = "\"__own_schema__\"";

/// The statements that make a schema what it should be, for a session whose path leads to it. What no single statement
/// does, or what would lose rows, is left to a person, by a comment.
pub(crate) fn mend(differences: &[Deviation]) -> String {
    let each: Vec<_> = differences.iter().map(|it| statement(it).unwrap_or_else(|| by_hand(it))).collect();
    each.join("; ")
}

/// The same, with what leads a session to this schema.
pub(crate) fn mend_in(schema: &SchemaName, differences: &[Deviation]) -> String {
    let name = Identifier(schema.as_str()).to_string();
    let statements = mend(differences).replace(OWN_SCHEMA, &name);
    format!("SET search_path TO {name}; {statements}; RESET search_path")
}

fn by_hand(difference: &Deviation) -> String {
    // No name may end the comment.
    format!("/* by hand: {} */", difference.to_string().replace("*/", "* /"))
}

fn statement(difference: &Deviation) -> Option<String> {
    if let Some(statements) = difference.permission_statements() {
        return Some(statements);
    }
    match (difference.kind.as_str(), &difference.is, &difference.should_be) {
        ("index", None, Some(it)) => text(it, 1),
        ("index", Some(_), None) => Some(format!("DROP INDEX {}", Identifier(&difference.name))),
        ("index", Some(_), Some(it)) => {
            Some(format!("DROP INDEX {}; {}", Identifier(&difference.name), text(it, 1)?))
        }
        ("constraint", None, Some(it)) => add_constraint(difference, it),
        ("constraint", Some(_), None) => drop_constraint(difference),
        ("constraint", Some(_), Some(it)) => {
            Some(format!("{}; {}", drop_constraint(difference)?, add_constraint(difference, it)?))
        }
        ("trigger", None, Some(it)) => text(it, 0),
        ("trigger", Some(_), None) => drop_trigger(difference),
        ("trigger", Some(_), Some(it)) => Some(format!("{}; {}", drop_trigger(difference)?, text(it, 0)?)),
        ("column", None, Some(it)) => add_column(difference, it),
        ("column", Some(is), Some(it)) => alter_column(difference, is, it),
        ("relation", is, Some(it)) if text(it, 0)? == "v" => {
            let make = if is.is_some() { "CREATE OR REPLACE" } else { "CREATE" };
            let query = text(it, VIEW_QUERY)?;
            Some(format!(
                "{make} VIEW {} AS {}",
                Identifier(&difference.name),
                query.trim().trim_end_matches(';')
            ))
        }
        ("relation", Some(is), None) if text(is, 0)? == "v" => {
            Some(format!("DROP VIEW {}", Identifier(&difference.name)))
        }
        _ => None,
    }
}

/// The place of a view's query in the definition of a relation.
const VIEW_QUERY: usize = 15;

/// The places in the definition of a column.
const TYPE: usize = 1;
const IDENTITY: usize = 3;
const GENERATED: usize = 4;
const DEFAULT: usize = 13;

fn text(definition: &Value, place: usize) -> Option<String> {
    definition.get(place)?.as_str().map(str::to_owned)
}

/// The table, as the server writes it, and what belongs to it, quoted.
fn split(name: &str) -> Option<(&str, String)> {
    let end = match name.strip_prefix('"') {
        Some(quoted) => quoted.find("\".")? + 2,
        None => name.find('.')?,
    };
    Some((&name[..end], Identifier(&name[end + 1..]).to_string()))
}

fn add_constraint(difference: &Deviation, it: &Value) -> Option<String> {
    let (table, name) = split(&difference.name)?;
    Some(format!("ALTER TABLE {table} ADD CONSTRAINT {name} {}", text(it, 1)?))
}

fn drop_constraint(difference: &Deviation) -> Option<String> {
    let (table, name) = split(&difference.name)?;
    Some(format!("ALTER TABLE {table} DROP CONSTRAINT {name}"))
}

fn drop_trigger(difference: &Deviation) -> Option<String> {
    // The table is not quoted here.
    let (table, name) = difference.name.split_once('.')?;
    Some(format!("DROP TRIGGER {} ON {}", Identifier(name), Identifier(table)))
}

fn is_plain(it: &Value) -> bool {
    let is_empty = |place| it.get(place).and_then(Value::as_str).is_none_or(str::is_empty);
    is_empty(IDENTITY) && is_empty(GENERATED)
}

fn add_column(difference: &Deviation, it: &Value) -> Option<String> {
    let (table, column) = difference.name.split_once('.').filter(|_| is_plain(it))?;
    let not_null = if it.get(NOT_NULL)?.as_bool()? { " NOT NULL" } else { "" };
    let default = text(it, DEFAULT).map(|default| format!(" DEFAULT {default}")).unwrap_or_default();
    let (table, column) = (Identifier(table), Identifier(column));
    Some(format!("ALTER TABLE {table} ADD COLUMN {column} {}{not_null}{default}", text(it, TYPE)?))
}

/// Changes the default and the need of a value, where nothing else differs.
fn alter_column(difference: &Deviation, is: &Value, it: &Value) -> Option<String> {
    let (table, column) = difference.name.split_once('.').filter(|_| is_plain(it))?;
    let (is, should_be) = (is.as_array()?, it.as_array()?);
    let differing: Vec<_> =
        (0..should_be.len()).filter(|place| is.get(*place) != should_be.get(*place)).collect();
    let clause = |place: &usize| match *place {
        NOT_NULL if should_be[NOT_NULL].as_bool()? => Some("SET NOT NULL".to_owned()),
        NOT_NULL => Some("DROP NOT NULL".to_owned()),
        DEFAULT => Some(match text(it, DEFAULT) {
            Some(default) => format!("SET DEFAULT {default}"),
            None => "DROP DEFAULT".to_owned(),
        }),
        _ => None,
    };
    let clauses: Option<Vec<_>> = differing.iter().map(clause).collect();
    let column = Identifier(column);
    let clauses: Vec<_> = clauses?.iter().map(|clause| format!("ALTER COLUMN {column} {clause}")).collect();
    Some(format!("ALTER TABLE {} {}", Identifier(table), clauses.join(", ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[track_caller]
    fn check(kind: &str, name: &str, is: &str, should_be: &str, expect: &str) {
        let parsed = |text: &str| (!text.is_empty()).then(|| serde_json::from_str(text).unwrap());
        let (kind, name) = (kind.to_owned(), name.to_owned());
        let difference = Deviation { kind, name, is: parsed(is), should_be: parsed(should_be) };
        assert_eq!(mend(&[difference]), expect);
    }

    #[test]
    fn what_one_statement_mends_is_written() {
        let index = r#"["note", "CREATE INDEX i ON note USING btree (a)"]"#;
        check("index", "i", "", index, "CREATE INDEX i ON note USING btree (a)");
        check("index", "i", index, "", "DROP INDEX \"i\"");
        check("index", "i", "[]", index, "DROP INDEX \"i\"; CREATE INDEX i ON note USING btree (a)");
        let add = "ALTER TABLE \"No.te\" ADD CONSTRAINT \"k\" CHECK (a > 0)";
        check("constraint", "\"No.te\".k", "", r#"["c", "CHECK (a > 0)"]"#, add);
        check("constraint", "note.k", "[]", "", "ALTER TABLE note DROP CONSTRAINT \"k\"");
        check("trigger", "note.t", "[]", "", "DROP TRIGGER \"t\" ON \"note\"");
        let view = r#"["v",0,0,0,0,0,0,0,0,0,0,0,0,0,0," SELECT 1;"]"#;
        check("relation", "one", "", view, "CREATE VIEW \"one\" AS SELECT 1");
    }

    #[test]
    fn a_column_is_added_or_altered_and_never_lost() {
        let column = |not_null: &str, default: &str| {
            format!(
                r#"[2, "text", {not_null}, "", "", true, 0, null, "x", "", null, null, null, {default}, null]"#
            )
        };
        let (plain, full) = (column("false", "null"), column("true", r#""'a'::text""#));
        check("column", "note.a", "", &plain, "ALTER TABLE \"note\" ADD COLUMN \"a\" text");
        let add = "ALTER TABLE \"note\" ADD COLUMN \"a\" text NOT NULL DEFAULT 'a'::text";
        check("column", "note.a", "", &full, add);
        let alter =
            "ALTER TABLE \"note\" ALTER COLUMN \"a\" SET NOT NULL, ALTER COLUMN \"a\" SET DEFAULT 'a'::text";
        check("column", "note.a", &plain, &full, alter);
        check("column", "note.a", &plain, "", "/* by hand: column `note.a` is extra */");
        let other = plain.replace("text", "int");
        check("column", "note.a", &plain, &other, "/* by hand: column `note.a` is another */");
        check("relation", "no*/te", r#"["r"]"#, "", "/* by hand: table `no* /te` is extra */");
    }
}
