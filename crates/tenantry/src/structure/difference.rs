//! Differences between what a schema has and what it should have. Pure.

use std::fmt;

use serde_json::Value;

use super::fingerprint::{Key, Objects};

/// Something that a schema has less, more or otherwise than it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deviation {
    pub(super) kind: String,
    pub(super) name: String,
    /// The definition that is there; `None` if nothing is.
    pub(super) is: Option<Value>,
    /// The definition that should be there; `None` if nothing should.
    pub(super) should_be: Option<Value>,
}

/// The place in the definition of a column.
pub(super) const NOT_NULL: usize = 2;

/// The kinds of relations, as the catalog has them.
const RELATIONS: [(&str, &str); 6] = [
    ("r", "table"),
    ("p", "table"),
    ("v", "view"),
    ("m", "materialized view"),
    ("f", "foreign table"),
    ("S", "sequence"),
];

/// Tells what is not the same, in the order of kinds and names. What belongs to a table that is missing or beyond is
/// not told, nor the index of a constraint.
pub(crate) fn differences(is: &Objects, should_be: &Objects) -> Vec<Deviation> {
    let keys = is.0.keys().chain(should_be.0.keys().filter(|key| !is.0.contains_key(*key)));
    let all: Vec<_> = keys
        .filter(|key| is.0.get(*key) != should_be.0.get(*key))
        .map(|key| Deviation {
            kind: key.0.clone(),
            name: key.1.clone(),
            is: is.0.get(key).map(|it| definition(it)),
            should_be: should_be.0.get(key).map(|it| definition(it)),
        })
        .collect();
    let mut told: Vec<_> =
        all.iter().filter(|it| !all.iter().any(|other| it.comes_with(other))).cloned().collect();
    told.sort_by(|a, b| (a.order(), &a.name, &a.kind).cmp(&(b.order(), &b.name, &b.kind)));
    told
}

/// The number of keys that are not the same.
pub(super) fn is_other(is: &Objects, should_be: &Objects, key: &Key) -> bool {
    is.0.get(key) != should_be.0.get(key)
}

/// Most have one. Where several go by one name, all are the definition.
fn definition(definitions: &[String]) -> Value {
    let parsed = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
    match definitions {
        [one] => parsed(one),
        several => Value::Array(several.iter().map(parsed).collect()),
    }
}

impl Deviation {
    pub(super) fn is_relation(&self) -> bool {
        self.kind == "relation"
    }

    /// The part of the definition at this place, as text: of what should be there, or else of what is.
    pub(super) fn text(&self, place: usize) -> Option<&str> {
        self.should_be.as_ref().or(self.is.as_ref())?.get(place)?.as_str()
    }

    /// Returns true if one is there and the other should be.
    pub(super) fn is_changed(&self) -> bool {
        self.is.is_some() && self.should_be.is_some()
    }

    /// Returns true if whoever makes or removes the other one does so with this.
    fn comes_with(&self, other: &Self) -> bool {
        if self == other {
            return false;
        }
        let is_inside =
            |parent: &str| self.name.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'));
        match (self.kind.as_str(), other.kind.as_str()) {
            ("index", "constraint") => {
                self.text(0).is_some_and(|table| other.name == format!("{table}.{}", self.name))
            }
            ("internal triggers", "constraint" | "relation") => true,
            ("sequence", "relation") if self.name == other.name => !other.is_changed(),
            ("relation", "relation") => !other.is_changed() && self.is_sequence_of(other),
            ("index", "relation") => {
                !other.is_changed() && self.text(0) == Some(quoted(&other.name).as_str())
            }
            ("column" | "constraint" | "trigger" | "rule" | "policy", "relation" | "type") => {
                !other.is_changed() && (is_inside(&other.name) || is_inside(&quoted(&other.name)))
            }
            // A column is missing, beyond or another with what is said of it.
            ("constraint", "column") => {
                (!other.is_changed() || other.differs_at(NOT_NULL)) && self.is_not_null_of(other)
            }
            ("relation" | "sequence", "column") => !other.is_changed() && self.is_sequence_of_column(other),
            _ => false,
        }
    }

    /// Judged by the definition: the name may be anybody's.
    fn is_not_null_of(&self, column: &Self) -> bool {
        let is_of = |(table, column): (&str, &str)| {
            let tables = [table.to_owned(), quoted(table)];
            let is_of_table = |table: &String| {
                self.name.strip_prefix(table.as_str()).is_some_and(|rest| rest.starts_with('.'))
            };
            self.text(1) == Some(&format!("NOT NULL {}", quoted(column))) && tables.iter().any(is_of_table)
        };
        self.text(0) == Some("n") && column.name.split_once('.').is_some_and(is_of)
    }

    fn differs_at(&self, place: usize) -> bool {
        let at = |definition: &Option<Value>| definition.as_ref().and_then(|it| it.get(place).cloned());
        at(&self.is) != at(&self.should_be)
    }

    /// Judged by the names that the server gives: what is shown is shorter, and nothing else depends on it.
    fn is_sequence_of(&self, table: &Self) -> bool {
        self.text(0) == Some("S")
            && self.name.starts_with(&format!("{}_", table.name))
            && self.name.ends_with("_seq")
    }

    fn is_sequence_of_column(&self, column: &Self) -> bool {
        let is_sequence = self.kind == "sequence" || self.text(0) == Some("S");
        is_sequence && self.name == format!("{}_seq", column.name.replacen('.', "_", 1))
    }

    /// The kind in the words of people.
    fn noun(&self) -> &str {
        let relation = || {
            let kind = self.text(0)?;
            RELATIONS.iter().find(|(letter, _)| *letter == kind).map(|(_, noun)| *noun)
        };
        if self.is_relation() { relation().unwrap_or("relation") } else { &self.kind }
    }

    /// Puts first what people look at first.
    fn order(&self) -> usize {
        const ORDER: [&str; 5] = ["relation", "column", "constraint", "index", "routine"];
        ORDER.iter().position(|kind| *kind == self.kind).unwrap_or(ORDER.len())
    }
}

/// A name as the server writes it.
fn quoted(name: &str) -> String {
    let is_plain = name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
        && !name.starts_with(|it: char| it.is_ascii_digit());
    if is_plain { name.to_owned() } else { crate::sql::Identifier(name).to_string() }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(told) = self.permission_told() {
            return f.write_str(&told);
        }
        let (noun, name) = (self.noun(), &self.name);
        match (&self.is, &self.should_be) {
            (None, _) => write!(f, "{noun} `{name}` is missing"),
            (_, None) => write!(f, "{noun} `{name}` is extra"),
            _ => write!(f, "{noun} `{name}` is another"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(list: &[(&str, &str, &str)]) -> Objects {
        let entry = |(kind, name, definition): &(&str, &str, &str)| {
            (((*kind).to_owned(), (*name).to_owned()), vec![(*definition).to_owned()])
        };
        Objects(list.iter().map(entry).collect())
    }

    #[track_caller]
    fn check(is: &[(&str, &str, &str)], should_be: &[(&str, &str, &str)], expect: &[&str]) {
        let told: Vec<_> =
            differences(&objects(is), &objects(should_be)).iter().map(ToString::to_string).collect();
        assert_eq!(told, expect);
    }

    #[test]
    fn what_is_missing_extra_or_another_is_told_by_its_name() {
        let id = ("column", "note.id", "[1, \"bigint\", true]");
        check(&[id], &[id], &[]);
        check(&[], &[id], &["column `note.id` is missing"]);
        check(&[id], &[], &["column `note.id` is extra"]);
        check(&[id], &[("column", "note.id", "[1, \"integer\", true]")], &["column `note.id` is another"]);
    }

    #[test]
    fn what_belongs_to_a_table_comes_with_it() {
        let table = [
            ("relation", "Note", "[\"r\"]"),
            ("relation", "Note_id_seq", "[\"S\"]"),
            ("sequence", "Note_id_seq", "[]"),
            ("column", "Note.id", "[1]"),
            ("constraint", "\"Note\".Note_pkey", "[\"p\"]"),
            ("index", "Note_pkey", "[\"\\\"Note\\\"\"]"),
            ("internal triggers", "Note", "[]"),
        ];
        check(&table, &[], &["table `Note` is extra"]);
        check(&[], &table, &["table `Note` is missing"]);
        let view = ("relation", "note", "[\"v\"]");
        check(&[view], &[("relation", "note", "[\"r\"]")], &["table `note` is another"]);
    }

    #[test]
    fn what_the_server_makes_with_a_column_or_a_constraint_is_not_told() {
        let key = [("constraint", "note.note_pkey", "[\"p\"]"), ("index", "note_pkey", "[\"note\"]")];
        check(&[], &key, &["constraint `note.note_pkey` is missing"]);
        let column = [
            ("column", "note.id", "[1]"),
            ("constraint", "note.note_id_not_null", "[\"n\", \"NOT NULL id\"]"),
            ("relation", "note_id_seq", "[\"S\"]"),
            ("sequence", "note_id_seq", "[]"),
        ];
        check(&column, &[], &["column `note.id` is extra"]);
        for (name, table, column, definition) in [
            ("report.needed", "report", "note", "NOT NULL note"),
            ("\"Report\".Report_Note_not_null1", "Report", "Note", "NOT NULL \"Note\""),
        ] {
            let name_of_column = format!("{table}.{column}");
            let not_null = format!("[\"n\", {}]", Value::String(definition.to_owned()));
            let is = [("column", &*name_of_column, "[1, \"text\", true]"), ("constraint", name, &not_null)];
            let expect = [format!("column `{name_of_column}` is another")];
            check(&is, &[("column", &name_of_column, "[1, \"text\", false]")], &[&expect[0]]);
        }
        let named = ("constraint", "note.needed", "[\"n\", \"NOT NULL id\"]");
        let id = ("column", "note.id", "[1, \"bigint\", true]");
        check(
            &[id, named],
            &[("column", "note.id", "[1, \"text\", true]")],
            &["column `note.id` is another", "constraint `note.needed` is extra"],
        );
    }
}
