//! The reasons why no baseline can be made, for people.

use super::options::FirstRows;
use crate::error::{Error, ErrorKind, Result};
use crate::migration::{Migration, MigrationSet};

/// Refuses what is not there.
pub(super) fn nothing(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// Refuses what cannot be carried.
pub(super) fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Migration, format!("no baseline can be made: {}", message.into()))
}

/// The version before this one.
pub(super) fn before(files: &MigrationSet, version: i64) -> Option<i64> {
    files.iter().map(Migration::version).take_while(|it| *it < version).last()
}

/// Refuses rows, which would be missing in every new tenant.
pub(super) fn leaves_rows(files: &MigrationSet, first: &FirstRows) -> Error {
    let FirstRows { file, tables, .. } = first;
    let error = refused(format!("from `{file}` on, the migrations leave rows in {}", list(tables)));
    let carry = format!("carry them with `--with-rows {}`", tables.join(" "));
    error.with_hint(match before(files, first.version) {
        Some(version) => format!("{carry}, or end the baseline at {version} with `--at`"),
        None => carry,
    })
}

fn list(tables: &[String]) -> String {
    let names: Vec<_> = tables.iter().map(|table| format!("`{table}`")).collect();
    names.join(", ")
}

/// Refuses what replaying did to what all tenants share.
pub(super) fn refuse_changes_outside(objects: &[String]) -> Result<()> {
    if objects.is_empty() {
        return Ok(());
    }
    let told: Vec<_> = objects.iter().take(3).map(String::as_str).collect();
    let more = if objects.len() > told.len() { ", and more" } else { "" };
    let message = format!("the migrations change something outside of the schema: {}{more}", told.join(", "));
    Err(refused(message)
        .with_hint("move that to a migration of the master schema; the replay has left it there"))
}
