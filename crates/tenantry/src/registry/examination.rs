//! The questions that doctor asks of the registry's tables, and the statements that mend them.
//!
//! Texts only: doctor asks on plain connections of its own, by the simple protocol, also where the registry is
//! half there. Whatever else needs the registry asks `store`, `spares`, `runs` or `applied`.

use super::runs::RUN_LOCK;
use crate::sql::{Literal, is_advisory_lock_held};
use crate::tenant::{Alias, Verb};

/// The relations of the registry. Only `pg_depend` has an index that leads from a schema to what is in it.
macro_rules! own_relations {
    () => {
        "FROM pg_catalog.pg_namespace \
         JOIN pg_catalog.pg_depend ON refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass \
             AND refobjid = pg_namespace.oid AND nspname = 'tenantry' \
             AND classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
         JOIN pg_catalog.pg_class ON pg_class.oid = objid"
    };
}

/// The digests of what schemas have applied; joined with catalogs by [`APPLIED_SCHEMA`].
pub(crate) const APPLIED: &str = "tenantry.applied";

/// The name of a schema in [`APPLIED`]. The catalogs' names are of another collation, so an index is only used for
/// `name::text COLLATE "default"`.
pub(crate) const APPLIED_SCHEMA: &str = "applied.schema_name";

/// The files that a schema has applied, and those that are left of types that its tenant had before, as one text.
pub(crate) const APPLIED_AND_KEPT: &str = "\
    pg_catalog.encode(applied.digest, 'hex') || coalesce((SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', \
        '', type, version, pg_catalog.encode(checksum, 'hex')), '' ORDER BY type, version) \
        FROM tenantry.kept_file WHERE kept_file.schema_name = applied.schema_name), '')";

/// The tables that are there, and whether the session may read them. By an index: the relations of all tenants are
/// many.
pub(crate) const TABLES: &str = concat!(
    "SELECT pg_catalog.has_schema_privilege(relnamespace, 'USAGE') \
        AND pg_catalog.has_table_privilege(pg_class.oid, 'SELECT') AS is_readable ",
    own_relations!(),
    " WHERE relkind = 'r'"
);

/// The names of the tables and views that a role may not read.
pub(crate) fn closed_to(role: &str) -> String {
    format!(
        "SELECT relname::text {} JOIN pg_catalog.pg_roles ON rolname = {} \
         WHERE relkind IN ('r', 'v') \
           AND NOT (pg_catalog.has_schema_privilege(pg_roles.oid, pg_namespace.oid, 'USAGE') \
                AND pg_catalog.has_table_privilege(pg_roles.oid, pg_class.oid, 'SELECT')) ORDER BY 1",
        own_relations!(),
        Literal(role),
    )
}

/// The newest step of the installation.
pub(crate) const NEWEST_STEP: &str = "SELECT coalesce(max(step), 0) AS newest FROM tenantry.installed";

/// The schemas that have another name than when they were migrated: `old`, `new`, `digest`, and whether there is a
/// schema of the old name. None, if most numbers are those of no schema, as after a restore from a dump.
pub(crate) const RENAMED: &str = "\
    SELECT schema_name AS old, nspname::text AS new, digest, \
        EXISTS (SELECT FROM pg_catalog.pg_namespace AS other WHERE other.nspname = schema_name) AS is_replaced \
    FROM tenantry.applied JOIN pg_catalog.pg_namespace ON pg_namespace.oid = schema_number \
    WHERE nspname::text <> schema_name AND ( \
        SELECT count(pg_namespace.oid) * 2 >= count(*) \
        FROM tenantry.applied LEFT JOIN pg_catalog.pg_namespace ON pg_namespace.oid = schema_number \
        WHERE schema_number IS NOT NULL) \
    ORDER BY 1";

/// The spares of a database, which it has itself.
pub(crate) const SPARES: &str = "SELECT schema_name FROM tenantry.spare";

/// The schemas that should be in a database: `schema_name`, and `slug`, `type`, `status`, `last_error` of a tenant; of
/// spares, only those of the default one.
pub(crate) fn schemas_in(alias: &Alias) -> String {
    let spares = if *alias == Alias::default() {
        "UNION ALL SELECT schema_name, NULL, NULL, NULL, NULL FROM tenantry.spare"
    } else {
        ""
    };
    format!(
        "SELECT schema_name, slug, type, status, last_error FROM tenantry.tenant WHERE database = {} {spares}",
        Literal(alias.as_str()),
    )
}

/// Picks the schemas that belong to a tenant or a spare, in whatever database, and those that were released
/// on purpose. `names` is a list of literals.
pub(crate) fn owned(names: &str) -> String {
    format!(
        "SELECT schema_name FROM tenantry.tenant WHERE schema_name IN ({names}) \
         UNION ALL SELECT schema_name FROM tenantry.spare WHERE schema_name IN ({names}) \
         UNION ALL SELECT options->>'schema' FROM tenantry.audit \
             WHERE verb = 'release' AND options->>'schema' IN ({names})"
    )
}

/// The newest run, if it has not ended and nobody is at it.
pub(crate) fn abandoned_run() -> String {
    format!(
        "SELECT id, operator FROM tenantry.run \
         WHERE id = (SELECT max(id) FROM tenantry.run) AND state = 'running' AND NOT {}",
        is_advisory_lock_held(RUN_LOCK),
    )
}

/// The changes of type that were begun for tenants of a database and have not ended: `slug`, `schema_name`, `new` as
/// the command line writes it, and whether files are to be undone.
pub(crate) fn begun_type_changes(alias: &Alias) -> String {
    format!(
        "SELECT tenant.slug, schema_name, coalesce(options->>'to', 'none') AS new, \
             coalesce((options->>'undo')::boolean, false) AS undoes, tenant.last_error \
         FROM tenantry.audit JOIN tenantry.tenant ON tenant.id = tenant_id \
         WHERE state = 'begun' AND verb = {} AND database = {} ORDER BY tenant.slug COLLATE \"C\"",
        Literal(Verb::SetType.as_str()),
        Literal(alias.as_str()),
    )
}

/// The tenants among these that a verb was to copy from something, which has not ended: `slug` and `verb`. `slugs` is a
/// list of literals.
pub(crate) fn begun_copies(slugs: &str) -> String {
    format!(
        "SELECT tenant.slug, verb FROM tenantry.audit JOIN tenantry.tenant ON tenant.id = tenant_id \
         WHERE state = 'begun' AND verb IN ({}, {}) AND tenant.slug IN ({slugs})",
        Literal(Verb::Clone.as_str()),
        Literal(Verb::Import.as_str()),
    )
}

/// Asks whether somebody is at a run.
pub(crate) fn is_run_at_work() -> String {
    format!("SELECT {}", is_advisory_lock_held(RUN_LOCK))
}

/// The actions on tenants that were begun some time ago and have not ended, or the one of this number.
pub(crate) fn begun(id: Option<i64>) -> String {
    let which = id.map(|id| format!("AND audit.id = {id}")).unwrap_or_default();
    format!(
        "SELECT audit.id, coalesce(tenant.slug, audit.slug) AS slug, verb, operator, schema_name, status, \
             pg_catalog.to_char(begun_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC' AS begun_at \
         FROM tenantry.audit LEFT JOIN tenantry.tenant ON tenant.id = tenant_id \
         WHERE state = 'begun' AND begun_at < pg_catalog.now() - interval '10 minutes' {which} \
         ORDER BY audit.id LIMIT 100"
    )
}

/// Enters that an action that was begun came to no end.
pub(crate) fn forget_begun(id: i64) -> String {
    format!(
        "UPDATE tenantry.audit SET state = 'failed', ended_at = now() WHERE id = {id} AND state = 'begun'"
    )
}

/// The digest of what a schema has applied, as hexadecimal digits.
pub(crate) fn digest_of(schema: &str) -> String {
    let schema = Literal(schema);
    format!("SELECT pg_catalog.encode(digest, 'hex') FROM tenantry.applied WHERE schema_name = {schema}")
}

/// The same with what is left of types, as [`APPLIED_AND_KEPT`] has it.
pub(crate) fn applied_and_kept(schema: &str) -> String {
    format!("SELECT {APPLIED_AND_KEPT} FROM tenantry.applied WHERE schema_name = {}", Literal(schema))
}

/// Forgets what a schema had applied that is gone.
pub(crate) fn forget_applied(schema: &str) -> String {
    let schema = Literal(schema);
    format!(
        "DELETE FROM tenantry.kept_file WHERE schema_name = {schema}; \
         DELETE FROM tenantry.applied WHERE schema_name = {schema}"
    )
}

/// Forgets a spare whose schema is gone.
pub(crate) fn forget_spare(schema: &str) -> String {
    format!("DELETE FROM tenantry.spare WHERE schema_name = {}", Literal(schema))
}

/// Has a tenant made anew by the next `tenantry create`.
pub(crate) fn begin_anew(slug: &str) -> String {
    format!("UPDATE tenantry.tenant SET status = 'provisioning' WHERE slug = {}", Literal(slug))
}

/// Notes for a schema what its ledger says. `summary` selects version and digest from the ledger.
pub(crate) fn believe_ledger(schema: &str, summary: &str) -> String {
    format!(
        "UPDATE tenantry.applied SET (version, digest, applied_at) = ({summary}) WHERE schema_name = {}; \
         NOTIFY tenantry, 'fleet'",
        Literal(schema),
    )
}
