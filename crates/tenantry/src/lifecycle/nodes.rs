//! Moves tenants between the nodes of a Citus cluster.
//!
//! A move is one statement of Citus's, which undoes it where it fails or is cut off, and every node of the cluster
//! knows where a tenant is. So nothing is recorded before and nothing has to be gone on with. The registry is told
//! behind the move; whoever goes to the former node until then gets his answers by a longer way.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::find::find;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::take_lock;
use crate::registry::audit::{self, Action};
use crate::registry::nodes::{self, node};
use crate::registry::{AuditState, MoveMethod, store};
use crate::tenant::{Alias, Node, Status, Tenant, TenantId, Verb};

/// Tenants whose nodes are asked for at once.
const PAGE: i64 = 500;

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
        // Somebody may have moved it without a word to the registry.
        lead_there(context, &tenant, to, None).await?;
        return Ok(NodeMoved { tenant, from: None, to: to.clone(), took: Duration::ZERO });
    }
    carry(&mut workplace, &tenant, to, method).await?;
    let took = begun.elapsed();
    let options = json!({ "from": from.to_string(), "to": to.to_string(), "method": method.as_str() });
    let action = Action { options, ..Action::new(Verb::Move, &context.operator) };
    lead_there(context, &tenant, to, Some(&action)).await.map_err(|error| {
        let slug = tenant.slug();
        error.with_hint(format!(
            "tenant `{slug}` is on node {to} all the same; the same command has the registry say so, \
             and the audit does not tell of the move"
        ))
    })?;
    let _ = workplace.close().await;
    Ok(NodeMoved { tenant, from: Some(from), to: to.clone(), took })
}

/// Has the registry lead to a node, and tells the audit what was done.
async fn lead_there(
    context: &Context,
    tenant: &Tenant,
    to: &Node,
    action: Option<&Action<'_>>,
) -> Result<()> {
    let lead = async |registry: &mut PgConnection| {
        let mut tx = registry.begin().await?;
        nodes::lead_to(&mut tx, tenant, to).await?;
        if let Some(action) = action {
            audit::enter(&mut tx, tenant, action, AuditState::Done).await?;
        }
        Ok(tx.commit().await?)
    };
    context.databases.with_registry(lead).await
}

/// Has the registry lead to where Citus has the tenants of a database now. Nobody is moved. Answers with how many it
/// led elsewhere.
pub(crate) async fn record_nodes(context: &Context, alias: &Alias) -> Result<usize> {
    expect_citus(context, alias).await?;
    let mut workplace = context.databases.owner_connection(alias).await?;
    let (mut after, mut corrected) = (String::new(), 0);
    loop {
        let page =
            async |registry: &mut PgConnection| nodes::whereabouts_after(registry, alias, &after, PAGE).await;
        let page = context.databases.with_registry(page).await?;
        let Some(last) = page.last() else { break };
        let schemas: Vec<_> = page.iter().map(|known| known.schema.as_str()).collect();
        let now = nodes::nodes_of(&mut workplace, &schemas).await?;
        let correct = async |registry: &mut PgConnection| {
            for known in &page {
                let is_corrected = nodes::correct(registry, known, now.get(known.schema.as_str())).await?;
                corrected += usize::from(is_corrected);
            }
            Ok(())
        };
        context.databases.with_registry(correct).await?;
        after = last.schema.to_string();
    }
    let _ = workplace.close().await;
    Ok(corrected)
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
    nodes::node_of(workplace, tenant.schema()).await?.ok_or_else(|| {
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
