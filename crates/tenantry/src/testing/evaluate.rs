//! From two looks at a database to the leaks between them, without I/O.

use std::collections::{BTreeMap, BTreeSet};

use super::leak::{Leak, LeakKind};
use super::look::{EndState, RowCount, TableName, TemplateState};
use crate::pool::Leftover;
use crate::registry::LEDGER;

/// Two looks, and the schemas between them that may have changed.
pub(super) struct Evaluation<'a> {
    pub(super) baseline: &'a TemplateState,
    pub(super) look: &'a EndState,
    pub(super) permitted: BTreeSet<String>,
    pub(super) master_schema: &'a str,
}

impl Evaluation<'_> {
    /// The tables whose rows have to be counted: those that have any and may not change.
    pub(super) fn tables_to_count(&self) -> Vec<TableName> {
        let then = self.baseline.rows.iter().map(|(table, _)| table);
        let tables: BTreeSet<&TableName> = then.chain(&self.look.filled).collect();
        let is_there = |table: &&&TableName| self.look.filled.contains(table);
        tables
            .iter()
            .filter(|table| !self.is_permitted(&table.0))
            .filter(is_there)
            .copied()
            .cloned()
            .collect()
    }

    /// Takes out the schemas that were migrated meanwhile: their ledger tells.
    pub(super) fn permit_migrated(&mut self, counts: &[RowCount]) {
        let migrated = counts.iter().filter(|count| count.table.1 == LEDGER && count.fresh > 0);
        self.permitted.extend(migrated.map(|count| count.table.0.clone()));
    }

    /// Returns true if objects are gone, whose names are to be asked for.
    pub(super) fn misses_objects(&self) -> bool {
        let mut then: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for (schema, kind, _) in &self.baseline.objects {
            *then.entry((schema, kind)).or_default() += 1;
        }
        let now = |(schema, kind): (&str, &str)| {
            let found = self
                .look
                .counts
                .iter()
                .find(|(its_schema, its_kind, _)| (&**its_schema, &**its_kind) == (schema, kind));
            found.map_or(0, |(_, _, count)| *count)
        };
        let fresh = |(schema, kind): (&str, &str)| {
            self.look
                .fresh
                .iter()
                .any(|(its_schema, its_kind, _)| (&**its_schema, &**its_kind) == (schema, kind))
        };
        then.into_iter().any(|(it, count)| !self.is_permitted(it.0) && (now(it) < count || fresh(it)))
    }

    /// The leaks in schemas. `names` are all objects, where some may be gone.
    pub(super) fn leaks(&self, counts: &[RowCount], names: Option<&[(String, String, String)]>) -> Vec<Leak> {
        let mut leaks = self.schemas();
        leaks.extend(self.fresh());
        leaks.extend(names.map(|names| self.gone(names)).unwrap_or_default());
        leaks.extend(self.rows(counts));
        leaks.extend(self.sequences());
        let settings = self.look.settings.iter();
        leaks.extend(
            settings.map(|it| Leak::new(LeakKind::Setting, format!("setting `{it}`"), "the database")),
        );
        leaks
    }

    fn schemas(&self) -> Vec<Leak> {
        let (then, now) = (&self.baseline.schemas, &self.look.schemas);
        let fresh = now.iter().filter(|(schema, is_fresh)| *is_fresh && !self.is_permitted(schema)).map(
            |(schema, _)| {
                let verb = if then.contains(schema) { "was altered" } else { "was made" };
                Leak::new(LeakKind::Schema, format!("schema `{schema}` {verb}"), "the database")
            },
        );
        let is_gone =
            |schema: &&String| !now.iter().any(|(name, _)| name == *schema) && !self.is_permitted(schema);
        let gone = then.iter().filter(is_gone).map(|schema| {
            Leak::new(
                LeakKind::Schema,
                format!("the schema of {} was dropped", self.place(schema)),
                "the database",
            )
        });
        fresh.chain(gone).collect()
    }

    fn fresh(&self) -> Vec<Leak> {
        let fresh = self.look.fresh.iter().filter(|(schema, ..)| !self.is_permitted(schema));
        let mut told = BTreeSet::new();
        let leaks = fresh.filter_map(|object| {
            let (schema, kind, name) = object;
            let kind = self.kind_of(schema, kind, name);
            if !told.insert((schema, kind, name)) || self.is_part_of_new(object) {
                return None;
            }
            let was_there = self.baseline.objects.iter().any(|(its_schema, its_kind, its_name)| {
                (its_schema, &**its_kind, its_name) == (schema, kind, name)
            });
            let verb = if was_there { "was altered" } else { "was made" };
            Some(Leak::new(leak_kind(kind), format!("{kind} `{name}` {verb}"), self.place(schema)))
        });
        leaks.collect()
    }

    /// The kind of an object whose columns changed, which may be a view.
    fn kind_of<'a>(&self, schema: &str, kind: &'a str, name: &str) -> &'a str {
        let is = |kind: &str| {
            let mut all = self.look.fresh.iter().chain(&self.baseline.objects);
            all.any(|(its_schema, its_kind, its_name)| {
                (&**its_schema, &**its_kind, &**its_name) == (schema, kind, name)
            })
        };
        match kind {
            "table" if is("view") => "view",
            "table" if is("materialized view") => "materialized view",
            "table" if is("foreign table") => "foreign table",
            kind => kind,
        }
    }

    /// An index or constraint beside a table that is new as well says nothing more.
    fn is_part_of_new(&self, (schema, kind, name): &(String, String, String)) -> bool {
        if !matches!(&**kind, "index" | "constraint" | "sequence") {
            return false;
        }
        let is_new_table = |(its_schema, its_kind, its_name): &(String, String, String)| {
            its_schema == schema
                && its_kind == "table"
                && name.strip_prefix(&**its_name).is_some_and(|rest| rest.starts_with('_'))
        };
        self.look.fresh.iter().any(is_new_table)
    }

    fn gone(&self, names: &[(String, String, String)]) -> Vec<Leak> {
        let now: BTreeSet<_> = names.iter().collect();
        let is_there = |schema: &String| self.look.schemas.iter().any(|(name, _)| name == schema);
        let gone =
            self.baseline.objects.iter().filter(|object| {
                !now.contains(object) && !self.is_permitted(&object.0) && is_there(&object.0)
            });
        gone.map(|(schema, kind, name)| {
            Leak::new(leak_kind(kind), format!("{kind} `{name}` was dropped"), self.place(schema))
        })
        .collect()
    }

    fn rows(&self, counts: &[RowCount]) -> Vec<Leak> {
        let counted = counts.iter().filter(|count| !self.is_permitted(&count.table.0));
        let told = counted.filter_map(|count| {
            let then = self
                .baseline
                .rows
                .iter()
                .find(|(table, _)| *table == count.table)
                .map_or(0, |(_, rows)| *rows);
            Some((count.table.clone(), change_of_rows(then, count.all, count.fresh)?))
        });
        // A table that had rows and takes no room any more was truncated.
        let is_empty = |table: &TableName| {
            !self.look.filled.contains(table)
                && self.look.schemas.iter().any(|(schema, _)| *schema == table.0)
        };
        let emptied = self.baseline.rows.iter().filter(|(table, rows)| *rows > 0 && is_empty(table));
        let emptied = emptied.filter(|(table, _)| !self.is_permitted(&table.0));
        let emptied = emptied.filter_map(|(table, rows)| Some((table.clone(), change_of_rows(*rows, 0, 0)?)));
        told.chain(emptied)
            .map(|((schema, table), change)| {
                Leak::new(LeakKind::Rows, format!("{change} table `{table}`"), self.place(&schema))
            })
            .collect()
    }

    fn sequences(&self) -> Vec<Leak> {
        let now = self.look.sequences.iter().filter(|(sequence, _)| !self.is_permitted(&sequence.0));
        let moved = now.filter(|it| !self.baseline.sequences.contains(it));
        moved
            .map(|((schema, name), last)| {
                let what = format!("sequence `{name}` went on to {last}");
                Leak::new(LeakKind::Rows, what, self.place(schema))
            })
            .collect()
    }

    fn is_permitted(&self, schema: &str) -> bool {
        self.permitted.contains(schema)
    }

    fn place(&self, schema: &str) -> String {
        let tenants = self.baseline.tenants.iter().chain(&self.look.tenants);
        let slug = tenants.into_iter().find(|(_, its_schema)| its_schema == schema).map(|(slug, _)| slug);
        match slug {
            Some(slug) => format!("tenant `{slug}`"),
            None if schema == self.master_schema => "the master schema".to_owned(),
            None => format!("schema `{schema}`"),
        }
    }
}

fn leak_kind(kind: &str) -> LeakKind {
    if kind == "type" { LeakKind::Type } else { LeakKind::Object }
}

/// Says what became of the rows of a table, of which so many are new.
fn change_of_rows(then: i64, now: i64, fresh: i64) -> Option<String> {
    let rows = |count: i64| if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
    match (fresh, then - (now - fresh)) {
        (0, 0) => None,
        (0, gone) => Some(format!("{} went from", rows(gone))),
        (fresh, 0) => Some(format!("{} came into", rows(fresh))),
        (fresh, gone) if fresh == gone => Some(format!("{} changed in", rows(fresh))),
        (fresh, gone) => Some(format!("{} came and {gone} went in", rows(fresh))),
    }
}

/// The leaks of sessions that the pools took for clean.
pub(super) fn leaks_of_sessions(leftovers: Vec<Leftover>) -> Vec<Leak> {
    let told = leftovers.into_iter().map(|Leftover { kind, name, tenant }| {
        let leak = match &*kind {
            "setting" | "role" => LeakKind::Setting,
            "advisory lock" => LeakKind::Lock,
            _ => LeakKind::Session,
        };
        let whom = tenant.map_or_else(|| "the master schema".to_owned(), |slug| format!("tenant `{slug}`"));
        Leak::new(leak, format!("{kind} `{name}` is left"), format!("a pooled session that served {whom}"))
    });
    told.collect()
}

/// The leaks of what other sessions hold at the end.
pub(super) fn leaks_of_others(look: &EndState) -> Vec<Leak> {
    let held = |kind, what: &'static str, statements: &[String]| {
        let of = |statement: &String| {
            Leak::new(kind, what, format!("a session whose last statement was `{statement}`"))
        };
        statements.iter().map(of).collect::<Vec<_>>()
    };
    let mut leaks = held(LeakKind::Transaction, "a transaction is open", &look.transactions);
    leaks.extend(held(LeakKind::Lock, "an advisory lock is held", &look.locks));
    leaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_rows_is_told_in_words() {
        assert_eq!(change_of_rows(3, 3, 0), None);
        assert_eq!(change_of_rows(0, 1, 1).as_deref(), Some("1 row came into"));
        assert_eq!(change_of_rows(3, 1, 0).as_deref(), Some("2 rows went from"));
        assert_eq!(change_of_rows(3, 3, 2).as_deref(), Some("2 rows changed in"));
        assert_eq!(change_of_rows(3, 5, 3).as_deref(), Some("3 rows came and 1 went in"));
    }
}
