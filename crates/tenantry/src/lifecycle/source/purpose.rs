//! The work that a schema is read for.

use crate::error::{Error, ErrorKind};
use crate::tenant::{Status, Tenant};

/// The work that the schema of a tenant is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lifecycle) enum ReadFor {
    Clone,
    #[cfg_attr(not(feature = "archive"), allow(dead_code))]
    Export,
}

impl ReadFor {
    fn done(self) -> &'static str {
        match self {
            Self::Clone => "cloned",
            Self::Export => "exported",
        }
    }

    /// The reason why it is refused where something cannot be carried.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Clone => "a clone would be without it, or go on depending on its source",
            Self::Export => "its archive would be without it, or could not be restored elsewhere",
        }
    }

    pub(in crate::lifecycle) fn sentence(self, tenant: &Tenant) -> String {
        format!("tenant `{}` cannot be {}", tenant.slug(), self.done())
    }

    /// Returns true if a tenant in this status may be read.
    pub(super) fn allows(self, status: Status) -> bool {
        match status {
            Status::Active | Status::Suspended => true,
            Status::Deleted => self == Self::Export,
            _ => false,
        }
    }

    pub(in crate::lifecycle) fn refused(
        self,
        tenant: &Tenant,
        kind: ErrorKind,
        reason: impl std::fmt::Display,
    ) -> Error {
        Error::new(kind, format!("{}: {reason}", self.sentence(tenant))).with_tenant(tenant.slug())
    }
}
