//! Makes a baseline, and proves one: scratch schemas are filled, dumped and compared.
//!
//! Nothing here runs `pg_dump`: the caller does.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::creation::push_statements;
use super::message::Message;
use super::plan::Goal;
use super::removal::drop_schema;
use super::schema::migrate_schema;
use super::send::send;
use super::site::Site;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::migration::{
    Baseline, BaselineHead, Migration, MigrationError, MigrationSet, baseline_of, statements_of,
};
use crate::registry::LEDGER;
use crate::sql::Identifier;
use crate::sql::lexer::{Token, begins_with};
use crate::tenant::{Alias, SchemaName};

/// The beginning of a scratch schema's name.
const SCRATCH: &str = "tenantry_baseline_";

/// The arguments for `pg_dump`, besides the database: one schema without its rows, its ledger,
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

/// The source that a scratch schema is filled from.
#[derive(Clone, Copy)]
enum Filling<'a> {
    Migrations(&'a MigrationSet),
    Baseline(&'a Baseline),
}

/// The text of a baseline file: what the migrations make, up to a version or the newest one.
pub(crate) async fn make_baseline<E: From<Error>>(
    context: &Context,
    version: Option<i64>,
    dump: impl AsyncFnMut(&SchemaName) -> Result<String, E>,
) -> Result<String, E> {
    let files = context.migrations.tenant();
    let version = version.or(files.latest()).ok_or_else(|| nothing("there are no tenant migrations"))?;
    if files.get(version).is_none() {
        return Err(nothing(format!("there is no tenant migration {version}")).into());
    }
    let files = files.through(version);
    let mut scratch = Scratch { context, dump };
    let (schema, dump) = scratch.dump_of(Filling::Migrations(&files)).await?;
    Ok(baseline_of(&dump, &schema, BaselineHead { version, digest: files.digest() })?)
}

/// Compares what starting from the baseline makes with what the migrations make.
///
/// Both are dumped after they were read from SQL once more, because PostgreSQL itself writes some
/// expressions in another way when it reads what it wrote.
pub(crate) async fn check_baseline<E: From<Error>>(
    context: &Context,
    dump: impl AsyncFnMut(&SchemaName) -> Result<String, E>,
) -> Result<i64, E> {
    let migrations = &context.migrations;
    let baseline = migrations
        .baseline()
        .ok_or_else(|| nothing("there is no baseline").with_hint("`tenantry baseline` writes it"))?;
    let files = migrations.tenant().through(baseline.version());
    let version = baseline.version();
    let mut scratch = Scratch { context, dump };
    let (schema, dump) = scratch.dump_of(Filling::Migrations(&files)).await?;
    let text = baseline_of(&dump, &schema, BaselineHead { version, digest: files.digest() })?;
    let fresh = Baseline::parse("a fresh baseline", &text, &files)
        .map_err(|errors| Error::from(MigrationError::first_of(errors)))?;
    let replayed = scratch.statements_of(Filling::Baseline(&fresh)).await?;
    let started = scratch.statements_of(Filling::Baseline(baseline)).await?;
    if let Some(difference) = first_difference(&started, &replayed) {
        let message = format!("`{}` is not what the migrations make: {difference}", baseline.file());
        let error = Error::new(ErrorKind::Migration, message);
        return Err(error.with_hint("write it again with `tenantry baseline`, and review it").into());
    }
    Ok(version)
}

fn nothing(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

fn first_difference(started: &[String], replayed: &[String]) -> Option<String> {
    let only = |these: &[String], those: &[String]| these.iter().find(|it| !those.contains(it)).cloned();
    match (only(started, replayed), only(replayed, started)) {
        (None, None) => (started != replayed).then(|| "the order of its statements differs".to_owned()),
        (Some(here), None) => Some(format!("only the baseline has `{here}`")),
        (None, Some(there)) => Some(format!("only the migrations have `{there}`")),
        (Some(here), Some(there)) => {
            Some(format!("the baseline has `{here}` and the migrations have `{there}`"))
        }
    }
}

struct Scratch<'a, D> {
    context: &'a Context,
    dump: D,
}

impl<E: From<Error>, D: AsyncFnMut(&SchemaName) -> Result<String, E>> Scratch<'_, D> {
    async fn statements_of(&mut self, filling: Filling<'_>) -> Result<Vec<String>, E> {
        let (schema, dump) = self.dump_of(filling).await?;
        Ok(statements_of(&dump, &schema)?)
    }

    /// The dump of a schema that is there for no longer than this takes. A process that is killed
    /// meanwhile leaves it behind; a future that is dropped, too.
    async fn dump_of(&mut self, filling: Filling<'_>) -> Result<(SchemaName, String), E> {
        let schema = new_name()?;
        let result = match self.fill(&schema, filling).await {
            Ok(()) => (self.dump)(&schema).await,
            Err(error) => Err(error.into()),
        };
        let removed = self.remove(&schema).await;
        let dump = result?;
        removed?;
        Ok((schema, dump))
    }

    async fn fill(&self, schema: &SchemaName, filling: Filling<'_>) -> Result<()> {
        let mut connection = self.context.databases.owner_connection(&Alias::default()).await?;
        let site = Site::scratch(&self.context.layout, schema);
        let create = format!("CREATE SCHEMA {}", Identifier(schema.as_str()));
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await?;
        match filling {
            Filling::Migrations(files) => {
                migrate_schema(&mut connection, site, Goal::latest(files)).await?;
                refuse_what_no_dump_shows(&mut connection, schema, files).await?;
            }
            Filling::Baseline(baseline) => {
                let mut message = Message::new();
                message.push_own("BEGIN");
                push_statements(&mut message, site, baseline);
                message.push_own("COMMIT");
                send(&mut connection, site, &message).await?;
            }
        }
        connection.close().await?;
        Ok(())
    }

    /// On a connection of its own: the other may be what failed.
    async fn remove(&self, schema: &SchemaName) -> Result<()> {
        let mut connection = self.context.databases.owner_connection(&Alias::default()).await?;
        let mut tx = connection.begin().await?;
        drop_schema(&mut tx, schema).await?;
        Ok(tx.commit().await?)
    }
}

/// All of one length, so that nothing depends on it, and in no need of quotes.
fn new_name() -> Result<SchemaName> {
    Ok(SchemaName::parse(&format!("{}{}", SCRATCH, uuid::Uuid::new_v4().simple()))?)
}

/// Rows and privileges would be missing in every new tenant, and no comparison of dumps would tell.
async fn refuse_what_no_dump_shows(
    connection: &mut PgConnection,
    schema: &SchemaName,
    files: &MigrationSet,
) -> Result<()> {
    if let Some((migration, line)) = privileges_in(files) {
        let message = format!("no baseline can be made: {}:{line} changes privileges", migration.file());
        return Err(Error::new(ErrorKind::Migration, message)
            .with_hint("a baseline holds no privileges; take a version before that file with `--at`"));
    }
    for table in tables(connection, schema).await? {
        let name = format!("{}.{}", Identifier(schema.as_str()), Identifier(&table));
        let exists = format!("SELECT EXISTS (SELECT FROM {name})");
        if sqlx::query_scalar(AssertSqlSafe(exists)).persistent(false).fetch_one(&mut *connection).await? {
            let message = format!("no baseline can be made: the migrations leave rows in table `{table}`");
            return Err(Error::new(ErrorKind::Migration, message)
                .with_hint("a baseline holds no rows; take a version before the first row with `--at`"));
        }
    }
    Ok(())
}

async fn tables(connection: &mut PgConnection, schema: &SchemaName) -> Result<Vec<String>> {
    let tables = sqlx::query_scalar(
        "SELECT relname::text FROM pg_catalog.pg_class \
         JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace \
         WHERE nspname = $1 AND relkind = 'r' AND relname <> $2 ORDER BY 1",
    );
    Ok(tables.bind(schema.as_str()).bind(LEDGER).fetch_all(connection).await?)
}

/// A migration whose effect no dump of a schema shows: it grants, or revokes.
fn privileges_in(files: &MigrationSet) -> Option<(&Migration, usize)> {
    files.iter().find_map(|migration| {
        let script = migration.up();
        let mut statements = script.statements().iter();
        let found = statements.find(|statement| changes_privileges(&script.tokens_of(statement)));
        found.map(|statement| (migration, statement.line))
    })
}

fn changes_privileges(statement: &[Token<'_>]) -> bool {
    ["grant", "revoke", "alter default privileges"].iter().any(|words| begins_with(statement, words))
}
