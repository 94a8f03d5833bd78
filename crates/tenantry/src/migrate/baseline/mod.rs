//! A snapshot of the tenant schema at one version, from which new tenants start.
//!
//! It is made from what `pg_dump` says of a scratch schema in which the migrations were replayed, reviewed
//! and committed by people, and read again with the migrations beside it. Nothing here runs `pg_dump`:
//! whoever calls does. What is squashed stays: schemas that exist are migrated by the files alone.
//!
//! | file | what it does | talks to PostgreSQL |
//! | --- | --- | --- |
//! | `rename` | put one schema's name in another's place, by token | no |
//! | `dump` | make a baseline of a dump | no |
//! | `scratch` | make scratch schemas, have them dumped, compare | yes |

mod dump;
mod rename;
mod scratch;

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr as _, migrate::MigrationType};

pub(crate) use self::scratch::{check, make};
use super::apply::{Site, run_message};
use super::error::{MigrationError, Problem};
use super::ledger::{self, Ledger};
use super::message::Message;
use super::script::Script;
use super::set::{Migration, MigrationSet};
use super::source::Migrations;
use crate::error::Result;
use crate::registry::LEDGER;
use crate::sql::Identifier;
use crate::tenant::{Digest, SchemaName};

/// Its name in the directory of the tenants' migrations. Without a `_` it is no migration to sqlx either.
pub(super) const FILE: &str = "baseline.sql";

/// Stands in the file for the schema of the tenant that is made.
const PLACEHOLDER: &str = "__tenant__";

/// How the name of a scratch schema begins.
const SCRATCH: &str = "tenantry_baseline_";

/// Whether a schema is there only to be dumped.
pub(super) fn is_scratch(schema: &SchemaName) -> bool {
    schema.as_str().starts_with(SCRATCH)
}

/// What `pg_dump` is to be called with, besides the database: one schema without its rows, its ledger,
/// its owners and its privileges.
pub fn pg_dump_arguments(schema: &SchemaName) -> Vec<String> {
    let schema = Identifier(schema.as_str());
    vec![
        "--schema-only".to_owned(),
        "--no-owner".to_owned(),
        "--no-privileges".to_owned(),
        "--no-publications".to_owned(),
        "--no-security-labels".to_owned(),
        format!("--schema={schema}"),
        format!("--exclude-table={schema}.{LEDGER}"),
    ]
}

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
    pub(super) fn parse(file: &str, text: &str, files: &MigrationSet) -> Result<Self, Vec<MigrationError>> {
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

    fn renamed(&self, schema: &str) -> Result<Script, Vec<MigrationError>> {
        let sql = rename::rename(self.sql(), PLACEHOLDER, schema).map_err(|offset| {
            let (line, _) = crate::sql::lexer::line_and_column(self.sql(), offset);
            vec![MigrationError::at_line(self.file.as_str(), line, Problem::NamesItsSchema)]
        })?;
        script(&self.file, self.version, sql)
    }

    /// The statements that make its objects in this schema.
    fn push(&self, message: &mut Message, site: Site<'_>) -> Result<()> {
        let script = self.renamed(site.schema.as_str()).map_err(MigrationError::first_of)?;
        message.push_own(&site.enter("SET LOCAL"));
        // A dump has functions before the tables they name.
        message.push_own("SET LOCAL check_function_bodies = off");
        message.push_file(&script);
        message.push_own("RESET ALL");
        Ok(())
    }
}

/// Enters every squashed version, and then makes what they made. No execution time says that they did not
/// run here.
pub(super) fn push_baseline(
    message: &mut Message,
    site: Site<'_>,
    ledger: &mut Ledger,
    migrations: &Migrations,
) -> Result<()> {
    let Some(baseline) = migrations.baseline() else { return Ok(()) };
    for migration in migrations.squashed() {
        message.push_own(&ledger.insert(migration, true));
        ledger.add(migration);
    }
    baseline.push(message, site)
}

/// Lets a schema start from the baseline, in a transaction that is open, unless it was begun before. The
/// caller holds the lock of the schema.
pub(crate) async fn start(
    connection: &mut PgConnection,
    site: Site<'_>,
    migrations: &Migrations,
) -> Result<()> {
    if migrations.baseline().is_none() || !ledger::read(&mut *connection, site.schema).await?.is_empty() {
        return Ok(());
    }
    let (mut message, mut ledger) = (Message::new(), Ledger::empty(site.schema));
    push_baseline(&mut message, site, &mut ledger, migrations)?;
    message.push_own(&ledger.summarise());
    run_message(connection, site, &message).await
}

fn script(file: &str, version: i64, sql: String) -> Result<Script, Vec<MigrationError>> {
    let sql = AssertSqlSafe(sql).into_sql_str();
    let source = sqlx::migrate::Migration::new(version, "baseline".into(), MigrationType::Simple, sql, false);
    Script::parse(file.to_owned(), source)
}

/// What the comments at the beginning of a baseline say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BaselineHead {
    version: i64,
    digest: Digest,
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

/// A migration whose effect no dump of a schema shows: it grants, or revokes.
fn privileges_in(files: &MigrationSet) -> Option<(&Migration, usize)> {
    files.iter().find_map(|migration| {
        let sql = migration.up().sql();
        let mut statements = migration.up().statements().iter();
        let found = statements.find(|statement| {
            let mut words = sql[statement.range.clone()].split_whitespace();
            let is =
                |word: Option<&str>, keyword: &str| word.is_some_and(|it| it.eq_ignore_ascii_case(keyword));
            let first = words.next();
            let alters = is(first, "alter") && is(words.next(), "default") && is(words.next(), "privileges");
            is(first, "grant") || is(first, "revoke") || alters
        });
        found.map(|statement| (migration, statement.line))
    })
}

#[cfg(test)]
mod tests;
