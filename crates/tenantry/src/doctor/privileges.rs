//! Checks that the application's role may use all that it needs, and no more than that.

use sqlx::Row as _;

use super::finding::named;
use super::{Check, Finding, Patient, list};
use crate::pool::Role;
use crate::registry::{LEDGER, examination};
use crate::sql::privileges::{SET_ONLY, SET_ONLY_SINCE, membership, privileges, revocation, role};
use crate::sql::{Identifier, Literal, VOID_SCHEMA};
use crate::tenant::SchemaName;

/// Schemas that a finding about many of them names.
const NAMED: usize = 3;

pub(super) fn missing_registry(patient: &Patient<'_>) -> Finding {
    let what = "the registry is not installed, or is of an older version";
    let why = "without it there are no tenants here";
    patient.warning(Check::Registry, what, why).mend_by("tenantry init")
}

/// The registry, in which every tenant is found.
pub(super) async fn registry(patient: &mut Patient<'_>) -> Result<Option<Finding>, sqlx::Error> {
    let role = patient.config.application_role();
    let rows = patient.catalog.rows_by_index(&examination::closed_to(role)).await?;
    let tables = rows.iter().map(|row| row.try_get(0));
    let mut tables: Vec<String> = tables.collect::<Result<_, sqlx::Error>>()?;
    let count = tables.len();
    tables.truncate(NAMED);
    if tables.is_empty() {
        return Ok(None);
    }
    let tables = named(&tables, count);
    let what = format!("the application's role `{role}` may not read {tables} in the schema `tenantry`");
    let finding = patient.error(Check::MissingPrivilege, what, "no tenant can be found");
    let role = Identifier(role);
    Ok(Some(finding.mend_by(format!(
        "GRANT USAGE ON SCHEMA tenantry TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA tenantry TO {role}"
    ))))
}

/// The schemas that stand in every `search_path`.
pub(super) async fn shared(patient: &mut Patient<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let extensions = patient.layout.extension_schemas.iter().map(SchemaName::as_str);
    let role = patient.config.application_role();
    let query = format!(
        "SELECT nspname::text FROM pg_catalog.pg_namespace JOIN pg_catalog.pg_roles ON rolname = {} \
         WHERE nspname IN ({}) AND NOT pg_catalog.has_schema_privilege(pg_roles.oid, pg_namespace.oid, 'USAGE') \
         ORDER BY 1",
        Literal(role),
        list(extensions.chain([VOID_SCHEMA])),
    );
    let closed = patient.catalog.column(&query).await?;
    let finding = |schema: &String| {
        let what = format!("the application's role `{role}` may not use the schema `{schema}`");
        let why = if schema == VOID_SCHEMA {
            "PostgreSQL leaves it out of the search_path, where it keeps a `CREATE` on a vanished schema from \
             succeeding elsewhere"
        } else {
            "tenants do not see the extensions in there"
        };
        let grant = format!("GRANT USAGE ON SCHEMA {} TO PUBLIC", Identifier(schema));
        patient.error(Check::MissingPrivilege, what, why).mend_by(grant)
    };
    Ok(closed.iter().map(finding).collect())
}

/// The schemas of tenants: the application works in them, and changes none.
pub(super) async fn tenants(patient: &mut Patient<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let role = patient.config.application_role().to_owned();
    let literal = Literal(&role);
    let mut findings = Vec::new();

    let is_closed = format!("NOT pg_catalog.has_schema_privilege({literal}, pg_namespace.oid, 'USAGE')");
    if let Some(schemas) = those(patient, &is_closed).await? {
        let what = format!("the application's role `{role}` may not use the schemas {schemas}");
        let finding = patient.error(Check::MissingPrivilege, what, "no statement of these tenants succeeds");
        findings.push(finding.mend_by(for_each(patient, &is_closed, &grants(&literal.to_string()))));
    }

    let is_open =
        format!("pg_catalog.has_schema_privilege({literal}, pg_namespace.oid, 'CREATE') {}", owners(patient));
    if let Some(schemas) = those(patient, &is_open).await? {
        let what = format!("the application's role `{role}` may create in the schemas {schemas}");
        let why = "a table that no migration made is in no other tenant, and in the way of migrations";
        let revoke = format!(
            "EXECUTE pg_catalog.format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, %I', schema, {literal})"
        );
        let finding = patient.warning(Check::MayCreate, what, why);
        findings.push(finding.mend_by(for_each(patient, &is_open, &revoke)));
    }
    Ok(findings)
}

/// The roles of tenants, where each has one. Those who were there before that have none yet.
pub(super) async fn roles(patient: &mut Patient<'_>) -> Result<Option<Finding>, sqlx::Error> {
    let Some(prefix) = patient.role.map(Role::prefix) else { return Ok(None) };
    let prefix = Literal(&prefix).to_string();
    let application = Literal(patient.config.application_role()).to_string();
    let has_none = format!(
        "nspname !~ '^tenantry_' AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {prefix} || nspname \
             AND pg_catalog.has_schema_privilege(pg_roles.oid, pg_namespace.oid, 'USAGE') \
             AND pg_catalog.pg_has_role({application}, pg_roles.oid, 'MEMBER'))"
    );
    let Some(schemas) = those(patient, &has_none).await? else { return Ok(None) };
    let what = format!("no role that the application may become can use the schemas {schemas}");
    let finding = patient.error(Check::MissingPrivilege, what, "no statement of these tenants succeeds");
    let name = format!("({prefix} || schema)");
    let statements = format!(
        "IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name}) THEN \
         EXECUTE pg_catalog.format({create}, {name}); END IF; \
         EXECUTE pg_catalog.format({grant} || CASE \
             WHEN pg_catalog.current_setting('server_version_num')::int >= {SET_ONLY_SINCE} \
             THEN {set_only} ELSE '' END, {name}, {application}); {grants}",
        create = Literal(&role("%I", false)),
        grant = Literal(&membership("%I", "%I")),
        set_only = Literal(SET_ONLY),
        grants = grants(&name),
    );
    Ok(Some(finding.mend_by(for_each(patient, &has_none, &statements))))
}

/// Leaves out those who may create because they are the owner, where there is only one login, and
/// superusers, who may do anything.
fn owners(patient: &Patient<'_>) -> String {
    let role = patient.config.application_role();
    let is_superuser =
        format!("(SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = {})", Literal(role));
    let unless_owned = if patient.has_two_logins() {
        String::new()
    } else {
        format!("AND NOT pg_catalog.pg_has_role({}, nspowner, 'USAGE')", Literal(role))
    };
    format!("AND NOT {is_superuser} {unless_owned}")
}

/// The first few of the schemas of tenants for which a condition holds, and how many more there are.
async fn those(patient: &mut Patient<'_>, condition: &str) -> Result<Option<String>, sqlx::Error> {
    let query = format!(
        "SELECT nspname::text AS schema, count(*) OVER () AS count FROM ({}) AS tenant \
         JOIN pg_catalog.pg_namespace USING (oid, nspname) WHERE {condition} ORDER BY 1 LIMIT {NAMED}",
        patient.tenant_schemas(),
    );
    let rows = patient.catalog.rows(&query).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let count = usize::try_from(first.try_get::<i64, _>("count")?).unwrap_or_default();
    let schemas = rows.iter().map(|row| row.try_get("schema")).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(named(&schemas, count)))
}

/// The privileges that a role needs in a `schema`: as for a new tenant, everything but the ledger.
fn grants(role: &str) -> String {
    format!(
        "EXECUTE pg_catalog.format({grant}, schema, {role}); \
         IF pg_catalog.to_regclass(pg_catalog.format('%I.{LEDGER}', schema)) IS NOT NULL THEN \
         EXECUTE pg_catalog.format({revoke}, schema, {role}); END IF",
        grant = Literal(&(privileges("%1$I", "%2$I").join(";\n") + ";\n")),
        revoke = Literal(&revocation(format_args!("%I.{LEDGER}"), "%I")),
    )
}

/// SQL that does something with each of these schemas, however many they are.
fn for_each(patient: &Patient<'_>, condition: &str, statements: &str) -> String {
    format!(
        "DO $mend$ DECLARE schema name; BEGIN FOR schema IN SELECT nspname FROM ({}) AS tenant \
         JOIN pg_catalog.pg_namespace USING (oid, nspname) WHERE {condition} LOOP {statements}; END LOOP; END $mend$",
        patient.tenant_schemas(),
    )
}
