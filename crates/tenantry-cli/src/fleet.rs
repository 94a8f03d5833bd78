//! All tenants, page by page: a fleet of any size fits into the memory of the command line.
use std::collections::{BTreeMap, BTreeSet};

use tenantry::Tenancy;
use tenantry::tenant::{Alias, Digest, Tenant};

/// Tenants read from the registry at a time.
const PAGE: u32 = 500;

/// Whether a tenant's schema has every migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Migrated {
    UpToDate,
    Behind,
    /// The last command on it failed.
    Failed,
}

impl Migrated {
    pub(crate) fn of(tenancy: &Tenancy, tenant: &Tenant, digest: Option<&Digest>) -> Self {
        let files = tenancy.migrations().tenant();
        if tenant.last_error().is_some() {
            return Self::Failed;
        }
        match digest {
            Some(digest) if *digest == files.digest() => Self::UpToDate,
            None if files.is_empty() => Self::UpToDate,
            _ => Self::Behind,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::UpToDate => "up to date",
            Self::Behind => "behind",
            Self::Failed => "failed",
        }
    }
}

/// A tenant, and where its schema is.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) tenant: Tenant,
    pub(crate) migrated: Migrated,
}

/// Walks over all tenants in the order of their slugs.
pub(crate) struct Pages<'a> {
    tenancy: &'a Tenancy,
    after: String,
}

impl<'a> Pages<'a> {
    pub(crate) fn of(tenancy: &'a Tenancy) -> Self {
        Self { tenancy, after: String::new() }
    }

    /// The next page; an empty one is the end.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Vec<Listed>> {
        let page = self.tenancy.tenants_after(&self.after, PAGE).await?;
        if let Some(last) = page.last() {
            self.after = last.slug().to_string();
        }
        let elsewhere = self.applied_elsewhere(&page).await?;
        let listed = page.into_iter().map(|tenant| {
            let digest = tenant.digest().or_else(|| elsewhere.get(tenant.schema().as_str()));
            let migrated = Migrated::of(self.tenancy, &tenant, digest);
            Listed { tenant, migrated }
        });
        Ok(listed.collect())
    }

    /// What the schemas outside of the default database have applied, which only their own knows.
    async fn applied_elsewhere(&self, page: &[Tenant]) -> anyhow::Result<BTreeMap<String, Digest>> {
        let default = Alias::default();
        let aliases: BTreeSet<_> =
            page.iter().map(Tenant::database).filter(|alias| **alias != default).collect();
        let mut applied = BTreeMap::new();
        for alias in aliases {
            let there = page.iter().filter(|tenant| tenant.database() == alias);
            let schemas: Vec<_> = there.map(|tenant| tenant.schema().to_string()).collect();
            let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
                "SELECT schema_name, digest FROM tenantry.applied WHERE schema_name = ANY($1)",
            )
            .bind(schemas)
            .fetch_all(&self.tenancy.master_of(alias)?)
            .await
            .map_err(tenantry::Error::from)?;
            let known = rows
                .into_iter()
                .filter_map(|(schema, digest)| Some((schema, Digest::from_bytes(digest.try_into().ok()?))));
            applied.extend(known);
        }
        Ok(applied)
    }
}
