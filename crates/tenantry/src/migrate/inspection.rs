//! Questions to the server around a file: is it still the transaction and the session in which the file
//! began, and has the file changed nothing outside of its schema?

use super::ledger::Ledger;
use super::plan::Change;
use super::site::Site;
use crate::guard::{Guard, stands};
use crate::migration::{FileReach, Script};
use crate::sql::{Identifier, Literal};

/// The setting that carries what `file_begins` noted to `file_ends`, for as long as the transaction.
const NOTED: &str = "tenantry.file";
/// The setting that carries the transaction in which a file began, where the row of the ledger does not tell: on Citus
/// it is a worker's.
const BEGAN: &str = "tenantry.began";

/// The questions about one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inspection<'a> {
    site: Site<'a>,
    script: &'a Script,
    /// The transaction may hold something outside already: rows of the registry, or what an earlier file was
    /// allowed.
    is_burdened: bool,
}

impl<'a> Inspection<'a> {
    pub(super) fn of(site: Site<'a>, change: Change<'a>) -> Self {
        Self { site, script: change.script(), is_burdened: false }
    }

    /// The same in a transaction that may hold something outside already.
    pub(super) fn burdened(self, is_burdened: bool) -> Self {
        Self { is_burdened, ..self }
    }

    /// The statement for before the file, where it needs one.
    pub(super) fn before(&self) -> Option<String> {
        let mut notes = Vec::new();
        if self.notes_before() {
            let homes = array(&self.site.homes());
            notes.push(format!("pg_catalog.set_config('{NOTED}', tenantry.file_begins({homes}), true)"));
        }
        if self.site.is_on_citus() {
            let now = "pg_catalog.pg_current_xact_id()::pg_catalog.xid::text";
            notes.push(format!("pg_catalog.set_config('{BEGAN}', {now}, true)"));
        }
        (!notes.is_empty() && stands(Guard::Inspection)).then(|| format!("SELECT {}", notes.join(", ")))
    }

    /// The statement for after the file, before its settings are reset, where it needs one. It fails with a SQLSTATE
    /// of [`sqlstate`](crate::error::sqlstate) of its own.
    pub(super) fn after(&self, ledger: &Ledger, version: i64) -> Option<String> {
        if self.site.is_on_citus() {
            return stands(Guard::Inspection).then(|| format!("SELECT {}", self.ends_on_coordinator()));
        }
        let is_needed = self.notes_before() || self.script.may_reach_outside();
        let row = ledger.row(version);
        let ask = || self.ends(&format!("(SELECT xmin {row})"), &format!("(SELECT cmin {row})"));
        (is_needed && stands(Guard::Inspection)).then(|| format!("SELECT {}", ask()))
    }

    /// The question as a condition on the row of the ledger, for a file that cannot have changed that row or the
    /// settings. `is_brief` where it need not be said what is wrong.
    pub(super) fn condition(&self, is_brief: bool) -> Option<String> {
        let is_apart = self.site.is_on_citus() || self.notes_before() || self.script.may_reach_outside();
        if is_apart || !stands(Guard::Inspection) {
            return None;
        }
        Some(match self.script.reach() {
            FileReach::OwnTables(tables) if is_brief => self.has_tables(tables),
            _ => self.ends("xmin", "cmin"),
        })
    }

    /// The same without the row of the ledger, which is on a worker. A setting of a transaction that is over is gone.
    fn ends_on_coordinator(&self) -> String {
        let began = format!("coalesce(nullif(pg_catalog.current_setting('{BEGAN}', true), ''), '0')");
        self.ends(&format!("{began}::pg_catalog.xid"), "'0'::pg_catalog.cid")
    }

    fn ends(&self, xid: &str, command: &str) -> String {
        let noted = if self.notes_before() {
            format!("pg_catalog.current_setting('{NOTED}', true)")
        } else {
            "NULL".to_owned()
        };
        let (homes, shared) = if self.script.may_reach_outside() {
            ("NULL".to_owned(), "NULL".to_owned())
        } else {
            (array(&self.site.homes()), array(&self.site.shared_schemas()))
        };
        format!(
            "tenantry.file_ends({xid}, {command}, {noted}, {path}, \
             pg_catalog.current_setting('search_path'), {homes}, {shared}, {is_master})",
            path = Literal(&self.site.path()),
            is_master = self.site.is_master(),
        )
    }

    /// For a file that changes columns of tables which are found in its schema, and does nothing else.
    fn has_tables(&self, tables: &[String]) -> String {
        let path = self.site.path().replace('"', "");
        let mut conditions = vec![
            "xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid".to_owned(),
            format!(
                "pg_catalog.replace(pg_catalog.current_setting('search_path'), '\"', '') = {}",
                Literal(&path)
            ),
            "current_user = session_user".to_owned(),
        ];
        let schema = Identifier(self.site.schema.as_str());
        conditions.extend(tables.iter().map(|table| {
            let name = format!("{schema}.{table}");
            format!("pg_catalog.to_regclass({}) IS NOT NULL", Literal(&name))
        }));
        conditions.join(" AND ")
    }

    fn notes_before(&self) -> bool {
        let reaches_far = self.script.is_code() || *self.script.reach() == FileReach::Anything;
        !self.script.may_reach_outside() && (reaches_far || self.is_burdened)
    }
}

fn array(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| Literal(name).to_string()).collect();
    format!("ARRAY[{}]", names.join(", "))
}
