use crate::error::{Error, ErrorKind};
use crate::guard::{Guard, stands};

/// The things that a handle may do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// All that the tenant's status allows.
    Write,
    /// To read.
    Read,
    /// To read, from a server that is a standby.
    ReadStandby,
}

impl Grant {
    /// The answer of a server that is no standby. No schema has such a name: PostgreSQL reserves its beginning.
    const PROMOTED: &str = "pg_promoted";

    /// Returns true if all transactions of the session only read. They do so on a replica too, which is writable
    /// from the moment on in which it is promoted.
    pub(super) fn is_read_only(self) -> bool {
        self != Self::Write && stands(Guard::ReadHandle)
    }

    /// The expression that answers with the schema in force, if the server is of the kind that is wanted.
    pub(super) fn confirmation(self) -> &'static str {
        match self {
            Self::ReadStandby if stands(Guard::Standby) => {
                "CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.current_schema() ELSE 'pg_promoted' END"
            }
            _ => "pg_catalog.current_schema()",
        }
    }

    /// The error of a server that is not of the kind that is wanted, by its answer. What a replica answers that was
    /// promoted may be another history than that of its former primary.
    pub(super) fn refused_server(self, answer: Option<&str>) -> Option<Error> {
        let is_refused = self == Self::ReadStandby && answer == Some(Self::PROMOTED);
        is_refused.then(|| Error::new(ErrorKind::DatabaseUnavailable, "the replica is no standby any more"))
    }

    /// The error of a statement that writes, on a handle that only reads.
    pub(super) fn refused_write(self) -> Option<Error> {
        (self != Self::Write).then(|| {
            let message = "a statement that writes, or locks rows, was run where only reads are";
            Error::new(ErrorKind::Unsupported, message)
                .with_hint("run it on the handle that `tenancy.db(…)` gives")
        })
    }
}
