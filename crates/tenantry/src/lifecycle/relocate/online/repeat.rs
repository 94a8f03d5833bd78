//! Turns the changes that the source tells of into statements for the target. Pure.

use super::decode::{LogMessage, Relation, Relations, Row, Value};
use crate::sql::{Identifier, Literal};

/// A change that cannot be repeated elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotRepeatable {
    #[error("the source told of a change of a table that it did not describe")]
    Unknown,
    #[error("the source told of a row of table `{0}` with other columns than it has")]
    Columns(String),
    #[error("a part of table `{0}` was truncated, or all of them")]
    TruncatedPart(String),
}

/// A statement, and whether it has to change exactly one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) sql: String,
    pub(super) of_one_row: bool,
}

impl Repeated {
    fn of_one_row(sql: String) -> Self {
        Self { sql, of_one_row: true }
    }
}

/// The statement that repeats a change. `None` for what changes nothing.
pub(super) fn repeated(message: &LogMessage, known: &Relations) -> Result<Option<Repeated>, NotRepeatable> {
    let find = |number: &u32| known.get(*number).ok_or(NotRepeatable::Unknown);
    Ok(match message {
        LogMessage::Insert(relation, row) => Some(Repeated::of_one_row(insert(find(relation)?, row)?)),
        LogMessage::Update(relation, old, new) => {
            update(find(relation)?, old.as_ref(), new)?.map(Repeated::of_one_row)
        }
        LogMessage::Delete(relation, old) => {
            let relation = find(relation)?;
            let sql = format!("DELETE FROM {} WHERE {}", only(relation), row_like(relation, old)?);
            Some(Repeated::of_one_row(sql))
        }
        LogMessage::Truncate(relations) => truncate(relations.iter().map(find))?,
        LogMessage::Begin { .. }
        | LogMessage::Commit(_)
        | LogMessage::Relation(..)
        | LogMessage::Note { .. }
        | LogMessage::Other => None,
    })
}

fn name(relation: &Relation) -> String {
    format!("{}.{}", Identifier(&relation.schema), Identifier(&relation.name))
}

/// The table without those that inherit from it. Of a partitioned table, the parts are meant.
fn only(relation: &Relation) -> String {
    let only = if relation.is_part { "" } else { "ONLY " };
    format!("{only}{}", name(relation))
}

/// Rows lie in other parts in the target where a hash decides.
fn truncate<'a>(
    relations: impl Iterator<Item = Result<&'a Relation, NotRepeatable>>,
) -> Result<Option<Repeated>, NotRepeatable> {
    let mut names = Vec::new();
    for relation in relations {
        let relation = relation?;
        if relation.is_part {
            return Err(NotRepeatable::TruncatedPart(relation.name.clone()));
        }
        names.push(only(relation));
    }
    let sql = format!("TRUNCATE {}", names.join(", "));
    Ok((!names.is_empty()).then_some(Repeated { sql, of_one_row: false }))
}

/// The columns with their values in a row.
fn columns<'a>(
    relation: &'a Relation,
    row: &'a Row,
) -> Result<impl Iterator<Item = (&'a str, bool, &'a Value)>, NotRepeatable> {
    if row.len() != relation.columns.len() {
        return Err(NotRepeatable::Columns(relation.name.clone()));
    }
    Ok(relation.columns.iter().zip(row).map(|((name, is_key), value)| (name.as_str(), *is_key, value)))
}

fn insert(relation: &Relation, row: &Row) -> Result<String, NotRepeatable> {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (column, _, value) in columns(relation, row)? {
        names.push(Identifier(column).to_string());
        values.push(literal(value));
    }
    let name = name(relation);
    if names.is_empty() {
        return Ok(format!("INSERT INTO {name} DEFAULT VALUES"));
    }
    let (names, values) = (names.join(", "), values.join(", "));
    Ok(format!("INSERT INTO {name} ({names}) OVERRIDING SYSTEM VALUE VALUES ({values})"))
}

/// Sets what may have changed. A key is only set if it did: one that the server counts may not be set to what it is.
fn update(relation: &Relation, old: Option<&Row>, new: &Row) -> Result<Option<String>, NotRepeatable> {
    let mut sets = Vec::new();
    for (index, (column, is_key, value)) in columns(relation, new)?.enumerate() {
        let is_same = match old {
            // Without an old row, the key is what it was.
            None => is_key,
            Some(old) => (is_key || relation.is_full) && old.get(index) == Some(value),
        };
        if !is_same && *value != Value::Unchanged {
            sets.push(format!("{} = {}", Identifier(column), literal(value)));
        }
    }
    if sets.is_empty() {
        return Ok(None);
    }
    let which = row_like(relation, old.unwrap_or(new))?;
    Ok(Some(format!("UPDATE {} SET {} WHERE {which}", only(relation), sets.join(", "))))
}

/// The condition that holds for the row. Of rows that are the same in all columns it holds for one, whichever. They are
/// compared as the server writes them: some types, such as `json`, know no `=`.
fn row_like(relation: &Relation, row: &Row) -> Result<String, NotRepeatable> {
    let mut conditions = Vec::new();
    for (column, is_key, value) in columns(relation, row)? {
        let column = Identifier(column);
        match value {
            _ if !is_key && !relation.is_full => {}
            Value::Unchanged => {}
            // Of a row in a column, `IS NULL` says something else.
            Value::Null => conditions.push(format!("{column} IS NOT DISTINCT FROM NULL")),
            Value::Text(text) if relation.is_full => {
                conditions.push(format!("pg_catalog.format('%s', {column}) = {}", literal(value)));
                if text.is_empty() {
                    // That is what a null is written as, too.
                    conditions.push(format!("{column} IS DISTINCT FROM NULL"));
                }
            }
            Value::Text(_) => conditions.push(format!("{column} = {}", literal(value))),
        }
    }
    let conditions = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
    if !relation.is_full {
        return Ok(conditions);
    }
    Ok(format!(
        "(tableoid, ctid) = (SELECT tableoid, ctid FROM {} WHERE {conditions} LIMIT 1)",
        only(relation)
    ))
}

fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => Literal(text).to_string(),
        Value::Null | Value::Unchanged => "NULL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashMap;

    use super::*;

    /// Table 7 as it is said, and table 8, which is a part.
    fn relations(is_full: bool) -> Relations {
        let mut relations = Relations::of_parts(HashMap::from([("part_1".to_owned(), "whole".to_owned())]));
        for (number, name) in [(7, "note"), (8, "part_1")] {
            let columns = vec![("id".to_owned(), true), ("Odd \"one".to_owned(), false)];
            let (schema, name) = ("own".to_owned(), name.to_owned());
            relations.learn(number, Relation { schema, name, is_full, columns, is_part: false });
        }
        relations
    }

    fn row(values: &[&str]) -> Row {
        let value = |value: &&str| match *value {
            "-" => Value::Null,
            "=" => Value::Unchanged,
            text => Value::Text(text.to_owned()),
        };
        values.iter().map(value).collect()
    }

    #[track_caller]
    fn check(message: &LogMessage, is_full: bool, expect: Option<&str>) {
        let repeated = repeated(message, &relations(is_full)).unwrap();
        assert_eq!(repeated.as_ref().map(|repeated| repeated.sql.as_str()), expect);
    }

    #[test]
    fn a_row_is_written_as_it_is() {
        let insert =
            r#"INSERT INTO "own"."note" ("id", "Odd ""one") OVERRIDING SYSTEM VALUE VALUES ('1', 'it''s')"#;
        check(&LogMessage::Insert(7, row(&["1", "it's"])), false, Some(insert));
        check(&LogMessage::Insert(8, row(&["1", "it's"])), false, Some(&insert.replace("note", "whole")));
    }

    #[test]
    fn a_key_finds_its_row_and_is_set_only_if_it_changed() {
        for (message, sql) in [
            (
                LogMessage::Update(7, None, row(&["1", "-"])),
                Some(r#"UPDATE ONLY "own"."note" SET "Odd ""one" = NULL WHERE "id" = '1'"#),
            ),
            (LogMessage::Update(7, None, row(&["1", "="])), None),
            (
                LogMessage::Update(7, Some(row(&["1", "-"])), row(&["2", "="])),
                Some(r#"UPDATE ONLY "own"."note" SET "id" = '2' WHERE "id" = '1'"#),
            ),
            (
                LogMessage::Delete(7, row(&["1", "-"])),
                Some(r#"DELETE FROM ONLY "own"."note" WHERE "id" = '1'"#),
            ),
            (LogMessage::Delete(8, row(&["1", "-"])), Some(r#"DELETE FROM "own"."whole" WHERE "id" = '1'"#)),
        ] {
            check(&message, false, sql);
        }
    }

    #[test]
    fn of_equal_rows_one_is_changed() {
        let like = r#"pg_catalog.format('%s', "id") = '1' AND "Odd ""one" IS NOT DISTINCT FROM NULL"#;
        let one = format!(r#"SELECT tableoid, ctid FROM ONLY "own"."note" WHERE {like} LIMIT 1"#);
        let which = format!("(tableoid, ctid) = ({one})");
        let delete = format!(r#"DELETE FROM ONLY "own"."note" WHERE {which}"#);
        check(&LogMessage::Delete(7, row(&["1", "-"])), true, Some(&delete));
        let update = format!(r#"UPDATE ONLY "own"."note" SET "Odd ""one" = 'x' WHERE {which}"#);
        let message = LogMessage::Update(7, Some(row(&["1", "-"])), row(&["1", "x"]));
        check(&message, true, Some(&update));
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for (message, error) in [
            (LogMessage::Insert(9, row(&["1", "-"])), NotRepeatable::Unknown),
            (LogMessage::Insert(7, row(&["1"])), NotRepeatable::Columns("note".to_owned())),
            (LogMessage::Truncate(vec![7, 8]), NotRepeatable::TruncatedPart("whole".to_owned())),
        ] {
            assert_eq!(repeated(&message, &relations(false)), Err(error));
        }
        check(&LogMessage::Other, false, None);
        check(&LogMessage::Truncate(vec![]), false, None);
        check(&LogMessage::Truncate(vec![7]), false, Some(r#"TRUNCATE ONLY "own"."note""#));
    }
}
