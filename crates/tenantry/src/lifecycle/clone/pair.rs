use super::options::CloneOptions;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::migrate::Site;
use crate::observe::Steps;
use crate::tenant::Tenant;

/// The two tenants of a copy, and how it is made.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) context: &'a Context,
    pub(super) source: &'a Tenant,
    pub(super) clone: &'a Tenant,
    pub(super) options: &'a CloneOptions,
    pub(super) steps: &'a dyn Steps,
}

impl Pair<'_> {
    pub(super) fn site(&self) -> Site<'_> {
        Site::of_tenant(&self.context.layout, self.clone)
    }

    /// Ends work that was cancelled. Its transaction takes everything back.
    pub(super) fn check_wanted(&self) -> Result<()> {
        if self.steps.is_cancelled() {
            return Err(Error::new(ErrorKind::Conflict, "it was cancelled").with_tenant(self.clone.slug()));
        }
        Ok(())
    }

    /// The role that only this one of the two has, if tenants have any.
    pub(super) fn role_of(&self, tenant: &Tenant) -> Option<String> {
        self.context.role.as_ref().map(|role| role.name_for(tenant.schema()))
    }
}
