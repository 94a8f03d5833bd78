//! Foreign keys that lead out of a tenant.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::finding::Told;
use super::{Check, Finding, Patient};
use crate::sql::Identifier;

/// Tables that the finding about shared tables names.
const NAMED: i64 = 5;

/// Asks for both kinds, those to shared tables by their number: each foreign key is looked at once.
pub(super) fn question(patient: &Patient<'_>) -> String {
    format!(
        "WITH tenant AS MATERIALIZED ({}), \
         leading_out AS MATERIALIZED ( \
             SELECT conname, child.relname, connamespace AS from_schema, target, to_schema \
             FROM (SELECT conname, conrelid, connamespace, parent.relname AS target, parent.relnamespace AS to_schema \
                 FROM pg_catalog.pg_constraint JOIN pg_catalog.pg_class AS parent ON parent.oid = confrelid \
                 WHERE contype = 'f' AND conparentid = 0 AND connamespace <> parent.relnamespace OFFSET 0) AS edge \
             JOIN pg_catalog.pg_class AS child ON child.oid = conrelid) \
         SELECT child.nspname::text AS schema, relname::text AS child, conname::text AS constraint, \
             parent.nspname::text AS other, target::text, NULL AS parent, NULL::bigint AS tenants, \
             NULL::bigint AS kinds \
         FROM leading_out JOIN tenant AS child ON child.oid = from_schema \
         JOIN tenant AS parent ON parent.oid = to_schema \
         UNION ALL \
         (SELECT NULL, relname::text, conname::text, NULL, NULL, \
             pg_namespace.nspname::text || '.' || target::text AS parent, count(*) AS tenants, \
             count(*) OVER () AS kinds \
         FROM leading_out JOIN tenant ON tenant.oid = from_schema \
         JOIN pg_catalog.pg_namespace ON pg_namespace.oid = to_schema \
         WHERE to_schema NOT IN (SELECT oid FROM tenant) \
         GROUP BY 2, 3, 6 ORDER BY tenants DESC, 2, 3 LIMIT {NAMED}) \
         ORDER BY 7 DESC NULLS FIRST, 1, 2, 3",
        patient.tenant_schemas(),
    )
}

/// From one tenant to another. Partitions inherit theirs, and are not told of.
pub(super) fn crossing(patient: &Patient<'_>, rows: &[PgRow]) -> Result<Vec<Finding>, sqlx::Error> {
    let mut told = Told::default();
    for row in rows {
        let Some(schema) = row.try_get::<Option<&str>, _>("schema")? else { continue };
        let [child, constraint, other, target] =
            ["child", "constraint", "other", "target"].map(|column| row.try_get::<&str, _>(column));
        let (child, constraint, other, target) = (child?, constraint?, other?, target?);
        let what = format!(
            "the foreign key `{constraint}` of `{schema}.{child}` leads to `{other}.{target}`, another tenant's table"
        );
        let why = "one tenant finds out what rows the other has, and keeps it from deleting them";
        told.push(patient.error(Check::CrossingForeignKey, what, why).mend_by(format!(
            "ALTER TABLE {}.{} DROP CONSTRAINT {}",
            Identifier(schema),
            Identifier(child),
            Identifier(constraint),
        )));
    }
    Ok(told.finish())
}

/// From tenants to tables that are nobody's: one finding, since it is one migration that made them.
pub(super) fn shared(patient: &Patient<'_>, rows: &[PgRow]) -> Result<Option<Finding>, sqlx::Error> {
    let mut shared = Vec::new();
    for row in rows {
        if row.try_get::<Option<i64>, _>("tenants")?.is_some() {
            shared.push(row);
        }
    }
    let Some(first) = shared.first() else { return Ok(None) };
    let more = first.try_get::<i64, _>("kinds")?.saturating_sub(NAMED).max(0);
    let (mut edges, mut drops) = (Vec::new(), Vec::new());
    for row in &shared {
        let (child, parent): (&str, &str) = (row.try_get("child")?, row.try_get("parent")?);
        let tenants: i64 = row.try_get("tenants")?;
        edges.push(format!("`{child}` to `{parent}` in {tenants} schemas"));
        drops.push(format!(
            "ALTER TABLE {} DROP CONSTRAINT IF EXISTS {};",
            Identifier(child),
            Identifier(row.try_get("constraint")?),
        ));
    }
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let what = format!("foreign keys lead from tenants to shared tables: {}{more}", edges.join(", "));
    let why =
        "a `DELETE` on the shared table visits all tenants, and making or dropping one locks it for all";
    let mend = format!("put into a new migration of the tenants: {}", drops.join(" "));
    Ok(Some(patient.warning(Check::SharedForeignKey, what, why).mend_by(mend)))
}
