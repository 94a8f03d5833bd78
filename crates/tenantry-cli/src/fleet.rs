//! All tenants, page by page: a fleet of any size fits into the memory of the command line.
use tenantry::Tenancy;
use tenantry::tenant::Tenant;

/// Tenants read from the registry at a time.
const PAGE: u32 = 500;

/// The state of a tenant's schema: every migration, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Migrated {
    UpToDate,
    Behind,
    /// The last command on it failed.
    Failed,
    /// Its database does not answer.
    Unknown,
}

impl Migrated {
    pub(crate) fn of(tenancy: &Tenancy, tenant: &Tenant) -> Self {
        if tenant.digest().is_none() && tenancy.unreachable().contains_key(tenant.database()) {
            return Self::Unknown;
        }
        if tenant.last_error().is_some() {
            return Self::Failed;
        }
        let Some(files) = tenancy.migrations().of_type(tenant.type_name()) else { return Self::Behind };
        match tenant.digest() {
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
            Self::Unknown => "unknown",
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
    condition: Option<&'a str>,
    after: String,
}

impl<'a> Pages<'a> {
    pub(crate) fn of(tenancy: &'a Tenancy) -> Self {
        Self::matching(tenancy, None)
    }

    /// Only the tenants for which this holds, SQL over the columns of `tenantry.tenant`.
    pub(crate) fn matching(tenancy: &'a Tenancy, condition: Option<&'a str>) -> Self {
        Self { tenancy, condition, after: String::new() }
    }

    /// The next page; an empty one is the end.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Vec<Listed>> {
        let page = match self.condition {
            Some(condition) => self.tenancy.tenants_where(condition, &self.after, PAGE).await?,
            None => self.tenancy.tenants_after(&self.after, PAGE).await?,
        };
        if let Some(last) = page.last() {
            self.after = last.slug().to_string();
        }
        let listed = page.into_iter().map(|tenant| {
            let migrated = Migrated::of(self.tenancy, &tenant);
            Listed { tenant, migrated }
        });
        Ok(listed.collect())
    }
}
