//! The room that a tenant takes.

use crate::context::Context;
use crate::error::Result;
use crate::pool::MasterDb;
use crate::tenant::Tenant;

/// The room that the schema of a tenant takes at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Footprint {
    /// Its tables, partitions and the ledger of its migrations among them.
    pub tables: i64,
    /// Its tables, indexes, materialized views and sequences on disk, in bytes.
    pub size_bytes: i64,
}

/// The objects of the schema are found by what depends on it, which has an index. `pg_class` has none on the schema.
const FOOTPRINT: &str = "SELECT count(*) FILTER (WHERE class.relkind IN ('r', 'p')),
        coalesce(sum(pg_catalog.pg_total_relation_size(class.oid)), 0)::bigint
    FROM pg_catalog.pg_namespace AS namespace
    JOIN pg_catalog.pg_depend AS depend ON depend.refclassid = 'pg_catalog.pg_namespace'::regclass
        AND depend.refobjid = namespace.oid AND depend.classid = 'pg_catalog.pg_class'::regclass
    JOIN pg_catalog.pg_class AS class ON class.oid = depend.objid
    WHERE namespace.nspname = $1 AND class.relkind IN ('r', 'p', 'm', 'S')";

/// Measures a tenant. A schema that is gone takes no room.
pub(crate) async fn footprint(context: &Context, tenant: &Tenant) -> Result<Footprint> {
    let database = MasterDb::new(context.databases.pool(tenant.database())?.clone());
    let measured = sqlx::query_as(FOOTPRINT).bind(tenant.schema().as_str()).fetch_one(&database).await?;
    let (tables, size_bytes) = measured;
    Ok(Footprint { tables, size_bytes })
}
