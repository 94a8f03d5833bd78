//! What the application's role may do.

use super::{Finding, Patient, column};
use crate::database::Way;
use crate::sql::{Identifier, Literal, VOID_SCHEMA};
use crate::tenant::SchemaName;

/// PostgreSQL checks no privilege for a superuser, so the void does not hold for one.
pub(super) async fn superuser(patient: &mut Patient<'_>) -> Result<Option<Finding>, sqlx::Error> {
    if !is_superuser(patient).await? {
        return Ok(None);
    }
    let role = patient.config.application_role();
    Ok(Some(patient.error(
        format!(
            "the application logs in as the superuser `{role}`, for whom PostgreSQL checks no privilege: a `CREATE` \
             on a vanished schema would succeed elsewhere"
        ),
        "CREATE ROLE saas_app LOGIN PASSWORD '…', and log in as that role in `url`; who owns the tables logs in \
         by `owner_url`",
    )))
}

async fn is_superuser(patient: &mut Patient<'_>) -> Result<bool, sqlx::Error> {
    let answer =
        column(&mut patient.application, "SELECT pg_catalog.current_setting('is_superuser')").await?;
    Ok(answer == ["on"])
}

/// What is created in a schema that all tenants see, all tenants see.
pub(super) async fn creating(patient: &mut Patient<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    if is_superuser(patient).await? {
        return Ok(Vec::new());
    }
    let ask = schemas_to_create_in(patient);
    let schemas = column(&mut patient.application, &ask).await?;
    let role = patient.config.application_role();
    let finding = |schema: String| {
        patient.warning(
            format!(
                "the application's role `{role}` may create in the schema `{schema}`, which tenants share"
            ),
            format!("REVOKE CREATE ON SCHEMA {} FROM PUBLIC, {}", Identifier(&schema), Identifier(role)),
        )
    };
    Ok(schemas.into_iter().map(finding).collect())
}

fn schemas_to_create_in(patient: &Patient<'_>) -> String {
    let shared = patient.layout.extension_schemas.iter().map(SchemaName::as_str);
    let names: Vec<_> =
        [VOID_SCHEMA, "public"].into_iter().chain(shared).map(|name| Literal(name).to_string()).collect();
    let owner = patient.config.bare(Way::Owner);
    let has_two_logins = owner.is_some_and(|owner| owner.get_username() != patient.config.application_role());
    // With a single login the application is the owner, who may create wherever nobody took that away.
    let unless_owned = if has_two_logins {
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
