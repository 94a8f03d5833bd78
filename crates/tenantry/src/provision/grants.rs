//! Who may work with a tenant's tables.

use sqlx::PgConnection;

use crate::context::Context;
use crate::error::Result;
use crate::migrate::Ledger;
use crate::sql::{Identifier, Literal, privileges};
use crate::tenant::{Alias, SchemaName};

/// The statements that let the application, and the tenant's own role if there is one, work with
/// the schema. Safe to repeat.
pub(super) async fn grants(
    connection: &mut PgConnection,
    context: &Context,
    database: &Alias,
    schema: &SchemaName,
) -> Result<Vec<String>> {
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
        let role = role.name_for(schema);
        push_role(&mut statements, &role, &application, version);
        push_privileges(&mut statements, schema, &role);
    }
    Ok(statements)
}

/// Everything but the ledger.
fn push_privileges(statements: &mut Vec<String>, schema: &SchemaName, role: &str) {
    statements.extend(privileges(schema, role));
    statements.push(Ledger::empty(schema).revoke_from(role));
}

/// Creates the tenant's role and lets the application become it.
fn push_role(statements: &mut Vec<String>, role: &str, application: &str, version: i32) {
    // `CREATE ROLE` knows no IF NOT EXISTS.
    let create = format!("CREATE ROLE {} NOLOGIN", Identifier(role));
    let create = format!("BEGIN {create}; EXCEPTION WHEN duplicate_object THEN NULL; END");
    statements.push(format!("DO {}", Literal(&create)));
    let options = if version >= 160_000 { " WITH SET TRUE, INHERIT FALSE" } else { "" };
    statements.push(format!("GRANT {} TO {}{options}", Identifier(role), Identifier(application)));
}
