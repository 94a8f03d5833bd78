//! Checks what the application's role may do.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

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
    let rows = patient.application.rows(&ask).await?;
    let role = patient.config.application_role();
    let finding = |row: &PgRow| {
        let schema: &str = row.try_get("schema")?;
        let revoke = revocation(patient, schema, row.try_get("owner")?, row.try_get("is_ours")?);
        let what = format!(
            "the application's role `{role}` may create in the schema `{schema}`, which tenants share"
        );
        let why = "what one tenant's statement creates there, all tenants see";
        Ok(patient.warning(Check::MayCreate, what, why).mend_by(revoke))
    };
    rows.iter().map(finding).collect()
}

/// Takes the privilege away. Only the owner of the schema can: until PostgreSQL 14 `public` belongs to the superuser,
/// while everybody may create there. From then on it belongs to the owner of the schemas, or of the database.
fn revocation(patient: &Patient<'_>, schema: &str, owner: &str, is_ours: bool) -> String {
    let (name, role) = (Identifier(schema), patient.config.application_role());
    let new_owner = patient.owner().unwrap_or("pg_database_owner");
    let revoke = format!("REVOKE CREATE ON SCHEMA {name} FROM PUBLIC");
    let from_role = format!("{revoke}, {}", Identifier(role));
    if is_ours {
        return from_role;
    }
    let who = format!("-- as `{owner}`, who owns it, or a superuser");
    if schema != "public" {
        return format!("{from_role} {who}");
    }
    let revoke = if patient.has_two_logins() { from_role } else { revoke };
    format!("ALTER SCHEMA {name} OWNER TO {}; {revoke} {who}", Identifier(new_owner))
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
        "SELECT nspname::text AS schema, pg_catalog.pg_get_userbyid(nspowner)::text AS owner, \
             pg_catalog.pg_has_role({}, nspowner, 'USAGE') AS is_ours \
         FROM pg_catalog.pg_namespace WHERE nspname IN ({}) \
         AND pg_catalog.has_schema_privilege(oid, 'CREATE') {unless_owned} ORDER BY 1",
        Literal(patient.owner().unwrap_or_else(|| patient.config.application_role())),
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
