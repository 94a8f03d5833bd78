//! The comments that a new migration begins with.
use tenantry::migrate::NextVersion;

/// The kind of a migration, which its first lines tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) is_master: bool,
    /// A statement in it cannot run in a transaction.
    pub(super) is_alone: bool,
    /// It is a function of the application.
    pub(super) is_code: bool,
}

/// The endings of the files, and what stands in them.
pub(super) fn files(kind: Kind, next: &NextVersion, has_down: bool) -> Vec<(&'static str, String)> {
    let up = up(kind, next.version);
    if has_down { vec![(".up.sql", up), (".down.sql", down(kind, next.version))] } else { vec![(".sql", up)] }
}

fn up(kind: Kind, version: i64) -> String {
    if kind.is_code {
        return format!(
            "-- code\n-- The application does it, by the function of `Migrations::with_code({version}, …)`.\n"
        );
    }
    format!("{}-- {}: no `BEGIN`, no schema in front of names.\n", mark(kind), place(kind))
}

fn down(kind: Kind, version: i64) -> String {
    format!("{}-- Undoes version {version}. {}.\n", mark(kind), place(kind))
}

/// A file without transaction says so before anything else.
fn mark(kind: Kind) -> &'static str {
    if kind.is_alone && !kind.is_code {
        "-- no-transaction\n\
         -- One statement, or indexes that are built or dropped concurrently; settings may stand in front.\n"
    } else {
        ""
    }
}

fn place(kind: Kind) -> &'static str {
    match (kind.is_master, kind.is_alone) {
        (true, false) => "Runs in the master schema, as one transaction",
        (true, true) => "Runs in the master schema",
        (false, false) => "Runs in the schema of each tenant, as one transaction",
        (false, true) => "Runs in the schema of each tenant",
    }
}
