//! The objects of a schema, and those of them that fit into one transaction.

use std::fmt::Write as _;

use sqlx::{FromRow, PgConnection};

use crate::error::Result;
use crate::tenant::SchemaName;

/// Locks that one transaction takes at most, as far as the server has room for so many.
const MOST: i64 = 1_000;

/// An object that can be dropped by itself.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub(super) struct Droppable {
    /// The beginning of the statement: `DROP TABLE`.
    pub(super) verb: String,
    /// The rest of it, quoted by the server; names of one verb may stand in one statement.
    pub(super) name: String,
    /// The locks it takes, approximately.
    pub(super) weight: i64,
    /// True if no other object may be dropped in the same transaction.
    pub(super) is_alone: bool,
}

/// The fate of what depends on the objects of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// It keeps them from being dropped.
    Restrict,
    /// It is dropped with them, and may be an object of the same batch.
    Cascade,
}

/// Objects to drop in one transaction; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    first: Droppable,
    others: Vec<Droppable>,
}

impl Batch {
    pub(super) fn first(&self) -> &Droppable {
        &self.first
    }

    pub(super) fn len(&self) -> usize {
        1 + self.others.len()
    }

    pub(super) fn weight(&self) -> i64 {
        self.objects().map(|object| object.weight).sum()
    }

    fn objects(&self) -> impl Iterator<Item = &Droppable> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// One statement for each verb in a row, so that what depends on each other may go together.
    pub(super) fn render(&self, behaviour: Behaviour) -> Vec<String> {
        let mut statements: Vec<String> = Vec::new();
        let mut verb = "";
        for Droppable { verb: next, name, .. } in self.objects() {
            let is_drop = next.starts_with("DROP");
            match statements.last_mut() {
                Some(statement) if is_drop && next == verb => {
                    let _ = write!(statement, ", {name}");
                }
                _ if is_drop && behaviour == Behaviour::Cascade => {
                    statements.push(format!("{next} IF EXISTS {name}"));
                }
                _ => statements.push(format!("{next} {name}")),
            }
            verb = next;
        }
        let end = match behaviour {
            Behaviour::Restrict => " RESTRICT",
            Behaviour::Cascade => " CASCADE",
        };
        statements.into_iter().map(|statement| statement + end).collect()
    }
}

/// Takes as many as there is room for, in the order in which they are given; at least one.
pub(super) fn first_batch(objects: Vec<Droppable>, room: i64) -> Option<Batch> {
    let mut objects = objects.into_iter();
    let mut batch = Batch { first: objects.next()?, others: Vec::new() };
    if batch.first.is_alone {
        return Some(batch);
    }
    let mut weight = batch.first.weight;
    for object in objects {
        weight += object.weight;
        if weight > room || object.is_alone {
            break;
        }
        batch.others.push(object);
    }
    Some(batch)
}

/// The locks that one transaction may take: an eighth of what the sessions of the server share.
pub(super) async fn room(connection: &mut PgConnection) -> Result<i64> {
    let slots: i64 = sqlx::query_scalar(
        "SELECT pg_catalog.current_setting('max_locks_per_transaction')::bigint
             * (pg_catalog.current_setting('max_connections')::bigint
                + pg_catalog.current_setting('max_prepared_transactions')::bigint)",
    )
    .fetch_one(connection)
    .await?;
    Ok(MOST.min(slots / 8))
}

/// The objects to drop next, in an order in which hardly any of them has others that depend on it.
pub(super) async fn objects_of(connection: &mut PgConnection, schema: &SchemaName) -> Result<Vec<Droppable>> {
    let objects = sqlx::query_as(include_str!("objects.sql")).bind(schema.as_str());
    Ok(objects.fetch_all(connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(verb: &str, name: &str, weight: i64) -> Droppable {
        Droppable { verb: verb.to_owned(), name: name.to_owned(), weight, is_alone: false }
    }

    #[track_caller]
    fn check(objects: &[(&str, i64)], room: i64, expect: usize) {
        let objects = objects.iter().map(|(name, weight)| object("DROP TABLE", name, *weight)).collect();
        assert_eq!(first_batch(objects, room).map_or(0, |batch| batch.len()), expect);
    }

    #[test]
    fn a_batch_has_as_many_as_there_is_room_for_and_at_least_one() {
        check(&[], 10, 0);
        check(&[("a", 5)], 10, 1);
        check(&[("a", 5), ("b", 5), ("c", 1)], 10, 2);
        check(&[("a", 500), ("b", 1)], 10, 1);
        check(&[("a", 4), ("b", 500), ("c", 1)], 10, 1);
    }

    #[test]
    fn an_object_that_is_to_be_alone_is() {
        let alone = Droppable { is_alone: true, ..object("ALTER TABLE", "a DROP CONSTRAINT b", 1) };
        let other = object("DROP TABLE", "c", 1);
        let len = |objects| first_batch(objects, 100).map(|batch| batch.len());
        assert_eq!(len(vec![alone.clone(), other.clone()]), Some(1));
        assert_eq!(len(vec![other.clone(), alone, other]), Some(1));
    }

    #[test]
    fn names_of_one_verb_stand_in_one_statement() {
        let objects = vec![
            object("ALTER TABLE", "a DROP CONSTRAINT b", 1),
            object("ALTER TABLE", "c DROP CONSTRAINT d", 1),
            object("DROP VIEW", "e", 1),
            object("DROP TABLE", "f", 1),
            object("DROP TABLE", "g", 1),
        ];
        let text =
            |behaviour| first_batch(objects.clone(), 100).map(|batch| batch.render(behaviour).join(";\n"));
        let expect = "ALTER TABLE a DROP CONSTRAINT b RESTRICT;\nALTER TABLE c DROP CONSTRAINT d RESTRICT;\n\
                      DROP VIEW e RESTRICT;\nDROP TABLE f, g RESTRICT";
        assert_eq!(text(Behaviour::Restrict).as_deref(), Some(expect));
        let expect = "ALTER TABLE a DROP CONSTRAINT b CASCADE;\nALTER TABLE c DROP CONSTRAINT d CASCADE;\n\
                      DROP VIEW IF EXISTS e CASCADE;\nDROP TABLE IF EXISTS f, g CASCADE";
        assert_eq!(text(Behaviour::Cascade).as_deref(), Some(expect));
    }
}
