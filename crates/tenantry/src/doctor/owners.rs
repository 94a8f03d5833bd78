//! Objects in the schemas of tenants that belong to somebody else than the rest.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::finding::named;
use super::{Check, Finding, Patient};
use crate::sql::Literal;
use crate::sql::privileges::OBJECT_PRIVILEGES;

/// Objects that the finding names.
const NAMED: i64 = 3;

/// Asks for the first few of what belongs to somebody else.
pub(super) fn question(patient: &Patient<'_>) -> String {
    format!(
        "SELECT kind, object, owner, should_be, count(*) OVER () AS count FROM ({}) AS foreign_object \
         ORDER BY object, kind LIMIT {NAMED}",
        foreign_objects(patient)
    )
}

/// Tells what the answer to that question means.
pub(super) fn foreign(patient: &Patient<'_>, rows: &[PgRow]) -> Result<Option<Finding>, sqlx::Error> {
    let Some(first) = rows.first() else { return Ok(None) };
    let count = usize::try_from(first.try_get::<i64, _>("count")?).unwrap_or_default();
    let told = rows.iter().map(|row| {
        let (kind, object, owner): (&str, &str, &str) =
            (row.try_get("kind")?, row.try_get("object")?, row.try_get("owner")?);
        Ok(format!("{} {object} of {owner}", kind.to_lowercase()))
    });
    let told = told.collect::<Result<Vec<_>, sqlx::Error>>()?;
    let owner: &str = first.try_get("should_be")?;
    let what =
        format!("objects in the schemas of tenants do not belong to `{owner}`: {}", named(&told, count));
    let why = "a migration that changes one fails, and the application may not use what nobody granted it";
    let mend = mend(patient, owner, &foreign_objects(patient));
    Ok(Some(patient.warning(Check::ForeignOwner, what, why).mend_by(mend)))
}

/// A query for what the owner of the schemas may not change. What belongs to an extension, to a table or to a column
/// goes with that, and the functions of a range type, which the server makes as its first superuser, with the type.
fn foreign_objects(patient: &Patient<'_>) -> String {
    let should_be = match patient.owner() {
        Some(owner) => format!("(SELECT {}::text AS should_be) AS name", Literal(owner)),
        // Whoever installed the registry makes the schemas, too.
        None => {
            "(SELECT pg_catalog.pg_get_userbyid(nspowner)::text AS should_be FROM pg_catalog.pg_namespace \
            WHERE nspname = 'tenantry') AS name"
                .to_owned()
        }
    };
    format!(
        "WITH tenant AS MATERIALIZED ({tenants}), \
         mine AS MATERIALIZED (SELECT pg_roles.oid FROM pg_catalog.pg_roles, {should_be} \
             WHERE pg_catalog.pg_has_role(should_be, pg_roles.oid, 'USAGE')), \
         candidate AS ( \
             SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' \
                     WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind, \
                 pg_catalog.format('%I.%I', nspname, relname) AS object, relowner AS owner, \
                 'pg_catalog.pg_class'::pg_catalog.regclass AS class, pg_class.oid \
             FROM pg_catalog.pg_class JOIN tenant ON tenant.oid = relnamespace \
             WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relowner NOT IN (SELECT oid FROM mine) \
             UNION ALL \
             SELECT 'ROUTINE', pg_catalog.format('%I.%I(%s)', nspname, proname, \
                 pg_catalog.pg_get_function_identity_arguments(pg_proc.oid)), proowner, \
                 'pg_catalog.pg_proc'::pg_catalog.regclass, pg_proc.oid \
             FROM pg_catalog.pg_proc JOIN tenant ON tenant.oid = pronamespace \
             WHERE proowner NOT IN (SELECT oid FROM mine) \
             UNION ALL \
             SELECT 'TYPE', pg_catalog.format('%I.%I', nspname, typname), typowner, \
                 'pg_catalog.pg_type'::pg_catalog.regclass, pg_type.oid \
             FROM pg_catalog.pg_type JOIN tenant ON tenant.oid = typnamespace \
             WHERE typtype IN ('e', 'd', 'r', 'c') AND typowner NOT IN (SELECT oid FROM mine) \
                 AND (typrelid = 0 OR EXISTS ( \
                     SELECT FROM pg_catalog.pg_class WHERE pg_class.oid = typrelid AND relkind = 'c'))) \
         SELECT kind, object, pg_catalog.pg_get_userbyid(owner)::text AS owner, should_be FROM candidate, {should_be} \
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend \
             WHERE classid = class AND objid = candidate.oid \
                 AND (deptype = 'e' OR deptype IN ('a', 'i') AND kind = 'SEQUENCE' \
                     OR deptype = 'i' AND kind = 'ROUTINE'))",
        tenants = patient.tenant_schemas(),
    )
}

/// Gives them to the owner, and to the application what it may do with the other objects.
fn mend(patient: &Patient<'_>, owner: &str, foreign: &str) -> String {
    let mut statements = format!(
        "EXECUTE pg_catalog.format('ALTER %s %s OWNER TO %I', its_kind, its_name, {});",
        Literal(owner)
    );
    if patient.has_two_logins() {
        let grants = OBJECT_PRIVILEGES.iter().map(|(kinds, rights, objects)| {
            let kinds: Vec<_> = kinds.iter().map(|kind| Literal(kind).to_string()).collect();
            let grant = format!("GRANT {rights} ON {objects} %s TO %I");
            format!(
                " IF its_kind IN ({}) THEN EXECUTE pg_catalog.format({}, its_name, {}); END IF;",
                kinds.join(", "),
                Literal(&grant),
                Literal(patient.config.application_role()),
            )
        });
        statements.extend(grants);
        // The sequence of a column has changed hands with its table.
        let (_, rights, _) = OBJECT_PRIVILEGES[1];
        let grant = format!("GRANT {rights} ON SEQUENCE %s TO %I;");
        let grant = format!(
            " IF its_kind = 'TABLE' THEN EXECUTE coalesce(( \
                 SELECT pg_catalog.string_agg(pg_catalog.format({}, objid::pg_catalog.regclass, {}), '') \
                 FROM pg_catalog.pg_depend JOIN pg_catalog.pg_class ON pg_class.oid = objid \
                 WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND refclassid = classid AND relkind = 'S' \
                     AND refobjid = its_name::pg_catalog.regclass AND deptype IN ('a', 'i')), 'SELECT'); END IF;",
            Literal(&grant),
            Literal(patient.config.application_role()),
        );
        statements.push_str(&grant);
    }
    format!(
        "DO $mend$ DECLARE its_kind text; its_name text; BEGIN FOR its_kind, its_name IN \
         SELECT foreign_object.kind, foreign_object.object FROM ({foreign}) AS foreign_object LOOP {statements} \
         END LOOP; END $mend$ -- as a superuser, or as a member of both roles"
    )
}
