//! Contradictions between a ledger and the files, and what to do about them.

use std::borrow::Cow;

use sha2::{Digest as _, Sha384};

use crate::migration::{Migration, MigrationError};

/// A contradiction between a ledger and the files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Conflict {
    #[error("`{file}` was changed after it had been applied")]
    Changed { version: i64, file: String },
    #[error("`{file}` differs from what was applied in its line ends, and in nothing else")]
    LineEnds { version: i64, file: String, eol: &'static str },
    #[error("version {version} was applied, but there is no file for it")]
    Missing { version: i64 },
    #[error("`{file}` comes too late: version {newest} is applied already")]
    OutOfOrder { version: i64, file: String, newest: i64 },
    #[error("{message}")]
    Refused { version: i64, message: String, hint: Cow<'static, str> },
    #[error("`{file}` was interrupted")]
    Interrupted { version: i64, file: String },
    #[error("`{file}` cannot be undone")]
    NoWayBack { version: i64, file: String },
    #[error("`{file}` holds no statement, and so it undoes nothing")]
    EmptyWayBack { version: i64, file: String },
    #[error("`{file}` stands for a function that this program does not have")]
    NoCode { version: i64, file: String },
}

impl Conflict {
    /// Says in what way a file is not what was applied.
    pub(super) fn changed(migration: &Migration, applied: &[u8]) -> Self {
        let (version, file) = (migration.version(), migration.file().to_owned());
        let lf = migration.up().sql().replace("\r\n", "\n").replace('\r', "\n");
        let crlf = lf.replace('\n', "\r\n");
        let is_applied = |text: &str| Sha384::digest(text)[..] == *applied;
        match [("lf", &lf), ("crlf", &crlf)].into_iter().find(|(_, text)| is_applied(text)) {
            Some((eol, _)) => Self::LineEnds { version, file, eol },
            None => Self::Changed { version, file },
        }
    }

    /// The version that it is about.
    pub(crate) fn version(&self) -> i64 {
        match self {
            Self::Changed { version, .. }
            | Self::LineEnds { version, .. }
            | Self::Missing { version }
            | Self::OutOfOrder { version, .. }
            | Self::Refused { version, .. }
            | Self::Interrupted { version, .. }
            | Self::NoWayBack { version, .. }
            | Self::EmptyWayBack { version, .. }
            | Self::NoCode { version, .. } => *version,
        }
    }

    pub(super) fn refused(version: i64, refusal: &MigrationError) -> Self {
        let hint = refusal.hint().unwrap_or_default();
        Self::Refused { version, message: refusal.to_string(), hint }
    }

    /// Returns true if it is about the files rather than about one schema, so that no schema should be touched
    /// before it is settled.
    pub(super) fn is_of_the_fleet(&self) -> bool {
        match self {
            Self::Changed { .. } | Self::LineEnds { .. } | Self::OutOfOrder { .. } | Self::Refused { .. } => {
                true
            }
            Self::Missing { .. }
            | Self::Interrupted { .. }
            | Self::NoWayBack { .. }
            | Self::EmptyWayBack { .. }
            | Self::NoCode { .. } => false,
        }
    }

    /// Returns true if the schema has applied something that the files do not have.
    pub(crate) fn is_of_the_past(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::LineEnds { .. } | Self::Missing { .. })
    }

    pub(crate) fn hint(&self) -> Cow<'static, str> {
        match self {
            Self::Changed { version, .. } => format!(
                "restore the file, and put the change into a new migration; where the change does not matter, \
                 `tenantry migrate --mark-applied {version}` says so"
            )
            .into(),
            Self::LineEnds { version, eol, .. } => format!(
                "write `*.sql text eol={eol}` into .gitattributes and check the file out again, or say that it does \
                 not matter with `tenantry migrate --mark-applied {version}`"
            )
            .into(),
            Self::Missing { .. } => "restore the file, or deploy the release that has it".into(),
            Self::OutOfOrder { newest, .. } => format!(
                "give it a number above {newest}, or apply it all the same with `--allow-out-of-order`; the order \
                 of columns may differ between tenants then"
            )
            .into(),
            Self::Refused { hint, .. } => hint.clone(),
            Self::Interrupted { version, .. } => format!(
                "find out how far it came; then `tenantry migrate --mark-applied {version}` takes it for done, and \
                 `--mark-pending {version}` has it run again, for the tenants that `--tenant` names"
            )
            .into(),
            Self::NoWayBack { .. } => {
                "write a `.down.sql` beside its `.up.sql`, or go on with a new migration".into()
            }
            Self::EmptyWayBack { .. } => {
                "write what undoes it, or `-- lint: allow empty-down` where there is nothing to undo".into()
            }
            Self::NoCode { .. } => {
                "migrate with the application's own program, which registers the function".into()
            }
        }
    }
}

/// Several conflicts in one sentence. Versions without a file may be many, and are told as a range.
pub(crate) fn sentence<'a>(conflicts: impl IntoIterator<Item = &'a Conflict>) -> String {
    let (mut told, mut missing) = (Vec::new(), Vec::new());
    for conflict in conflicts {
        match conflict {
            Conflict::Missing { version } => missing.push(*version),
            other => told.push(other.to_string()),
        }
    }
    match *missing {
        [] => {}
        [version] => told.push(Conflict::Missing { version }.to_string()),
        [first, .., last] => {
            let count = missing.len();
            told.push(format!("{count} versions are applied and have no file ({first} to {last})"));
        }
    }
    told.join("; ")
}
