//! The ledger of one schema: sqlx's own table, inside the schema, and its summary beside it.
//!
//! The table is the truth. The row in `tenantry.applied` repeats it as one digest, so that
//! planning for a fleet is one query.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::plan::Applied;
use crate::database::Dialect;
use crate::error::Result;
use crate::migration::{Migration, digest_of};
use crate::registry::{LEDGER, applied};
use crate::sql::privileges::revocation;
use crate::sql::{Bytes, Identifier, Literal};
use crate::tenant::{Digest, SchemaName};

/// The digest of what succeeded according to a ledger, computed by the server as [`digest_of`] computes it here.
pub(crate) const LEDGER_DIGEST: &str = "pg_catalog.sha256(coalesce(pg_catalog.string_agg( \
    pg_catalog.int8send(version) || checksum, ''::pg_catalog.bytea ORDER BY version) \
    FILTER (WHERE success), ''::pg_catalog.bytea))";

/// The ledger of one schema. Renders the statements that are part of a migration's message.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    schema: SchemaName,
    applied: BTreeMap<i64, Vec<u8>>,
    /// Versions that were undone since it was read.
    undone: BTreeSet<i64>,
}

impl Ledger {
    /// The ledger of a schema that has applied nothing.
    pub(crate) fn empty(schema: &SchemaName) -> Self {
        Self { schema: schema.clone(), applied: BTreeMap::new(), undone: BTreeSet::new() }
    }

    pub(crate) fn of(schema: &SchemaName, rows: &[Applied]) -> Self {
        let done = rows.iter().filter(|row| row.success);
        let applied = done.map(|row| (row.version, row.checksum.clone())).collect();
        Self { schema: schema.clone(), applied, undone: BTreeSet::new() }
    }

    /// Notes that a migration is applied, once it is.
    pub(crate) fn add(&mut self, migration: &Migration) {
        self.applied.insert(migration.version(), migration.checksum().to_vec());
        self.undone.remove(&migration.version());
    }

    /// Notes that a migration is not applied any more, once it is undone.
    pub(crate) fn remove(&mut self, version: i64) {
        self.applied.remove(&version);
        self.undone.insert(version);
    }

    pub(crate) fn digest(&self) -> Digest {
        digest_of(self.applied.iter().map(|(version, checksum)| (*version, checksum.as_slice())))
    }

    fn table(&self) -> String {
        format!("{}.{LEDGER}", Identifier(self.schema.as_str()))
    }

    /// Creates the table as sqlx would. Nobody but its owner may touch it.
    pub(crate) fn create(&self) -> String {
        creation(&self.table())
    }

    /// Takes the table away from a role that default privileges gave it to.
    pub(crate) fn revoke_from(&self, role: &str) -> String {
        revocation(self.table(), Identifier(role))
    }

    /// Enters a migration that is about to run. A second runner fails here, before any DDL.
    pub(crate) fn insert(&self, migration: &Migration, success: bool) -> String {
        format!(
            "INSERT INTO {} (version, description, installed_on, success, checksum, execution_time) \
             VALUES ({}, {}, pg_catalog.clock_timestamp(), {success}, {}, -1)",
            self.table(),
            migration.version(),
            Literal(migration.description()),
            Bytes(migration.checksum()),
        )
    }

    /// Notes that a migration has run, and for how many nanoseconds.
    pub(crate) fn finish(&self, dialect: Dialect, version: i64) -> String {
        let now = match dialect {
            Dialect::Postgres => "pg_catalog.clock_timestamp()",
            // A worker takes no volatile function in an update. The statement is a message of its own.
            Dialect::Citus => "pg_catalog.statement_timestamp()",
        };
        self.finish_if("true", now, version)
    }

    /// Notes that a migration has run if a condition holds; else it divides by zero.
    pub(crate) fn finish_on_condition(&self, condition: &str, version: i64) -> String {
        self.finish_if(&format!("1 / ({condition})::int = 1"), "pg_catalog.clock_timestamp()", version)
    }

    fn finish_if(&self, success: &str, now: &str, version: i64) -> String {
        format!(
            "UPDATE {} SET success = {success}, execution_time = \
             (extract(epoch FROM {now} - installed_on) * 1000000000)::bigint \
             WHERE version = {version}",
            self.table(),
        )
    }

    /// Notes that a migration is applied, by the file as it is now.
    pub(crate) fn accept(&self, migration: &Migration) -> String {
        format!(
            "UPDATE {} SET success = true, description = {}, checksum = {} WHERE version = {}",
            self.table(),
            Literal(migration.description()),
            Bytes(migration.checksum()),
            migration.version(),
        )
    }

    /// The row of a migration, behind a `SELECT` of something in it.
    pub(crate) fn row(&self, version: i64) -> String {
        format!("FROM {} WHERE version = {version}", self.table())
    }

    /// Notes that a migration is about to be undone.
    pub(crate) fn unfinish(&self, version: i64) -> String {
        format!("UPDATE {} SET success = false WHERE version = {version}", self.table())
    }

    /// Takes back that something was about to undo a migration.
    pub(crate) fn restore(&self, version: i64) -> String {
        format!("UPDATE {} SET success = true WHERE version = {version}", self.table())
    }

    /// Takes out a migration that was about to run, or one that was undone.
    pub(crate) fn delete(&self, version: i64) -> String {
        format!("DELETE FROM {} WHERE version = {version}", self.table())
    }

    /// Does the same if a condition holds; else it divides by zero.
    pub(crate) fn delete_on_condition(&self, condition: &str, version: i64) -> String {
        format!("{} AND 1 / ({condition})::int = 1", self.delete(version))
    }

    /// A condition that holds if the table says what this says.
    pub(crate) fn is_as_expected(&self) -> String {
        format!(
            "coalesce((SELECT pg_catalog.bool_and(success) AND {} = {LEDGER_DIGEST} FROM {}), false)",
            Bytes(self.digest().as_bytes()),
            self.table(),
        )
    }

    /// Repeats what the ledger will hold in the row of `tenantry.applied`, which is there, of a schema whose
    /// types stay the same; and of other schemas whose ledgers will hold the same.
    pub(super) fn summarise_without_types(&self, schemas: &[&SchemaName]) -> String {
        applied::update_without_types(schemas, self.newest(), self.digest(), &self.undone)
    }

    /// Repeats what the ledger will hold in `tenantry.applied`, and whether the schema owns types.
    pub(crate) fn summarise(&self) -> String {
        applied::upsert(&self.schema, self.newest(), self.digest(), &self.undone)
    }

    async fn is_there(&self, connection: &mut PgConnection) -> Result<bool> {
        let is_there = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(self.table());
        Ok(is_there.fetch_one(connection).await?)
    }

    fn newest(&self) -> Option<i64> {
        self.applied.keys().next_back().copied()
    }
}

/// The statement that creates a ledger by this name, which is quoted already.
pub(crate) fn creation(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
                 version bigint PRIMARY KEY,
                 description text NOT NULL,
                 installed_on timestamptz NOT NULL DEFAULT now(),
                 success boolean NOT NULL,
                 checksum bytea NOT NULL,
                 execution_time bigint NOT NULL
             )"
    )
}

/// Takes the ledger away from a role, to which default privileges may have given it. Not for two at
/// once: PostgreSQL would answer that the tuple was concurrently updated.
pub(crate) async fn hide(connection: &mut PgConnection, schema: &SchemaName, role: &str) -> Result<()> {
    let ledger = Ledger::empty(schema);
    let is_visible: Option<bool> = sqlx::query_scalar(
        "SELECT current_user <> $2 AND has_table_privilege($2, to_regclass($1), 'SELECT, INSERT, UPDATE, DELETE')",
    )
    .bind(ledger.table())
    .bind(role)
    .fetch_one(&mut *connection)
    .await?;
    if is_visible == Some(true) {
        write(connection, &ledger.revoke_from(role)).await?;
    }
    Ok(())
}

/// Reads a schema's ledger; nothing if it has none.
pub(crate) async fn read(connection: &mut PgConnection, schema: &SchemaName) -> Result<Vec<Applied>> {
    let ledger = Ledger::empty(schema);
    if !ledger.is_there(connection).await? {
        return Ok(Vec::new());
    }
    let select = format!("SELECT version, checksum, success FROM {} ORDER BY version", ledger.table());
    let rows: Vec<(i64, Vec<u8>, bool)> =
        sqlx::query_as(sqlx::AssertSqlSafe(select)).persistent(false).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(version, checksum, success)| Applied { version, checksum, success }).collect())
}

/// A row of a ledger with its time.
#[derive(Debug)]
pub(super) struct Dated {
    pub(super) applied: Applied,
    pub(super) began_at: OffsetDateTime,
    /// Negative where it is not known.
    pub(super) nanoseconds: i64,
}

/// Reads the same with the times at which the migrations were applied.
pub(super) async fn history(connection: &mut PgConnection, schema: &SchemaName) -> Result<Vec<Dated>> {
    let ledger = Ledger::empty(schema);
    if !ledger.is_there(connection).await? {
        return Ok(Vec::new());
    }
    let select = format!(
        "SELECT version, checksum, success, installed_on, execution_time FROM {} ORDER BY version",
        ledger.table()
    );
    let rows: Vec<(i64, Vec<u8>, bool, OffsetDateTime, i64)> =
        sqlx::query_as(sqlx::AssertSqlSafe(select)).persistent(false).fetch_all(connection).await?;
    let dated = rows.into_iter().map(|(version, checksum, success, began_at, nanoseconds)| Dated {
        applied: Applied { version, checksum, success },
        began_at,
        nanoseconds,
    });
    Ok(dated.collect())
}

/// Runs a statement of a ledger's own.
pub(super) async fn write(connection: &mut PgConnection, statement: &str) -> Result<()> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
