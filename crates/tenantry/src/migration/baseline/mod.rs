//! A snapshot of the tenant schema at one version, from which new tenants start.
//!
//! It is made from what `pg_dump` says of a scratch schema in which the migrations were replayed, reviewed
//! and committed by people, and read again with the migrations beside it. What is squashed stays: schemas that
//! exist are migrated by the files alone.
//!
//! | file | what it does |
//! | --- | --- |
//! | `rename` | finds one schema's name, by token, and puts another in its place |
//! | `head` | the comments it begins with |
//! | `dump` | makes the text of a baseline of a dump |

mod dump;
mod head;
mod rename;

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, migrate::MigrationType};

pub(crate) use self::dump::baseline_of;
pub(crate) use self::head::BaselineHead;
use self::head::PLACEHOLDER;
use self::rename::NamePlaces;
pub(crate) use self::rename::is_cast_to_name;
use super::error::{MigrationError, Problem};
use super::script::Script;
use super::set::MigrationSet;
use super::text::FileText;
use crate::sql::lexer::line_and_column;
use crate::tenant::SchemaName;

/// Its name in the directory of the tenants' migrations. Without a `_` it is no migration to sqlx either.
pub(super) const FILE: &str = "baseline.sql";

/// A `baseline.sql` that was read, accepted, and found to be made from the files beside it.
#[derive(Clone, Debug)]
pub struct Baseline {
    version: i64,
    with_rows: Vec<String>,
    script: Script,
    places: NamePlaces,
}

impl Baseline {
    /// # Errors
    /// The file's head is not there, its digest is not that of the migrations, or it holds what no
    /// migration may hold.
    pub(crate) fn parse(file: &str, text: &str, files: &MigrationSet) -> Result<Self, Vec<MigrationError>> {
        let in_file = |problem| vec![MigrationError::in_file(file, problem)];
        let head = BaselineHead::parse(text).ok_or_else(|| in_file(Problem::NoBaselineHead))?;
        let version = head.version;
        if files.get(version).is_none() || files.through(version).digest() != head.digest {
            return Err(in_file(Problem::StaleBaseline { version }));
        }
        let script = script(file, version, text.to_owned())?;
        let tokens: Vec<_> =
            script.statements().iter().flat_map(|statement| script.tokens_of(statement)).collect();
        let places = NamePlaces::of(PLACEHOLDER, &tokens).map_err(|offset| {
            let (line, _) = line_and_column(text, offset);
            vec![MigrationError::at_line(file, line, Problem::NamesItsSchema)]
        })?;
        Ok(Self { version, with_rows: head.rows, script, places })
    }

    /// The newest version that is part of it.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The tables whose rows are part of it.
    pub fn with_rows(&self) -> &[String] {
        &self.with_rows
    }

    /// The path of the file.
    pub fn file(&self) -> &str {
        self.script.file()
    }

    /// The text of the file.
    pub fn sql(&self) -> &str {
        self.script.sql()
    }

    /// The text that makes its objects in a schema of this name. It is not read again.
    pub(crate) fn renamed(&self, schema: &SchemaName) -> FileText {
        let sql = self.script.text().sql();
        let renamed = self.places.fill(sql, 0..sql.len(), schema.as_str());
        let statements = self.script.statements().iter().map(|statement| renamed.moved(statement)).collect();
        FileText::new(self.file(), AssertSqlSafe(renamed.text).into_sql_str(), statements)
    }
}

fn script(file: &str, version: i64, sql: String) -> Result<Script, Vec<MigrationError>> {
    let sql = AssertSqlSafe(sql).into_sql_str();
    let source = sqlx::migrate::Migration::new(version, "baseline".into(), MigrationType::Simple, sql, false);
    let script = Script::parse(file.to_owned(), source);
    if script.refusals().is_empty() { Ok(script) } else { Err(script.refusals().to_vec()) }
}

/// Migrations that an application's own program squashes, like one that compiled them in.
pub(super) fn compiled_in(text: &str, files: &MigrationSet) -> Result<Arc<Baseline>, MigrationError> {
    Baseline::parse(FILE, text, files).map(Arc::new).map_err(MigrationError::first_of)
}

#[cfg(test)]
mod tests;
