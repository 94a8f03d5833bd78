//! Checks what the application's role may do.

use super::{Check, Finding, Patient};
use crate::sql::{Identifier, Literal, VOID_SCHEMA};
use crate::tenant::SchemaName;

/// PostgreSQL checks no privilege for a superuser, so the void does not hold for one.
pub(super) async fn superuser(patient: &mut Patient<'_>) -> Result<Option<Finding>, sqlx::Error> {
    if !is_superuser(patient).await? {
        return Ok(None);
    }
    let role = patient.config.application_role();
    let finding = patient.error(
        Check::Superuser,
        format!("the application logs in as the superuser `{role}`"),
        "PostgreSQL checks no privilege for a superuser: a `CREATE` on a vanished schema would succeed elsewhere",
    );
    Ok(Some(finding.mend_by(
        "CREATE ROLE saas_app LOGIN PASSWORD '…', and log in as that role in `url`; let the owner of the tables log in \
         by `owner_url`",
    )))
}

async fn is_superuser(patient: &mut Patient<'_>) -> Result<bool, sqlx::Error> {
    let answer = patient.application.column("SELECT pg_catalog.current_setting('is_superuser')").await?;
    Ok(answer == ["on"])
}

/// Warns of a role that may create where all tenants see it.
pub(super) async fn creating(patient: &mut Patient<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    if is_superuser(patient).await? {
        return Ok(Vec::new());
    }
    let ask = schemas_to_create_in(patient);
    let schemas = patient.application.column(&ask).await?;
    let role = patient.config.application_role();
    let finding = |schema: String| {
        let revoke =
            format!("REVOKE CREATE ON SCHEMA {} FROM PUBLIC, {}", Identifier(&schema), Identifier(role));
        let what = format!(
            "the application's role `{role}` may create in the schema `{schema}`, which tenants share"
        );
        let why = "what one tenant's statement creates there, all tenants see";
        patient.warning(Check::MayCreate, what, why).mend_by(revoke)
    };
    Ok(schemas.into_iter().map(finding).collect())
}

fn schemas_to_create_in(patient: &Patient<'_>) -> String {
    let shared = patient.layout.extension_schemas.iter().map(SchemaName::as_str);
    let names: Vec<_> = [VOID_SCHEMA, "public", "tenantry"]
        .into_iter()
        .chain(shared)
        .map(|name| Literal(name).to_string())
        .collect();
    // With a single login the application is the owner, who may create wherever nobody took that away.
    let unless_owned = if patient.has_two_logins() {
        String::new()
    } else {
        let is_owner = "pg_catalog.pg_has_role(nspowner, 'USAGE')";
        format!("AND (nspname = {} OR NOT {is_owner})", Literal(VOID_SCHEMA))
    };
    format!(
        "SELECT nspname::text FROM pg_catalog.pg_namespace WHERE nspname IN ({}) \
         AND pg_catalog.has_schema_privilege(oid, 'CREATE') {unless_owned} ORDER BY 1",
        names.join(", "),
    )
}

/// Until PostgreSQL 16, the first `SET ROLE` of a session reads all roles it may become: 6 ms at a thousand.
const MOST_MEMBERSHIPS: i64 = 1_000;

pub(super) async fn memberships(patient: &mut Patient<'_>) -> Result<Option<Finding>, sqlx::Error> {
    let query = "SELECT count(*)::text FROM pg_catalog.pg_auth_members \
                 JOIN pg_catalog.pg_roles ON pg_roles.oid = member \
                 WHERE rolname = current_user AND NOT rolsuper \
                   AND pg_catalog.current_setting('server_version_num')::int < 170000";
    let count = patient.application.column(query).await?;
    let count: i64 = count.first().and_then(|count| count.parse().ok()).unwrap_or_default();
    if count <= MOST_MEMBERSHIPS {
        return Ok(None);
    }
    let role = patient.config.application_role();
    let what = format!("the application's role `{role}` is a member of {count} roles");
    let why = "up to PostgreSQL 16, the first statement of each connection waits while all of them are read";
    let mend = "upgrade to PostgreSQL 17 or later, or give each part of the fleet a login of its own";
    Ok(Some(patient.warning(Check::Memberships, what, why).mend_by(mend)))
}
