//! The node of Citus that a new tenant is on.

use sqlx::PgConnection;

use crate::context::Context;
use crate::error::Result;
use crate::registry::nodes;
use crate::tenant::{Node, Tenant};

/// Has the registry lead to the node that a schema is on, where both are in this database.
pub(super) async fn lead_to_node(
    context: &Context,
    connection: &mut PgConnection,
    tenant: &Tenant,
) -> Result<()> {
    match find_node(context, connection, tenant).await? {
        Some(node) => nodes::lead_to(connection, tenant, &node).await,
        None => Ok(()),
    }
}

/// The node that a schema was distributed to, where its database is Citus.
pub(super) async fn find_node(
    context: &Context,
    workplace: &mut PgConnection,
    tenant: &Tenant,
) -> Result<Option<Node>> {
    if !context.databases.dialect(tenant.database()).is_citus() {
        return Ok(None);
    }
    nodes::node_of(workplace, tenant.schema()).await
}
