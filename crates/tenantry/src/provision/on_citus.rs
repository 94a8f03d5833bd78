//! Refuses what is not done with tenants whose tables are on a node of Citus, before anything is made or locked.

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::Alias;

/// Something that is done on PostgreSQL alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotOnCitus {
    /// A schema that is there would stay where it is.
    Adopt,
    /// Sequences are each node's own, and rows would be read from a worker and written back to one.
    Clone,
    #[cfg_attr(not(feature = "archive"), allow(dead_code, reason = "nobody writes archives"))]
    Export,
    #[cfg_attr(not(feature = "archive"), allow(dead_code, reason = "nobody reads archives"))]
    Import,
    ImportDatabase,
    /// The fence of a move is made of locks, which the coordinator has for its shells alone.
    Move,
}

impl NotOnCitus {
    fn what(self) -> &'static str {
        match self {
            Self::Adopt => "no schema that is there is adopted",
            Self::Clone => "no tenant is cloned",
            Self::Export => "no tenant is exported",
            Self::Import => "no archive is imported",
            Self::ImportDatabase => "no database is imported",
            Self::Move => "no tenant is moved to another database or from one",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Adopt => "create the tenant, and copy the rows of the schema into it",
            Self::Clone => "create the other tenant, and copy rows by `INSERT … SELECT` on the coordinator",
            Self::Export => "use `pg_dump --schema` on the coordinator, which reads the rows from the worker",
            Self::Import | Self::ImportDatabase => {
                "create the tenant, and load the rows with `psql` or `COPY` on the coordinator"
            }
            Self::Move => {
                "between the nodes of Citus, `tenantry move SLUG --to HOST:PORT --online` moves a tenant"
            }
        }
    }
}

/// # Errors
/// [`ErrorKind::Unsupported`] if one of the databases is Citus; or if it cannot be asked.
pub(crate) async fn refuse_on_citus(context: &Context, verb: NotOnCitus, aliases: &[&Alias]) -> Result<()> {
    for alias in aliases {
        if context.databases.ask_dialect(alias).await?.is_citus() {
            let message = format!("{} on Citus, which database `{alias}` is", verb.what());
            return Err(Error::new(ErrorKind::Unsupported, message).with_hint(verb.hint()));
        }
    }
    Ok(())
}
