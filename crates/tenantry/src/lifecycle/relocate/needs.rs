//! Compares what a tenant needs with what there is in the database it goes to.

use std::collections::BTreeSet;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use crate::error::{ErrorKind, Result};
use crate::lifecycle::contents::{REFUSALS, check_locks, enter, leave, tables};
use crate::lifecycle::source::ReadFor;
use crate::registry::applied;
use crate::tenant::{Alias, SchemaName, Tenant};

/// The roles that are named in what a schema holds, but for the owner's.
const ROLES: &str = "SELECT DISTINCT pg_get_userbyid(grantee)::text FROM (
        SELECT grantee FROM owned, LATERAL aclexplode(acl)
        UNION SELECT unnest(polroles) FROM rel JOIN pg_policy ON polrelid = rel.oid
        UNION SELECT grantee FROM own, pg_default_acl, LATERAL aclexplode(defaclacl) WHERE defaclnamespace = own.oid
    ) AS named, me WHERE grantee NOT IN (0, me.oid)";

const EXTENSIONS: &str = "SELECT name, schema FROM needed_extension";

/// The server of a database, as far as it decides what may be copied there.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct ServerFacts {
    pub(super) server_version: i32,
    pub(super) encoding: String,
    pub(super) owner: String,
}

impl ServerFacts {
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self> {
        let facts = "SELECT pg_catalog.current_setting('server_version_num')::int AS server_version, \
                     pg_catalog.current_setting('server_encoding') AS encoding, current_user::text AS owner";
        Ok(sqlx::query_as(facts).fetch_one(connection).await?)
    }

    pub(super) fn major(&self) -> i32 {
        self.server_version / 10_000
    }
}

/// All that a tenant needs where it goes to.
pub(super) struct MoveNeeds {
    /// Extensions and the schemas that they are in.
    extensions: Vec<(String, String)>,
    /// Roles, without the tenant's own.
    roles: BTreeSet<String>,
    pub(super) server: ServerFacts,
    tables: usize,
}

impl MoveNeeds {
    /// Reads them in a transaction that is open.
    pub(super) async fn read(
        tx: &mut PgConnection,
        schema: &SchemaName,
        own_role: Option<&str>,
    ) -> Result<Self> {
        let extensions = asked(tx, schema, EXTENSIONS).await?;
        let roles = asked::<(String,)>(tx, schema, ROLES).await?.into_iter().map(|(name,)| name);
        let roles = roles.filter(|role| Some(role.as_str()) != own_role).collect();
        let tables = tables(tx, schema).await?.len();
        Ok(Self { extensions, roles, server: ServerFacts::of(tx).await?, tables })
    }
}

/// # Errors
/// [`ErrorKind::TenantUnavailable`] for a tenant that is half-made or going.
pub(super) fn check_status(tenant: &Tenant) -> Result<()> {
    if ReadFor::Move.allows(tenant.status()) {
        return Ok(());
    }
    let reason = format!("it is {}", tenant.status());
    Err(ReadFor::Move.refused(tenant, ErrorKind::TenantUnavailable, reason))
}

/// # Errors
/// [`ErrorKind::AlreadyExists`] if there is something by the name of the tenant's schema.
pub(super) async fn check_free(target: &mut PgConnection, tenant: &Tenant, to: &Alias) -> Result<()> {
    let schema = tenant.schema();
    let find = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
    let is_there: bool = sqlx::query_scalar(find).bind(schema.as_str()).fetch_one(&mut *target).await?;
    if is_there || applied::is_noted(target, schema).await? {
        let reason = format!("database `{to}` has a schema `{schema}` already, or a trace of one");
        return Err(ReadFor::Move.refused(tenant, ErrorKind::AlreadyExists, reason).with_hint(
            "if nobody needs it, drop it and its row in `tenantry.applied`; two aliases may lead to one database",
        ));
    }
    Ok(())
}

/// # Errors
/// [`ErrorKind::Unsupported`] with what is missing there. Nothing was made yet.
pub(super) async fn check_needs(
    target: &mut PgConnection,
    tenant: &Tenant,
    to: &Alias,
    needs: &MoveNeeds,
) -> Result<()> {
    let unsupported = |reason: String, hint: &str| {
        Err(ReadFor::Move.refused(tenant, ErrorKind::Unsupported, reason).with_hint(hint.to_owned()))
    };
    let (here, there) = (&needs.server, ServerFacts::of(target).await?);
    if here.encoding == "SQL_ASCII" || (there.encoding != "UTF8" && there.encoding != here.encoding) {
        let reason =
            format!("its texts are in {}, and those of database `{to}` in {}", here.encoding, there.encoding);
        return unsupported(reason, "move it to a database whose encoding is UTF8");
    }
    if let Some(missing) = missing_extension(target, &needs.extensions, to).await? {
        let hint = "install it there as it is here: `CREATE EXTENSION … SCHEMA …`";
        return unsupported(missing, hint);
    }
    let missing = missing_roles(target, &needs.roles).await?;
    if !missing.is_empty() {
        let reason = format!(
            "roles have privileges in it that are not at the server of database `{to}`: `{}`",
            missing.join("`, `")
        );
        return unsupported(reason, "create them there, or revoke what they have");
    }
    let whose = format!("tenant `{}` cannot be moved", tenant.slug());
    let checked = check_locks(target, &whose, needs.tables).await;
    checked.map_err(|error| error.with_tenant(tenant.slug()))
}

async fn missing_extension(
    target: &mut PgConnection,
    needed: &[(String, String)],
    to: &Alias,
) -> Result<Option<String>> {
    let there: Vec<(String, String)> = sqlx::query_as(
        "SELECT extname::text, nspname::text FROM pg_catalog.pg_extension
         JOIN pg_catalog.pg_namespace AS n ON n.oid = extnamespace",
    )
    .fetch_all(target)
    .await?;
    Ok(needed.iter().find_map(|(name, schema)| match there.iter().find(|(known, _)| known == name) {
        Some((_, place)) if place == schema => None,
        Some((_, place)) => Some(format!(
            "extension `{name}` is in schema `{place}` of database `{to}`, and not in `{schema}`"
        )),
        None => Some(format!("it needs extension `{name}`, which database `{to}` does not have")),
    }))
}

async fn missing_roles(target: &mut PgConnection, needed: &BTreeSet<String>) -> Result<Vec<String>> {
    let needed: Vec<_> = needed.iter().map(String::as_str).collect();
    let missing = "SELECT role FROM pg_catalog.unnest($1::text[]) AS role
                   WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) ORDER BY role";
    Ok(sqlx::query_scalar(missing).bind(needed).fetch_all(target).await?)
}

/// Asks for something of what refusals are found by.
pub(super) async fn asked<T>(
    connection: &mut PgConnection,
    schema: &SchemaName,
    select: &str,
) -> Result<Vec<T>>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    enter(connection, schema).await?;
    let rows = sqlx::query_as(AssertSqlSafe(format!("{REFUSALS} {select}")))
        .bind(schema.as_str())
        .bind([""; 0])
        .persistent(false)
        .fetch_all(&mut *connection)
        .await?;
    leave(connection).await?;
    Ok(rows)
}
