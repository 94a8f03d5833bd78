use std::collections::BTreeMap;

use super::plan::Goal;
use crate::error::{Error, ErrorKind, Result};
use crate::migration::{Migrations, digest_of};
use crate::tenant::{Digest, Tenant, TypeName};

/// The goals of a run: one for the tenants of each type.
#[derive(Clone, Debug)]
pub(super) struct Goals<'a> {
    migrations: &'a Migrations,
    of_none: Goal<'a>,
    by_type: BTreeMap<&'a TypeName, Goal<'a>>,
}

impl<'a> Goals<'a> {
    /// All files, or those up to a version, which one of the sets has; 0 for none of them.
    ///
    /// # Errors
    /// If it is not known which migrations all tenants have, or no file has this version.
    pub(super) fn of(migrations: &'a Migrations, to: Option<i64>, in_order: bool) -> Result<Self> {
        migrations.check_files()?;
        let sets = || std::iter::once(migrations.tenant()).chain(migrations.types().map(|(_, set)| set));
        if let Some(version) = to
            && version != 0
            && sets().all(|set| set.get(version).is_none())
        {
            let message = format!("there is no migration with version {version}");
            return Err(
                Error::new(ErrorKind::InvalidInput, message).with_hint("give the number of a file, or 0")
            );
        }
        let goal = |set| {
            let goal = to.map_or_else(|| Goal::latest(set), |version| Goal::through(set, version));
            if in_order { goal.in_order() } else { goal }
        };
        let by_type = migrations.types().map(|(name, set)| (name, goal(set))).collect();
        Ok(Self { migrations, of_none: goal(migrations.tenant()), by_type })
    }

    /// The goal of a tenant, by its type.
    ///
    /// # Errors
    /// If its type is unknown to this program, or its files cannot be told apart.
    pub(super) fn of_tenant(&self, tenant: &Tenant) -> Result<Goal<'a>> {
        let Some(type_name) = tenant.type_name() else { return Ok(self.of_none) };
        self.migrations.files_of(Some(type_name)).map_err(|error| error.with_tenant(tenant.slug()))?;
        // A type that is known has a goal.
        Ok(self.by_type.get(type_name).copied().unwrap_or(self.of_none))
    }

    /// Returns true if a tenant has applied what it is to have.
    pub(super) fn are_reached_by(&self, tenant: &Tenant) -> bool {
        self.of_tenant(tenant).is_ok_and(|goal| tenant.digest() == Some(&goal.digest()))
    }

    /// The newest version of tenants without a type.
    pub(super) fn newest(&self) -> Option<i64> {
        self.of_none.newest()
    }

    /// Tells the goals from those of other files.
    pub(super) fn digest(&self) -> Digest {
        if self.by_type.is_empty() {
            return self.of_none.digest();
        }
        let of_types = self.by_type.iter().map(|(name, goal)| (name.as_str(), goal));
        let each = std::iter::once(("", &self.of_none)).chain(of_types);
        let texts: Vec<_> = each.map(|(name, goal)| format!("{name} {}", goal.digest())).collect();
        digest_of((0..).zip(texts.iter().map(String::as_bytes)))
    }
}
