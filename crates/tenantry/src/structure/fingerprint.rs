//! A hash of everything that makes the structure of a schema.

use std::collections::BTreeMap;
use std::fmt;

use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::Result;
use crate::tenant::SchemaName;

/// Opens a query with `object`s.
pub(super) const OBJECTS: &str = include_str!("fingerprint.sql");

/// Differences that an error tells of.
const TOLD: usize = 3;

/// A schema whose structure is asked for, with the role that only its tenant has, if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) schema: &'a SchemaName,
    pub(crate) own_role: Option<&'a str>,
}

/// A hash of the structure of a schema: of its objects, their options, comments and privileges, without its name.
///
/// Two schemas that the same statements have made have the same one, and two that `pg_dump` would write in other ways
/// have others. It holds for one major version of the server, because the next one writes expressions in another way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The part of a structure that is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StructurePart<'a> {
    /// All of it, with owners and privileges.
    Whole,
    /// The objects alone, whoever owns them and may use them, without these tables. A schema's own name in a text does
    /// not count where it is one that was made up, for it stands nowhere else.
    Shape(&'a [String]),
}

impl StructurePart<'_> {
    fn without(&self) -> &[String] {
        match self {
            Self::Whole => &[],
            Self::Shape(tables) => tables,
        }
    }

    /// A query for objects, which goes on behind the columns.
    fn query(&self, columns: &str) -> String {
        let (definition, condition) = match self {
            Self::Whole => ("definition", "true"),
            Self::Shape(_) => (OWN_NAME_LEFT_OUT, "kind NOT IN ('schema', 'privileges')"),
        };
        let columns = columns.replace("definition", definition);
        format!("{OBJECTS} SELECT {columns} FROM object WHERE {condition}")
    }
}

/// A definition as text, without the name of the schema if that was made up.
const OWN_NAME_LEFT_OUT: &str = "CASE WHEN $1 ~ '_[0-9a-f]{10}([0-9a-f]{22})?$' \
    THEN pg_catalog.replace(definition::text, $1, '=own=') ELSE definition::text END";

impl Fingerprint {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Has the server compute it, in a transaction that is open. The transaction's `search_path` is another afterwards.
    pub(crate) async fn of(connection: &mut PgConnection, subject: Subject<'_>) -> Result<Self> {
        Self::within(connection, subject, StructurePart::Whole).await
    }

    /// Does the same for a part of the structure.
    pub(crate) async fn within(
        connection: &mut PgConnection,
        subject: Subject<'_>,
        extent: StructurePart<'_>,
    ) -> Result<Self> {
        let line = "pg_catalog.jsonb_build_array(kind, name, definition)::text COLLATE \"C\"";
        let all = format!("coalesce(pg_catalog.string_agg({line}, E'\\n' ORDER BY {line}), '')");
        let hash = format!("pg_catalog.sha256(pg_catalog.convert_to({all}, 'UTF8'))");
        prepare(connection).await?;
        let hash = sqlx::query_scalar(AssertSqlSafe(extent.query(&hash)))
            .bind(subject.schema.as_str())
            .bind(subject.own_role)
            .bind(matches!(extent, StructurePart::Whole))
            .bind(extent.without())
            .bind(vec![subject.schema.as_str()])
            .persistent(false)
            .fetch_one(&mut *connection)
            .await?;
        restore(connection).await?;
        Ok(Self(hash))
    }
}

/// The kind of an object and its name, which tell it from all others of a schema.
pub(super) type Key = (String, String);

/// The objects that a [`Fingerprint`] is a hash of, with their definitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Objects(pub(super) BTreeMap<Key, Vec<String>>);

impl Objects {
    /// Reads them, as [`Fingerprint::of`] does.
    pub(crate) async fn of(connection: &mut PgConnection, subject: Subject<'_>) -> Result<Self> {
        Self::within(connection, subject, StructurePart::Whole).await
    }

    /// Reads a part of them, as [`Fingerprint::within`] does.
    pub(crate) async fn within(
        connection: &mut PgConnection,
        subject: Subject<'_>,
        extent: StructurePart<'_>,
    ) -> Result<Self> {
        Self::among(connection, subject, extent, &[]).await
    }

    /// Reads them with the names of some other schemas left out as well.
    pub(crate) async fn among(
        connection: &mut PgConnection,
        subject: Subject<'_>,
        extent: StructurePart<'_>,
        others: &[String],
    ) -> Result<Self> {
        prepare(connection).await?;
        let others = others.iter().map(String::as_str);
        let path: Vec<_> = std::iter::once(subject.schema.as_str()).chain(others).collect();
        let rows: Vec<(String, String, String)> =
            sqlx::query_as(AssertSqlSafe(extent.query("kind, name::text, (definition)::text")))
                .bind(subject.schema.as_str())
                .bind(subject.own_role)
                .bind(matches!(extent, StructurePart::Whole))
                .bind(extent.without())
                .bind(path)
                .persistent(false)
                .fetch_all(&mut *connection)
                .await?;
        restore(connection).await?;
        Ok(Self::from_rows(rows))
    }

    pub(super) fn from_rows(rows: Vec<(String, String, String)>) -> Self {
        let mut objects = BTreeMap::<_, Vec<_>>::new();
        for (kind, name, definition) in rows {
            objects.entry((kind, name)).or_default().push(definition);
        }
        for definitions in objects.values_mut() {
            definitions.sort();
        }
        Self(objects)
    }

    /// Names what is not the same in both.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let keys = self.0.iter().filter(|(key, is)| other.0.get(*key) != Some(*is)).map(|(key, _)| key);
        let missing = other.0.keys().filter(|key| !self.0.contains_key(*key));
        let names: Vec<_> = keys.chain(missing).map(|(kind, name)| format!("{kind} `{name}`")).collect();
        match names.len().saturating_sub(TOLD) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names[..TOLD].join(", ")),
        }
    }
}

/// Has every catalog read by an index, whatever the planner thinks of tables that it has no statistics of.
///
/// Only the server's names are in the path when the statement is read, which leads it elsewhere by itself.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<()> {
    run(
        connection,
        "SET LOCAL search_path TO pg_catalog; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
         SET LOCAL enable_mergejoin = off; SET LOCAL jit = off; SET LOCAL quote_all_identifiers = off",
    )
    .await
}

pub(super) async fn restore(connection: &mut PgConnection) -> Result<()> {
    run(connection, "RESET enable_seqscan; RESET enable_hashjoin; RESET enable_mergejoin; RESET jit").await
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
