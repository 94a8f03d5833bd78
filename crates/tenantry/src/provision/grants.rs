//! The roles that may work with a tenant's tables.

use sqlx::PgConnection;

use crate::context::Context;
use crate::database::Dialect;
use crate::error::Result;
use crate::migrate::Ledger;
use crate::sql::privileges::{SET_ONLY, SET_ONLY_SINCE, membership, privileges, role};
use crate::sql::{Identifier, Literal};
use crate::tenant::{Alias, SchemaName};

/// The statements that let the application, and the tenant's own role if there is one, work with
/// the schema. Safe to repeat.
pub(crate) async fn grants(
    connection: &mut PgConnection,
    context: &Context,
    database: &Alias,
    schema: &SchemaName,
) -> Result<Vec<String>> {
    let dialect = context.databases.dialect(database);
    let application = context.databases.config(database)?.application_role().to_owned();
    let (owner, version): (String, i32) =
        sqlx::query_as("SELECT current_user::text, current_setting('server_version_num')::int")
            .fetch_one(connection)
            .await?;
    let mut statements = Vec::new();
    if owner != application {
        push_privileges(&mut statements, schema, &application);
    }
    if let Some(role) = &context.role {
        let name = role.name_for(schema);
        push_role(&mut statements, &name, &application, (version, dialect));
        push_privileges(&mut statements, schema, &name);
    }
    Ok(statements)
}

/// The statements that make the tenant's own role, if tenants have one. Safe to repeat.
pub(crate) async fn own_role(
    connection: &mut PgConnection,
    context: &Context,
    database: &Alias,
    schema: &SchemaName,
) -> Result<Vec<String>> {
    let Some(role) = &context.role else { return Ok(Vec::new()) };
    let version: i32 =
        sqlx::query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(connection).await?;
    let dialect = context.databases.dialect(database);
    let application = context.databases.config(database)?.application_role();
    let mut statements = Vec::new();
    push_role(&mut statements, &role.name_for(schema), application, (version, dialect));
    Ok(statements)
}

/// Everything but the ledger.
fn push_privileges(statements: &mut Vec<String>, schema: &SchemaName, role: &str) {
    statements.extend(privileges(Identifier(schema.as_str()), Identifier(role)));
    statements.push(Ledger::empty(schema).revoke_from(role));
}

/// Creates the tenant's role and lets the application become it.
fn push_role(
    statements: &mut Vec<String>,
    name: &str,
    application: &str,
    (version, dialect): (i32, Dialect),
) {
    // `CREATE ROLE` knows no IF NOT EXISTS.
    // The coordinator of Citus logs in to a worker as the role that the session has.
    let create = role(Identifier(name), dialect.is_citus());
    let create = format!("BEGIN {create}; EXCEPTION WHEN duplicate_object THEN NULL; END");
    statements.push(format!("DO {}", Literal(&create)));
    let options = if version >= SET_ONLY_SINCE { SET_ONLY } else { "" };
    statements.push(membership(Identifier(name), Identifier(application)) + options);
}
