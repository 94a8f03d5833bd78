//! What the schemas of tenants have applied, which is recorded in the database they live in.

use std::collections::{BTreeSet, HashMap};

use super::store;
use crate::error::Result;
use crate::pool::{Databases, MasterDb};
use crate::tenant::{Alias, Digest, SchemaName, Tenant, TenantRecord};

/// Completes tenants that were read from the registry. Those in the default database are complete,
/// since it is the same database; for the others it takes one query per database.
pub(crate) async fn with_applied(databases: &Databases, mut tenants: Vec<Tenant>) -> Result<Vec<Tenant>> {
    let elsewhere: BTreeSet<Alias> =
        tenants.iter().map(Tenant::database).filter(|alias| **alias != Alias::default()).cloned().collect();
    for alias in elsewhere {
        let is_there = |tenant: &&Tenant| *tenant.database() == alias;
        let schemas: Vec<&str> =
            tenants.iter().filter(is_there).map(|tenant| tenant.schema().as_str()).collect();
        let master = MasterDb::new(databases.pool(&alias)?.clone());
        let applied = store::applied(&master, &schemas).await?;
        for tenant in tenants.iter_mut().filter(|tenant| *tenant.database() == alias) {
            complete(tenant, &applied);
        }
    }
    Ok(tenants)
}

fn complete(tenant: &mut Tenant, applied: &HashMap<SchemaName, (Digest, bool)>) {
    let Some((digest, owns_types)) = applied.get(tenant.schema()) else { return };
    *tenant =
        Tenant::from(TenantRecord { digest: Some(*digest), owns_types: *owns_types, ..tenant.to_record() });
}
