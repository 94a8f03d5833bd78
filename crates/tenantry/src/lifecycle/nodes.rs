//! Moves tenants between the nodes of a Citus cluster.
//!
//! A move is one statement of Citus's, which undoes it where it fails or is cut off, and the coordinator knows where
//! a tenant is. So nothing is recorded before, nothing has to be gone on with, and no handle has to follow.

mod node;

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{Connection as _, PgConnection, Row as _};

pub use self::node::{InvalidNode, Node};
use super::find::find;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::take_lock;
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, MoveMethod, store};
use crate::tenant::{Alias, Status, Tenant, TenantId, Verb};

/// A tenant that was moved to another node of its cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeMoved {
    /// The tenant.
    pub tenant: Tenant,
    /// The node that it left; `None` if it was there already.
    pub from: Option<Node>,
    /// The node that it is on.
    pub to: Node,
    /// The time that the statement took. The tenant was served nearly all of it, if the move was online.
    pub took: Duration,
}

/// A move that Citus would make to spread its tenants evenly.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlannedNodeMove {
    /// The schema that goes.
    pub schema: String,
    /// The tenant whose schema it is; `None` for a spare, and for what is not Tenantry's.
    pub tenant: Option<Tenant>,
    /// The node that it is on.
    pub from: Node,
    /// The node that it goes to.
    pub to: Node,
    /// The size of its tables, in bytes, as Citus counts it.
    pub bytes: u64,
}

/// Moves a tenant to another node. Undone by the same, back.
pub(crate) async fn move_to_node(
    context: &Context,
    id: TenantId,
    to: &Node,
    method: MoveMethod,
) -> Result<NodeMoved> {
    let look_up = async || context.databases.with_registry(async |registry| find(registry, id).await).await;
    let tenant = look_up().await?;
    let alias = tenant.database();
    expect_citus(context, alias).await?;
    let mut workplace = context.databases.unlimited_owner_connection(alias).await?;
    take_lock(&mut workplace, &tenant).await?;
    // As it is now that nobody else works on it.
    check_status(&look_up().await?)?;
    check_node(&mut workplace, alias, to).await?;
    let begun = Instant::now();
    let from = node_of(&mut workplace, &tenant).await?;
    if from == *to {
        return Ok(NodeMoved { tenant, from: None, to: to.clone(), took: Duration::ZERO });
    }
    carry(&mut workplace, &tenant, to, method).await?;
    let took = begun.elapsed();
    let options = json!({ "from": from.to_string(), "to": to.to_string(), "method": method.as_str() });
    let action = Action { options, ..Action::new(Verb::Move, &context.operator) };
    let enter =
        async |registry: &mut PgConnection| audit::enter(registry, &tenant, &action, AuditState::Done).await;
    context.databases.with_registry(enter).await.map_err(|error| {
        let slug = tenant.slug();
        error
            .with_hint(format!("tenant `{slug}` is on node {to} all the same; its audit does not tell of it"))
    })?;
    let _ = workplace.close().await;
    Ok(NodeMoved { tenant, from: Some(from), to: to.clone(), took })
}

/// Has Citus move the schema, with all that is colocated with it.
async fn carry(workplace: &mut PgConnection, tenant: &Tenant, to: &Node, method: MoveMethod) -> Result<()> {
    // Written out, because who owns the tables may not name its type.
    let carry = match method {
        MoveMethod::Online => {
            "SELECT pg_catalog.citus_schema_move(pg_catalog.quote_ident($1)::regnamespace, $2, $3, 'auto')"
        }
        MoveMethod::Offline => {
            "SELECT pg_catalog.citus_schema_move(pg_catalog.quote_ident($1)::regnamespace, $2, $3, 'block_writes')"
        }
    };
    // A coordinator that dies behind its COMMIT is not to have forgotten where the tenant is.
    sqlx::raw_sql("SET synchronous_commit TO on").execute(&mut *workplace).await?;
    let carry = sqlx::query(carry).bind(tenant.schema().as_str()).bind(to.host()).bind(i32::from(to.port()));
    let moved = carry.execute(workplace).await;
    moved.map(drop).map_err(|error| {
        let error = Error::from(error).with_tenant(tenant.slug());
        if method == MoveMethod::Online && error.to_string().contains("REPLICA IDENTITY") {
            return error
                .with_hint("give the table a primary key, or use `--offline`, which keeps writers out");
        }
        error
    })
}

/// The moves that Citus proposes for a database, one for each schema, in its order.
pub(crate) async fn plan_rebalance(context: &Context, alias: &Alias) -> Result<Vec<PlannedNodeMove>> {
    expect_citus(context, alias).await?;
    let mut workplace = context.databases.unlimited_owner_connection(alias).await?;
    // One row for each shard, and a tenant has one for each table.
    let rows = sqlx::query(
        "SELECT nspname::text AS schema, sourcename, sourceport, targetname, targetport, \
                sum(shard_size)::bigint AS bytes \
         FROM pg_catalog.get_rebalance_table_shards_plan() WITH ORDINALITY AS plan (table_name, shardid, shard_size, \
                sourcename, sourceport, targetname, targetport, number) \
         JOIN pg_catalog.pg_class ON pg_class.oid = table_name \
         JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace \
         JOIN pg_catalog.pg_dist_schema ON schemaid = relnamespace \
         GROUP BY 1, 2, 3, 4, 5 ORDER BY min(number)",
    )
    .fetch_all(&mut workplace)
    .await?;
    let schemas = rows.iter().map(|row| row.try_get("schema")).collect::<Result<Vec<&str>, _>>()?;
    let find = async |registry: &mut PgConnection| store::tenants_of_schemas(registry, alias, &schemas).await;
    let tenants = context.databases.with_registry(find).await?;
    let planned = |row: &sqlx::postgres::PgRow| {
        let schema: String = row.try_get("schema")?;
        Ok(PlannedNodeMove {
            tenant: tenants.iter().find(|tenant| tenant.schema().as_str() == schema).cloned(),
            schema,
            from: node(row, "sourcename", "sourceport")?,
            to: node(row, "targetname", "targetport")?,
            bytes: u64::try_from(row.try_get::<i64, _>("bytes")?).unwrap_or_default(),
        })
    };
    rows.iter().map(planned).collect()
}

/// The node that the tables of a tenant are on.
async fn node_of(workplace: &mut PgConnection, tenant: &Tenant) -> Result<Node> {
    let row = sqlx::query(
        "SELECT nodename, nodeport FROM pg_catalog.pg_dist_schema AS held \
         JOIN pg_catalog.pg_dist_partition AS part ON part.colocationid = held.colocationid \
         JOIN pg_catalog.pg_dist_shard AS shard ON shard.logicalrelid = part.logicalrelid \
         JOIN pg_catalog.pg_dist_placement AS placement ON placement.shardid = shard.shardid \
         JOIN pg_catalog.pg_dist_node AS node ON node.groupid = placement.groupid AND noderole = 'primary' \
         WHERE schemaid = pg_catalog.to_regnamespace(pg_catalog.quote_ident($1)) LIMIT 1",
    )
    .bind(tenant.schema().as_str())
    .fetch_optional(workplace)
    .await?;
    row.map(|row| node(&row, "nodename", "nodeport")).transpose()?.ok_or_else(|| {
        let message =
            format!("schema `{}` of tenant `{}` has no tables on any node", tenant.schema(), tenant.slug());
        Error::new(ErrorKind::Unsupported, message)
            .with_tenant(tenant.slug())
            .with_hint("`tenantry doctor` tells of schemas that are not distributed")
    })
}

/// Refuses a node that there is not, or that takes no tenants.
async fn check_node(workplace: &mut PgConnection, alias: &Alias, to: &Node) -> Result<()> {
    let rows = sqlx::query(
        "SELECT nodename, nodeport FROM pg_catalog.pg_dist_node \
         WHERE isactive AND shouldhaveshards AND noderole = 'primary' ORDER BY nodename, nodeport",
    )
    .fetch_all(workplace)
    .await?;
    let nodes = rows.iter().map(|row| node(row, "nodename", "nodeport")).collect::<Result<Vec<_>>>()?;
    if nodes.contains(to) {
        return Ok(());
    }
    let known: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    let message = format!("no node `{to}` takes tenants in the cluster of database `{alias}`");
    Err(Error::new(ErrorKind::InvalidInput, message)
        .with_hint(format!("nodes that take them: {}", known.join(", "))))
}

fn node(row: &sqlx::postgres::PgRow, host: &str, port: &str) -> Result<Node> {
    let (host, port): (String, i32) = (row.try_get(host)?, row.try_get(port)?);
    let port = u16::try_from(port).map_err(|_| {
        Error::new(ErrorKind::Database, format!("the cluster has a node at `{host}` with the port {port}"))
    })?;
    Ok(Node::new(host, port))
}

async fn expect_citus(context: &Context, alias: &Alias) -> Result<()> {
    if context.databases.ask_dialect(alias).await?.is_citus() {
        return Ok(());
    }
    let message = format!("database `{alias}` is not Citus, and has no nodes");
    Err(Error::new(ErrorKind::Unsupported, message)
        .with_hint("between databases, `tenantry move SLUG --to ALIAS` moves a tenant"))
}

fn check_status(tenant: &Tenant) -> Result<()> {
    if matches!(tenant.status(), Status::Active | Status::Suspended) {
        return Ok(());
    }
    let message = format!("tenant `{}` is {} and cannot be moved", tenant.slug(), tenant.status());
    Err(Error::new(ErrorKind::TenantUnavailable, message).with_tenant(tenant.slug()))
}
