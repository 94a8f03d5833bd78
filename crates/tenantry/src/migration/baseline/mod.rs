//! A snapshot of the tenant schema at one version, from which new tenants start.
//!
//! It is made from what `pg_dump` says of a scratch schema in which the migrations were replayed, reviewed
//! and committed by people, and read again with the migrations beside it. What is squashed stays: schemas that
//! exist are migrated by the files alone.
//!
//! | file | what it does |
//! | --- | --- |
//! | `rename` | puts one schema's name in another's place, by token |
//! | `dump` | makes the text of a baseline of a dump |

mod dump;
mod rename;

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, migrate::MigrationType};

pub(crate) use self::dump::{baseline_of, statements_of};
use super::error::{MigrationError, Problem};
use super::script::Script;
use super::set::MigrationSet;
use crate::tenant::Digest;

/// Its name in the directory of the tenants' migrations. Without a `_` it is no migration to sqlx either.
pub(super) const FILE: &str = "baseline.sql";

/// Stands in the file for the schema of the tenant that is made.
const PLACEHOLDER: &str = "__tenant__";

/// A `baseline.sql` that was read, accepted, and found to be made from the files beside it.
#[derive(Clone, Debug)]
pub struct Baseline {
    file: String,
    version: i64,
    script: Script,
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
        // Read once as it is, which refuses what no file may hold, and once as each tenant will.
        let script = script(file, version, text.to_owned())?;
        let baseline = Self { file: file.to_owned(), version, script };
        baseline.renamed(PLACEHOLDER)?;
        Ok(baseline)
    }

    /// The newest version that is part of it.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The path of the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text of the file.
    pub fn sql(&self) -> &str {
        self.script.sql()
    }

    /// The statements that make its objects in a schema of this name.
    pub(crate) fn renamed(&self, schema: &str) -> Result<Script, Vec<MigrationError>> {
        let sql = rename::rename(self.sql(), PLACEHOLDER, schema).map_err(|offset| {
            let (line, _) = crate::sql::lexer::line_and_column(self.sql(), offset);
            vec![MigrationError::at_line(self.file.as_str(), line, Problem::NamesItsSchema)]
        })?;
        script(&self.file, self.version, sql)
    }
}

fn script(file: &str, version: i64, sql: String) -> Result<Script, Vec<MigrationError>> {
    let sql = AssertSqlSafe(sql).into_sql_str();
    let source = sqlx::migrate::Migration::new(version, "baseline".into(), MigrationType::Simple, sql, false);
    Script::parse(file.to_owned(), source)
}

/// What the comments at the beginning of a baseline say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BaselineHead {
    pub(crate) version: i64,
    pub(crate) digest: Digest,
}

impl BaselineHead {
    fn parse(text: &str) -> Option<Self> {
        let comments = || text.lines().map_while(|line| line.strip_prefix("--")).map(str::trim);
        let value = |key: &str| comments().find_map(|comment| comment.strip_prefix(key)).map(str::trim);
        let version = value("version:")?.parse().ok()?;
        let digest = Digest::parse(value("digest:")?).ok()?;
        Some(Self { version, digest })
    }

    fn render(self, pg_dump_major: u32) -> String {
        format!(
            "-- What the migrations up to this version make of an empty schema. New tenants start from it.\n\
             -- Made by `tenantry baseline`; `{PLACEHOLDER}` stands for the schema of the tenant.\n\
             --\n\
             -- version: {}\n\
             -- digest: {}\n\
             -- pg_dump: {pg_dump_major}\n",
            self.version, self.digest
        )
    }
}

/// What an application's own program squashes, as one that compiled its migrations in.
pub(super) fn compiled_in(text: &str, files: &MigrationSet) -> Result<Arc<Baseline>, MigrationError> {
    Baseline::parse(FILE, text, files).map(Arc::new).map_err(MigrationError::first_of)
}

#[cfg(test)]
mod tests;
