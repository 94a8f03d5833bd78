//! Who may work with a tenant's tables.

use std::fmt::Write;

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
) -> Result<String> {
    let application = context.databases.config(database)?.application_role().to_owned();
    let (owner, version): (String, i32) =
        sqlx::query_as("SELECT current_user::text, current_setting('server_version_num')::int")
            .fetch_one(connection)
            .await?;
    let mut sql = String::new();
    if owner != application {
        push_privileges(&mut sql, schema, &application);
    }
    if let Some(role) = &context.role {
        let role = role.name_for(schema);
        push_role(&mut sql, &role, &application, version);
        push_privileges(&mut sql, schema, &role);
    }
    Ok(sql)
}

/// Everything but the ledger.
fn push_privileges(sql: &mut String, schema: &SchemaName, role: &str) {
    sql.push_str(&privileges(schema, role));
    let _ = writeln!(sql, "{};", Ledger::empty(schema).revoke_from(role));
}

/// Creates the tenant's role and lets the application become it.
fn push_role(sql: &mut String, role: &str, application: &str, version: i32) {
    // `CREATE ROLE` knows no IF NOT EXISTS.
    let create = format!("CREATE ROLE {} NOLOGIN", Identifier(role));
    let _ = writeln!(
        sql,
        "DO {};",
        Literal(&format!("BEGIN {create}; EXCEPTION WHEN duplicate_object THEN NULL; END"))
    );
    let options = if version >= 160_000 { " WITH SET TRUE, INHERIT FALSE" } else { "" };
    let _ = writeln!(sql, "GRANT {} TO {}{options};", Identifier(role), Identifier(application));
}
