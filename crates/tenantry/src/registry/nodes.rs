//! The nodes of Citus that the tables of tenants are on: what a cluster says of them, and what the registry remembers.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{Executor, PgConnection, Postgres, Row as _};

use super::store::{parsed, unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::{Alias, Node, SchemaName, Tenant, TenantId};

/// Asks a coordinator for the nodes that the tables of these schemas are on. A schema without tables is on none.
pub(crate) async fn nodes_of(
    executor: impl Executor<'_, Database = Postgres>,
    schemas: &[&str],
) -> Result<HashMap<String, Node>> {
    let rows = sqlx::query(
        "SELECT DISTINCT ON (given.schema) given.schema, nodename, nodeport \
         FROM pg_catalog.unnest($1::text[]) AS given (schema) \
         JOIN pg_catalog.pg_dist_schema AS held \
            ON held.schemaid = pg_catalog.to_regnamespace(pg_catalog.quote_ident(given.schema)) \
         JOIN pg_catalog.pg_dist_partition AS part ON part.colocationid = held.colocationid \
         JOIN pg_catalog.pg_dist_shard AS shard ON shard.logicalrelid = part.logicalrelid \
         JOIN pg_catalog.pg_dist_placement AS placement ON placement.shardid = shard.shardid \
         JOIN pg_catalog.pg_dist_node AS node ON node.groupid = placement.groupid AND noderole = 'primary' \
         ORDER BY given.schema",
    )
    .persistent(false)
    .bind(schemas)
    .fetch_all(executor)
    .await?;
    let read = |row: &PgRow| {
        let schema: String = row.try_get("schema")?;
        Ok((schema, node(row, "nodename", "nodeport")?))
    };
    rows.iter().map(read).collect()
}

/// Asks for the node of one schema.
pub(crate) async fn node_of(
    executor: impl Executor<'_, Database = Postgres>,
    schema: &SchemaName,
) -> Result<Option<Node>> {
    Ok(nodes_of(executor, &[schema.as_str()]).await?.remove(schema.as_str()))
}

/// Reads a node from two columns of a row.
pub(crate) fn node(row: &PgRow, host: &str, port: &str) -> Result<Node> {
    let (host, port): (String, i32) = (row.try_get(host)?, row.try_get(port)?);
    let port = u16::try_from(port).map_err(|_| {
        Error::new(ErrorKind::Database, format!("the cluster has a node at `{host}` with the port {port}"))
    })?;
    Ok(Node::new(host, port))
}

/// A tenant of a cluster, and where the registry takes it to be.
pub(crate) struct Whereabouts {
    id: TenantId,
    pub(crate) schema: SchemaName,
    node: Option<String>,
}

/// Up to `limit` tenants of a database in the order of their schemas, after this one.
pub(crate) async fn whereabouts_after(
    executor: impl Executor<'_, Database = Postgres>,
    database: &Alias,
    after: &str,
    limit: i64,
) -> Result<Vec<Whereabouts>> {
    let rows = sqlx::query(
        "SELECT id, schema_name, node FROM tenantry.tenant WHERE database = $1 AND schema_name > $2 COLLATE \"C\"
         ORDER BY schema_name COLLATE \"C\" LIMIT $3",
    )
    .bind(database.as_str())
    .bind(after)
    .bind(limit)
    .fetch_all(executor)
    .await
    .map_err(unreadable)?;
    let read = |row: &PgRow| {
        Ok(Whereabouts {
            id: row.try_get::<uuid::Uuid, _>("id")?.into(),
            schema: parsed(row, "schema_name", SchemaName::parse)?,
            node: row.try_get("node")?,
        })
    };
    rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(Into::into)
}

/// Leads to the node that a tenant is on from now on, where somebody else did not lead anywhere meanwhile. Answers with
/// whether that is a change.
pub(crate) async fn correct(
    connection: &mut PgConnection,
    known: &Whereabouts,
    node: Option<&Node>,
) -> Result<bool> {
    let update = sqlx::query(
        "UPDATE tenantry.tenant SET node = $3, epoch = epoch + 1
         WHERE id = $1 AND node IS NOT DISTINCT FROM $2 AND node IS DISTINCT FROM $3",
    );
    let update = update.bind(known.id.as_uuid()).bind(&known.node).bind(node.map(Node::to_string));
    Ok(update.execute(connection).await?.rows_affected() == 1)
}

/// Leads to the node that a tenant was just made on, or moved to.
pub(crate) async fn lead_to(connection: &mut PgConnection, tenant: &Tenant, node: &Node) -> Result<()> {
    sqlx::query(
        "UPDATE tenantry.tenant SET node = $2, epoch = epoch + 1 WHERE id = $1 AND node IS DISTINCT FROM $2",
    )
    .bind(tenant.id().as_uuid())
    .bind(node.to_string())
    .execute(connection)
    .await?;
    Ok(())
}
