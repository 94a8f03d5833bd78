//! The comments that a new migration begins with.
use tenantry::migrate::NextVersion;
use tenantry::tenant::TypeName;

/// The kind of a migration, which its first lines tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind<'a> {
    pub(super) is_master: bool,
    /// The type whose tenants it is for, if not for all.
    pub(super) type_name: Option<&'a TypeName>,
    /// A statement in it cannot run in a transaction.
    pub(super) is_alone: bool,
    /// It is a function of the application.
    pub(super) is_code: bool,
}

/// The endings of the files, and what stands in them.
pub(super) fn files(kind: Kind<'_>, next: &NextVersion, has_down: bool) -> Vec<(&'static str, String)> {
    let up = up(kind, next.version);
    if has_down { vec![(".up.sql", up), (".down.sql", down(kind, next.version))] } else { vec![(".sql", up)] }
}

fn up(kind: Kind<'_>, version: i64) -> String {
    if kind.is_code {
        let function = match kind.type_name {
            None => format!("with_code({version}, …)"),
            Some(_) => format!("with_type_code(…, {version}, …)"),
        };
        return format!(
            "-- code\n-- The application does it, by the function of `Migrations::{function}`.\n"
        );
    }
    format!("{}-- {}: no `BEGIN`, no schema in front of names.\n", mark(kind), place(kind))
}

fn down(kind: Kind<'_>, version: i64) -> String {
    format!("{}-- Undoes version {version}. {}.\n", mark(kind), place(kind))
}

/// A file without transaction says so before anything else.
fn mark(kind: Kind<'_>) -> &'static str {
    if kind.is_alone && !kind.is_code {
        "-- no-transaction\n\
         -- One statement, or indexes that are built or dropped concurrently; settings may stand in front.\n"
    } else {
        ""
    }
}

fn place(kind: Kind<'_>) -> String {
    let schema = match kind.type_name {
        _ if kind.is_master => "the master schema".to_owned(),
        None => "the schema of each tenant".to_owned(),
        Some(type_name) => format!("the schema of each tenant of type `{type_name}`"),
    };
    let how = if kind.is_alone { "" } else { ", as one transaction" };
    format!("Runs in {schema}{how}")
}
