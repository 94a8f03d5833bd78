//! Differences between two schemas. Pure: objects go in, differences and statements come out.

use std::collections::BTreeMap;
use std::fmt;

use crate::sql::Identifier;

/// Definitions that are short enough to be told.
const SHORT: usize = 60;

/// Stands between the clauses of [`Object::alter`].
const CLAUSE: char = '\u{1f}';

/// The kind that stands for the columns of a table, one after the other.
const COLUMN_ORDER: &str = "column order";

/// An object of a schema, without the schema's name in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    /// Objects are made in this order, and removed in the other.
    pub(super) rank: i32,
    /// Of a column in its table.
    pub(super) position: i32,
    pub(super) kind: String,
    /// The table it belongs to.
    pub(super) parent: Option<String>,
    pub(super) name: String,
    pub(super) definition: String,
    pub(super) make: Option<String>,
    pub(super) alter: Option<String>,
    pub(super) remove: Option<String>,
}

/// The objects of a schema by rank, which stands for the kind, and name.
pub(super) type Objects = BTreeMap<(i32, String), Object>;

#[derive(Clone, Debug)]
pub(super) enum Difference<'a> {
    /// The object with all that belongs to it, where it is a table.
    Missing(&'a Object, Vec<&'a Object>),
    Extra(&'a Object),
    Changed {
        is: &'a Object,
        should_be: &'a Object,
        /// The grants that are lost where it is removed and made anew.
        parts: Vec<&'a Object>,
    },
}

/// The changes that make one schema like the other. Of a table that is there in one only, what
/// belongs to it is not told.
pub(super) fn differences<'a>(is: &'a Objects, should_be: &'a Objects) -> Vec<Difference<'a>> {
    let missing =
        should_be.iter().filter(|(key, object)| !is.contains_key(key) && !is_part(object, is, should_be));
    let missing = missing.map(|(_, object)| Difference::Missing(object, parts(object, should_be)));
    let extra =
        is.iter().filter(|(key, object)| !should_be.contains_key(key) && !is_part(object, should_be, is));
    let extra = extra.map(|(_, object)| Difference::Extra(object));
    let changed = is.iter().filter_map(|(key, is)| {
        let other = should_be.get(key)?;
        is.differs(other).then(|| Difference::Changed {
            is,
            should_be: other,
            parts: parts(other, should_be),
        })
    });
    missing.chain(extra).chain(changed).collect()
}

/// Returns true if this belongs to something that only one of the two schemas has.
fn is_part(object: &Object, without: &Objects, with: &Objects) -> bool {
    let has = |objects: &Objects| objects.values().any(|other| object.is_part_of(other));
    has(with) && !has(without)
}

fn parts<'a>(whole: &Object, objects: &'a Objects) -> Vec<&'a Object> {
    objects.values().filter(|object| object.is_part_of(whole)).collect()
}

impl Object {
    fn holds_data(&self) -> bool {
        self.is_table() || ["column", "sequence", "type", "domain"].contains(&self.kind.as_str())
    }

    /// Returns true if making it replaces another one, which others may depend on.
    fn replaces(&self) -> bool {
        self.make.as_ref().is_some_and(|make| make.starts_with("CREATE OR REPLACE"))
    }

    fn is_table(&self) -> bool {
        self.kind.ends_with("table")
    }

    /// Returns true if it comes and goes with the other: a column or an index with a table, a grant with whatever it is
    /// on.
    fn is_part_of(&self, other: &Self) -> bool {
        let is_kind =
            if self.kind == "grant" { other.parent.is_none() || other.is_table() } else { other.is_table() };
        is_kind && !self.is_table() && self.parent.as_ref() == Some(&other.name)
    }

    fn differs(&self, other: &Self) -> bool {
        if self.kind != COLUMN_ORDER {
            return self.definition != other.definition;
        }
        self.columns_in(other) != other.columns_in(self)
    }

    /// The columns, in the order of this table, which another has, too.
    fn columns_in(&self, other: &Self) -> Vec<&str> {
        let all: Vec<_> = other.definition.split(CLAUSE).collect();
        self.definition.split(CLAUSE).filter(|column| all.contains(column)).collect()
    }
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(object, _) => write!(f, "{} `{}` is missing", object.kind, object.name),
            Self::Extra(object) => write!(f, "{} `{}` is extra", object.kind, object.name),
            Self::Changed { is, should_be, .. } if is.kind == COLUMN_ORDER => {
                let [own, others] = [is.columns_in(should_be), should_be.columns_in(is)];
                let (table, own, others) = (&is.name, own.join(", "), others.join(", "));
                write!(f, "the columns of `{table}` stand as {own} instead of {others}")
            }
            Self::Changed { is, should_be, .. }
                if is.definition.len().max(should_be.definition.len()) <= SHORT =>
            {
                let (is, was) = (is.definition.as_str(), should_be);
                write!(f, "{} `{}` is `{is}` instead of `{}`", was.kind, was.name, was.definition)
            }
            Self::Changed { is, .. } => write!(f, "{} `{}` is another", is.kind, is.name),
        }
    }
}

/// Removes what is extra, the last things first, then makes what is missing.
pub(super) fn statements(differences: &[Difference<'_>]) -> String {
    let mut removals = Vec::new();
    let mut additions = Vec::new();
    for difference in differences {
        match difference {
            Difference::Missing(object, parts) => additions.extend(make(object, parts)),
            Difference::Extra(object) => {
                removals.push((object.rank, or_by_hand(object, object.remove.as_ref())));
            }
            // To replace one of these would lose what is in it.
            Difference::Changed { is, should_be, .. }
                if should_be.holds_data() || is.kind == COLUMN_ORDER =>
            {
                additions.push((is.rank, or_by_hand(is, alter(is, should_be).as_ref())));
            }
            Difference::Changed { should_be, .. } if should_be.replaces() => {
                additions.push((should_be.rank, or_by_hand(should_be, should_be.make.as_ref())));
            }
            Difference::Changed { is, should_be, parts } => {
                removals.push((is.rank, or_by_hand(is, is.remove.as_ref())));
                additions.extend(make(should_be, parts));
            }
        }
    }
    removals.sort_by_key(|(rank, _)| -rank);
    additions.sort_by_key(|(rank, _)| *rank);
    let all: Vec<_> = removals.into_iter().chain(additions).map(|(_, statement)| statement).collect();
    all.join("; ")
}

/// Changes what differs, and nothing else.
fn alter(is: &Object, should_be: &Object) -> Option<String> {
    let (is, mut clauses) = (is.alter.as_ref()?, should_be.alter.as_ref()?.split(CLAUSE));
    let begin = clauses.next()?;
    let clauses: Vec<_> = clauses.filter(|clause| is.split(CLAUSE).all(|other| other != *clause)).collect();
    (!clauses.is_empty()).then(|| format!("{begin} {}", clauses.join(", ")))
}

fn make(object: &Object, parts: &[&Object]) -> Vec<(i32, String)> {
    if object.is_table() && !object.definition.is_empty() {
        return vec![(object.rank, or_by_hand(object, object.make.as_ref()))];
    }
    if !object.is_table() {
        let all = std::iter::once(&object).chain(parts);
        return all.map(|object| (object.rank, or_by_hand(object, object.make.as_ref()))).collect();
    }
    let mut columns: Vec<_> = parts.iter().filter(|part| part.kind == "column").collect();
    columns.sort_by_key(|column| column.position);
    let column = |column: &&&Object| {
        let name = column.name.strip_prefix(&format!("{}.", object.name)).unwrap_or(&column.name);
        format!("{} {}", Identifier(name), column.definition)
    };
    let columns: Vec<_> = columns.iter().map(column).collect();
    let table = format!("CREATE TABLE {} ({})", Identifier(&object.name), columns.join(", "));
    let others = parts.iter().filter(|part| part.kind != "column" && part.kind != COLUMN_ORDER);
    let others = others.map(|part| (part.rank, or_by_hand(part, part.make.as_ref())));
    std::iter::once((object.rank, table)).chain(others).collect()
}

/// Leaves to a person what no single statement does.
fn or_by_hand(object: &Object, statement: Option<&String>) -> String {
    let by_hand = || {
        // No name may end the comment.
        let name = object.name.replace("*/", "* /");
        if object.kind == COLUMN_ORDER {
            let table = Identifier(&name);
            return format!(
                "/* by hand: make table {table} anew, or name its columns wherever their order counts */"
            );
        }
        format!("/* by hand: {} {} */", object.kind, Identifier(&name))
    };
    statement.cloned().unwrap_or_else(by_hand)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(rank: i32, kind: &str, parent: Option<&str>, name: &str, definition: &str) -> Object {
        let column = name.rsplit('.').next().unwrap_or(name);
        Object {
            rank,
            kind: kind.to_owned(),
            parent: parent.map(str::to_owned),
            name: name.to_owned(),
            definition: definition.to_owned(),
            make: (rank != 3).then(|| format!("make {column}")),
            remove: Some(format!("remove {column}")),
            ..Object::default()
        }
    }

    fn table(name: &str) -> Object {
        object(3, "table", Some(name), name, "")
    }

    fn column(position: i32, table: &str, name: &str, definition: &str) -> Object {
        let name = format!("{table}.{name}");
        Object { position, ..object(4, "column", Some(table), &name, definition) }
    }

    fn objects(list: impl IntoIterator<Item = Object>) -> Objects {
        list.into_iter().map(|object| ((object.rank, object.name.clone()), object)).collect()
    }

    #[track_caller]
    fn check(
        is: impl IntoIterator<Item = Object>,
        should_be: impl IntoIterator<Item = Object>,
        told: &str,
        sql: &str,
    ) {
        let (is, should_be) = (objects(is), objects(should_be));
        let differences = differences(&is, &should_be);
        let all: Vec<_> = differences.iter().map(ToString::to_string).collect();
        assert_eq!((all.join("; "), statements(&differences)), (told.to_owned(), sql.to_owned()));
    }

    #[test]
    fn a_column_is_missing_extra_or_another() {
        let note = || [table("note"), column(1, "note", "id", "bigint")];
        let with = |other: Object| note().into_iter().chain([other]);
        check(note(), note(), "", "");
        check(note(), with(column(2, "note", "a", "int")), "column `note.a` is missing", "make a");
        check(with(column(2, "note", "a", "int")), note(), "column `note.a` is extra", "remove a");
        check(
            with(column(2, "note", "a", "int")),
            with(column(2, "note", "a", "text")),
            "column `note.a` is `int` instead of `text`",
            "/* by hand: column \"note.a\" */",
        );
        let altered = |text: &str, null: &str| Object {
            alter: Some(format!("alter note\u{1f}type int\u{1f}drop default\u{1f}{null} null")),
            ..column(2, "note", "a", text)
        };
        check(
            with(altered("int", "drop")),
            with(altered("int NOT NULL", "set")),
            "column `note.a` is `int` instead of `int NOT NULL`",
            "alter note set null",
        );
    }

    #[test]
    fn columns_stand_in_another_order_if_those_of_both_do() {
        let order = |columns: &str| {
            let definition = columns.replace(' ', "\u{1f}");
            [table("note"), object(4, COLUMN_ORDER, Some("note"), "note", &definition)]
        };
        check(order("id a b"), order("id a b"), "", "");
        check(order("id b"), order("id a b"), "", "");
        check(
            order("c b id"),
            order("id a b"),
            "the columns of `note` stand as b, id instead of id, b",
            "/* by hand: make table \"note\" anew, or name its columns wherever their order counts */",
        );
    }

    #[test]
    fn a_grant_comes_and_goes_with_what_it_is_on() {
        let grant = |parent: &str, to: &str| {
            let name = format!("on {parent} to {to}");
            Object { parent: Some(parent.to_owned()), ..object(13, "grant", None, &name, "SELECT") }
        };
        let view = |text: &str| object(9, "view", None, "titles", text);
        check(
            [view("a")],
            [view("a"), grant("titles", "app")],
            "grant `on titles to app` is missing",
            "make on titles to app",
        );
        check(
            [],
            [view("a"), grant("titles", "app")],
            "view `titles` is missing",
            "make titles; make on titles to app",
        );
        check([view("a"), grant("titles", "app")], [], "view `titles` is extra", "remove titles");
        check(
            [view("a"), grant("titles", "app")],
            [view("b"), grant("titles", "app")],
            "view `titles` is `a` instead of `b`",
            "remove titles; make titles; make on titles to app",
        );
    }

    #[test]
    fn what_belongs_to_a_missing_table_comes_with_it() {
        let tag = || {
            [
                table("tag"),
                column(2, "tag", "a", "int"),
                column(1, "tag", "b", "text NOT NULL"),
                object(8, "index", Some("tag"), "tag_a", "…"),
            ]
        };
        check(
            [],
            tag(),
            "table `tag` is missing",
            "CREATE TABLE \"tag\" (\"b\" text NOT NULL, \"a\" int); make tag_a",
        );
        check(tag(), [], "table `tag` is extra", "remove tag");
    }

    #[test]
    fn removals_come_first_and_from_the_end() {
        let changed = |text: &str| object(9, "view", None, "titles", text);
        let is = [table("note"), column(1, "note", "a", "int"), changed(&"long ".repeat(20))];
        let should_be = [table("note"), changed("short"), object(1, "type", None, "mood", "…")];
        let told = "type `mood` is missing; column `note.a` is extra; view `titles` is another";
        check(is, should_be, told, "remove titles; remove a; make mood; make titles");
    }
}
