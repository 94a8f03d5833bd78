//! The types that the driver of a connection knows, which belong to the schema they were read in.
//!
//! sqlx keeps a map from the names of types to their numbers for each connection, and only emptying the whole
//! statement cache empties it. So when a connection goes over to another schema, or to the same one at
//! another version, what it may know of types is forgotten. Where the registry knows of types, that is
//! decided without asking. Types that were made since then the registry does not know; the server does, and is asked
//! in the switch, but only if a statement ran that the connection had not seen before: no other
//! statement makes sqlx look at types.

use std::collections::HashSet;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

use super::preparation::Preparation;
use crate::guard::{Guard, stands};
use crate::sql::Literal;
use crate::tenant::SchemaName;

/// The statements that ran on a connection, whose types the driver knows.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// Hashes of texts: one of two that share it goes without its savepoint, or without the question.
    texts: HashSet<u64, RandomState>,
    /// A text is among them, or may be, that the server was not asked about.
    has_new: bool,
}

impl Described {
    /// Forgets all when full: an application with more texts than this builds them.
    const MOST: usize = 4096;

    pub(super) fn contains(&self, sql: &str) -> bool {
        self.texts.contains(&self.key(sql))
    }

    pub(super) fn insert(&mut self, sql: &str) {
        if self.texts.len() >= Self::MOST {
            self.texts.clear();
        }
        let key = self.key(sql);
        self.has_new |= self.texts.insert(key);
    }

    /// Something ran that nobody saw, or failed: the types it means are known, or not.
    pub(super) fn doubt(&mut self) {
        self.texts.clear();
        self.suspect();
    }

    /// A statement runs, and will be [inserted](Self::insert) when it has succeeded.
    pub(super) fn suspect(&mut self) {
        self.has_new = true;
    }

    /// The server said that no type of the schema is among those that are known.
    fn settle(&mut self) {
        self.has_new = false;
    }

    fn key(&self, sql: &str) -> u64 {
        self.texts.hasher().hash_one(sql)
    }
}

/// The decision about what a connection knows of types, when it goes from one schema to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Types<'a> {
    /// They mean the same there, or there are none.
    Keep,
    /// Only the server knows whether there are any in the schema that is left.
    Ask(&'a SchemaName),
    Forget,
}

impl<'a> Types<'a> {
    pub(super) fn between(from: Option<&'a Preparation>, to: &Preparation, known: &Described) -> Self {
        let Some(from) = from.filter(|from| from.is_elsewhere(to) && stands(Guard::ForgetTypes)) else {
            return Self::Keep;
        };
        match () {
            () if from.owns_types() || to.owns_types() => Self::Forget,
            () if known.has_new => Self::Ask(from.request.schema()),
            () => Self::Keep,
        }
    }

    /// The statement behind a switch whose answer is that of the switch, and of the question.
    ///
    /// `confirmation` is the expression that the switch answers with.
    pub(super) fn question(self, confirmation: &str) -> Option<String> {
        let Self::Ask(schema) = self else { return None };
        let question = QUESTION.replace("/* schema */", &Literal(schema.as_str()).to_string());
        Some(question.replace("/* confirmation */", confirmation))
    }

    /// Takes the answer apart: whether to forget, and what the switch alone would have answered.
    pub(super) fn read(self, answer: Option<&str>) -> (bool, Option<&str>) {
        match self {
            Self::Keep => (false, answer),
            Self::Forget => (true, answer),
            Self::Ask(_) => match answer.and_then(|answer| answer.strip_prefix(NONE)) {
                Some(schema) => (false, Some(schema)),
                None => (true, answer.and_then(|answer| answer.strip_prefix(SOME))),
            },
        }
    }

    /// Notes what has become of the types.
    pub(super) fn note(self, has_forgotten: bool, known: &mut Described) {
        match self {
            _ if has_forgotten => *known = Described::default(),
            Self::Ask(_) => known.settle(),
            Self::Keep | Self::Forget => {}
        }
    }
}

/// In front of the schema in the answer.
const NONE: &str = "none ";
const SOME: &str = "some ";

/// Types that a statement may mean by name depend on their schema, for which there is an index; the row type
/// of a table depends on the table, so those are looked for among the parameters of what is prepared. A schema
/// that is gone may have had some.
const QUESTION: &str = "; SELECT pg_catalog.concat(CASE WHEN coalesce((SELECT \
        EXISTS (SELECT FROM pg_catalog.pg_depend \
            WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid = pg_namespace.oid \
              AND classid = 'pg_catalog.pg_type'::pg_catalog.regclass) \
        OR EXISTS (SELECT FROM pg_catalog.pg_prepared_statements, \
            LATERAL pg_catalog.unnest(parameter_types) AS parameter (type) \
            JOIN pg_catalog.pg_type ON pg_type.oid = parameter.type WHERE typnamespace = pg_namespace.oid) \
    FROM pg_catalog.pg_namespace WHERE nspname = /* schema */), true) THEN 'some ' ELSE 'none ' END, \
    /* confirmation */)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_new_once() {
        let mut known = Described::default();
        known.insert("SELECT 1");
        assert!(known.contains("SELECT 1") && known.has_new);
        known.settle();
        known.insert("SELECT 1");
        assert!(!known.has_new);
        known.insert("SELECT 2");
        assert!(known.has_new);
        known.settle();
        known.doubt();
        assert!(known.has_new && !known.contains("SELECT 1"));
    }

    #[test]
    fn an_answer_is_that_of_the_switch_and_of_the_question() {
        let schema = SchemaName::parse("t_acme").expect("a name");
        let ask = Types::Ask(&schema);
        for (types, answer, expect) in [
            (Types::Keep, Some("t_acme"), (false, Some("t_acme"))),
            (Types::Forget, Some("t_acme"), (true, Some("t_acme"))),
            (Types::Keep, None, (false, None)),
            (ask, Some("none t_acme"), (false, Some("t_acme"))),
            (ask, Some("some t_acme"), (true, Some("t_acme"))),
            (ask, Some("some none t_acme"), (true, Some("none t_acme"))),
            // No schema is in force, or this is no answer to the question.
            (ask, Some("some "), (true, Some(""))),
            (ask, Some("t_acme"), (true, None)),
            (ask, None, (true, None)),
        ] {
            assert_eq!(types.read(answer), expect, "{types:?}, {answer:?}");
        }
    }
}
