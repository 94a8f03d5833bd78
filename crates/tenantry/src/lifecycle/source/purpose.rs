//! The work that a schema is read for.

use crate::database::Layout;
use crate::error::{Error, ErrorKind};
use crate::lifecycle::contents::shared;
use crate::tenant::{SchemaName, Status, Tenant};

/// The work that the schema of a tenant is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lifecycle) enum ReadFor {
    Clone,
    #[cfg_attr(not(feature = "archive"), allow(dead_code))]
    Export,
    Move,
}

impl ReadFor {
    fn done(self) -> &'static str {
        match self {
            Self::Clone => "cloned",
            Self::Export => "exported",
            Self::Move => "moved",
        }
    }

    /// The reason why it is refused where something cannot be carried.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Clone => "a clone would be without it, or go on depending on its source",
            Self::Export => "its archive would be without it, or could not be restored elsewhere",
            Self::Move => "in another database it would be without it",
        }
    }

    /// The schemas that are there for what is made, too. Tables of the master schema are in one database.
    pub(in crate::lifecycle) fn shared(self, layout: &Layout) -> Vec<&str> {
        match self {
            Self::Clone | Self::Export => shared(layout),
            Self::Move => layout.extension_schemas.iter().map(SchemaName::as_str).collect(),
        }
    }

    pub(in crate::lifecycle) fn sentence(self, tenant: &Tenant) -> String {
        format!("tenant `{}` cannot be {}", tenant.slug(), self.done())
    }

    /// Returns true if a tenant in this status may be read.
    pub(in crate::lifecycle) fn allows(self, status: Status) -> bool {
        match status {
            Status::Active | Status::Suspended => true,
            Status::Deleted => self == Self::Export,
            // By who goes on with the move.
            Status::Moving => self == Self::Move,
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
