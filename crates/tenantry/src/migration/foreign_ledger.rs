/// A table in which another tool notes what it has applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForeignLedger {
    /// The tool, or those that share the name.
    pub(crate) tool: &'static str,
    pub(crate) table: &'static str,
    /// A query for the newest version, with `{}` in the place of the table's full name.
    pub(crate) newest: &'static str,
}

const fn ledger(tool: &'static str, table: &'static str, newest: &'static str) -> ForeignLedger {
    ForeignLedger { tool, table, newest }
}

/// The tables of those tools that are known.
pub(crate) const FOREIGN_LEDGERS: [ForeignLedger; 15] = [
    ledger("sqlx", "_sqlx_migrations", "SELECT max(version)::text FROM {} WHERE success"),
    ledger("django", "django_migrations", "SELECT app || '.' || name FROM {} ORDER BY id DESC LIMIT 1"),
    ledger("goose", "goose_db_version", "SELECT max(version_id)::text FROM {} WHERE is_applied"),
    ledger(
        "flyway",
        "flyway_schema_history",
        "SELECT version FROM {} WHERE success AND version IS NOT NULL ORDER BY installed_rank DESC LIMIT 1",
    ),
    ledger("diesel", "__diesel_schema_migrations", "SELECT max(version)::text FROM {}"),
    ledger("refinery", "refinery_schema_history", "SELECT max(version)::text FROM {}"),
    ledger(
        "prisma",
        "_prisma_migrations",
        "SELECT max(migration_name) FROM {} WHERE finished_at IS NOT NULL",
    ),
    ledger("rails, dbmate, golang-migrate or ecto", "schema_migrations", "SELECT max(version::text) FROM {}"),
    ledger("rails", "ar_internal_metadata", "SELECT NULL::text FROM {} WHERE false"),
    ledger("alembic", "alembic_version", "SELECT max(version_num)::text FROM {}"),
    ledger("liquibase", "databasechangelog", "SELECT id FROM {} ORDER BY orderexecuted DESC LIMIT 1"),
    ledger("liquibase", "databasechangeloglock", "SELECT NULL::text FROM {} WHERE false"),
    ledger("knex", "knex_migrations", "SELECT name FROM {} ORDER BY id DESC LIMIT 1"),
    ledger("knex", "knex_migrations_lock", "SELECT NULL::text FROM {} WHERE false"),
    ledger("laravel", "migrations", "SELECT migration FROM {} ORDER BY id DESC LIMIT 1"),
];
