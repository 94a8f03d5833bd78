//! Compares what a tenant needs with what there is in the database it goes to.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::lifecycle::contents::{REFUSALS, enter, leave, tables};
use crate::lifecycle::locks::check_locks;
use crate::lifecycle::needs::{Here, NeededExtension, missing_extension, missing_roles};
use crate::lifecycle::source::{ReadFor, needed_extensions};
use crate::provision;
use crate::registry::{applied, databases};
use crate::tenant::{Alias, SchemaName, Tenant};

/// The roles that are named in what a schema holds, but for the owner's.
const ROLES: &str = "SELECT DISTINCT pg_get_userbyid(grantee)::text FROM (
        SELECT grantee FROM owned, LATERAL aclexplode(acl)
        UNION SELECT unnest(polroles) FROM rel JOIN pg_policy ON polrelid = rel.oid
        UNION SELECT grantee FROM own, pg_default_acl, LATERAL aclexplode(defaclacl) WHERE defaclnamespace = own.oid
    ) AS named, me WHERE grantee NOT IN (0, me.oid)";

/// All that a tenant needs where it goes to.
pub(super) struct MoveNeeds {
    extensions: Vec<NeededExtension>,
    /// Roles, without the tenant's own.
    roles: Vec<String>,
    /// The database where it is.
    pub(super) here: Here,
    tables: usize,
}

impl MoveNeeds {
    /// Reads them in a transaction that is open.
    pub(super) async fn read(
        tx: &mut PgConnection,
        schema: &SchemaName,
        own_role: Option<&str>,
    ) -> Result<Self> {
        let extensions = needed_extensions(tx, schema).await?;
        let roles = asked::<(String,)>(tx, schema, ROLES).await?.into_iter().map(|(name,)| name);
        let roles = roles.filter(|role| Some(role.as_str()) != own_role).collect();
        let tables = tables(tx, schema).await?.len();
        Ok(Self { extensions, roles, here: Here::of(tx).await?, tables })
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
/// [`ErrorKind::DatabaseClosed`] if the target is closed to new tenants. A move that was begun goes on.
pub(super) async fn check_open(
    context: &Context,
    registry: &mut PgConnection,
    tenant: &Tenant,
    to: &Alias,
) -> Result<()> {
    provision::check_open(context, to, tenant.slug())?;
    databases::check_open(registry, to, tenant.slug()).await
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
    let (here, there) = (&needs.here, Here::of(target).await?);
    if here.encoding == "SQL_ASCII" || (there.encoding != "UTF8" && there.encoding != here.encoding) {
        let reason =
            format!("its texts are in {}, and those of database `{to}` in {}", here.encoding, there.encoding);
        return unsupported(reason, "move it to a database whose encoding is UTF8");
    }
    if let Some(missing) = missing_extension(target, &needs.extensions).await? {
        let hint = "install it there as it is here: `CREATE EXTENSION … SCHEMA …`";
        return unsupported(format!("in database `{to}`, {missing}"), hint);
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
